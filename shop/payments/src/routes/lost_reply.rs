//! A reply that never arrives: the connection is closed once the effect is committed.

use std::io;

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;

/// A response whose body fails before its first byte. The server writes nothing of it, not even the status line,
/// and closes the connection: the caller cannot know what happened.
pub fn lost() -> Response {
    let broken =
        stream::once(async { Err::<Bytes, _>(io::Error::other("the test provider loses this reply")) });
    Response::new(Body::from_stream(broken))
}
