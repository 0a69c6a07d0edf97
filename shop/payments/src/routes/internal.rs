//! What the sagas of orders do: make a payment, and see it through, or give everything back.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use serde::{Deserialize, Serialize};
use service_kit::auth::Caller;
use service_kit::clock::{new_id, now_ms};
use service_kit::extract::{Json, OptionalJson, Path};
use service_kit::idempotency::{Idempotency, Once, Reply};
use service_kit::money::Money;
use service_kit::problem::{Checks, Problem};

use super::Shared;
use super::lost_reply::lost;
use crate::domain::State as PaymentState;
use crate::intent::{Payment, Wish};
use crate::store;
use crate::view::{PaymentView, no_payment};

/// The most that one payment may be: 10 million of a currency with two decimals.
const MAX_AMOUNT: i64 = 1_000_000_000;

pub fn routes() -> Router<Shared> {
    Router::new()
        .route("/payments", post(create))
        .route("/payments/{id}", get(one))
        .route("/payments/{id}/confirm", post(confirm))
        .route("/payments/{id}/capture", post(capture))
        .route("/payments/{id}/cancel", post(cancel))
        .route("/payments/{id}/reverse", post(reverse))
}

#[derive(Debug, Deserialize, Serialize)]
struct New {
    amount: Money,
    customer_id: String,
    reference: String,
    #[serde(default)]
    capture_method: CaptureMethod,
    payment_method: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum CaptureMethod {
    #[default]
    Manual,
}

impl New {
    fn check(&self) -> Result<(), Problem> {
        let mut checks = Checks::default();
        let fits = (1..=MAX_AMOUNT).contains(&self.amount.amount);
        let message = format!("Use between 1 and {MAX_AMOUNT} minor units.");
        checks.require(fits, "amount.amount", "out_of_range", &message);
        checks.text(&self.customer_id, "customer_id", 1, 128);
        checks.text(&self.reference, "reference", 1, 128);
        check_method(&mut checks, self.payment_method.as_deref());
        checks.finish()
    }

    fn payment(&self) -> Payment {
        let now = now_ms();
        let chosen = self.payment_method.is_some();
        Payment {
            id: new_id(),
            customer_id: self.customer_id.clone(),
            reference: self.reference.clone(),
            amount: self.amount.amount,
            currency: self.amount.currency.to_string(),
            state: if chosen {
                PaymentState::RequiresConfirmation
            } else {
                PaymentState::RequiresPaymentMethod
            },
            payment_method: self.payment_method.clone(),
            decline_code: None,
            cancel_reason: None,
            provider_reference: None,
            authorized: 0,
            captured: 0,
            refunding: 0,
            refunded: 0,
            authorization_expires_at: None,
            version: 1,
            created_at: now,
            updated_at: now,
        }
    }
}

/// Notes an error unless this can be a provider's token of a payment method. A row of twelve digits is refused, so
/// that no card number gets in disguised as one.
fn check_method(checks: &mut Checks, method: Option<&str>) {
    let Some(method) = method else { return };
    let rest = method.strip_prefix("pm_").unwrap_or_default();
    let token =
        (1..=96).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let digits = method.as_bytes().split(|byte| !byte.is_ascii_digit()).map(<[u8]>::len).max();
    let message = "Use the payment provider's token, pm_…, and never a card number.";
    checks.require(token && digits.unwrap_or(0) < 12, "payment_method", "format", message);
}

async fn create(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Json(wanted): Json<New>,
) -> Result<Reply, Problem> {
    wanted.check()?;
    let mut first = match idempotency.once(&shared.db, &caller, &wanted).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let payment = wanted.payment();
    let inserted = store::insert(first.tx(), &payment).await.map_err(Problem::from);
    let outcome = inserted.and_then(|()| Reply::created(&PaymentView::from(&payment)));
    first.settle(outcome).await
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Confirmation {
    payment_method: Option<String>,
    #[serde(default)]
    error_on_requires_action: bool,
}

async fn confirm(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(id): Path<String>,
    OptionalJson(wanted): OptionalJson<Confirmation>,
) -> Result<Response, Problem> {
    let mut checks = Checks::default();
    check_method(&mut checks, wanted.payment_method.as_deref());
    checks.finish()?;
    let wish = Wish::Confirm {
        payment_method: wanted.payment_method.clone(),
        error_on_requires_action: wanted.error_on_requires_action,
    };
    let reply = shared.once(&caller, &idempotency, &wanted, &id, &wish).await?;
    let method = reply.body.get("payment_method").and_then(serde_json::Value::as_str);
    let loses = method.is_some_and(|method| shared.cashier.provider().loses_reply(method));
    if loses && !reply.is_replay() {
        return Ok(lost());
    }
    Ok(reply.into_response())
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct CaptureBody {
    amount: Option<Money>,
}

async fn capture(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(id): Path<String>,
    OptionalJson(wanted): OptionalJson<CaptureBody>,
) -> Result<Reply, Problem> {
    let amount = shared.in_currency(&id, wanted.amount).await?;
    shared.once(&caller, &idempotency, &wanted, &id, &Wish::Capture { amount }).await
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct Cancellation {
    reason: Option<String>,
}

impl Cancellation {
    /// Why, for the record.
    fn reason(&self) -> Result<String, Problem> {
        let reason = self.reason.clone().unwrap_or_else(|| "requested".to_owned());
        let mut checks = Checks::default();
        checks.text(&reason, "reason", 1, 200);
        checks.finish()?;
        Ok(reason)
    }
}

async fn cancel(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(id): Path<String>,
    OptionalJson(wanted): OptionalJson<Cancellation>,
) -> Result<Reply, Problem> {
    let reason = wanted.reason()?;
    shared.once(&caller, &idempotency, &wanted, &id, &Wish::Cancel { reason }).await
}

async fn reverse(
    State(shared): State<Shared>,
    Caller(caller): Caller,
    idempotency: Idempotency,
    Path(id): Path<String>,
    OptionalJson(wanted): OptionalJson<Cancellation>,
) -> Result<Reply, Problem> {
    shared.reverse(&caller, &idempotency, &id, &wanted.reason()?).await
}

async fn one(State(shared): State<Shared>, Path(id): Path<String>) -> Result<Body<PaymentView>, Problem> {
    let mut conn = shared.db.pool().acquire().await?;
    let payment = store::find(&mut conn, &id).await?.ok_or_else(no_payment)?;
    Ok(Body(PaymentView::from(&payment)))
}
