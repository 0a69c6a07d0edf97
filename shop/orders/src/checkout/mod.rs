//! Checkout: from a cart to an order that is confirmed, or undone without a trace.
//!
//! [`place`] claims the cart and writes the order down; [`drive`] takes it from step to step; [`finish`] ends it in one transaction;
//! [`recover`] takes up what was left behind.

mod drive;
mod finish;
mod place;
mod recover;

use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::Value;
use service_kit::auth::Customer;
use service_kit::context::RequestContext;
use service_kit::etag::etag;
use service_kit::idempotency::{Idempotency, REPLAYED};
use service_kit::problem::Problem;

pub use drive::{End, drive, lease_ms};
pub use finish::turn_back;
pub use place::{Request, not_open};
pub use recover::recover;

use crate::service::Service;
use crate::store::keys::UsedKey;
use crate::store::work::Lease;
use crate::store::{keys, orders, work};

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
    if let Some(used) = keys::find(service.db.pool(), &customer.id, key.key()).await? {
        return repeat(service, customer, key, &text, used).await;
    }
    match place::place(service, customer, key.key(), &request, &text).await? {
        place::Placed::Now(lease) => work_and_answer(service, customer, key, &lease).await,
        place::Placed::Before(used) => repeat(service, customer, key, &text, used).await,
    }
}

/// The same key again: the stored answer, or another try at what is unfinished.
async fn repeat(
    service: &Service,
    customer: &Customer,
    key: &Idempotency,
    text: &str,
    used: UsedKey,
) -> Result<Response, Problem> {
    if used.request != text {
        return Err(Problem::idempotency_key_reused());
    }
    if let Some((status, body)) = &used.answer {
        return answer(*status, body, true);
    }
    match work::take(&service.db, &used.order_id, lease_ms(service)).await? {
        Some(lease) => work_and_answer(service, customer, key, &lease).await,
        None => {
            match keys::find(service.db.pool(), &customer.id, key.key()).await?.and_then(|used| used.answer) {
                Some((status, body)) => answer(status, &body, true),
                None => Err(Problem::request_in_flight(1)),
            }
        }
    }
}

async fn work_and_answer(
    service: &Service,
    customer: &Customer,
    key: &Idempotency,
    lease: &Lease,
) -> Result<Response, Problem> {
    let end = drive(service, lease, until(service)).await?;
    if end == End::Finished {
        if let Some((status, body)) =
            keys::find(service.db.pool(), &customer.id, key.key()).await?.and_then(|used| used.answer)
        {
            return answer(status, &body, false);
        }
        return Err(freed(service, &lease.order_id).await?);
    }
    let order = orders::find(service.db.pool(), &lease.order_id).await?;
    let state = order.map_or("pending", |order| order.status.as_str());
    let detail = "The result is not known yet. The order is being finished or undone; nothing is charged twice. Ask again with the \
                  same Idempotency-Key, or look at the order.";
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "checkout_unfinished", detail)
        .with("order_id", &lease.order_id)
        .with("state", state)
        .retry_after(1))
}

/// Why a checkout came to nothing whose key is free again.
async fn freed(service: &Service, order_id: &str) -> Result<Problem, Problem> {
    let work = work::find(service.db.pool(), order_id).await?;
    let refusal = work.and_then(|work| work.refusal).unwrap_or_default();
    Ok(finish::read_refusal(&refusal))
}

/// When a request must have answered.
pub fn until(service: &Service) -> Instant {
    let budget = service.timing.request_budget;
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
