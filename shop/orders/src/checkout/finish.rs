//! The ends of an order, each one transaction: confirmed, cancelled, refunded; and the turn from forward to undo.

use http::StatusCode;
use serde_json::{Value, json};
use service_kit::problem::Problem;

use crate::domain::order::Status;
use crate::domain::work::{Direction, Progress, Step};
use crate::service::Service;
use crate::store::orders::Order;
use crate::store::work::{Lease, Work};
use crate::store::{carts, keys, orders, work};
use crate::view::OrderView;

/// The service that learns from confirmed orders.
const RECEIVER: &str = "recommendations";

/// Confirms the order, closes its cart, publishes the event and stores the answer.
///
/// # Errors
/// 409 `request_in_flight` when somebody else drives it now; the database fails.
pub async fn confirm(service: &Service, lease: &Lease, progress: Progress) -> Result<(), Problem> {
    let id = lease.order_id.as_str();
    let mut tx = service.db.begin_write().await?;
    work::note(&mut tx, lease, Progress { step: Step::Confirmed, ..progress }, true).await?;
    orders::become_status(&mut tx, id, Status::Confirmed).await?;
    let lines = orders::lines(&mut *tx, id).await?;
    let gone = || Problem::internal("an order vanished while it was confirmed");
    let order = orders::find(&mut *tx, id).await?.ok_or_else(gone)?;
    carts::close(&mut tx, &order.cart_id, id).await?;
    let skus: Vec<&str> = lines.iter().map(|line| line.sku.as_str()).collect();
    let data = json!({"order_id": id, "skus": skus});
    service.outbox.enqueue(&mut tx, RECEIVER, "order.confirmed", &data).await?;
    let body = serde_json::to_value(OrderView::new(order, &lines)).map_err(Problem::internal)?;
    keys::answer(&mut tx, id, StatusCode::CREATED.as_u16(), &body).await?;
    tx.commit().await?;
    service.outbox.wake();
    Ok(())
}

/// Decides that the order is undone, and why. What the customer is told is kept with it.
///
/// # Errors
/// 409 `request_in_flight` when somebody else drives it now; the database fails.
pub async fn turn_back(
    service: &Service,
    lease: &Lease,
    progress: Progress,
    why: &Problem,
) -> Result<(), Problem> {
    let refusal = refusal(why);
    tracing::info!(
        order = lease.order_id,
        step = progress.step.as_str(),
        reason = why.code(),
        "order is undone"
    );
    let mut tx = service.db.begin_write().await?;
    work::note(&mut tx, lease, Progress { direction: Direction::Undo, ..progress }, false).await?;
    work::set_refusal(&mut tx, &lease.order_id, &refusal.to_string()).await?;
    tx.commit().await?;
    Ok(())
}

/// What the customer is told: a rule's refusal as it is; anything else is the shop's own trouble.
fn refusal(why: &Problem) -> Value {
    if matches!(why.status().as_u16(), 402 | 409 | 422 | 503) {
        return why.to_json();
    }
    tracing::error!(problem = %why, "a service gave an unexpected answer");
    let detail = "A service gave an unexpected answer, so the order was undone. Nothing was charged.";
    Problem::new(StatusCode::BAD_GATEWAY, "upstream_error", detail).to_json()
}

/// Reads a kept refusal.
pub fn read_refusal(text: &str) -> Problem {
    let body: Value = serde_json::from_str(text).unwrap_or(json!({}));
    let status = body["status"].as_u64().and_then(|code| u16::try_from(code).ok());
    let status =
        status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let problem = Problem::from_json(status, body);
    if status.is_server_error() { problem.retry_after(1) } else { problem }
}

/// Ends an order that was undone before it was confirmed: cancelled, its cart open again. The answer to its checkout is stored, but
/// for a want of service: then the key may be used again.
///
/// # Errors
/// 409 `request_in_flight` when somebody else drives it now; the database fails.
pub async fn cancel(service: &Service, lease: &Lease, order: &Order, work: &Work) -> Result<(), Problem> {
    let why = read_refusal(work.refusal.as_deref().unwrap_or_default());
    let mut tx = service.db.begin_write().await?;
    work::note(&mut tx, lease, work.progress, true).await?;
    orders::become_status(&mut tx, &order.id, Status::Cancelled).await?;
    orders::set_cancel_reason(&mut tx, &order.id, why.code()).await?;
    orders::give_up_cart(&mut tx, &order.id).await?;
    carts::reopen(&mut tx, &order.cart_id, &order.id).await?;
    if why.is_final() {
        keys::answer(&mut tx, &order.id, why.status().as_u16(), &why.to_json()).await?;
    } else {
        keys::free(&mut tx, &order.id).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Ends an order that was cancelled after it was confirmed: its money and units are back.
///
/// # Errors
/// 409 `request_in_flight` when somebody else drives it now; the database fails.
pub async fn refunded(service: &Service, lease: &Lease, progress: Progress) -> Result<(), Problem> {
    let mut tx = service.db.begin_write().await?;
    work::note(&mut tx, lease, progress, true).await?;
    orders::become_status(&mut tx, &lease.order_id, Status::Refunded).await?;
    tx.commit().await?;
    Ok(())
}
