//! A data plane that applies a route table to itself, for benchmarks and for trying things out: one gateway, any number
//! of services, each at a path and with one replica.
//!
//! `standalone LISTEN WORKERS PROTOCOL PATH=REPLICA…`, such as `standalone 127.0.0.1:8080 2 http /=127.0.0.1:9000`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::shapes::{Content, Shape, Shapes, ShapesFile};
use model::{
    Endpoint, GatewaySettings, Listener, ListenerKind, Operation, Protocol, ReleaseId, ReplicaId, Route,
    RouteTable, ServiceName, Timeouts, Upstream,
};
use proxy::link::Client;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: standalone LISTEN WORKERS http|grpc PATH=REPLICA...";
    let listen: SocketAddr = arguments.next().ok_or(usage)?.parse()?;
    let workers = arguments.next().ok_or(usage)?.parse()?;
    let protocol = match arguments.next().as_deref() {
        Some("http") => Protocol::Http,
        Some("grpc") => Protocol::Grpc,
        _ => return Err(usage.into()),
    };
    let ways = arguments.map(|text| way(&text).ok_or(usage)).collect::<Result<Vec<_>, _>>()?;
    let shapes = ShapesFile { release: release(), path: temporary("shapes.json") };
    std::fs::write(&shapes.path, serde_json::to_vec(&of_operations())?)?;
    let table = table(listen, protocol, &ways, &shapes)?;

    let socket = temporary("sock");
    let options = proxy::Options {
        socket: socket.clone(),
        workers,
        patience: proxy::Patience::default(),
        successor: false,
    };
    let applying = std::thread::spawn(move || apply(socket, table));
    proxy::run(options)?;
    applying.join().map_err(|_| "the thread that applies the table panicked")??;
    Ok(())
}

fn apply(socket: PathBuf, table: RouteTable) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let (mut client, _) = loop {
            match Client::connect(&socket).await {
                Ok(connected) => break connected,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let applied = client.apply(&table).await.map_err(|error| error.to_string())?;
        for failed in &applied.failed {
            eprintln!("{}: {}", failed.address, failed.reason);
        }
        Ok(())
    })
}

fn temporary(kind: &str) -> PathBuf {
    std::env::temp_dir().join(format!("isles-standalone-{}.{kind}", std::process::id()))
}

fn release() -> ReleaseId {
    ReleaseId("standalone".to_owned())
}

/// A path and the replica that answers there.
fn way(text: &str) -> Option<(String, SocketAddr)> {
    let (path, replica) = text.split_once('=')?;
    Some((path.to_owned(), replica.parse().ok()?))
}

fn table(
    listen: SocketAddr,
    protocol: Protocol,
    ways: &[(String, SocketAddr)],
    shapes: &ShapesFile,
) -> Result<RouteTable, Box<dyn Error>> {
    let mut routes = Vec::new();
    let mut upstreams = BTreeMap::new();
    for (index, (path, replica)) in ways.iter().enumerate() {
        let service = ServiceName::new(format!("service-{index}"))?;
        routes.push(route(path, &service));
        upstreams.insert(service.clone(), upstream(protocol, service, *replica, shapes.clone()));
    }
    Ok(RouteTable {
        app: ServiceName::new("standalone")?,
        version: 1,
        listeners: vec![Listener {
            address: listen,
            kind: ListenerKind::Gateway { routes, settings: GatewaySettings::default() },
        }],
        upstreams,
        verify_callers: false,
        processes: BTreeMap::new(),
    })
}

fn route(path: &str, service: &ServiceName) -> Route {
    Route {
        path: path.to_owned(),
        host: None,
        methods: Vec::new(),
        service: service.clone(),
        strip: false,
        timeout: None,
        rate_limit: None,
        max_body: None,
        enforce_contract: false,
    }
}

fn upstream(protocol: Protocol, service: ServiceName, address: SocketAddr, shapes: ShapesFile) -> Upstream {
    let replica = ReplicaId { service, index: 1 };
    Upstream {
        protocol,
        endpoints: vec![Endpoint { replica, release: release(), address }],
        timeouts: Timeouts { connect: Duration::from_secs(1), request: Duration::from_secs(10) },
        retries: 2,
        in_flight: u32::MAX,
        shares: vec![],
        sticky: None,
        operations: operations(),
        shapes: Some(shapes),
        outside: None,
        hold: false,
        patient: false,
        quiet: false,
    }
}

/// As many as a service of some size has, so that a request is looked up as in an app.
fn operations() -> Vec<Operation> {
    let resources = ["items", "orders", "customers", "payments"];
    let paths = resources.iter().flat_map(|name| [format!("/{name}"), format!("/{name}/{{id}}")]);
    let paths = paths.chain(["/".to_owned()]);
    let all =
        paths.flat_map(|path| ["GET", "POST", "DELETE"].map(|method| (method.to_owned(), path.clone())));
    all.map(|(method, path)| Operation { name: format!("{method} {path}"), method, path }).collect()
}

/// A contract for them, to which a part of the requests is held as in an app.
fn of_operations() -> Shapes {
    let answer = Content::from([("application/json".to_owned(), Some("answer".to_owned()))]);
    let shape = Shape { responses: BTreeMap::from([("200".to_owned(), answer)]), ..Shape::default() };
    Shapes {
        schemas: BTreeMap::from([("answer".to_owned(), serde_json::json!({ "type": "object" }))]),
        operations: operations().into_iter().map(|operation| (operation.name, shape.clone())).collect(),
    }
}
