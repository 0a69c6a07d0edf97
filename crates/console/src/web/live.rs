//! A page as a stream: what it shows, as often as that changes.

use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;

use super::{Page, Web};

/// How often a page is made anew. What it shows is counted once a second.
const EVERY: Duration = Duration::from_secs(1);

/// Sends the changing part of a page now and whenever it is another.
pub fn stream(web: Web, page: Page) -> Response {
    let state = (web, page, None::<String>);
    let events = stream::unfold(state, |(web, page, mut last)| async move {
        loop {
            let now = match web.fragment(&page).await {
                Ok(fragment) => fragment.live.into_string(),
                Err(refusal) => super::page::gone(&refusal).into_string(),
            };
            if last.as_ref() != Some(&now) {
                // Lines are kept; a carriage return cannot be sent.
                let event = Event::default().data(now.replace('\r', " "));
                last = Some(now);
                return Some((Ok::<_, Infallible>(event), (web, page, last)));
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = web.shutdown.cancelled() => return None,
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}
