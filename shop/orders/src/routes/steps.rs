//! The steps that the sagas take here. They are for the saga engine alone.

use axum::extract::State;
use serde::Deserialize;
use service_kit::auth::Caller;
use service_kit::extract::{Json, Path};
use service_kit::idempotency::{Idempotency, Once, Reply};
use service_kit::problem::Problem;

use crate::checkout::refusal::Failure;
use crate::checkout::steps::{self, Step};
use crate::service::Service;

/// What every step comes with.
type Of = (State<Service>, Caller, Path<String>, Idempotency);

async fn take(
    (State(service), Caller(caller), Path(order_id), key): Of,
    step: Step,
) -> Result<Reply, Problem> {
    let mut first = match key.once(&service.db, &caller, &step).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let outcome = steps::take(&service, first.tx(), &order_id, &step).await;
    let reply = first.settle(outcome).await;
    service.outbox.wake();
    reply
}

/// The checkout has begun.
pub async fn begin(of: Of) -> Result<Reply, Problem> {
    take(of, Step::Begin).await
}

/// Its units are held.
pub async fn stock_reserved(of: Of) -> Result<Reply, Problem> {
    take(of, Step::StockReserved).await
}

/// A payment that was authorized.
#[derive(Debug, Deserialize)]
pub struct Authorized {
    payment_id: String,
}

/// The customer's bank agreed.
pub async fn payment_authorized(of: Of, Json(body): Json<Authorized>) -> Result<Reply, Problem> {
    take(of, Step::PaymentAuthorized { payment_id: body.payment_id }).await
}

/// It is paid.
pub async fn confirm(of: Of) -> Result<Reply, Problem> {
    take(of, Step::Confirm).await
}

/// Why an order is abandoned.
#[derive(Debug, Deserialize)]
pub struct Abandonment {
    failure: Failure,
}

/// It came to nothing.
pub async fn abandon(of: Of, Json(body): Json<Abandonment>) -> Result<Reply, Problem> {
    take(of, Step::Abandon { failure: body.failure }).await
}

/// It will not be shipped.
pub async fn withdraw(of: Of) -> Result<Reply, Problem> {
    take(of, Step::Withdraw).await
}

/// Its money and its units are back.
pub async fn refunded(of: Of) -> Result<Reply, Problem> {
    take(of, Step::Refunded).await
}
