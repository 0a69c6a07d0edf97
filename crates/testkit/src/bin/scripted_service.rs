//! A service that does what a test tells it to.
//!
//! It serves HTTP/1.1 and HTTP/2 (h2c) on `$HOST:$PORT`:
//!
//! - `GET /health`: 200, or 503 while the file `unhealthy` is in `$ISLES_DATA`.
//! - `GET /env`: its environment as JSON.
//! - `GET /pid`: its pid.
//! - `GET /slow?ms=N&say=T`: 200 after N milliseconds; first it writes T, if there is one.
//! - `GET /call?url=U`: what a `GET` of U answers, as `{status, body}`; with `&post=K` a `POST` with K as its `Idempotency-Key`.
//! - `GET /pass?url=U`: the same status and body that a `GET` of U answers, which is of the same trace.
//! - `GET /child?url=U&how=H`: what a process that it starts gets from U; H is `same`, `bare` (an empty environment) or
//!   `apart` (its own environment, started by a process that has ended, in a session of its own).
//! - `GET /print?text=T`: writes T to standard output and error.
//! - `GET /headers`: the header fields it got, as JSON.
//! - `POST /crash`: aborts.
//! - `GET /release`: the release that it is.
//! - `/stream?n=N&ms=M`: as a gRPC call, N messages with M milliseconds before each.
//! - whatever asks for another protocol: 101, and every byte back.
//! - anything else: 200 with the path.
//!
//! With the arguments `call U` it calls U itself, prints what it was answered, and ends with code 0 if that is not 403.
//!
//! A file `script` in the folder that it is started in is part of what is deployed: words with numbers after them.
//! `exit-at-start`, `exit-after MS` (with code 3), `never-healthy`, `fail PERCENT` of the requests with 500 (evenly),
//! `fail-for CALLER` (all of that caller's), `delay MS` before each answer, `leak KIB` of memory at each. Health is not
//! affected by the last four.
//!
//! A file `crash` in `$ISLES_DATA` makes it end with code 3 at start, after a line on standard error. SIGTERM ends
//! it once nothing is in flight; with the argument `stubborn` it ignores SIGTERM.
#![allow(clippy::unwrap_used, reason = "a test program that cannot go on has failed")]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let [_, word, url] = std::env::args().collect::<Vec<_>>().as_slice()
        && word == "call"
    {
        let answer = call(url, "", None).await;
        println!("{answer}");
        std::process::exit(i32::from(answer["status"] == 403));
    }
    tokio::task::LocalSet::new().run_until(serve()).await;
}

async fn serve() {
    let data = PathBuf::from(std::env::var("ISLES_DATA").unwrap_or_default());
    if data.join("crash").exists() {
        eprintln!("crashing because the test says so");
        std::process::exit(3);
    }
    let script = Script::read();
    if script.exit_at_start {
        eprintln!("the release says so");
        std::process::exit(3);
    }
    if let Some(after) = script.exit_after {
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            eprintln!("the release says so");
            std::process::exit(3);
        });
    }
    let script = Rc::new(script);
    let address = format!("{}:{}", std::env::var("HOST").unwrap(), std::env::var("PORT").unwrap());
    let listener = TcpListener::bind(&address).await.unwrap();
    println!("listening on {address}");
    let stubborn = std::env::args().any(|a| a == "stubborn");
    let mut term = signal(SignalKind::terminate()).unwrap();
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let _ = stream.set_nodelay(true);
                let script = script.clone();
                while connections.try_join_next().is_some() {}
                connections.spawn_local(serve_one(stream, script, stopping.clone()));
            }
            _ = term.recv() => {
                println!("asked to end");
                if !stubborn {
                    break;
                }
            }
        }
    }
    drop(listener);
    drop(stop);
    while connections.join_next().await.is_some() {}
    println!("ended in order");
}

