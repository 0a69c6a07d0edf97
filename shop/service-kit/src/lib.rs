//! What the shop's Rust services share, so that each of them is only its own domain.
//!
//! A service is a [`start::App`] (routes, a database, who may sign in, background work) that [`start::run`] serves:
//!
//! ```text
//! environment -> Config -> (Db + migrations) -> App -> serve until SIGTERM -> drain -> background work ends -> Db closed
//! request -> context (request id, trace, deadline) -> guards -> extractors -> handler -> Problem or reply -> access log
//! ```
//!
//! A whole service:
//!
//! ```no_run
//! use axum::{Router, extract::State, routing::get};
//! use service_kit::{auth::{Auth, Customer}, config::{Config, StartError}, db::Db, problem::Problem, start::{self, App}};
//!
//! const MIGRATIONS: &[service_kit::db::Migration] = &[
//!     ("0001_notes", "CREATE TABLE notes (customer TEXT NOT NULL, note TEXT NOT NULL)"),
//!     service_kit::idempotency::MIGRATION,
//! ];
//!
//! async fn build(config: Config) -> Result<App, StartError> {
//!     let db = Db::open(&config.database_url, MIGRATIONS).await?;
//!     let routes = Router::new().route("/api/notes", get(list)).with_state(db.clone());
//!     Ok(App::new(db, routes).auth(Auth::from_config(&config)?).prune_idempotency_keys())
//! }
//!
//! async fn list(State(db): State<Db>, customer: Customer) -> Result<axum::Json<Vec<(String,)>>, Problem> {
//!     let notes = sqlx::query_as("SELECT note FROM notes WHERE customer = $1").bind(customer.id);
//!     Ok(axum::Json(notes.fetch_all(db.pool()).await?))
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     start::run("notes", build)
//! }
//! ```
//!
//! Invariants:
//! - Every error that leaves a service is a [`problem::Problem`] (RFC 9457): never plain text, and never a 500 for bad input.
//! - What a client started is finished even if the client goes away, and also while the service shuts down.
//! - An effect and the answer stored for its idempotency key are committed in one transaction.
//! - No secret, e-mail address, token or body is written to a log.
//! - This crate knows no service's domain, and nothing of the platform but its environment variables and headers.

pub mod auth;
pub mod clock;
pub mod config;
pub mod context;
pub mod db;
pub mod etag;
pub mod extract;
pub mod http;
pub mod idempotency;
pub mod jwks;
pub mod money;
pub mod outbox;
pub mod page;
pub mod problem;
pub mod start;
pub mod testing;
