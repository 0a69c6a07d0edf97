//! The control plane ends; the services do not.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use model::{Phase, ProcessId, ReplicaState};
use supervisor::{Supervisor, process};

use crate::yard::{Yard, eventually, id, kill_leader, members, options};

/// Counts until there is a file `enough`, then says how far it came.
const COUNTER: &str = "n=0; while [ ! -e enough ]; do n=$((n+1)); echo n $n; echo e $n >&2; sleep 0.005; done; \
    echo total $n; exec sleep 1000";

#[tokio::test]
async fn no_line_is_lost_or_doubled_across_supervisors() {
    let mut yard = Yard::new();
    let spec = yard.script(COUNTER);
    let process = yard.start(&spec).await;
    yard.until_output("n 20").await;
    let spool = yard.path("logs/orders/orders-1.out.spool");
    for round in 1..=3u64 {
        let state = yard.state().unwrap();
        yard.replace_supervisor();
        // Written while nobody reads.
        let before = fs::metadata(&spool).unwrap().len();
        eventually("output without a reader", || async {
            (fs::metadata(&spool).unwrap().len() > before + 100).then_some(())
        })
        .await;
        let mut log =
            fs::OpenOptions::new().append(true).open(yard.path("logs/orders/orders-1.log")).unwrap();
        log.write_all(b"{\"at\":17,\"replica\":\"ord").unwrap();
        assert!(yard.supervisor.adopt(spec.clone(), state.clone()).await);
        let adopted = yard.state().unwrap();
        assert_eq!((adopted.phase, adopted.process, adopted.restarts), (state.phase, Some(process), 0));
        assert!(yard.supervisor.adopt(spec.clone(), state).await, "adopting twice is the same");
        yard.until_output(&format!("n {}", 20 + 40 * round)).await;
    }
    fs::write(yard.path("enough"), "").unwrap();
    let last = eventually("the total", || async {
        yard.output().iter().find_map(|line| line.strip_prefix("total ")?.parse::<u32>().ok())
    })
    .await;
    yard.until_output(&format!("e {last}")).await;
    for stream in ["n", "e"] {
        let prefix = format!("{stream} ");
        let lines = yard.output().into_iter().filter(|line| line.starts_with(&prefix)).collect::<Vec<_>>();
        let expected: Vec<String> = (1..=last).map(|n| format!("{stream} {n}")).collect();
        assert_eq!(lines, expected);
    }
    yard.supervisor.stop(&id()).await;
    assert_eq!(members(process), Vec::<String>::new());
}

#[tokio::test]
async fn the_end_of_an_adopted_process_is_noticed() {
    let mut yard = Yard::new();
    let spec = yard.script("echo up; sleep 1000 & wait");
    let process = yard.start(&spec).await;
    yard.until_output("up").await;
    let state = yard.until_phase(Phase::Ready).await;
    yard.replace_supervisor();
    assert!(yard.supervisor.adopt(spec, state).await);
    kill_leader(process);
    let state = yard.until_phase(Phase::Exited).await;
    let exit = state.last_exit.unwrap();
    assert_eq!((exit.code, exit.signal), (None, None), "only a parent is told");
    assert_eq!(exit.last_lines, ["up"], "from before the adoption");
    assert_eq!((state.restarts, state.failures), (1, 1));
    assert_eq!(members(process), Vec::<String>::new());
}

#[tokio::test]
async fn what_died_unwatched_is_recorded_with_its_last_words() {
    let mut yard = Yard::new();
    let spec = yard
        .script("echo up; while [ ! -e enough ]; do sleep 0.01; done; echo last words; sleep 1000 & exit 1");
    let process = yard.start(&spec).await;
    yard.until_output("up").await;
    let state = yard.until_phase(Phase::Ready).await;
    yard.replace_supervisor();
    fs::write(yard.path("enough"), "").unwrap();
    eventually("dead", || async { (!process::alive(&process)).then_some(()) }).await;
    assert!(!yard.supervisor.adopt(spec, state).await);
    let state = yard.state().unwrap();
    assert_eq!((state.phase, state.failures, state.process), (Phase::Exited, 1, None));
    let exit = state.last_exit.unwrap();
    assert_eq!(exit.last_lines, ["up", "last words"]);
    assert!(exit.message.unwrap().contains("not watching"));
    assert_eq!(members(process), Vec::<String>::new(), "what it left of its group goes too");
}

