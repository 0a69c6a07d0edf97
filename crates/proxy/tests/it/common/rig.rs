//! A data plane and a replica on real sockets that any bytes can be sent through, from either side.
//!
//! For tests and for the fuzz targets; there is one in a process.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use model::{
    Endpoint, GatewaySettings, Listener, ListenerKind, Protocol, ReleaseId, Route, RouteTable, Timeouts,
    Upstream,
};
use proxy::link::Client;

use super::strict::{Record, Replica, Said, exchange, read_answer};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Rig {
    gateway: SocketAddr,
    replica: Replica,
}

/// What the replica answers to `/liar`.
static LIE: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Bytes of a client, from its first byte on.
pub fn request(bytes: &[u8]) {
    let rig = rig();
    let answer =
        exchange(rig.gateway, bytes, true).expect("the connection ends soon after the client's side of it");
    check(&rig.replica.take());
    let mut rest = &answer[..];
    // Which of the answers is one to a HEAD is not known here, so only the first is read to its end.
    if !bytes.starts_with(PREFACE) && !rest.is_empty() {
        let head_only = bytes.trim_ascii_start().starts_with(b"HEAD ");
        read_answer(&mut rest, head_only).expect("well formed");
    }
}

/// Bytes of a client after the preface of HTTP/2.
pub fn stream(bytes: &[u8]) {
    request(&[PREFACE, bytes].concat());
}

/// Bytes of a replica in place of an answer; it closes after them.
pub fn answer(bytes: &[u8]) {
    let rig = rig();
    *LIE.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
    ask(rig, "/liar");
    // Nothing of it becomes the answer to somebody else. Two, because a circuit must not open.
    for _ in 0..2 {
        let heard = ask(rig, "/well").expect("whole");
        assert_eq!(heard, (200, b"well".to_vec()));
    }
    check(&rig.replica.take());
}

fn ask(rig: &Rig, target: &str) -> Option<(u16, Vec<u8>)> {
    let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    let answer = exchange(rig.gateway, request.as_bytes(), false).expect("answered and closed");
    let mut rest = &answer[..];
    let heard = read_answer(&mut rest, false).expect("well formed");
    assert!(heard.is_none() || rest.is_empty(), "more than an answer: {rest:?}");
    heard.map(|heard| (heard.status, heard.body))
}

/// Whatever a client sent, what reached the replica was HTTP/1.1 to the letter, and came by way of the gateway.
fn check(record: &Record) {
    assert!(record.faults.is_empty(), "{record:?}");
    for seen in &record.requests {
        assert_eq!(seen.all("x-isles-caller"), ["gateway"], "{seen:?}");
        assert!(seen.all("connection").is_empty() || seen.all("connection") == ["upgrade"], "{seen:?}");
    }
}

fn rig() -> &'static Rig {
    static RIG: OnceLock<Rig> = OnceLock::new();
    RIG.get_or_init(|| {
        let replica = Replica::answering(|seen| match seen.target.as_str() {
            "/liar" => {
                Said { bytes: LIE.lock().unwrap_or_else(PoisonError::into_inner).clone(), closes: true }
            }
            _ => Said::well(),
        });
        // A random address of the loopback network: nobody else takes its port between here and the data plane.
        let id = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::from([127, id[2].max(1), id[3], 1]);
        let gateway = TcpListener::bind((ip, 0)).and_then(|free| free.local_addr()).expect("a free port");
        let socket = std::env::temp_dir().join(format!("isles-rig-{}.sock", std::process::id()));
        let options = proxy::Options {
            socket: socket.clone(),
            workers: 1,
            patience: proxy::Patience::default(),
            successor: false,
        };
        std::thread::spawn(move || proxy::run(options));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let mut client = loop {
                match Client::connect(&socket).await {
                    Ok((client, _)) => break client,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            };
            let applied = client.apply(&table(gateway, replica.address)).await.expect("applied");
            assert!(applied.failed.is_empty(), "{applied:?}");
        });
        Rig { gateway, replica }
    })
}

fn table(gateway: SocketAddr, replica: SocketAddr) -> RouteTable {
    let name = || model::ServiceName::new("s").expect("a name");
    let route = Route {
        path: "/".to_owned(),
        host: None,
        methods: vec![],
        service: name(),
        strip: false,
        timeout: None,
        rate_limit: None,
        max_body: None,
        enforce_contract: false,
    };
    let endpoint = Endpoint {
        replica: model::ReplicaId { service: name(), index: 1 },
        release: ReleaseId("r".to_owned()),
        address: replica,
    };
    let timeouts = Timeouts { connect: Duration::from_secs(2), request: Duration::from_secs(5) };
    let upstream = Upstream {
        protocol: Protocol::Http,
        endpoints: vec![endpoint],
        timeouts,
        retries: 0,
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
    let kind = ListenerKind::Gateway { routes: vec![route], settings: GatewaySettings::default() };
    RouteTable {
        app: name(),
        version: 1,
        listeners: vec![Listener { address: gateway, kind }],
        upstreams: BTreeMap::from([(name(), upstream)]),
        verify_callers: false,
        processes: BTreeMap::new(),
    }
}
