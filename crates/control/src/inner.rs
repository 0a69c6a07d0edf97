//! What Isles itself offers to services at edges, as if it were a service: the API of sagas, and the intake of telemetry.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::LazyLock;

use model::{DesiredState, ProcessId, ServiceName};

use crate::store::EdgeKey;

/// What an edge to the API of sagas leads to, and who calls on behalf of a saga. A service cannot have this name.
#[expect(clippy::expect_used, reason = "the text is a good name, as a test shows")]
pub static SAGAS: LazyLock<ServiceName> =
    LazyLock::new(|| ServiceName::new("isles-sagas").expect("a good name"));

/// What an edge for telemetry leads to. A service cannot have this name.
#[expect(clippy::expect_used, reason = "the text is a good name, as a test shows")]
pub static TELEMETRY: LazyLock<ServiceName> =
    LazyLock::new(|| ServiceName::new("isles-telemetry").expect("a good name"));

/// What there is of it in this process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inner {
    /// Sagas, where the app has any.
    pub sagas: Option<Sagas>,
    /// Where OTLP is taken.
    pub otlp: Option<SocketAddr>,
}

/// What the control plane has to know of sagas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sagas {
    /// Where their API listens.
    pub api: SocketAddr,
    /// The process that calls on their behalf.
    pub process: ProcessId,
    /// The services that they call.
    pub callees: BTreeSet<ServiceName>,
}

impl Inner {
    /// From every service to what there is, and from sagas to those that they call.
    pub(crate) fn edges(&self, desired: &DesiredState) -> Vec<EdgeKey> {
        let offered = self.sagas.as_ref().map(|_| &*SAGAS).into_iter().chain(self.otlp.map(|_| &*TELEMETRY));
        let to =
            offered.flat_map(|of| desired.services.keys().map(move |service| (service.clone(), of.clone())));
        let callees = self.sagas.iter().flat_map(|sagas| &sagas.callees);
        let from = callees.filter(|callee| desired.services.contains_key(*callee));
        to.chain(from.map(|callee| (SAGAS.clone(), callee.clone()))).collect()
    }

    /// Whether an edge is one of these.
    pub(crate) fn has(&self, caller: &ServiceName, callee: &ServiceName) -> bool {
        let of_sagas = *caller == *SAGAS || *callee == *SAGAS;
        (of_sagas && self.sagas.is_some()) || (*callee == *TELEMETRY && self.otlp.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{desired, service};

    #[test]
    fn the_names_are_good() {
        assert_eq!((SAGAS.as_str(), TELEMETRY.as_str()), ("isles-sagas", "isles-telemetry"));
    }

    #[test]
    fn every_service_has_an_edge_to_what_there_is() {
        let desired = desired([service("web", &["db"]), service("db", &[])]);
        let shown = |inner: &Inner| {
            let edges = inner.edges(&desired).into_iter();
            edges.map(|(from, to)| format!("{from}>{to}")).collect::<Vec<_>>()
        };
        let at = SocketAddr::from(([127, 0, 0, 1], 7));
        let process = ProcessId { pid: 1, start_time: 1 };
        let callees = ["db".parse().unwrap(), "gone".parse().unwrap()].into();
        assert_eq!(shown(&Inner::default()), Vec::<String>::new());
        let both = Inner { sagas: Some(Sagas { api: at, process, callees }), otlp: Some(at) };
        assert_eq!(
            shown(&both),
            [
                "db>isles-sagas",
                "web>isles-sagas",
                "db>isles-telemetry",
                "web>isles-telemetry",
                "isles-sagas>db"
            ]
        );
        for (from, to) in both.edges(&desired) {
            assert!(both.has(&from, &to) && !Inner::default().has(&from, &to), "{from} {to}");
        }
    }
}
