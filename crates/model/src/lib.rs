//! The vocabulary that every other crate of Isles speaks.
//!
//! Plain data only: names, what the user declared ([`DesiredState`]), what is really there
//! ([`ObservedState`]) and what the data plane is told ([`RouteTable`]).
//!
//! Invariants: no input or output, no clock, no tokio; every type that crosses a process boundary is
//! `Serialize + Deserialize` and ignores nothing it does not know silently in a way that loses data.

pub mod desired;
pub mod histogram;
pub mod measured;
pub mod names;
pub mod observed;
pub mod own_span;
pub mod routes;
pub mod secret;
pub mod shapes;
pub mod signals;
pub mod span;
pub mod template;

pub use desired::{
    AccessLog, Alerts, Build, Call, Command, Console, Deploy, DeployStrategy, DesiredState, Edge,
    EventSubscription, External, ExternalLimits, ExternalUrl, Gateway, GatewayRoute, GatewayTls, Health,
    HealthCheck, Limits, Pace, Protocol, RateLimit, Scale, ServiceSpec, Sticky, StopPolicy, StopSignal,
    Telemetry,
};
pub use histogram::Histogram;
pub use measured::{Measured, PointKind};
pub use names::{NameError, ReleaseId, ReplicaId, ServiceName};
pub use observed::{ExitReason, ObservedState, Phase, ProcessId, ReplicaState};
pub use own_span::{KeptSpan, OwnEvent, OwnSpan};
pub use routes::{
    Endpoint, GatewaySettings, Listener, ListenerKind, Operation, Outside, Route, RouteTable, Share,
    Timeouts, TlsSource, Upstream,
};
pub use signals::{Circuit, Outcomes, Tally};
pub use span::{Kept, Span, SpanId, TraceId};
pub use template::{Segment, Template, Variable};
