//! Business transactions across services.
//!
//! A [definition] becomes a [`plan::Plan`]. What happens to a saga are [records](record), which add up to a [state]; [advance] says
//! what follows from a state. The [engine] writes that down in a [store], does it, and writes down what came of it; the [api] is
//! how services ask for it. The semantics are in `docs/sagas.md`.

pub mod advance;
pub mod api;
pub mod contracts;
pub mod definition;
pub mod engine;
pub mod expr;
pub mod plan;
pub mod record;
pub mod state;
pub mod store;
