//! Accounts: who the customers are, how they sign in, and the keys that their access tokens are signed with.
//!
//! ```text
//! routes  -> domain (rules: e-mail, password hashing, tokens, throttling) -> store (SQL)
//! sign in -> throttle -> argon2id on a bounded pool -> session + refresh token -> signed access token
//! ```
//!
//! Invariants:
//! - A password is only ever kept as an argon2id hash, a refresh token only as a SHA-256 digest.
//! - An unknown e-mail address and a wrong password cannot be told apart, neither by the answer nor by its time.
//! - A refresh token works once. A second use ends its whole session.
//! - The private signing key leaves this service's database only into its memory.
//! - No log line holds an e-mail address, a password or a token.

pub mod app;
mod domain;
mod routes;
mod store;
