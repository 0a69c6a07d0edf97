//! Programs that run to their end.

use std::collections::BTreeMap;
use std::time::Duration;

use model::ProcessId;
use supervisor::{Mask, Task, TaskError, process, run_once};

use crate::yard::{PATIENCE, eventually, members};

fn shell(script: &str) -> Task {
    Task {
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        dir: std::env::temp_dir(),
        env: BTreeMap::from([("WORD".to_owned(), "given".to_owned())]),
        mask: Mask::default(),
    }
}

async fn run(task: Task) -> (Result<(), TaskError>, Vec<String>) {
    let mut lines = Vec::new();
    let result = run_once(task, |line| lines.push(line.to_owned())).await;
    (result, lines)
}

#[tokio::test]
async fn output_of_both_streams_arrives_and_success_is_code_0() {
    let (result, mut lines) = run(shell("echo $WORD; echo err >&2; printf rest")).await;
    lines.sort();
    assert_eq!((result, lines), (Ok(()), vec!["err".into(), "given".into(), "rest".into()]));
}

#[tokio::test]
async fn failures_tell_how_and_with_which_last_lines() {
    let (result, _) = run(shell("seq 100; exit 7")).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("exited with code 7\n  81\n"), "{error}");
    let secret = shell("echo pw $WORD; exit 7");
    secret.mask.add(["given"]);
    let (result, lines) = run(secret).await;
    assert_eq!(lines, ["pw •••"]);
    assert!(result.unwrap_err().to_string().ends_with("code 7\n  pw •••"));
    let (result, _) = run(shell("kill -9 $$")).await;
    assert!(matches!(result, Err(TaskError::Signal { signal: 9, .. })), "{result:?}");
    let missing = Task { argv: vec!["no-such-program-anywhere".into()], ..shell("") };
    let error = run(missing).await.0.unwrap_err();
    assert!(error.to_string().contains("not in PATH"), "{error}");
}

#[tokio::test]
async fn a_flood_without_newlines_is_cut_and_not_lost() {
    let (result, lines) = run(shell("head -c 3000000 /dev/zero | tr '\\0' x")).await;
    assert_eq!(result, Ok(()));
    assert_eq!(lines.iter().map(String::len).sum::<usize>(), 3_000_000);
    assert!(lines.iter().all(|line| line.len() <= 16 * 1024));
}

#[tokio::test]
async fn a_daemon_that_is_left_behind_does_not_hold_up_the_end() {
    let script = "setsid sleep 300 & echo $!; echo built";
    let (result, lines) = tokio::time::timeout(PATIENCE, run(shell(script))).await.unwrap();
    assert_eq!(result, Ok(()));
    assert!(lines.contains(&"built".to_owned()), "{lines:?}");
    // It may have been killed before it could leave the group.
    if let Some(daemon) = process::identify(lines[0].parse().unwrap()) {
        crate::yard::kill_group(daemon);
    }
}

#[tokio::test]
async fn dropping_the_future_kills_the_whole_group() {
    let (sender, mut pids) = tokio::sync::mpsc::unbounded_channel();
    let task = tokio::spawn(run_once(shell("sleep 1000 & echo $$; wait"), move |line| {
        sender.send(line.parse::<u32>().unwrap()).unwrap();
    }));
    let pid = tokio::time::timeout(PATIENCE, pids.recv()).await.unwrap().unwrap();
    let leader: ProcessId = process::identify(pid).unwrap();
    assert!(!members(leader).is_empty());
    task.abort();
    eventually("all gone", || async { members(leader).is_empty().then_some(()) }).await;
    assert!(tokio::time::timeout(Duration::from_secs(1), task).await.unwrap().unwrap_err().is_cancelled());
}
