//! The log stream: what was asked for, every line once, and the truth when lines are missing.

use std::time::Duration;

use console::api::{LogItem, LogQuery};
use console::client::Lines;

use crate::platform::start;

const DEADLINE: Duration = Duration::from_secs(20);

async fn next_text(lines: &mut Lines<LogItem>) -> String {
    match tokio::time::timeout(DEADLINE, lines.next()).await.expect("a line in time").unwrap() {
        Some(LogItem::Entry(entry)) => entry.text,
        other => panic!("expected a line, got {other:?}"),
    }
}

fn query(services: &[&str], n: usize) -> LogQuery {
    LogQuery { services: services.iter().map(|s| (*s).to_owned()).collect(), n, ..LogQuery::default() }
}

#[tokio::test]
async fn the_past_is_filtered_and_limited() {
    let app = start(16);
    for i in 0..10 {
        app.platform.write(i, if i % 2 == 0 { "orders" } else { "payments" }, &format!("line {i}"));
    }
    for (services, n, expected) in [
        (vec!["orders"], 2, vec!["line 6", "line 8"]),
        (vec!["orders", "payments"], 3, vec!["line 7", "line 8", "line 9"]),
        (vec![], 1, vec!["line 9"]),
        (vec![], 0, vec![]),
    ] {
        let mut lines = app.client.logs(&query(&services, n), false).await.unwrap();
        let mut texts = Vec::new();
        while let Some(item) = lines.next().await.unwrap() {
            match item {
                LogItem::Entry(entry) => texts.push(entry.text),
                LogItem::Dropped { dropped } => panic!("{dropped} dropped"),
            }
        }
        assert_eq!(texts, expected, "{services:?} {n}");
    }
}

/// Lines are written while streams begin, several in one millisecond: each stream has each of them once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_has_no_gap_and_no_doubles() {
    const LINES: u64 = 4_000;
    let app = start(8_192);
    let writer = {
        let platform = app.platform.clone();
        tokio::spawn(async move {
            for i in 0..LINES {
                platform.write(i / 3, "orders", &i.to_string());
                if i % 20 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        })
    };
    let mut readers = Vec::new();
    for _ in 0..8 {
        let client = app.client.clone();
        readers.push(tokio::spawn(async move {
            let mut lines = client.logs(&query(&[], 100_000), true).await.unwrap();
            let mut texts = Vec::new();
            while texts.len() < LINES as usize {
                texts.push(next_text(&mut lines).await);
            }
            (lines, texts)
        }));
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    let expected: Vec<String> = (0..LINES).map(|i| i.to_string()).collect();
    app.platform.write(1_000_000, "orders", "end");
    for reader in readers {
        let (mut lines, texts) = reader.await.unwrap();
        assert_eq!(texts, expected);
        assert_eq!(next_text(&mut lines).await, "end");
    }
}

#[tokio::test]
async fn a_follower_gets_only_its_services_and_ends_with_the_platform() {
    let app = start(16);
    let mut lines = app.client.logs(&query(&["payments"], 10), true).await.unwrap();
    app.platform.write(1, "orders", "no");
    app.platform.write(2, "payments", "yes");
    assert_eq!(next_text(&mut lines).await, "yes");
    app.shutdown.cancel();
    assert_eq!(lines.next().await.unwrap(), None);
}

/// The stream is opened and not read: the connection's buffers fill, and then lines are lost. What is read
/// afterwards has to add up to what was written.
#[tokio::test]
async fn a_slow_reader_is_told_how_many_lines_it_missed() {
    const LINES: u64 = 20_000;
    let app = start(64);
    let mut lines = app.client.logs(&query(&[], 0), true).await.unwrap();
    let text = "x".repeat(200);
    for i in 0..LINES {
        app.platform.write(i, "orders", &text);
        if i % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    app.platform.write(LINES, "orders", "last");
    let (mut got, mut missed) = (0, 0);
    loop {
        match tokio::time::timeout(DEADLINE, lines.next()).await.expect("a line in time").unwrap().unwrap() {
            LogItem::Dropped { dropped } => missed += dropped,
            LogItem::Entry(entry) if entry.text == "last" => break,
            LogItem::Entry(_) => got += 1,
        }
    }
    assert!(missed > 0, "nothing was lost, so the test shows nothing");
    assert_eq!(got + missed, LINES);
}
