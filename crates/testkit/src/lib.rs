//! Development only: what tests of the running platform have in common.
//!
//! [`App`] is a manifest in a temporary folder and the real `isles` program run on it; [`scripted_service`] is a
//! program that does what a test tells it to; [`Load`] sends requests until it is told to stop and remembers each
//! failure; [`Sagas`] is the saga engine alone; [`AcmeServer`] is a certificate authority; [`Receiver`] takes down what is sent to it; [`wait_for`] waits for a state, never for a time.
//!
//! Invariants: loopback only, ports that are free, nothing left running when an [`App`] is dropped.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod acme;
mod app;
mod http;
mod load;
mod receiver;
mod sagas;
mod streams;
mod wait;

pub use acme::{AcmeOptions, AcmeServer};
pub use app::{App, Ended, binary, scripted_service};
pub use http::{Answer, get, get_tls, request};
pub use load::{Load, Report};
pub use receiver::{Received, Receiver};
pub use sagas::Sagas;
pub use wait::{free_port, wait_for, wait_until};
