//! Small systems for the tests of this crate.

use std::collections::BTreeMap;
use std::time::Duration;

use model::*;
use proxy::link::EdgeSignals;

/// A service with everything at its default.
pub fn service(name: &str, calls: &[&str]) -> ServiceSpec {
    ServiceSpec {
        name: name.parse().unwrap(),
        dir: "/".into(),
        build: None,
        command: Command(vec![Template::literal("true")]),
        artifact: None,
        protocol: Protocol::Http,
        contract: None,
        health: Health {
            check: HealthCheck::None,
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            failures: 3,
        },
        calls: calls.iter().map(|c| Call { callee: c.parse().unwrap(), listen: None }).collect(),
        scale: Scale::fixed(1),
        deploy: Deploy {
            strategy: DeployStrategy::Rolling,
            hold: Duration::from_secs(5),
            success: 99.0,
            ready: Duration::from_secs(60),
            used_within: Duration::from_secs(604_800),
            sticky: None,
        },
        limits: Limits {
            timeout: Duration::from_secs(5),
            retries: 1,
            in_flight: 512,
            memory: None,
            cpu: None,
        },
        before_start: None,
        watch: vec![],
        stop: StopPolicy { signal: StopSignal::Term, grace: Duration::from_secs(10) },
        env: Default::default(),
    }
}

/// An app of these services, with a gateway that leads to the first.
pub fn desired<const N: usize>(services: [ServiceSpec; N]) -> DesiredState {
    let route = GatewayRoute {
        path: "/".into(),
        host: None,
        methods: vec![],
        service: services[0].name.clone(),
        strip: false,
        timeout: None,
        rate_limit: None,
        max_body: None,
        enforce_contract: false,
    };
    DesiredState {
        name: "app".parse().unwrap(),
        root: "/app".into(),
        gateway: Some(Gateway {
            listen: ([127, 0, 0, 1], 8080).into(),
            tls: None,
            redirect: None,
            hsts: None,
            max_body: 100_000_000,
            max_connections: 10_000,
            access_log: None,
            routes: vec![route],
        }),
        services: services.into_iter().map(|s| (s.name.clone(), s)).collect(),
        externals: Default::default(),
        verify_callers: true,
        console: Console { listen: ([127, 0, 0, 1], 9400).into() },
        saga_files: vec![],
        saga_store: None,
        subscriptions: vec![],
        alerts: Default::default(),
        telemetry: Default::default(),
    }
}

/// The calls of a listener to a service, of which nothing was counted yet.
pub fn edge(caller: Option<&str>, callee: &str) -> EdgeSignals {
    EdgeSignals {
        listener: ([127, 0, 0, 1], 1).into(),
        caller: caller.map(|name| name.parse().unwrap()),
        callee: callee.parse().unwrap(),
        requests: Tally::default(),
        whole: Histogram::default(),
        releases: vec![],
        codes: BTreeMap::new(),
        in_flight: 0,
        retries: 0,
        retries_refused: 0,
        shed: 0,
        over_share: 0,
        circuit: Circuit::Closed,
        openings: 0,
        operations: vec![],
        routes: vec![],
    }
}
