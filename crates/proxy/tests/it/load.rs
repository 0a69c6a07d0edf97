//! Under load nothing is lost: while tables change, and when a replica is killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::common::*;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use model::Protocol;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Clients that ask without pause, each on one connection, until told to stop.
struct Load {
    clients: JoinSet<()>,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
}

impl Load {
    fn start(address: SocketAddr, clients: usize, method: &'static str) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut load = Self { clients: JoinSet::new(), stop: Arc::clone(&stop), done: Arc::clone(&done) };
        for _ in 0..clients {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            load.clients.spawn(async move {
                let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
                let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                while !stop.load(Ordering::Relaxed) {
                    sender.ready().await.unwrap();
                    let response = sender.send_request(request(method, "/", "body")).await.unwrap();
                    let status = response.status();
                    let body = response.into_body().collect().await.unwrap().to_bytes();
                    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        load
    }

    /// Waits for `more` further requests.
    async fn pass(&self, more: usize) {
        let goal = self.done.load(Ordering::Relaxed) + more;
        until("the load goes on", async || (self.done.load(Ordering::Relaxed) >= goal).then_some(())).await;
    }

    async fn finish(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn fifty_tables_under_load_lose_nothing() {
    let replicas = [named("a").await, named("b").await, named("c").await, named("d").await];
    let address = free();
    let table = |version: u64| {
        let turn = usize::try_from(version).unwrap() % 4;
        let pair = [replicas[turn], replicas[(turn + 1) % 4]];
        let table = Table::new().version(version).edge(address, "web", "s");
        // Another listener comes and goes each time.
        table.edge(free(), "other", "s").upstream("s", Protocol::Http, &pair)
    };
    let mut plane = Plane::with(&table(1).0).await;
    let load = Load::start(address, 16, "POST");
    for version in 2..=51 {
        let applied = plane.apply(&table(version).0).await;
        assert_eq!((applied.version, applied.failed.len()), (version, 0));
        load.pass(60).await;
    }
    let done = load.finish().await;
    assert!(done >= 3000, "{done}");
    let stats = plane.stats().await;
    assert!(stats.endpoints.iter().all(|endpoint| endpoint.in_flight == 0 && endpoint.failures == 0));
}

/// Not a test of its own: what a replica's process runs. It ends with its parent, which holds its standard input.
#[tokio::test]
#[ignore = "run as a process by another test"]
async fn replica_process() {
    let address = backend(false, |_| async { http::Response::new(full("ok")) }).await;
    println!("\nlistening {address}");
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().next().map(drop));
    ended.await.unwrap();
}

struct Replica {
    process: Child,
    address: SocketAddr,
}

impl Replica {
    fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "load::replica_process", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line =
            lines.map(Result::unwrap).find_map(|line| Some(line.strip_prefix("listening ")?.to_owned()));
        Self { process, address: line.unwrap().parse().unwrap() }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_killed_replica_of_two_loses_no_get() {
    let (mut victim, other) = (Replica::start(), Replica::start());
    let (mut plane, address) = edge_to(&[victim.address, other.address]).await;
    let load = Load::start(address, 16, "GET");
    load.pass(500).await;
    victim.process.kill().unwrap();
    victim.process.wait().unwrap();
    load.pass(1000).await;
    load.finish().await;
    let stats = plane.stats().await;
    assert!(stats.endpoints[0].requests > 0 && stats.endpoints[0].failures > 0, "{stats:?}");
    assert_eq!(stats.listeners[0].failures, 0);
}
