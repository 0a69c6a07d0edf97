//! What the sagas do with an order: each step one transaction, with the answer to its key.

use serde::Serialize;
use serde_json::json;
use service_kit::db::Tx;
use service_kit::idempotency::Reply;
use service_kit::problem::Problem;

use super::refusal::{CANCELLED, Failure};
use crate::domain::order::Status;
use crate::service::{RECEIVER, Service};
use crate::store::orders::Order;
use crate::store::{carts, keys, orders};
use crate::view::{OrderView, money};

/// A step of a saga.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The checkout has begun; the answer says what it needs.
    Begin,
    /// Its units are held.
    StockReserved,
    /// The customer's bank agreed.
    PaymentAuthorized {
        /// The payment.
        payment_id: String,
    },
    /// It is paid, and its units have left the stock.
    Confirm,
    /// The undo of all that: the order costs nothing and holds nothing.
    Abandon {
        /// Why.
        failure: Failure,
    },
    /// A confirmed order will not be shipped any more.
    Withdraw,
    /// Its money and its units are back.
    Refunded,
}

/// Takes a step.
///
/// # Errors
/// 404 for an unknown order; 409 `state_conflict` when the step does not fit its state; the database fails.
pub async fn take(service: &Service, tx: &mut Tx, order_id: &str, step: &Step) -> Result<Reply, Problem> {
    let order = find(tx, order_id).await?;
    match step {
        Step::Begin => return begin(tx, &order).await,
        Step::StockReserved => become_status(tx, &order, Status::StockReserved).await?,
        Step::PaymentAuthorized { payment_id } => {
            orders::set_payment(tx, &order.id, payment_id).await?;
            become_status(tx, &order, Status::PaymentAuthorized).await?;
        }
        Step::Confirm => confirm(service, tx, &order).await?,
        Step::Abandon { failure } => abandon(tx, &order, failure).await?,
        Step::Withdraw => withdraw(tx, &order).await?,
        Step::Refunded => {
            become_status(tx, &order, Status::Refunded).await?;
            orders::set_settled(tx, &order.id, true).await?;
        }
    }
    let order = find(tx, order_id).await?;
    Reply::ok(&json!({ "id": order.id, "status": order.status.as_str(), "payment_id": order.payment_id }))
}

async fn find(tx: &mut Tx, order_id: &str) -> Result<Order, Problem> {
    let gone = || Problem::not_found("There is no such order.");
    orders::find(&mut **tx, order_id).await?.ok_or_else(gone)
}

/// A step that was taken before is no conflict: its key may be older than keys are kept.
async fn become_status(tx: &mut Tx, order: &Order, next: Status) -> Result<(), Problem> {
    if order.status == next {
        return Ok(());
    }
    orders::become_status(tx, &order.id, next).await
}

/// The barrier: an order that was abandoned before is not begun.
async fn begin(tx: &mut Tx, order: &Order) -> Result<Reply, Problem> {
    if order.status == Status::Cancelled {
        let detail = "The order was abandoned before its checkout began.";
        return Err(Problem::state_conflict(order.status.as_str(), detail));
    }
    let lines = orders::lines(&mut **tx, &order.id).await?;
    let lines: Vec<_> = lines.iter().map(|l| json!({ "sku": l.sku, "quantity": l.quantity })).collect();
    Reply::ok(&json!({
        "customer_id": order.customer_id,
        "lines": lines,
        "total": money(order.total, &order.currency),
        "payment_method": order.payment_method,
    }))
}

/// Confirms the order, closes its cart, publishes the event and stores the answer to its checkout.
async fn confirm(service: &Service, tx: &mut Tx, order: &Order) -> Result<(), Problem> {
    if order.status == Status::Confirmed {
        return Ok(());
    }
    orders::become_status(tx, &order.id, Status::Confirmed).await?;
    orders::set_settled(tx, &order.id, true).await?;
    carts::close(tx, &order.cart_id, &order.id).await?;
    let lines = orders::lines(&mut **tx, &order.id).await?;
    let skus: Vec<&str> = lines.iter().map(|line| line.sku.as_str()).collect();
    let data = json!({ "order_id": order.id, "skus": skus });
    service.outbox.enqueue(tx, RECEIVER, "order.confirmed", &data).await?;
    let body = OrderView::new(find(tx, &order.id).await?, &lines);
    let body = serde_json::to_value(body).map_err(Problem::internal)?;
    keys::answer(tx, &order.id, http::StatusCode::CREATED.as_u16(), &body).await?;
    Ok(())
}

/// Ends an order that was undone before it was confirmed: cancelled, its cart open again. The answer to its checkout is stored, but
/// for a want of service: then the key may be used again.
async fn abandon(tx: &mut Tx, order: &Order, failure: &Failure) -> Result<(), Problem> {
    if order.status == Status::Cancelled {
        return Ok(());
    }
    let why = failure.problem();
    tracing::info!(order = order.id, status = order.status.as_str(), reason = why.code(), "order is undone");
    orders::become_status(tx, &order.id, Status::Cancelled).await?;
    orders::set_refusal(tx, &order.id, why.code(), &why.to_json()).await?;
    orders::set_settled(tx, &order.id, true).await?;
    orders::give_up_cart(tx, &order.id).await?;
    carts::reopen(tx, &order.cart_id, &order.id).await?;
    if why.is_final() {
        keys::answer(tx, &order.id, why.status().as_u16(), &why.to_json()).await?;
    } else {
        keys::free(tx, &order.id).await?;
    }
    Ok(())
}

/// From here on it will not be shipped, whatever happens to the refund.
async fn withdraw(tx: &mut Tx, order: &Order) -> Result<(), Problem> {
    if order.status == Status::Cancelled && !order.settled {
        return Ok(());
    }
    if order.status != Status::Confirmed {
        let detail = format!("The order is {}; it cannot be cancelled any more.", order.status);
        return Err(Problem::state_conflict(order.status.as_str(), detail));
    }
    orders::become_status(tx, &order.id, Status::Cancelled).await?;
    orders::set_cancel_reason(tx, &order.id, CANCELLED).await?;
    orders::set_settled(tx, &order.id, false).await?;
    Ok(())
}
