//! How long a client may take.

use std::time::Duration;

/// How long clients may take for what only they can do. Each is a time without progress but for the first two, which
/// are for the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For a TLS handshake.
    pub handshake: Duration,
    /// For the head of a request, from its first byte to its last.
    pub head: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// Between two pieces of a request's body, before the answer has begun.
    pub body: Duration,
    /// For taking anything of an answer that is ready.
    pub write: Duration,
}

impl Default for Patience {
    /// 10 s for a handshake and for a head, 75 s between requests (nginx's `keepalive_timeout`), 30 s for body and
    /// answer.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(30),
            write: Duration::from_secs(30),
        }
    }
}
