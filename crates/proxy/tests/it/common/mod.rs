//! A data plane in this process, real back ends and plain clients.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use model::{
    Endpoint, GatewaySettings, Listener, ListenerKind, Protocol, ReleaseId, Route, RouteTable, Timeouts,
    Upstream,
};
use proxy::link::{Applied, Client, Stats};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub mod frames;
pub mod rig;
pub mod sick;
pub mod strict;
pub mod tls;
pub mod traffic;

pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A running data plane and the control plane's end of its link.
pub struct Plane {
    pub socket: PathBuf,
    pub client: Client,
    pub thread: Option<JoinHandle<Result<(), proxy::Error>>>,
    _folder: tempfile::TempDir,
}

impl Plane {
    pub async fn start() -> Self {
        Self::patient(proxy::Patience::default()).await
    }

    pub async fn patient(patience: proxy::Patience) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("proxy.sock");
        let options = proxy::Options { socket: socket.clone(), workers: 2, patience, successor: false };
        let thread = Some(std::thread::spawn(move || proxy::run(options)));
        let (client, hello) = connect(&socket).await;
        assert_eq!((hello.version, hello.pid), (None, std::process::id()));
        Self { socket, client, thread, _folder: folder }
    }

    pub async fn with(table: &RouteTable) -> Self {
        let mut plane = Self::start().await;
        let applied = plane.apply(table).await;
        assert!(applied.failed.is_empty(), "{applied:?}");
        plane
    }

    pub async fn apply(&mut self, table: &RouteTable) -> Applied {
        self.client.apply(table).await.unwrap()
    }

    pub async fn stats(&mut self) -> Stats {
        self.client.stats().await.unwrap()
    }
}

pub async fn connect(socket: &std::path::Path) -> (Client, proxy::link::Hello) {
    until("the data plane answers", async || Client::connect(socket).await.ok()).await
}

/// Polls until there is a value; fails after ten seconds.
pub async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An address that nobody else uses: a random one of the loopback network.
pub fn free() -> SocketAddr {
    let ip = [127, fastrand::u8(1..255), fastrand::u8(1..255), fastrand::u8(1..255)];
    std::net::TcpListener::bind((std::net::Ipv4Addr::from(ip), 0)).unwrap().local_addr().unwrap()
}

/// A table, built up.
pub struct Table(pub RouteTable);

impl Table {
    pub fn new() -> Self {
        Self(RouteTable {
            app: "app".parse().unwrap(),
            version: 1,
            listeners: vec![],
            upstreams: BTreeMap::new(),
            verify_callers: false,
            processes: BTreeMap::new(),
        })
    }

    pub fn version(mut self, version: u64) -> Self {
        self.0.version = version;
        self
    }

    pub fn gateway(self, address: SocketAddr, routes: Vec<Route>) -> Self {
        self.gateway_with(address, routes, GatewaySettings::default())
    }

    pub fn gateway_with(
        mut self,
        address: SocketAddr,
        routes: Vec<Route>,
        settings: GatewaySettings,
    ) -> Self {
        self.0.listeners.push(Listener { address, kind: ListenerKind::Gateway { routes, settings } });
        self
    }

    pub fn redirect(mut self, address: SocketAddr, gateway: SocketAddr) -> Self {
        self.0.listeners.push(Listener { address, kind: ListenerKind::Redirect { gateway } });
        self
    }

    pub fn edge(mut self, address: SocketAddr, caller: &str, callee: &str) -> Self {
        let (caller, callee) = (caller.parse().unwrap(), callee.parse().unwrap());
        self.0.listeners.push(Listener { address, kind: ListenerKind::Edge { caller, callee } });
        self
    }

    pub fn upstream(mut self, service: &str, protocol: Protocol, addresses: &[SocketAddr]) -> Self {
        let endpoint = |(index, address): (usize, &SocketAddr)| Endpoint {
            replica: format!("{service}-{}", index + 1).parse().unwrap(),
            release: ReleaseId("r1".to_owned()),
            address: *address,
        };
        let endpoints = addresses.iter().enumerate().map(endpoint).collect();
        let timeouts = Timeouts { connect: Duration::from_secs(2), request: Duration::from_secs(5) };
        let upstream = Upstream {
            protocol,
            endpoints,
            timeouts,
            retries: 2,
            in_flight: 512,
            shares: vec![],
            sticky: None,
            operations: vec![],
            shapes: None,
            outside: None,
            hold: false,
            patient: false,
            quiet: false,
        };
        self.0.upstreams.insert(service.parse().unwrap(), upstream);
        self
    }

    pub fn in_flight(mut self, service: &str, most: u32) -> Self {
        self.0.upstreams.get_mut(service).unwrap().in_flight = most;
        self
    }

