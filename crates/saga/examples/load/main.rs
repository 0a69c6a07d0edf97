//! Completed four-step sagas per second, with real calls to a service in another process.
//!
//!     load [--store PATH|postgres://…] [--history 0]      an engine in this process
//!     load --via http://ADDRESS/PATH --pids 1,2            sagas that are begun over HTTP; what those processes spend
//!     load --bare http://ADDRESS/PATH --pids 1,2           the four calls alone
//!     load callee                                          the service that is called, on $PORT
//!
//! All with `[--seconds 5] [--concurrency 1,16,64,256]`; prints rows of Markdown. `--history N` fills the store with N sagas that are over first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a program for people who measure"
)]

mod outside;

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use saga::contracts::{Contract, Contracts};
use saga::engine::{Begin, Engine, Options};
use saga::record::{Event, Outcome, Record};
use saga::store::postgres::PostgresStore;
use saga::store::sqlite::SqliteStore;
use saga::store::{Append, NewSaga, Status, Store, Then};
use serde_json::{Value, json};
use tokio::sync::watch;

use outside::Target;

const DEFINITION: &str = include_str!("order.yaml");

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.get(1).map(String::as_str) == Some("callee") {
        return callee();
    }
    let option = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned();
    let pids = option("--pids").unwrap_or_else(|| "self".to_owned());
    let plan = Measured {
        seconds: option("--seconds").map_or(5, |s| s.parse().unwrap()),
        concurrency: option("--concurrency").unwrap_or_else(|| "1,16,64,256".to_owned()),
        pids: pids.split(',').map(str::to_owned).collect(),
        name: option("--name").unwrap_or_else(|| "engine alone".to_owned()),
    };
    let history: usize = option("--history").map_or(0, |s| s.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outside = |name, requests| option(name).map(|url| Target::of(&url, requests));
    if let Some(target) = outside("--via", 1).or_else(|| outside("--bare", 4)) {
        return runtime.block_on(plan.rows(async |lanes, time| target.round(lanes, time).await));
    }
    let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let store = option("--store").unwrap_or_else(|| folder.path().join("sagas.db").display().to_string());
    let mut child =
        Command::new(std::env::current_exe().unwrap()).arg("callee").stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address: SocketAddr = line.trim().parse().unwrap();
    runtime.block_on(alone(&store, address, history, &plan));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What is measured.
struct Measured {
    seconds: u64,
    concurrency: String,
    /// Whose CPU time and memory count; `self` is this process.
    pids: Vec<String>,
    name: String,
}

impl Measured {
    /// A row for each number of lanes, each after a second of warming up.
    async fn rows(&self, round: impl AsyncFn(usize, Duration) -> Vec<Duration>) {
        for lanes in self.concurrency.split(',').map(|n| n.parse::<usize>().unwrap()) {
            round(lanes, Duration::from_secs(1)).await;
            let (before, began) = (self.cpu(), Instant::now());
            let mut times = round(lanes, Duration::from_secs(self.seconds)).await;
            let (spent, took) = (self.cpu() - before, began.elapsed());
            times.sort_unstable();
            let count = times.len();
            let at = |share: f64| times[((count - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
            let (rate, per) = (count as f64 / took.as_secs_f64(), spent.as_secs_f64() * 1e3 / count as f64);
            let (name, p50, p99) = (&self.name, at(0.5), at(0.99));
            let peak: u64 = self.pids.iter().map(|pid| peak(pid)).sum();
            println!("| {name} | {lanes} | {rate:.0} | {p50:.2} | {p99:.2} | {per:.3} | {} |", peak / 1000);
        }
    }

    fn cpu(&self) -> Duration {
        self.pids.iter().map(|pid| cpu(pid)).sum()
    }
}

async fn alone(store: &str, address: SocketAddr, history: usize, measured: &Measured) {
    let store: Arc<dyn Store> = if store.starts_with("postgres") {
        Arc::new(PostgresStore::open(store, Duration::from_secs(10)).await.unwrap())
    } else {
        Arc::new(SqliteStore::open(store.as_ref()).unwrap())
    };
    let contract = json!({ "paths": { "/call": { "post": { "operationId": "call",
        "requestBody": { "content": { "application/json": { "schema": {} } } } } } } });
    let contracts: Contracts =
        [("world".to_owned(), Some(Contract::read(&contract.to_string()).unwrap()))].into();
    let plan = saga::definition::read(DEFINITION, &contracts).unwrap();
    fill(&store, &plan.digest(), history).await;
    let callees = watch::Sender::new(Arc::new([("world".to_owned(), address)].into()));
    let engine = Engine::start(store, vec![plan], Options::new(callees.subscribe())).await.unwrap();
    measured.rows(async |lanes, time| round(&engine, lanes, time).await).await;
    engine.stop(Duration::from_secs(5)).await.unwrap();
}

/// What a saga is started with.
fn input() -> Value {
    json!({ "sku": "A-1", "total": 4200, "customer": "0197a2b4-5d1c-7d5e-9a53-1f0c2b6a7e10" })
}

/// Each lane starts a saga, waits for its end, and starts the next.
async fn round(engine: &Engine, lanes: usize, time: Duration) -> Vec<Duration> {
    let until = Instant::now() + time;
    let lanes = (0..lanes).map(|_| async {
        let mut times = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            let key = uuid::Uuid::new_v4().to_string();
            let begin = Begin { saga: "order".to_owned(), key, input: input(), ..Begin::default() };
            let (id, _) = engine.begin(begin).await.unwrap();
            let limit = Duration::from_secs(60);
            if engine.outcome(&id, limit).await.is_none() {
                let stored = engine.wait(&id, limit).await.unwrap().unwrap();
                assert_eq!(stored.status, Status::Done);
            }
            times.push(began.elapsed());
        }
        times
    });
    futures_util::future::join_all(lanes).await.concat()
}

/// Sagas as they look when they are over, under random keys.
async fn fill(store: &Arc<dyn Store>, plan: &str, count: usize) {
    let one = |_| {
        let store = store.clone();
        async move {
            let (id, at) = (uuid::Uuid::now_v7().to_string(), 1_700_000_000_000);
            let steps = ["stock", "auth", "capture", "ship"].into_iter();
            let record = |event| Record { at, event };
            let kept = || [("id".to_owned(), json!("0197a2b4-5d1c-7d5e"))].into_iter().collect();
            let mut journal: Vec<Record> = steps
                .flat_map(|s| {
                    [Event::Started { step: s.to_owned() }, Event::Done { step: s.to_owned(), kept: kept() }]
                })
                .map(record)
                .collect();
            journal.push(record(Event::Ended { outcome: Outcome::Done { output: Value::Null } }));
            let new = NewSaga {
                id: id.clone(),
                name: "order".to_owned(),
                key: uuid::Uuid::new_v4().to_string(),
                fingerprint: id.clone(),
                plan: plan.to_owned(),
                input: input(),
                at: u64::MAX / 4,
                trace: None,
                parent: None,
                journal,
            };
            store.begin(new).await.unwrap();
            let then = Then::End { at: i64::MAX as u64, tell: None };
            let append = Append {
                id,
                epoch: 1,
                journal: vec![],
                status: Status::Done,
                alert: false,
                then,
                seen: 0,
                forget: false,
            };
            assert!(store.append(append).await.unwrap());
        }
    };
    futures_util::stream::iter(0..count).map(one).buffer_unordered(1000).collect::<Vec<()>>().await;
}

/// User and system time of a process.
fn cpu(pid: &str) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    // A tick is 10 ms on every Linux that people run (USER_HZ).
    Duration::from_millis(ticks * 10)
}

/// The largest resident memory of a process so far, in kB.
fn peak(pid: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A service that answers every request with a little JSON.
fn callee() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let port = std::env::var("PORT").map_or(0, |port| port.parse().unwrap());
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let answer = service_fn(async |_| {
                    let body =
                        Full::new(Bytes::from_static(br#"{"id":"0197a2b4-5d1c-7d5e-9a53-1f0c2b6a7e10"}"#));
                    Ok::<_, Infallible>(
                        http::Response::builder()
                            .header("content-type", "application/json")
                            .body(body)
                            .unwrap(),
                    )
                });
                // The load ends in the middle of a connection.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
}
