//! The seeds of the fuzz targets, through the functions that are fuzzed: what was found once stays found.

use std::path::Path;

use crate::common::rig;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!seeds.is_empty(), "no seeds in {}", folder.display());
    for seed in seeds {
        println!("{}", seed.display());
        run(&std::fs::read(seed).unwrap());
    }
}

#[test]
fn frames_of_the_link() {
    replay("link", proxy::fuzz::link);
}

#[test]
fn header_fields() {
    replay("fields", proxy::fuzz::fields);
}

#[test]
fn messages_and_a_contract() {
    replay("message", proxy::fuzz::message);
}

#[test]
fn targets_and_hosts() {
    replay("target", proxy::fuzz::target);
}

#[test]
fn connections_of_clients() {
    replay("request", rig::request);
    replay("stream", rig::stream);
}

#[test]
fn answers_of_replicas() {
    replay("answer", rig::answer);
}