    pub fn patient(mut self, service: &str) -> Self {
        self.0.upstreams.get_mut(service).unwrap().patient = true;
        self
    }

    pub fn quiet(mut self, service: &str) -> Self {
        self.0.upstreams.get_mut(service).unwrap().quiet = true;
        self
    }

    pub fn hold(mut self, service: &str) -> Self {
        self.0.upstreams.get_mut(service).unwrap().hold = true;
        self
    }

    pub fn request_timeout(mut self, service: &str, request: Duration) -> Self {
        self.0.upstreams.get_mut(service).unwrap().timeouts.request = request;
        self
    }
}

pub fn route(path: &str, service: &str) -> Route {
    let service = service.parse().unwrap();
    Route {
        path: path.to_owned(),
        host: None,
        methods: vec![],
        service,
        strip: false,
        timeout: None,
        rate_limit: None,
        max_body: None,
        enforce_contract: false,
    }
}

/// An edge from `web` to the service `s` with these replicas, and a data plane that serves it.
pub async fn edge_to(replicas: &[SocketAddr]) -> (Plane, SocketAddr) {
    let address = free();
    let table = Table::new().edge(address, "web", "s").upstream("s", Protocol::Http, replicas);
    (Plane::with(&table.0).await, address)
}

/// A gateway whose routes all lead to `s`.
pub async fn gateway_to(replicas: &[SocketAddr]) -> (Plane, SocketAddr) {
    let address = free();
    let table = Table::new().gateway(address, vec![route("/", "s")]).upstream("s", Protocol::Http, replicas);
    (Plane::with(&table.0).await, address)
}

/// Serves HTTP/1.1, or HTTP/2 if `h2`, until the test ends.
pub async fn backend<F, R>(h2: bool, answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answer = answer(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            tokio::spawn(async move {
                let io = TokioIo::new(stream);
                let _ = if h2 {
                    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    http.serve_connection(io, service).await
                } else {
                    let http = hyper::server::conn::http1::Builder::new();
                    http.serve_connection(io, service).with_upgrades().await
                };
            });
        }
    });
    address
}

/// A back end that answers every request with `name`.
pub async fn named(name: &'static str) -> SocketAddr {
    backend(false, move |_| async move { Response::new(full(name)) }).await
}

/// A back end that answers with the request's head as text.
pub async fn mirror() -> SocketAddr {
    backend(false, |request: Request<Incoming>| async move {
        let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
        for (name, value) in request.headers() {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        Response::new(full(text))
    })
    .await
}

pub fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).boxed_unsync()
}

/// One request on a connection of its own.
pub async fn fetch(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.unwrap()
}

/// One request over HTTP/2 with prior knowledge.
pub async fn fetch_h2(address: SocketAddr, request: Request<Body>) -> Response<Incoming> {
    let mut sender = h2(address).await;
    sender.send_request(request).await.unwrap()
}

pub async fn h2(address: SocketAddr) -> hyper::client::conn::http2::SendRequest<Body> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub fn request(method: &str, target: &str, body: &'static str) -> Request<Body> {
    Request::builder().method(method).uri(target).header("host", "app.example").body(full(body)).unwrap()
}

pub async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let response = fetch(address, request("GET", path, "")).await;
    (response.status().as_u16(), text(response).await)
}

pub async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Sends bytes as they are and reads until the other side closes, or has sent nothing for half a second.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(Ok(read @ 1..)) =
        tokio::time::timeout(Duration::from_millis(500), stream.read(&mut buffer)).await
    {
        answer.extend_from_slice(&buffer[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads the head of an HTTP/1.1 message.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// A replica whose answers are scripted: the function gets the number of the request, from 0 on.
pub async fn scripted<F>(h2: bool, script: F) -> (SocketAddr, Arc<AtomicUsize>)
where
    F: Fn(usize, &Request<Incoming>) -> Response<Body> + Clone + Send + Sync + 'static,
{
    let seen = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&seen);
    let address = backend(h2, move |request| {
        let answer = script(count.fetch_add(1, Relaxed), &request);
        async move { answer }
    })
    .await;
    (address, seen)
}

pub fn answer(status: u16, text: impl Into<Bytes>) -> Response<Body> {
    Response::builder().status(status).body(full(text)).unwrap()
}

pub fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// `clients` connections that send `each` requests one after the other; how many got which status.
pub async fn hammer(address: SocketAddr, clients: usize, each: usize, method: &'static str) -> Vec<u16> {
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(async move {
            let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
            tokio::spawn(connection);
            let mut statuses = Vec::with_capacity(each);
            for _ in 0..each {
                sender.ready().await.unwrap();
                let response = sender.send_request(request(method, "/", "")).await.unwrap();
                statuses.push(response.status().as_u16());
                text(response).await;
            }
            statuses
        });
    }
    running.join_all().await.concat()
}