#[tokio::test]
async fn another_process_with_the_same_pid_is_not_adopted_or_harmed() {
    let mut yard = Yard::new();
    let spec = yard.script("exec sleep 1000");
    let process = yard.start(&spec).await;
    let mut state = yard.until_phase(Phase::Ready).await;
    yard.replace_supervisor();
    state.process = Some(ProcessId { start_time: process.start_time + 1, ..process });
    assert!(!yard.supervisor.adopt(spec.clone(), state.clone()).await);
    assert_eq!(yard.state().unwrap().phase, Phase::Exited);
    assert!(process::alive(&process));
    yard.supervisor.stop(&id()).await;
    process::terminate(state.process.unwrap(), spec.stop).await;
    assert!(process::alive(&process), "it is not the one that was meant");
}

#[tokio::test]
async fn a_draining_replica_is_adopted_as_draining_and_an_exited_one_as_exited() {
    let mut yard = Yard::new();
    let spec = yard.script("exec sleep 1000");
    let process = yard.start(&spec).await;
    yard.until_phase(Phase::Ready).await;
    yard.supervisor.drain(&id());
    let state = yard.until_phase(Phase::Draining).await;
    yard.replace_supervisor();
    assert!(yard.supervisor.adopt(spec.clone(), state).await);
    assert_eq!(yard.state().unwrap().phase, Phase::Draining);
    kill_leader(process);
    let exited = yard.until_phase(Phase::Exited).await;
    yard.replace_supervisor();
    assert!(!yard.supervisor.adopt(spec, exited.clone()).await);
    assert_eq!(yard.state(), Some(exited), "an old end is not counted again");
}

/// The variable that makes this test program play the control plane, in the folder that it names.
const PLAY: &str = "SUPERVISOR_TEST_CONTROL_PLANE";

/// Not a test of its own: what the next one kills.
#[tokio::test]
async fn control_plane_to_be_killed() {
    let Some(dir) = std::env::var_os(PLAY).map(PathBuf::from) else { return };
    let mut spec = Yard::new().script(COUNTER);
    spec.dir.clone_from(&dir);
    let supervisor = Supervisor::new(options(&dir)).unwrap();
    supervisor.start(spec).await.unwrap();
    let mut observed = supervisor.observed();
    let state = {
        let ready = observed.wait_for(|all| all.replicas.get(&id()).is_some_and(|r| r.phase == Phase::Ready));
        ready.await.unwrap().replicas[&id()].clone()
    };
    fs::write(dir.join("state.new"), serde_json::to_vec(&state).unwrap()).unwrap();
    fs::rename(dir.join("state.new"), dir.join("state")).unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_service_outlives_a_control_plane_that_is_killed_and_no_line_is_lost() {
    let mut yard = Yard::new();
    let mut control_plane = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "adoption::control_plane_to_be_killed"])
        .env(PLAY, yard.dir.path())
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let state: ReplicaState = eventually("a state on disk", || async {
        serde_json::from_slice(&fs::read(yard.path("state")).ok()?).unwrap()
    })
    .await;
    let service = state.process.unwrap();
    yard.watch_over(service);
    yard.until_output("n 20").await;
    control_plane.kill().await.unwrap();

    let spool = yard.path("logs/orders/orders-1.out.spool");
    let before = fs::metadata(&spool).unwrap().len();
    eventually("output without a reader", || async {
        (fs::metadata(&spool).unwrap().len() > before + 100).then_some(())
    })
    .await;
    let spec = yard.script(COUNTER);
    assert!(yard.supervisor.adopt(spec, state).await);
    fs::write(yard.path("enough"), "").unwrap();
    let last = eventually("the total", || async {
        yard.output().iter().find_map(|line| line.strip_prefix("total ")?.parse::<u32>().ok())
    })
    .await;
    let lines: Vec<String> = yard.output().into_iter().filter(|line| line.starts_with("n ")).collect();
    assert_eq!(lines, (1..=last).map(|n| format!("n {n}")).collect::<Vec<_>>());
    yard.supervisor.stop(&id()).await;
    assert_eq!(members(service), Vec::<String>::new());
}
