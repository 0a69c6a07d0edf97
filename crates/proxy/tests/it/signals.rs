//! A data plane as a process: which signals end it.

use std::process::{Command, Stdio};

use crate::common::*;
use model::Protocol;
use rustix::process::{Pid, Signal, kill_process};

const SOCKET: &str = "PROXY_TEST_SOCKET";

/// Not a test of its own: what the process runs.
#[test]
#[ignore = "run as a process by another test"]
fn plane_process() {
    let socket = std::env::var_os(SOCKET).unwrap().into();
    let options =
        proxy::Options { socket, workers: 2, patience: proxy::Patience::default(), successor: false };
    proxy::run(options).unwrap();
}

#[tokio::test]
async fn only_the_order_to_terminate_ends_it_and_it_survives_its_control_plane() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "signals::plane_process", "--ignored"])
        .env(SOCKET, &socket)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (mut client, hello) = connect(&socket).await;
    assert_eq!(hello.pid, process.id());
    let address = free();
    let table = Table::new().gateway(address, vec![route("/", "s")]).upstream(
        "s",
        Protocol::Http,
        &[named("up").await],
    );
    assert!(client.apply(&table.0).await.unwrap().failed.is_empty());
    drop(client);

    let pid = Pid::from_child(&process);
    for signal in [Signal::INT, Signal::HUP, Signal::PIPE] {
        kill_process(pid, signal).unwrap();
        assert_eq!(get(address, "/").await, (200, "up".to_owned()), "after {signal:?}");
    }
    let (_again, hello) = connect(&socket).await;
    assert_eq!(hello.version, Some(1));

    kill_process(pid, Signal::TERM).unwrap();
    let status = until("it ends", async || process.try_wait().unwrap()).await;
    assert!(status.success(), "{status}");
    assert!(!socket.exists());
}
