//! One data plane takes another one's place: real processes, real load, and deaths at every step.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::common::tls::*;
use crate::common::traffic::{Traffic, echoing, say};
use crate::common::*;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{Protocol, RouteTable};
use proxy::link::{Client, Hello, LinkError, path};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const SOCKET: &str = "HANDOVER_TEST_SOCKET";
const WORKERS: &str = "HANDOVER_TEST_WORKERS";
const SUCCESSOR: &str = "HANDOVER_TEST_SUCCESSOR";

/// Not a test of its own: what the processes run.
#[test]
#[ignore = "run as a process by other tests"]
fn plane_process() {
    let socket = std::env::var_os(SOCKET).unwrap().into();
    let workers = std::env::var(WORKERS).unwrap().parse().unwrap();
    let successor = std::env::var_os(SUCCESSOR).is_some();
    proxy::run(proxy::Options { socket, workers, patience: proxy::Patience::default(), successor }).unwrap();
}

/// A data plane's process, killed with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(socket: &Path, workers: usize, successor: bool) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "handover::plane_process", "--ignored"]).stdout(Stdio::null());
        command.env(SOCKET, socket).env(WORKERS, workers.to_string());
        if successor {
            command.env(SUCCESSOR, "1");
        }
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    async fn ended(&mut self) {
        let status = until("the process ends", async || self.0.try_wait().unwrap()).await;
        assert!(status.success(), "{status}");
    }

    fn lives(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("proxy.sock")
    }

    async fn first(&self, workers: usize, table: &RouteTable) -> (Process, Client) {
        let process = Process::start(&self.socket(), workers, false);
        let (mut client, hello) = connect(&self.socket()).await;
        assert_eq!((hello.pid, hello.retired), (process.pid(), false));
        assert!(client.apply(table).await.unwrap().failed.is_empty());
        (process, client)
    }

    async fn successor(&self, workers: usize) -> (Process, Client) {
        let process = Process::start(&self.socket(), workers, true);
        let (client, hello) = connect(&self.own(&process)).await;
        assert_eq!((hello.pid, hello.retired, hello.version), (process.pid(), false, None));
        (process, client)
    }

    fn own(&self, process: &Process) -> PathBuf {
        path::own(&self.socket(), process.pid())
    }

    /// Everything that a control plane does.
    async fn replace(&self, before: &mut Client, workers: usize, table: &RouteTable) -> (Process, Client) {
        let (process, mut client) = self.successor(workers).await;
        before.hand_over(&self.own(&process)).await.unwrap();
        assert!(client.apply(table).await.unwrap().failed.is_empty());
        client.lead().await.unwrap();
        (process, client)
    }

    async fn who_leads(&self) -> Hello {
        connect(&self.socket()).await.1
    }
}

fn simple(address: SocketAddr, replica: SocketAddr) -> RouteTable {
    Table::new().gateway(address, vec![route("/", "s")]).upstream("s", Protocol::Http, &[replica]).0
}

/// A replica that switches to an echo of bytes.
async fn chatty() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                read_head(&mut stream).await;
                let head =
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
                stream.write_all(head.as_bytes()).await.unwrap();
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn websocket(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101"));
    stream
}

/// A gRPC-like stream both ways: what is sent comes back, message by message, and trailers at the end.
struct Stream {
    send: mpsc::UnboundedSender<Result<Frame<Bytes>, std::convert::Infallible>>,
    answer: hyper::body::Incoming,
}

impl Stream {
    async fn open(address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        let (send, mut receive) = mpsc::unbounded_channel();
        let frames = futures_util::stream::poll_fn(move |cx| receive.poll_recv(cx));
        let request = Request::post("http://s/pkg.S/Chat").header("content-type", "application/grpc");
        let request = request.body(StreamBody::new(frames)).unwrap();
        let answer = sender.send_request(request).await.unwrap().into_body();
        Self { send, answer }
    }