/// Serves a connection until it is closed; once it is time to stop, until what has begun is done.
async fn serve_one(stream: TcpStream, script: Rc<Script>, mut stopping: watch::Receiver<()>) {
    let server = auto::Builder::new(Here);
    let service = service_fn(move |request| scripted(script.clone(), request));
    let mut connection = pin!(server.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopping.changed() => connection.as_mut().graceful_shutdown(),
    }
    drop(connection.await);
}

/// Runs what belongs to a connection on this thread.
#[derive(Clone)]
struct Here;

impl<F: Future + 'static> hyper::rt::Executor<F> for Here {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move { drop(task.await) });
    }
}

/// What the deployed release does on purpose.
#[derive(Default)]
struct Script {
    exit_at_start: bool,
    exit_after: Option<Duration>,
    never_healthy: bool,
    fail: u64,
    fail_for: Option<String>,
    delay: Duration,
    leak: usize,
    leaked: RefCell<Vec<u8>>,
    requests: Cell<u64>,
}

impl Script {
    fn read() -> Self {
        let text = std::fs::read_to_string("script").unwrap_or_default();
        let (mut script, mut words) = (Self::default(), text.split_whitespace());
        while let Some(word) = words.next() {
            let mut number = || words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            match word {
                "exit-at-start" => script.exit_at_start = true,
                "exit-after" => script.exit_after = Some(Duration::from_millis(number())),
                "never-healthy" => script.never_healthy = true,
                "fail" => script.fail = number(),
                "fail-for" => script.fail_for = words.next().map(str::to_owned),
                "delay" => script.delay = Duration::from_millis(number()),
                "leak" => script.leak = usize::try_from(number()).unwrap_or(0) * 1024,
                // Anything else only makes another release.
                _ => {}
            }
        }
        script
    }

    /// Keeps some more memory for ever.
    fn leak(&self) {
        let mut leaked = self.leaked.borrow_mut();
        let length = leaked.len() + self.leak;
        // Not zeros: the kernel would not give pages for them.
        leaked.resize(length, 1);
    }

    /// Whether this request is one that fails.
    fn fails(&self, request: &Request<Incoming>) -> bool {
        let n = self.requests.get();
        self.requests.set(n + 1);
        let caller = request.headers().get("x-isles-caller").and_then(|c| c.to_str().ok());
        // Evenly: of 100 in a row exactly so many.
        (n + 1) * self.fail / 100 > n * self.fail / 100
            || self.fail_for.as_deref().is_some_and(|c| caller == Some(c))
    }
}

async fn scripted(script: Rc<Script>, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let refuse = |status| Ok(Response::builder().status(status).body(whole("")).unwrap());
    if request.uri().path() == "/health" {
        return if script.never_healthy { refuse(503) } else { answer(request).await };
    }
    script.leak();
    if !script.delay.is_zero() {
        tokio::time::sleep(script.delay).await;
    }
    if script.fails(&request) { refuse(500) } else { answer(request).await }
}

