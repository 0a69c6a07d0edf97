//! The data plane: takes every request that crosses a service boundary and brings it to a replica.
//!
//! A process of its own. It listens at the gateway and at one address per edge between two services, and is told by
//! the control plane, over [`link`], where requests go: one complete [`model::RouteTable`] at a time.
//!
//! How a request flows: accept -> identify -> route -> admit -> balance -> attempt -> respond; `stack.rs`
//! shows the whole path in one function, each stage is a file.
//!
//! How it is built: a thread per core, each with its own runtime, its own sockets (`SO_REUSEPORT`) and its own
//! pools of connections to replicas. Nothing on the request path is shared between threads for writing: the routing
//! table is an immutable snapshot, counters have one writer each and are merged by the reader.
//!
//! Invariants:
//! - It keeps serving the last table when the control plane is gone, and never asks it anything on a request's path.
//! - A request sees one table from beginning to end, unless it has to wait for a replica to appear.
//! - A request is sent twice only if nothing of it was sent before, or its method or key says that this is safe.
//! - A caller is who the listener says, never who a header says.
//! - Bodies are streamed; at most 64 KiB of a request's body are remembered.
//! - What is shared for writing (a breaker, an ejection, a retry budget) is written when something fails, not when all is well.
//! - What is asked of clients from outside (TLS, time, length, rate) costs nothing on edges, nor where it is off.
//! - No supervision, no health checks, no policy: those are the control plane's.

mod access;
mod activity;
mod adaptive;
mod admit;
mod alarm;
mod attempt;
mod balance;
mod blame;
mod body;
mod breaker;
mod bulkhead;
mod callers;
mod compile;
mod conformance;
mod connection;
mod counters;
mod crowd;
mod drain;
mod driver;
mod edge;
mod exchange;
mod fault;
mod flight;
mod framing;
#[doc(hidden)]
pub mod fuzz;
mod headers;
mod hop;
mod identify;
mod ids;
mod intake;
mod latency;
mod learner;
pub mod link;
mod listen;
mod operations;
mod outbound;
mod outlier;
mod outside;
mod patience;
mod places;
mod plane;
mod pool;
mod process;
mod quarantine;
mod rate;
mod records;
mod redirect;
mod respond;
mod retry;
mod route;
mod service;
mod signals;
mod spans;
mod split;
mod stack;
mod sticky;
mod survey;
mod table;
mod tcp;
#[cfg(test)]
mod testing;
mod tls;
mod upgrade;
mod window;
mod wire;
mod worker;

pub use callers::can_verify;
pub use patience::Patience;
pub use process::{Error, Options, run};