    async fn exchange(&mut self, word: &'static str) {
        self.send.send(Ok(Frame::data(Bytes::from(word)))).unwrap();
        let frame = self.answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
}

async fn grpc_echo() -> SocketAddr {
    backend(true, |request| async move {
        Response::new(request.into_body().map_err(|_| unreachable()).boxed_unsync())
    })
    .await
}

fn unreachable() -> std::convert::Infallible {
    panic!("the body of a test's request broke")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hand_overs_under_load_lose_nothing_and_close_nothing_in_use() {
    let site = Site::new();
    let [gateway, tcp, chat, grpc] = [free(), free(), free(), free()];
    let slow = backend(false, |_| async {
        tokio::time::sleep(Duration::from_millis(3)).await;
        answer(200, "slow")
    });
    let replicas = [slow.await, named("quick").await];
    let (echo, chatter, streams) = (echoing().await, chatty().await, grpc_echo().await);
    let table = |version| {
        let table = Table::new().version(version).gateway(gateway, vec![route("/", "s")]);
        let table = table.edge(tcp, "web", "t").edge(chat, "web", "c").edge(grpc, "web", "g");
        let table = table.upstream("s", Protocol::Http, &replicas).upstream("t", Protocol::Tcp, &[echo]);
        table.upstream("c", Protocol::Http, &[chatter]).upstream("g", Protocol::Grpc, &[streams]).0
    };
    let (mut first, mut client) = site.first(2, &table(1)).await;

    let mut socket = websocket(chat).await;
    let mut tunnel = TcpStream::connect(tcp).await.unwrap();
    let mut stream = Stream::open(grpc).await;
    let mut quiet = TcpStream::connect(gateway).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    quiet.write_all(ask).await.unwrap();
    assert!(read_head(&mut quiet).await.starts_with("HTTP/1.1 200"));

    let h1 = Traffic::new().h1(gateway, 8, "GET", "/");
    let posts = Traffic::new().h1(gateway, 4, "POST", "/");
    let h2 = Traffic::new().h2(gateway, 4, "/");
    let bytes = Traffic::new().tcp(tcp, 4);
    let mut planes = Vec::new();
    for (version, workers) in [(2, 3), (3, 1)] {
        for traffic in [&h1, &posts, &h2, &bytes] {
            traffic.more(200).await;
        }
        let (process, successor) = site.replace(&mut client, workers, &table(version)).await;
        client = successor;
        let hello = site.who_leads().await;
        assert_eq!((hello.pid, hello.version, hello.retired), (process.pid(), Some(version), false));
        planes.push(process);
        for traffic in [&h1, &posts, &h2, &bytes] {
            traffic.more(200).await;
        }
        say(&mut socket, b"still there").await.unwrap();
        say(&mut tunnel, b"still there").await.unwrap();
        stream.exchange("still there").await;
    }
    for (name, traffic) in [("HTTP/1.1", h1), ("POST", posts), ("HTTP/2", h2), ("TCP", bytes)] {
        let report = traffic.stop().await;
        assert_eq!(report.failed(), 0, "{name}: {:?}", report.outcomes);
        println!("{name}: {} requests, slowest {:?}", report.all(), report.slowest());
    }
    let (mut old, _) = connect(&site.own(&first)).await;
    let load = until("only what is open for long is left", async || {
        let load = old.load().await.unwrap();
        (load.settled && load.in_flight.values().sum::<u64>() == 3).then_some(load)
    })
    .await;
    let replicas: Vec<&str> = load.in_flight.keys().map(|id| id.service.as_str()).collect();
    assert_eq!(replicas, ["c", "g", "t"]);
    assert!(first.lives());

    let retired = path::others(&site.socket());
    assert!(retired.contains(&site.own(&first)), "{retired:?}");
    drop((socket, tunnel, stream, quiet));
    first.ended().await;
    planes[0].ended().await;
    assert!(planes[1].lives());
    assert_eq!(path::others(&site.socket()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn an_idle_connection_gets_one_more_answer_and_is_told_that_it_is_the_last() {
    let site = Site::new();
    let gateway = free();
    let table = simple(gateway, named("up").await);
    let (_first, mut client) = site.first(1, &table).await;
    let mut idle = TcpStream::connect(gateway).await.unwrap();
    let ask = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    idle.write_all(ask).await.unwrap();
    assert!(!read_head(&mut idle).await.contains("connection: close"));
    let mut body = [0; 2];
    tokio::io::AsyncReadExt::read_exact(&mut idle, &mut body).await.unwrap();
    let (_second, _client) = site.replace(&mut client, 1, &table).await;
    idle.write_all(ask).await.unwrap();
    let mut rest = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut idle, &mut rest).await.unwrap();
    assert!(
        rest.starts_with("HTTP/1.1 200") && rest.contains("connection: close") && rest.ends_with("up"),
        "{rest}"
    );
}

#[tokio::test]
async fn whoever_dies_on_the_way_leaves_one_data_plane_that_serves() {
    let site = Site::new();
    let gateway = free();
    let replica = named("up").await;
    let table = |version| RouteTable { version, ..simple(gateway, replica) };
    let (mut first, mut client) = site.first(2, &table(1)).await;
    let traffic = Traffic::new().h1(gateway, 4, "GET", "/");

    // The successor dies: before it has anything, with the sockets, and while it serves beside the other.
    for step in 0..2 {
        let (mut process, mut successor) = site.successor(2).await;
        if step > 0 {
            client.hand_over(&site.own(&process)).await.unwrap();
        }
        process.kill();
        assert!(successor.apply(&table(2)).await.is_err());
        traffic.more(100).await;
        assert_eq!(site.who_leads().await.pid, first.pid());
    }
    // The control plane dies: it knows neither the one nor the other any more.
    for step in 0..3 {
        let (mut process, mut successor) = site.successor(2).await;
        successor.load().await.unwrap();
        if step > 0 {
            client.hand_over(&site.own(&process)).await.unwrap();
        }
        if step > 1 {
            successor.apply(&table(2)).await.unwrap();
            traffic.more(100).await;
        }
        drop(successor);
        process.ended().await;
        traffic.more(100).await;
        assert_eq!(site.who_leads().await.pid, first.pid());
    }
    // A successor that is never asked for anything is no longer of use when another one has led.
    let (mut late, mut forgotten) = site.successor(1).await;
    client.hand_over(&site.own(&late)).await.unwrap();
    let (second, mut client) = site.replace(&mut client, 2, &table(3)).await;
    forgotten.apply(&table(4)).await.unwrap();
    let refused = forgotten.lead().await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
    drop(forgotten);
    late.ended().await;
    assert_eq!(site.who_leads().await.pid, second.pid());
    traffic.more(100).await;
    let report = traffic.stop().await;
    assert_eq!(report.failed(), 0, "{:?}", report.outcomes);
    first.ended().await;

    // The predecessor dies when the successor has everything: it leads all the same.
    let mut second = second;
    let (third, mut successor) = site.successor(2).await;
    client.hand_over(&site.own(&third)).await.unwrap();
    assert!(successor.apply(&table(5)).await.unwrap().failed.is_empty());
    second.kill();
    successor.lead().await.unwrap();
    assert_eq!(site.who_leads().await.pid, third.pid());
    assert_eq!(get(gateway, "/").await, (200, "up".to_owned()));
}

#[tokio::test]
async fn a_retired_data_plane_refuses_tables_and_a_successor_is_no_leader_yet() {
    let site = Site::new();
    let table = simple(free(), named("up").await);
    let (_first, mut client) = site.first(1, &table).await;
    let refused =
        |result: Result<(), LinkError>| assert!(matches!(result, Err(LinkError::Refused(_))), "{result:?}");
    refused(client.lead().await);
    refused(client.hand_over(Path::new("/nowhere")).await);
    let (second, mut successor) = site.successor(1).await;
    refused(successor.hand_over(&site.socket()).await);
    client.hand_over(&site.own(&second)).await.unwrap();
    refused(successor.lead().await);
    // Begun while only the predecessor accepts, so that it stays for a while.
    let mut busy = TcpStream::connect(table.listeners[0].address).await.unwrap();
    let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    busy.write_all(head).await.unwrap();
    assert!(read_head(&mut busy).await.starts_with("HTTP/1.1 200"));
    assert!(successor.apply(&table).await.unwrap().failed.is_empty());
    successor.lead().await.unwrap();
    refused(client.apply(&RouteTable { version: 9, ..table.clone() }).await.map(drop));
    assert!(!client.load().await.unwrap().settled);
    drop(second);
}

/// The certificates come with the successor's first table, before it accepts anything.
#[tokio::test]
async fn https_goes_on_without_a_failed_handshake() {
    let (site, authority) = (Site::new(), Authority::new());
    let (address, back) = (free(), named("ok").await);
    let files = Files::new(authority.issue("app.example"));
    let table = |version| {
        let table = Table::new().version(version);
        let table = table.gateway_with(address, vec![route("/", "s")], files.settings());
        table.upstream("s", Protocol::Http, &[back]).0
    };
    let (mut old, mut client) = site.first(2, &table(1)).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (stop, done, tls) = (Arc::clone(&stop), Arc::clone(&done), authority.client(&["http/1.1"]));
        load.spawn(async move {
            while !stop.load(Relaxed) {
                let (_, answer) = fetch_tls(address, &tls, request("GET", "/", "")).await;
                assert_eq!(text(answer).await, "ok");
                done.fetch_add(1, Relaxed);
            }
        });
    }
    let more = async || {
        let enough = done.load(Relaxed) + 50;
        until("more is served", async || (done.load(Relaxed) > enough).then_some(())).await;
    };
    more().await;
    let (_new, _client) = site.replace(&mut client, 2, &table(2)).await;
    more().await;
    old.ended().await;
    more().await;
    stop.store(true, Relaxed);
    load.join_all().await;
}
