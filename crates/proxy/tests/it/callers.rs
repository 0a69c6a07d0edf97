//! Whose a connection is: real processes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::common::*;
use model::{ProcessId, Protocol, RouteTable};

/// A table with verified edges from `web` to `s`.
fn verified(edge: SocketAddr, service: SocketAddr, protocol: Protocol, own: &[(&str, u32)]) -> RouteTable {
    let mut table = Table::new().edge(edge, "web", "s").upstream("s", protocol, &[service]).0;
    table.verify_callers = true;
    table.processes = processes(own);
    table
}

fn processes(own: &[(&str, u32)]) -> BTreeMap<model::ServiceName, Vec<ProcessId>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (service, pid) in own {
        all.entry(service.parse().unwrap()).or_default().push(process(*pid));
    }
    all
}

fn process(pid: u32) -> ProcessId {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start_time = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    ProcessId { pid, start_time }
}

/// A shell that waits for a line before it sends its request, and prints the answer; in a process group of its own.
struct Shell(std::process::Child);

impl Shell {
    fn new(edge: SocketAddr, script: &str) -> Self {
        use std::os::unix::process::CommandExt as _;
        let script = script.replace("{get}", &format!(
            "bash -c 'exec 3<>/dev/tcp/{}/{}; printf \"GET /x HTTP/1.1\\r\\nhost: a\\r\\nconnection: close\\r\\n\\r\\n\" >&3; cat <&3'",
            edge.ip(), edge.port()
        ));
        let child = Command::new("bash")
            .args(["-c", &format!("read line; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    async fn go(mut self) -> String {
        tokio::task::spawn_blocking(move || {
            use std::io::Write as _;
            self.0.stdin.take().unwrap().write_all(b"go\n").unwrap();
            String::from_utf8(self.0.wait_with_output().unwrap().stdout).unwrap()
        })
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn the_caller_and_what_it_starts_pass_and_nobody_else() {
    let service = named("here").await;
    for (script, as_caller) in [
        ("{get}; true", "200 OK"),
        // In a session of its own, with nothing in its environment, started by one that started it.
        ("setsid -w env -i PATH=\"$PATH\" bash -c \"$(cat <<'X'\n{get}; true\nX\n)\"", "200 OK"),
        // Its parent has gone, but it is still in the process group.
        ("({get} & )", "200 OK"),
    ] {
        for (own, expected) in [("web", as_caller), ("other", "403 Forbidden")] {
            let edge = free();
            let shell = Shell::new(edge, script);
            let table = verified(edge, service, Protocol::Http, &[(own, shell.pid())]);
            let _plane = Plane::with(&table).await;
            let answer = shell.go().await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{own}, {script}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_stranger_is_told_counted_and_let_in_where_nobody_is_verified() {
    let edge = free();
    let mut table = verified(edge, named("here").await, Protocol::Http, &[]);
    // Tests run in the process of the data plane, which is never refused: a shell is somebody else.
    let mut plane = Plane::with(&table).await;
    let answer = Shell::new(edge, "{get}").go().await;
    assert!(answer.starts_with("HTTP/1.1 403 Forbidden"), "{answer}");
    assert!(answer.contains("x-isles-error: caller_unverified"), "{answer}");
    let problem: serde_json::Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("is not one of web's") && detail.contains("verify_callers"), "{detail}");
    assert_eq!(plane.stats().await.listeners[0].refused, 1);
    assert_eq!(plane.stats().await.endpoints[0].requests, 0);

    table.version = 2;
    table.verify_callers = false;
    plane.apply(&table).await;
    let answer = Shell::new(edge, "{get}").go().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
}

#[tokio::test]
async fn a_process_that_is_not_known_yet_is_known_by_what_it_was_started_with() {
    let service = named("here").await;
    for (app, name, expected) in
        [("app", "web", "200 OK"), ("app", "other", "403 Forbidden"), ("else", "web", "403 Forbidden")]
    {
        let edge = free();
        let _plane = Plane::with(&verified(edge, service, Protocol::Http, &[])).await;
        let shell = Shell::new(edge, &format!("export ISLES_APP={app} ISLES_SERVICE={name}; {{get}}; true"));
        let answer = shell.go().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{app} {name}: {answer}");
    }
}

#[tokio::test]
async fn tcp_edges_close_on_strangers() {
    let service = named("here").await;
    for (own, expected) in [("web", "HTTP/1.1 200 OK"), ("other", "")] {
        let edge = free();
        let shell = Shell::new(edge, "{get}; true");
        let _plane = Plane::with(&verified(edge, service, Protocol::Tcp, &[(own, shell.pid())])).await;
        let answer = shell.go().await;
        assert!(answer.starts_with(expected) && answer.is_empty() == expected.is_empty(), "{own}: {answer}");
    }
}

#[tokio::test]
async fn many_connections_at_once_are_told_apart() {
    let edge = free();
    let shells: Vec<Shell> = (0..20).map(|_| Shell::new(edge, "{get}; true")).collect();
    let own: Vec<(&str, u32)> =
        shells.iter().enumerate().map(|(n, s)| (if n % 2 == 0 { "web" } else { "other" }, s.pid())).collect();
    let _plane = Plane::with(&verified(edge, named("here").await, Protocol::Http, &own)).await;
    let answers = futures_util::future::join_all(shells.into_iter().map(Shell::go)).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.starts_with("HTTP/1.1 200"), n % 2 == 0, "{n}: {answer}");
    }
}
