//! What clients from outside meet.

mod access_log;
mod acme;
mod clients;
mod tls;
