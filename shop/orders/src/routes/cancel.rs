//! `POST /api/orders/{id}/cancel`: takes effect at once; money and units follow.

use axum::extract::State;
use http::StatusCode;
use service_kit::auth::Customer;
use service_kit::clock::new_id;
use service_kit::etag::IfMatch;
use service_kit::extract::Path;
use service_kit::idempotency::{Begun, Idempotency, Reply};
use service_kit::problem::Problem;

use super::orders::visible;
use crate::checkout::{self, End, drive, lease_ms};
use crate::domain::order::Status;
use crate::domain::work::Direction;
use crate::service::Service;
use crate::store::orders::{self, Order};
use crate::store::work::{self, Lease};
use crate::view::OrderView;

/// What an order says that its customer cancelled.
const REASON: &str = "cancelled_by_customer";

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
async fn cancel_order(service: &Service, order: Order, again: bool) -> Result<Reply, Problem> {
    let order_id = order.id.as_str();
    let lease = match order.status {
        Status::Confirmed => Some(cancel_confirmed(service, &order).await?),
        Status::Pending | Status::StockReserved | Status::PaymentAuthorized => {
            Some(stop_checkout(service, &order).await?)
        }
        Status::Cancelled if !order.settled => work::take(&service.db, order_id, lease_ms(service)).await?,
        Status::Cancelled | Status::Refunded if again => return reply(service, order_id).await,
        present => {
            let detail = format!("The order is {present}; it cannot be cancelled any more.");
            return Err(Problem::state_conflict(present.as_str(), detail));
        }
    };
    if let Some(lease) = lease
        && drive(service, &lease, checkout::until(service)).await? == End::Unfinished
    {
        tracing::warn!(order = order_id, "a cancelled order is not undone yet; recovery goes on");
    }
    reply(service, order_id).await
}

/// From here on it will not be shipped, whatever happens to the refund.
async fn cancel_confirmed(service: &Service, order: &Order) -> Result<Lease, Problem> {
    let lease = Lease { order_id: order.id.clone(), owner: new_id() };
    let mut tx = service.db.begin_write().await?;
    orders::become_status(&mut tx, &order.id, Status::Cancelled).await?;
    orders::set_cancel_reason(&mut tx, &order.id, REASON).await?;
    if !work::reopen(&mut tx, &lease, lease_ms(service)).await? {
        return Err(Problem::request_in_flight(1));
    }
    tx.commit().await?;
    Ok(lease)
}

/// Turns back a checkout that nobody drives at the moment.
async fn stop_checkout(service: &Service, order: &Order) -> Result<Lease, Problem> {
    let lease = work::take(&service.db, &order.id, lease_ms(service)).await?;
    let lease = lease.ok_or_else(|| Problem::request_in_flight(1))?;
    let work = work::find(service.db.pool(), &order.id).await?;
    let work = work.ok_or_else(|| Problem::not_found("There is no such order."))?;
    if work.progress.direction == Direction::Forward {
        let why = Problem::conflict(REASON, "The customer cancelled this order before it was confirmed.");
        checkout::turn_back(service, &lease, work.progress, &why).await?;
    }
    Ok(lease)
}

/// 200 once all is undone, 202 before.
async fn reply(service: &Service, order_id: &str) -> Result<Reply, Problem> {
    let order = orders::find(service.db.pool(), order_id).await?;
    let order = order.ok_or_else(|| Problem::not_found("There is no such order."))?;
    let status = if order.settled { StatusCode::OK } else { StatusCode::ACCEPTED };
    let lines = orders::lines(service.db.pool(), order_id).await?;
    Reply::new(status, &OrderView::new(order, &lines))
}
