//! The service as a process, with accounts down: it starts, serves, and ends cleanly.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

fn service() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-catalog"));
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn tells_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    for (set, told) in [
        (&[][..], "PORT is not set"),
        (&[("PORT", "0")], "DATABASE_URL is not set"),
        (&[("PORT", "x")], "PORT cannot be used"),
    ] {
        let output = service().envs(set.iter().copied()).output().await.unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && text.contains(told), "{text}");
    }
    let output = service().env("PORT", "0").env("ISLES_DATA", folder.path()).output().await.unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("ACCOUNTS_URL is not set"));
}

#[tokio::test]
async fn sells_while_accounts_is_down() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = service();
    // A port that nobody can listen on.
    command.env("PORT", "0").env("ISLES_DATA", folder.path()).env("ACCOUNTS_URL", "http://127.0.0.1:1");
    let mut child = command.spawn().unwrap();
    let mut logs = BufReader::new(child.stdout.take().unwrap()).lines();
    let addr = loop {
        let line =
            tokio::time::timeout(Duration::from_secs(20), logs.next_line()).await.unwrap().unwrap().unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["message"] == "listening" {
            break line["addr"].as_str().unwrap().to_owned();
        }
    };
    let client = reqwest::Client::new();
    let get = |path: &str| client.get(format!("http://{addr}{path}"));
    assert_eq!(get("/health/ready").send().await.unwrap().status().as_u16(), 200);
    let token = service_kit::testing::Signer::new().unwrap().customer("ada").unwrap();
    let list = get("/api/catalog/products?limit=3").bearer_auth(&token).send().await.unwrap();
    assert_eq!(list.status().as_u16(), 200, "whoever cannot be recognized browses as a guest");
    let change =
        client.post(format!("http://{addr}/api/catalog/products")).bearer_auth(&token).json(&Value::Null);
    assert_eq!(change.send().await.unwrap().status().as_u16(), 503);
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
}
