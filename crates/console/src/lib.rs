//! The admin HTTP API over a Unix socket, the client that speaks it, and the dashboard.
//!
//! **Role.** Everything that looks at a running app or asks it for something goes through here: the command line, a browser,
//! other tools through `openapi.json`. [`server`] turns requests into calls on a [`Platform`], which the
//! binary implements; [`client`] is the other end of the same wire; [`api`] is what travels between them; [`web`] makes pages of the same.
//!
//! **What it must never do.** It decides nothing: whether a scale or a restart is allowed is the platform's to say.
//! It keeps no state of its own, so that a client that reconnects sees the same. Whoever speaks to it can stop the app, so it
//! listens on a socket that only its owner can open, and elsewhere asks for a token ([`web::guard`]). A slow reader never holds the
//! platform up: it is told what it missed.
//!
//! **Data flow.** `watch<AppStatus>` and `broadcast<LogEntry>` come out of the platform and are streamed as one JSON
//! value a line; `scale`, `restart` and `down` go in, and answer as soon as they are accepted. What they lead to is
//! seen in the status, not in the answer.

pub mod api;
pub mod client;
mod platform;
pub mod server;
pub mod socket;
pub mod trace;
pub mod web;

pub use platform::{Platform, Refusal};
