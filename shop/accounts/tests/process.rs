//! The service as a process: how it starts, what it logs, how it ends.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

fn service(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-accounts"));
    command
        .env_clear()
        .env("ISLES_DATA", folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Every line that the process logs up to the one with this message, that one included.
async fn log_until(logs: &mut (impl AsyncBufReadExt + Unpin), message: &str) -> Vec<Value> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        let read =
            tokio::time::timeout(Duration::from_secs(20), logs.read_line(&mut line)).await.unwrap().unwrap();
        assert_ne!(read, 0, "the log ended before {message:?}: {lines:?}");
        let line: Value = serde_json::from_str(&line).unwrap();
        let found = line["message"] == message;
        lines.push(line);
        if found {
            return lines;
        }
    }
}

async fn end(mut child: Child) -> i32 {
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await.unwrap().unwrap();
    status.code().unwrap()
}

#[tokio::test]
async fn tells_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let output = service(folder.path()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.starts_with("accounts: PORT is not set"), "{told}");
    let bad = service(folder.path())
        .env("PORT", "0")
        .env("SHOP_ADMIN_EMAIL", "boss")
        .env("SHOP_ADMIN_PASSWORD", "x")
        .output();
    let told = String::from_utf8(bad.await.unwrap().stderr).unwrap();
    assert!(told.contains("SHOP_ADMIN_EMAIL cannot be used") && !told.contains("boss"), "{told}");
}

#[tokio::test]
async fn never_logs_a_secret_and_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let (email, password) = ("boss@example.com", "a very secret password");
    let mut command = service(folder.path());
    command
        .env("PORT", "0")
        .env("RUST_LOG", "trace")
        .env("SHOP_ADMIN_EMAIL", email)
        .env("SHOP_ADMIN_PASSWORD", password);
    let mut child = command.spawn().unwrap();
    let mut logs = BufReader::new(child.stdout.take().unwrap());
    let mut lines = log_until(&mut logs, "listening").await;
    let addr = lines.last().unwrap()["addr"].as_str().unwrap().to_owned();
    let post = async |path: &str, body: Value| {
        let url = format!("http://{addr}/api/accounts{path}");
        let client = reqwest::Client::new();
        let answer =
            client.post(url).header("x-forwarded-for", "203.0.113.7").json(&body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()
    };
    let tokens = post("/sessions", json!({ "email": email, "password": password })).await;
    post("/sessions", json!({ "email": email, "password": "a wrong password" })).await;
    let next = post("/sessions/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await;
    post("/sessions/refresh", json!({ "refresh_token": tokens["refresh_token"] })).await;
    let drained = tokio::spawn(async move { log_until(&mut logs, "stopped").await });
    assert_eq!(end(child).await, 0);
    lines.extend(drained.await.unwrap());
    let text = serde_json::to_string(&lines).unwrap();
    let secrets = [&tokens, &next].map(|tokens| [&tokens["access_token"], &tokens["refresh_token"]]);
    for secret in secrets.iter().flatten().map(|secret| secret.as_str().unwrap()) {
        assert!(!text.contains(secret), "a token is in the log");
    }
    for secret in [email, password, "a wrong password", "$argon2id$", "203.0.113.7"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
    assert!(text.contains("/api/accounts/sessions/refresh"), "the log was read");
}

#[tokio::test]
async fn starts_quickly_on_a_database_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        let mut child = service(folder.path()).env("PORT", "0").spawn().unwrap();
        let mut logs = BufReader::new(child.stdout.take().unwrap());
        log_until(&mut logs, "listening").await;
        best = best.min(began.elapsed());
        assert_eq!(end(child).await, 0);
    }
    // Far below this alone; other tests share the machine.
    assert!(best < Duration::from_millis(1500), "{best:?}");
    println!("started in {best:?}");
}