async fn answer(mut request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let query = |name: &str| {
        let query = request.uri().query().unwrap_or_default();
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or_default()
            .to_owned()
    };
    let text =
        |status: StatusCode, body: String| Ok(Response::builder().status(status).body(whole(body)).unwrap());
    if let Some(protocol) = request.headers().get("upgrade").cloned() {
        let tunnel = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(TokioIo::new(tunnel.await.unwrap()));
            // Whoever asked for it may go away at any time.
            drop(tokio::io::copy(&mut reader, &mut writer).await);
        });
        let answer = Response::builder().status(101).header("connection", "upgrade");
        return Ok(answer.header("upgrade", protocol).body(whole("")).unwrap());
    }
    match request.uri().path() {
        "/health" => {
            let data = PathBuf::from(std::env::var("ISLES_DATA").unwrap_or_default());
            let well = !data.join("unhealthy").exists();
            text(if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, String::new())
        }
        "/env" => {
            let env: serde_json::Map<_, _> = std::env::vars().map(|(k, v)| (k, v.into())).collect();
            text(StatusCode::OK, serde_json::Value::from(env).to_string())
        }
        "/pid" => text(StatusCode::OK, std::process::id().to_string()),
        "/slow" => {
            let say = query("say");
            if !say.is_empty() {
                println!("{say}");
            }
            tokio::time::sleep(Duration::from_millis(query("ms").parse().unwrap_or(0))).await;
            text(StatusCode::OK, "slow".into())
        }
        "/call" => text(StatusCode::OK, call(&query("url"), &query("post"), None).await.to_string()),
        "/pass" => {
            let got = call(&query("url"), "", request.headers().get("traceparent")).await;
            let status =
                got["status"].as_u64().and_then(|code| StatusCode::from_u16(u16::try_from(code).ok()?).ok());
            text(
                status.unwrap_or(StatusCode::BAD_GATEWAY),
                got["body"].as_str().unwrap_or_default().to_owned(),
            )
        }
        "/child" => text(StatusCode::OK, child(&query("url"), &query("how")).await),
        "/stream" => Ok(stream(query("n").parse().unwrap_or(1), query("ms").parse().unwrap_or(0))),
        "/release" => text(StatusCode::OK, std::env::var("ISLES_RELEASE").unwrap_or_default()),
        "/print" => {
            println!("{}", query("text"));
            eprintln!("{}", query("text"));
            text(StatusCode::OK, String::new())
        }
        "/headers" => {
            let headers: serde_json::Map<_, _> = request
                .headers()
                .iter()
                .map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into()))
                .collect();
            text(StatusCode::OK, serde_json::Value::from(headers).to_string())
        }
        "/crash" => std::process::abort(),
        path => text(StatusCode::OK, path.to_owned()),
    }
}

type Answer = UnsyncBoxBody<Bytes, Infallible>;

fn whole(body: impl Into<Bytes>) -> Answer {
    Full::new(body.into()).boxed_unsync()
}

/// Messages of gRPC, one after the other, and a status that says that this was all.
fn stream(messages: u32, pause: u64) -> Response<Answer> {
    let body = futures_util::stream::unfold(0, move |sent| async move {
        if sent > messages {
            return None;
        }
        if sent == messages {
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
            return Some((Ok(Frame::trailers(trailers)), sent + 1));
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
        // Not compressed, and four bytes long.
        Some((Ok(Frame::data(Bytes::from_static(&[0, 0, 0, 0, 4, 1, 2, 3, 4]))), sent + 1))
    });
    let answer = Response::builder().header("content-type", "application/grpc");
    answer.body(StreamBody::new(body).boxed_unsync()).unwrap()
}

async fn child(url: &str, how: &str) -> String {
    let own = std::env::current_exe().unwrap();
    let mut command = tokio::process::Command::new(&own);
    command.args(["call", url]);
    if how == "bare" {
        command.env_clear();
    }
    if how == "apart" {
        command = tokio::process::Command::new("sh");
        command.args(["-c", "setsid \"$0\" call \"$1\" & ", own.to_str().unwrap(), url]);
    }
    String::from_utf8(command.output().await.unwrap().stdout).unwrap()
}

/// A `GET`, or a `POST` with a key, on a connection of its own; of a trace, if there is one.
async fn call(url: &str, post: &str, trace: Option<&HeaderValue>) -> serde_json::Value {
    let attempt = async {
        let uri: hyper::Uri = url.parse()?;
        let authority = uri.authority().ok_or("no authority")?.to_string();
        let stream = TcpStream::connect(&authority).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { drop(connection.await) });
        let path = uri.path_and_query().map_or("/", |p| p.as_str()).to_owned();
        let method = if post.is_empty() { "GET" } else { "POST" };
        let request = Request::builder().method(method).uri(path).header("idempotency-key", post);
        let mut request = request.header("host", authority).body(Full::<Bytes>::default())?;
        if let Some(trace) = trace {
            request.headers_mut().insert("traceparent", trace.clone());
        }
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok::<_, Box<dyn std::error::Error>>((status, String::from_utf8_lossy(&body).into_owned()))
    };
    match attempt.await {
        Ok((status, body)) => serde_json::json!({"status": status, "body": body}),
        Err(error) => serde_json::json!({"error": error.to_string()}),
    }
}
