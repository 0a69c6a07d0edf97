//! Telling the world what happened to a payment: written down with what happened, signed, and sent until the
//! receiver takes it. At least once: the receiver drops repeats by `id`.

mod outbox;
mod sender;
mod signature;

pub use outbox::add;
pub use sender::{Sender, Target};
pub use signature::{BadSignature, HEADER, TOLERANCE_SECONDS, sign, verify};
