//! Telling the world what happened to a payment: kept in the outbox with what happened, signed when it is sent, and
//! sent until the receiver takes it. At least once: the receiver drops repeats by `id`.

mod sender;
mod signature;

pub use sender::{Target, client, send_until};
pub use signature::{BadSignature, HEADER, TOLERANCE_SECONDS, sign, verify};

/// The outbox's name for the one receiver.
pub const DESTINATION: &str = "webhook";
