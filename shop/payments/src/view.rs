//! How things look outside, and how refusals are told.

use axum::http::StatusCode;
use serde::Serialize;
use service_kit::clock::rfc3339;
use service_kit::money::{Currency, Money};
use service_kit::problem::Problem;

use crate::domain::State;
use crate::intent::{Attempt, Payment, Refusal};

/// A payment as it is sent.
#[derive(Debug, Serialize)]
pub struct PaymentView {
    id: String,
    status: State,
    amount: Money,
    authorized: Money,
    captured: Money,
    refunded: Money,
    reference: String,
    customer_id: String,
    capture_method: &'static str,
    payment_method: Option<String>,
    decline_code: Option<String>,
    cancel_reason: Option<String>,
    authorization_expires_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl From<&Payment> for PaymentView {
    fn from(from: &Payment) -> Self {
        let money = |amount| money(amount, &from.currency);
        Self {
            id: from.id.clone(),
            status: from.state,
            amount: money(from.amount),
            authorized: money(from.authorized),
            captured: money(from.captured),
            refunded: money(from.refunded),
            reference: from.reference.clone(),
            customer_id: from.customer_id.clone(),
            capture_method: "manual",
            payment_method: from.payment_method.clone(),
            decline_code: from.decline_code.clone(),
            cancel_reason: from.cancel_reason.clone(),
            authorization_expires_at: from.authorization_expires_at.map(rfc3339),
            created_at: rfc3339(from.created_at),
            updated_at: rfc3339(from.updated_at),
        }
    }
}

/// A refund as it is sent.
#[derive(Debug, Serialize)]
pub struct RefundView {
    id: String,
    payment_id: String,
    status: &'static str,
    amount: Money,
    reason: Option<String>,
    created_at: String,
}

impl RefundView {
    /// A refund that the provider has made.
    pub fn new(payment: &Payment, attempt: &Attempt) -> Self {
        Self {
            id: attempt.id.clone(),
            payment_id: payment.id.clone(),
            status: "succeeded",
            amount: money(attempt.amount, &payment.currency),
            reason: attempt.reason.clone(),
            created_at: rfc3339(attempt.created_at),
        }
    }
}

/// A line of the ledger as it is sent.
#[derive(Debug, Serialize)]
pub struct EntryView {
    /// `UUIDv7`.
    pub id: String,
    /// `authorized`, `captured`, `refunded` or `canceled`.
    pub entry: String,
    /// How much.
    pub amount: Money,
    /// When.
    pub created_at: String,
}

/// An amount in a stored currency, which was checked when it was stored.
pub fn money(amount: i64, currency: &str) -> Money {
    Money::new(amount, currency.parse().unwrap_or(Currency::EUR))
}

/// 404, also for another's payment.
pub fn no_payment() -> Problem {
    Problem::not_found("There is no payment with this id.")
}

/// 402 with the provider's reason and the state that the payment is in now.
pub fn declined(payment: &Payment, code: &str) -> Problem {
    let detail = "The payment provider refused this; the decline code says why.";
    Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_declined", detail)
        .with("decline_code", code)
        .with("state", payment.state)
        .with("payment_id", &payment.id)
}

/// What a refusal looks like outside.
pub fn refused(refusal: Refusal, currency: &str) -> Problem {
    match refusal {
        Refusal::Conflict(state) => {
            let detail = format!("A payment that is {} cannot do that.", state.as_str());
            Problem::state_conflict(state.as_str(), detail)
        }
        Refusal::AuthorizationExpired => {
            let detail = "The authorization is over and can no longer be captured. Authorize a new payment.";
            Problem::conflict("authorization_expired", detail)
        }
        Refusal::NoMethod => {
            Problem::invalid("payment_method", "required", "Name a payment method: none was chosen before.")
        }
        Refusal::TooMuch(most) => {
            let detail =
                "The amount is not between 1 and what is left; the member most says how much that is.";
            Problem::conflict("amount_too_large", detail).with("most", money(most, currency))
        }
    }
}
