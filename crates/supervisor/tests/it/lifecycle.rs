//! Start, crash, stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use model::{HealthCheck, Phase, StopSignal};
use supervisor::{StartError, Stream, process};

use crate::yard::{Yard, eventually, health, id, kill_leader, members};

#[tokio::test]
async fn a_real_server_becomes_ready_and_has_the_environment_it_was_given() {
    let mut yard = Yard::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let program = "import os, sys, http.server as h\n\
        class H(h.BaseHTTPRequestHandler):\n\
        \x20   def do_GET(self):\n\
        \x20       self.send_response(200 if self.path == '/health' else 404); self.end_headers()\n\
        print('for', os.environ['FOR'], flush=True)\n\
        h.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()";
    let mut spec = yard.program(&["python3", "-c", program]);
    spec.env.extend([("PORT".into(), port.to_string()), ("FOR".into(), "orders".into())]);
    spec.address = ([127, 0, 0, 1], port).into();
    spec.health = health(HealthCheck::Http { path: "/health".into() });
    let process = yard.start(&spec).await;
    let ready = yard.until_phase(Phase::Ready).await;
    assert_eq!((ready.process, ready.release, ready.restarts), (Some(process), spec.release.clone(), 0));
    yard.until_output("for orders").await;
    assert!(process::memory(&process).unwrap() > 1 << 20);

    let again = yard.supervisor.start(spec).await;
    assert!(matches!(again, Err(StartError::Running { pid, .. }) if pid == process.pid), "{again:?}");
    yard.supervisor.stop(&id()).await;
    assert_eq!(yard.state(), None);
    assert!(!process::alive(&process));
}

#[tokio::test]
async fn a_crash_is_told_with_code_and_last_lines_and_the_slot_starts_again() {
    let mut yard = Yard::new();
    let crash = yard.script("for i in $(seq 30); do echo line $i; done; printf oops >&2; exit 3");
    yard.start(&crash).await;
    let state = yard.until_phase(Phase::Exited).await;
    let exit = state.last_exit.clone().unwrap();
    assert_eq!((exit.code, exit.signal, exit.message), (Some(3), None, None));
    assert_eq!(exit.last_lines.len(), 20);
    assert_eq!(exit.last_lines.last().unwrap(), "oops");
    assert_eq!(exit.last_lines[18], "line 30");
    assert_eq!((state.restarts, state.failures, state.process), (1, 1, None));

    let mut better = yard.script("echo up; exec sleep 1000");
    better.release = model::ReleaseId("r2".into());
    yard.start(&better).await;
    let state = yard.until_phase(Phase::Ready).await;
    assert_eq!((state.restarts, state.failures, state.release), (1, 1, better.release));
    assert_eq!(state.last_exit.unwrap().code, Some(3));
    let notes = eventually("two starts noted", || async {
        let notes: Vec<String> =
            yard.log().into_iter().filter(|l| l.stream == Stream::Isles).map(|l| l.text).collect();
        (notes.len() >= 3).then_some(notes)
    })
    .await;
    assert!(notes[0].starts_with("started pid "), "{notes:?}");
    assert!(notes[1].starts_with("exited with 3 after "), "{notes:?}");
    assert!(notes[2].starts_with("started pid "), "{notes:?}");
}

