//! A data plane that applies a route table to itself, for benchmarks and for trying things out: one gateway, one
//! service, any number of replicas.
//!
//! `standalone LISTEN WORKERS REPLICA…`, such as `standalone 127.0.0.1:8080 2 127.0.0.1:9000`.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use model::{
    Endpoint, Listener, ListenerKind, Protocol, ReleaseId, ReplicaId, Route, RouteTable, ServiceName,
    Timeouts, Upstream,
};
use proxy::link::Client;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: standalone LISTEN WORKERS REPLICA...";
    let listen: SocketAddr = arguments.next().ok_or(usage)?.parse()?;
    let workers = arguments.next().ok_or(usage)?.parse()?;
    let replicas = arguments.map(|text| text.parse()).collect::<Result<Vec<SocketAddr>, _>>()?;
    let table = table(listen, &replicas)?;

    let socket = std::env::temp_dir().join(format!("isles-standalone-{}.sock", std::process::id()));
    let options = proxy::Options { socket: socket.clone(), workers };
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

fn table(listen: SocketAddr, replicas: &[SocketAddr]) -> Result<RouteTable, Box<dyn Error>> {
    let service = ServiceName::new("service")?;
    let route = Route {
        path: "/".to_owned(),
        host: None,
        methods: Vec::new(),
        service: service.clone(),
        strip: false,
        timeout: None,
    };
    let endpoint = |(index, address): (u32, &SocketAddr)| Endpoint {
        replica: ReplicaId { service: service.clone(), index },
        release: ReleaseId("standalone".to_owned()),
        address: *address,
    };
    let upstream = Upstream {
        protocol: Protocol::Http,
        endpoints: (1..).zip(replicas).map(endpoint).collect(),
        timeouts: Timeouts { connect: Duration::from_secs(1), request: Duration::from_secs(10) },
        retries: 2,
        in_flight: u32::MAX,
        outside: None,
    };
    Ok(RouteTable {
        app: ServiceName::new("standalone")?,
        version: 1,
        listeners: vec![Listener { address: listen, kind: ListenerKind::Gateway { routes: vec![route] } }],
        upstreams: BTreeMap::from([(service.clone(), upstream)]),
        verify_callers: false,
        processes: BTreeMap::new(),
    })
}
