//! `POST /api/orders/{id}/cancel`: takes effect at once; money and units follow.

use axum::extract::State;
use http::StatusCode;
use service_kit::auth::Customer;
use service_kit::etag::IfMatch;
use service_kit::extract::Path;
use service_kit::http::CallError;
use service_kit::idempotency::{Begun, Idempotency, Reply};
use service_kit::problem::Problem;

use super::orders::visible;
use crate::callees::sagas::{self, Saga};
use crate::checkout;
use crate::domain::order::Status;
use crate::service::Service;
use crate::store::orders::{self, Order};
use crate::view::OrderView;

/// Cancels an order that was not shipped.
pub async fn cancel(
    State(service): State<Service>,
    customer: Customer,
    Path(order_id): Path<String>,
    key: Idempotency,
    if_match: IfMatch,
) -> Result<Reply, Problem> {
    let claim = match key.begin(&service.db, &customer.id, &()).await? {
        Begun::Replay(reply) => return Ok(reply),
        Begun::Claimed(claim) => claim,
    };
    let outcome = async {
        let order = visible(&service, &customer, &order_id).await?;
        // One who takes over finds what the request before it did: its own doing breaks no condition.
        if !claim.taken_over() {
            if_match.check(order.version)?;
        }
        cancel_order(&service, order, claim.taken_over()).await
    };
    let outcome = outcome.await;
    claim.finish_alone(outcome).await
}

/// `again`: a request with this key died on the way, so what it did is no conflict.
async fn cancel_order(service: &Service, mut order: Order, again: bool) -> Result<Reply, Problem> {
    let until = checkout::until(service);
    let mut done = again;
    if matches!(order.status, Status::Pending | Status::StockReserved | Status::PaymentAuthorized) {
        sagas::turn_back(service, &order.id).await.map_err(engine_away)?;
        sagas::carry_out(service, Saga::Checkout, &order.id, until).await.map_err(engine_away)?;
        order = find(service, &order.id).await?;
        done = true;
    }
    // Also a checkout that could not turn back any more, and is confirmed by now.
    if order.status == Status::Confirmed || (order.status == Status::Cancelled && !order.settled) {
        sagas::carry_out(service, Saga::Cancellation, &order.id, until).await.map_err(engine_away)?;
        order = find(service, &order.id).await?;
        done = true;
    }
    let status = match order.status {
        Status::Cancelled | Status::Refunded if done && order.settled => StatusCode::OK,
        Status::Shipped | Status::Delivered | Status::Cancelled | Status::Refunded if order.settled => {
            let detail = format!("The order is {}; it cannot be cancelled any more.", order.status);
            return Err(Problem::state_conflict(order.status.as_str(), detail));
        }
        Status::Cancelled => StatusCode::ACCEPTED,
        // Its checkout is not over: asking again tells.
        _ => return Err(Problem::request_in_flight(1)),
    };
    let lines = orders::lines(service.db.pool(), &order.id).await?;
    Reply::new(status, &OrderView::new(order, &lines))
}

/// Nothing was done, or what was done goes on: the same key may be used again.
fn engine_away(error: CallError) -> Problem {
    tracing::warn!(cause = %error, "the saga engine could not be asked");
    Problem::unavailable("orders")
}

async fn find(service: &Service, order_id: &str) -> Result<Order, Problem> {
    let order = orders::find(service.db.pool(), order_id).await?;
    order.ok_or_else(|| Problem::not_found("There is no such order."))
}