#[tokio::test]
async fn a_killed_leader_takes_its_group_with_it() {
    let mut yard = Yard::new();
    let process = yard.start(&yard.script("sleep 1000 & sleep 1000 & echo forked; wait")).await;
    yard.until_output("forked").await;
    assert_eq!(members(process).len(), 3);
    kill_leader(process);
    let exit = yard.until_phase(Phase::Exited).await.last_exit.unwrap();
    assert_eq!((exit.code, exit.signal), (None, Some(9)));
    assert_eq!(members(process), Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_gives_the_whole_group_its_grace() {
    let mut yard = Yard::new();
    let wrapper = "(trap 'sleep 0.2; echo finished; exit 0' TERM; echo up; while :; do sleep 0.02; done) & \
        trap 'exit 0' TERM; wait";
    let process = yard.start(&yard.script(wrapper)).await;
    yard.until_output("up").await;
    yard.supervisor.stop(&id()).await;
    assert_eq!(members(process), Vec::<String>::new());
    assert_eq!(yard.state(), None);
    assert!(yard.output().contains(&"finished".to_owned()), "{:?}", yard.output());
}

#[tokio::test]
async fn a_stop_kills_what_ignores_its_signal() {
    let mut yard = Yard::new();
    let mut spec = yard.script("trap '' TERM; sleep 1000 & echo up; while :; do sleep 0.05; done");
    spec.stop.grace = Duration::from_millis(300);
    let process = yard.start(&spec).await;
    yard.until_output("up").await;
    let begun = tokio::time::Instant::now();
    // Two who wait for the same end.
    let id = id();
    tokio::join!(yard.supervisor.stop(&id), yard.supervisor.stop(&id));
    assert!(begun.elapsed() >= spec.stop.grace, "{:?}", begun.elapsed());
    assert_eq!(members(process), Vec::<String>::new());
    assert_eq!(yard.state(), None);
}

#[tokio::test]
async fn a_stop_sends_the_signal_of_its_policy() {
    let mut yard = Yard::new();
    for (signal, said) in [(StopSignal::Int, "INT"), (StopSignal::Usr2, "USR2"), (StopSignal::Kill, "")] {
        let mut spec = yard.script(
            "trap 'echo INT; exit' INT; trap 'echo USR2; exit' USR2; echo up $0; while :; do sleep 0.02; done",
        );
        let mark = format!("{signal:?}");
        spec.argv.push(mark.clone());
        spec.stop.signal = signal;
        let process = yard.start(&spec).await;
        yard.until_output(&format!("up {mark}")).await;
        yard.supervisor.stop(&id()).await;
        assert!(!process::alive(&process));
        assert!(said.is_empty() || yard.output().iter().any(|line| line == said), "{:?}", yard.output());
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let yard = Yard::new();
    fs::write(yard.path("plain"), "text").unwrap();
    fs::write(yard.path("garbage"), [0; 64]).unwrap();
    fs::set_permissions(yard.path("garbage"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(yard.path("lost"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(yard.path("lost"), fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (vec!["no-such-program-anywhere"], "not in PATH"),
        (vec!["./missing"], "does not exist: was it built?"),
        (vec!["./plain"], "marked executable"),
        (vec!["./garbage"], "no program for this machine"),
        (vec!["./lost"], "interpreter that does not exist"),
        (vec![], "name a program"),
    ];
    for (failures, (argv, expected)) in (1u32..).zip(cases) {
        let error = yard.supervisor.start(yard.program(&argv)).await.unwrap_err();
        assert_eq!(error.code(), "spawn-failed");
        assert!(error.to_string().contains(expected), "{error}");
        let state = yard.state().unwrap();
        assert_eq!((state.phase, state.failures, state.restarts), (Phase::Exited, failures, 0));
        assert!(state.last_exit.unwrap().message.unwrap().contains(expected));
    }
    let mut nowhere = yard.script("true");
    nowhere.dir = yard.path("gone");
    let error = yard.supervisor.start(nowhere).await.unwrap_err();
    assert!(error.to_string().contains("working folder"), "{error}");

    yard.supervisor.forget(&id());
    eventually("forgotten", || async { yard.state().is_none().then_some(()) }).await;
}

#[tokio::test]
async fn a_program_that_is_still_being_written_is_started_when_it_is_done() {
    let yard = Yard::new();
    let program = yard.path("program");
    fs::copy("/bin/true", &program).unwrap();
    let writer = fs::OpenOptions::new().append(true).open(&program).unwrap();
    let released = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        drop(writer);
    };
    let (started, ()) = tokio::join!(yard.supervisor.start(yard.program(&["./program"])), released);
    started.unwrap();
    let state = yard.until_phase(Phase::Exited).await;
    assert_eq!((state.last_exit.unwrap().code, state.failures), (Some(0), 1));
}

#[tokio::test]
async fn a_draining_replica_stays_so_and_is_not_forgotten_while_it_lives() {
    let mut yard = Yard::new();
    let process = yard.start(&yard.script("exec sleep 1000")).await;
    yard.until_phase(Phase::Ready).await;
    yard.supervisor.drain(&id());
    yard.supervisor.forget(&id());
    yard.until_phase(Phase::Draining).await;
    assert!(process::alive(&process));
    yard.supervisor.stop(&id()).await;
    assert!(!process::alive(&process));
    // An empty slot is no error for anybody.
    yard.supervisor.stop(&id()).await;
    yard.supervisor.drain(&id());
}

#[tokio::test]
async fn failures_are_forgotten_after_a_stable_time() {
    let mut yard = Yard::new();
    yard.start(&yard.script("exit 1")).await;
    yard.until_phase(Phase::Exited).await;
    yard.start(&yard.script("exec sleep 1000")).await;
    let ready = yard.until_phase(Phase::Ready).await;
    assert_eq!(ready.failures, 1);
    // From here on time jumps to the next timer.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let state = yard.until("stable", |state| state.failures == 0).await;
    assert!(begun.elapsed() >= supervisor::STABLE_AFTER - Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(state.restarts, 1);
}

#[tokio::test]
async fn processes_are_found_by_their_mark() {
    let mut yard = Yard::new();
    let process = yard.start(&yard.script("exec sleep 1000")).await;
    yard.until_phase(Phase::Ready).await;
    eventually("marked", || async { (process::marked(yard.dir.path()) == [process]).then_some(()) }).await;
    assert_eq!(process::marked(&yard.path("other")), []);
    process::terminate(process, yard.script("").stop).await;
    assert_eq!(process::marked(yard.dir.path()), []);
    let exit = yard.until_phase(Phase::Exited).await.last_exit.unwrap();
    assert_eq!(exit.signal, Some(15));
}

#[tokio::test]
async fn a_process_that_leads_no_group_is_terminated_alone() {
    let mut yard = Yard::new();
    let process = yard.start(&yard.script("sleep 1000 & echo $!; while :; do sleep 0.05; done")).await;
    let member = eventually("a child", || async { yard.output().first()?.parse().ok() }).await;
    let member = process::identify(member).unwrap();
    process::terminate(member, yard.script("").stop).await;
    assert!(!process::alive(&member));
    assert!(process::alive(&process));
    yard.supervisor.stop(&id()).await;
}
