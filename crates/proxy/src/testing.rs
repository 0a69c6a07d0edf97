//! Tables for unit tests.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use model::{Endpoint, Listener, ListenerKind, Protocol, ReleaseId, RouteTable, Timeouts, Upstream};

use crate::compile::Compiler;
use crate::table::Table;

/// A table with one edge, to a service with so many replicas.
pub(crate) fn table_of(replicas: u16) -> Table {
    Compiler::new(1).compile(&source_of(1..=replicas), 0)
}

/// What such a table is compiled from, with these replicas.
pub(crate) fn source_of(replicas: RangeInclusive<u16>) -> RouteTable {
    let endpoint = |n: u16| Endpoint {
        replica: format!("s-{n}").parse().unwrap(),
        release: ReleaseId("r".to_owned()),
        address: ([127, 0, 0, 1], n).into(),
    };
    let upstream = Upstream {
        protocol: Protocol::Http,
        endpoints: replicas.map(endpoint).collect(),
        timeouts: Timeouts { connect: Duration::from_secs(1), request: Duration::from_secs(1) },
        retries: 1,
        in_flight: u32::MAX,
        shares: vec![],
        sticky: None,
        operations: vec![],
        shapes: None,
        outside: None,
        hold: false,
        patient: false,
        quiet: false,
    };
    let (caller, callee) = ("c".parse().unwrap(), "s".parse().unwrap());
    let kind = ListenerKind::Edge { caller, callee };
    RouteTable {
        app: "app".parse().unwrap(),
        version: 1,
        listeners: vec![Listener { address: ([127, 0, 0, 1], 9).into(), kind }],
        upstreams: BTreeMap::from([("s".parse().unwrap(), upstream)]),
        verify_callers: false,
        processes: BTreeMap::new(),
    }
}
