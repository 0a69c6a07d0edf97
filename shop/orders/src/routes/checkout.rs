//! `POST /api/orders/checkout`.

use axum::extract::State;
use axum::response::Response;
use service_kit::auth::Customer;
use service_kit::extract::Json;
use service_kit::idempotency::Idempotency;
use service_kit::problem::Problem;

use crate::checkout::{self, Request};
use crate::service::Service;

/// Buys what is in a cart.
pub async fn checkout(
    State(service): State<Service>,
    customer: Customer,
    key: Idempotency,
    Json(request): Json<Request>,
) -> Result<Response, Problem> {
    checkout::checkout(&service, &customer, &key, request).await
}
