//! The seeds of the fuzz target.

#[path = "../../fuzz/check.rs"]
mod check;

#[test]
fn the_seeds_of_the_fuzz_target_hold() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/otlp");
    let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(seeds.len() > 3);
    seeds.iter().for_each(|seed| check::check(&std::fs::read(seed).unwrap()));
}
