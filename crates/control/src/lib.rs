//! The control plane: small loops that bring what is observed to what is declared.
//!
//! The only crate that knows the mechanisms (`supervisor`, the data plane's link). State flows one way, through
//! `watch` channels with one writer each:
//!
//! ```text
//! DesiredState + wishes ─> rollouts (planner) ─> replicas (planner) ─> supervisor ─> ObservedState ┬─> record ─> SQLite
//!                             ^                      ^                                             └─> data_plane ─> isles proxy
//!                             └──── counters ────────┴────────── routed, in flight ────────────────────────┘
//! ```
//!
//! Invariants: a reconciler acts on state and never on the event that woke it; nothing calls upward; what a killed
//! control plane has to find again is in the database or in the environment of the processes themselves; the
//! data plane and the services run on when this process dies.

mod adopt;
mod change;
mod cleanup;
mod control;
mod deploy;
mod driver;
mod edges;
mod environment;
pub mod gate;
mod history;
mod inner;
mod intake;
mod lock;
mod loops;
mod metrics;
mod paths;
mod ports;
mod reconcile;
mod release;
mod routes;
mod secrets;
mod status;
mod store;
#[cfg(test)]
mod testing;
mod told;
pub mod traffic;
pub mod usage;
mod world;

pub use change::{Change, Effect, Kind, Part, changes};
pub use cleanup::{CleanUpError, clean_up};
pub use control::{Control, Options, Refused, StartError};
pub use deploy::DeployOrder;
pub use environment::{Unset, fill_for_app};
pub use inner::{Inner, SAGAS, Sagas, TELEMETRY};
pub use lock::{Lock, LockError};
pub use paths::Paths;
pub use release::Release;
pub use routes::route_name;
pub use status::{Health, Preparation, ServiceStatus, Status};
pub use store::StoreError;
pub use telemetry::alerts;
pub use telemetry::otlp::{
    Intake, SentLog, export_logs, export_metrics, export_spans, router as otlp_router, severity,
};
pub use telemetry::{Counts, Edge, Event, Line, Point, Series, Span, SpanQuery, Wanted};
pub use world::{DataPlane, Mode, Outside};
