//! What customers see of their own payments, and what administrators may do.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde_json::{Value, json};
use service_kit::auth::{Admin, Customer};
use service_kit::etag::{Tagged, not_modified};
use service_kit::extract::{Json, Path, Query};
use service_kit::idempotency::{Idempotency, Reply};
use service_kit::page::Page;
use service_kit::problem::Problem;

use super::{PaymentQuery, RefundBody, Shared};
use crate::store;
use crate::view::{PaymentView, no_payment};

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/api/payments", get(list))
        .route("/api/payments/{id}", get(one))
        .route("/api/payments/{id}/ledger", get(ledger))
        .route("/api/payments/{id}/refunds", post(refund))
}

/// One's own payment, or any for an administrator. Another's is not told from one that does not exist.
async fn one(
    State(shared): State<Shared>,
    customer: Customer,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut conn = shared.db.pool().acquire().await?;
    let payment = store::find(&mut conn, &id).await?.ok_or_else(no_payment)?;
    if payment.customer_id != customer.id && !customer.is_admin() {
        return Err(no_payment());
    }
    if not_modified(&headers, payment.version) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(Tagged::ok(payment.version, PaymentView::from(&payment)).into_response())
}

async fn list(
    State(shared): State<Shared>,
    _: Admin,
    Query(query): Query<PaymentQuery>,
) -> Result<Body<Page<PaymentView>>, Problem> {
    shared.page(query).await.map(Body)
}

/// Few lines a payment, so there is one page.
async fn ledger(
    State(shared): State<Shared>,
    _: Admin,
    Path(id): Path<String>,
) -> Result<Body<Value>, Problem> {
    let mut conn = shared.db.pool().acquire().await?;
    store::find(&mut conn, &id).await?.ok_or_else(no_payment)?;
    let items = store::entries(&mut conn, &id).await?;
    Ok(Body(json!({ "items": items, "next_cursor": null })))
}

async fn refund(
    State(shared): State<Shared>,
    Admin(admin): Admin,
    idempotency: Idempotency,
    Path(id): Path<String>,
    Json(wanted): Json<RefundBody>,
) -> Result<Reply, Problem> {
    shared.refund(&admin.id, &idempotency, &id, &wanted).await
}
