//! The engine that carries out the sagas of orders, `checkout` and `cancellation` in `shop/sagas`. The key of each is the order's id, so
//! that whoever asks for one, and however often, there is one.

use std::time::{Duration, Instant};

use http::{HeaderName, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service_kit::http::{CallError, encode};

use crate::service::Service;

/// RFC 7240.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// How long one request waits for the end of a saga.
const WAIT: Duration = Duration::from_secs(5);
/// Left for an answer's way back.
const WAY_BACK: Duration = Duration::from_secs(2);
/// The first pause when the engine is not there; it doubles, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A saga that orders may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saga {
    /// From a placed order to a confirmed one, or to one that was abandoned.
    Checkout,
    /// From a confirmed order to a refunded one.
    Cancellation,
}

impl Saga {
    /// Its name in its definition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Cancellation => "cancellation",
        }
    }
}

/// A saga that was begun, now or before.
#[derive(Debug, Deserialize)]
pub struct Begun {
    id: String,
    status: String,
}

impl Begun {
    /// Whether it has ended, one way or the other.
    fn is_over(&self) -> bool {
        matches!(self.status.as_str(), "done" | "undone")
    }
}

/// Begins a saga of an order unless it was begun before, and waits for its end, but not for long.
///
/// # Errors
/// The engine cannot be asked.
pub async fn begin(
    service: &Service,
    saga: Saga,
    order_id: &str,
    wait: Duration,
) -> Result<Begun, CallError> {
    let call = service.sagas.post(&format!("/{}", saga.name())).idempotency_key(order_id);
    let call = call.header(PREFER, &format!("wait={}", wait.as_secs())).timeout(wait + WAY_BACK);
    call.json(&json!({ "order_id": order_id })).fetch().await
}

/// Begins a saga of an order unless it was begun before, and waits for its end until about `until`. Whether it has ended.
///
/// # Errors
/// The engine cannot be asked; whether the saga was begun is not known then.
pub async fn carry_out(
    service: &Service,
    saga: Saga,
    order_id: &str,
    until: Instant,
) -> Result<bool, CallError> {
    let mut pause = FIRST_PAUSE;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match begin(service, saga, order_id, left.min(WAIT)).await {
            Ok(begun) if begun.is_over() => return Ok(true),
            Ok(_) if left <= WAIT => return Ok(false),
            Ok(_) => {}
            Err(error) if error.may_ask_again() && left > pause => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Turns the checkout of an order back, unless it is over or cannot turn back any more.
///
/// # Errors
/// The engine cannot be asked.
pub async fn turn_back(service: &Service, order_id: &str) -> Result<(), CallError> {
    let begun = begin(service, Saga::Checkout, order_id, Duration::ZERO).await?;
    let path = format!("/{}/{}/cancel", Saga::Checkout.name(), encode(&begun.id));
    match service.sagas.post(&path).idempotency_key(order_id).send().await {
        Ok(_) => Ok(()),
        Err(CallError::Refused { problem, .. }) if problem.status() == StatusCode::CONFLICT => Ok(()),
        Err(error) => Err(error),
    }
}
