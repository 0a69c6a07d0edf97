//! Checkout: from a cart to an order that is confirmed, or undone without a trace.
//!
//! [`place`] claims the cart and writes the order down, with a message that begins its saga; the saga of `shop/sagas/checkout.yaml` takes it
//! from step to step, those at other services and the [`steps`] here; whoever asked waits for its end.

mod place;
pub mod refusal;
pub mod steps;

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use service_kit::auth::Customer;
use service_kit::context::RequestContext;
use service_kit::etag::etag;
use service_kit::idempotency::{Idempotency, REPLAYED};
use service_kit::problem::Problem;

pub use place::{Request, not_open};

use crate::callees::sagas::{self, Saga};
use crate::service::Service;
use crate::store::{keys, orders};

/// Left for the answer's way back when the caller gave a deadline.
const WAY_BACK: Duration = Duration::from_millis(250);

/// Buys what is in a cart, or tells what the same key began before.
///
/// # Errors
/// What was refused and why; 503 `checkout_unfinished` when the result is not known yet.
pub async fn checkout(
    service: &Service,
    customer: &Customer,
    key: &Idempotency,
    request: Request,
) -> Result<Response, Problem> {
    let text = serde_json::to_string(&request).map_err(Problem::internal)?;
    let used = keys::find(service.db.pool(), &customer.id, key.key()).await?;
    let placed = match used {
        Some(used) => place::Placed::Before(used),
        None => place::place(service, customer, key.key(), &request, &text).await?,
    };
    let order_id = match placed {
        place::Placed::Now(order_id) => order_id,
        place::Placed::Before(used) if used.request != text => {
            return Err(Problem::idempotency_key_reused());
        }
        place::Placed::Before(used) => match used.answer {
            Some((status, body)) => return answer(status, &body, true),
            None => used.order_id,
        },
    };
    // Whether the engine could be asked or not: what became of the order is written down with it.
    if let Err(error) = sagas::carry_out(service, Saga::Checkout, &order_id, until(service)).await {
        tracing::warn!(order = order_id, cause = %error, "the saga engine could not be asked");
    }
    if let Some((status, body)) =
        keys::find(service.db.pool(), &customer.id, key.key()).await?.and_then(|used| used.answer)
    {
        return answer(status, &body, false);
    }
    Err(unanswered(service, &order_id).await?)
}

/// Why there is no answer for a key: its checkout came to nothing for want of a service, or is not over.
async fn unanswered(service: &Service, order_id: &str) -> Result<Problem, Problem> {
    let order = orders::find(service.db.pool(), order_id).await?;
    let order = order.ok_or_else(|| Problem::internal("an order vanished while it was checked out"))?;
    if let Some(refusal) = order.refusal.as_deref().filter(|_| order.settled) {
        return Ok(refusal::read(refusal));
    }
    let detail = "The result is not known yet. The order is being finished or undone; nothing is charged twice. Ask again with the \
                  same Idempotency-Key, or look at the order.";
    Ok(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "checkout_unfinished", detail)
        .with("order_id", order_id)
        .with("state", order.status.as_str())
        .retry_after(1))
}

/// When a request must have answered.
pub fn until(service: &Service) -> Instant {
    let budget = service.request_budget;
    let left = RequestContext::current().and_then(|context| context.time_left());
    Instant::now() + left.map_or(budget, |left| left.saturating_sub(WAY_BACK).min(budget))
}

/// A stored answer as a response.
fn answer(status: i64, body: &str, replayed: bool) -> Result<Response, Problem> {
    let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or_else(|| Problem::internal("a stored status is out of range"))?;
    let body: Value = serde_json::from_str(body).map_err(Problem::internal)?;
    let mut response = if status.is_success() {
        let location = format!("/api/orders/{}", body["id"].as_str().unwrap_or_default());
        let location = HeaderValue::try_from(location).map_err(Problem::internal)?;
        let tag = etag(body["version"].as_i64().unwrap_or_default());
        (status, [(header::LOCATION, location), (header::ETAG, tag)], axum::Json(body)).into_response()
    } else {
        Problem::from_json(status, body).into_response()
    };
    if replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
