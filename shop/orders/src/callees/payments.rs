//! The payments: one intent for an order, found again by its reference, the order's id.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use service_kit::http::{CallError, encode};
use service_kit::money::Money;
use service_kit::problem::Problem;

use super::Outcome;
use crate::service::Service;
use crate::store::orders::Order;

/// A payment intent.
#[derive(Debug, Clone, Deserialize)]
pub struct Intent {
    /// Its id.
    pub id: String,
    /// Its state.
    pub status: String,
    /// What was taken.
    pub captured: Money,
    /// What was given back.
    pub refunded: Money,
}

#[derive(Debug, Deserialize)]
struct Intents {
    items: Vec<Intent>,
}

/// Creates the intent of an order. It moves no money before it is confirmed.
pub async fn create(service: &Service, order: &Order, amount: Money) -> Outcome<Intent> {
    let body = json!({
        "amount": amount, "customer_id": order.customer_id, "reference": order.id, "capture_method": "manual",
    });
    Outcome::of(post(service, "/payments", &format!("{}:create", order.id), &body).await)
}

/// Asks the customer's bank. An answer "processing" is looked at again later.
pub async fn authorize(service: &Service, order_id: &str, payment_id: &str, method: &str) -> Outcome {
    let path = format!("/payments/{}/confirm", encode(payment_id));
    let body = json!({"payment_method": method});
    match Outcome::of(post(service, &path, &format!("{order_id}:authorize"), &body).await) {
        Outcome::Done(intent) => match intent.status.as_str() {
            "requires_capture" | "succeeded" => Outcome::Done(()),
            _ => look_again(service, order_id, payment_id).await,
        },
        Outcome::Refused(problem) => Outcome::Refused(problem),
        Outcome::Unknown(error) => Outcome::Unknown(error),
    }
}

/// The stored answer of a confirmation says what was true then; the intent itself says what is true now.
async fn look_again(service: &Service, order_id: &str, payment_id: &str) -> Outcome {
    let intent = match find(service, order_id, payment_id).await {
        Ok(intent) => intent,
        Err(error) => return Outcome::Unknown(error),
    };
    match intent.status.as_str() {
        "requires_capture" | "succeeded" => Outcome::Done(()),
        "processing" => Outcome::Unknown(CallError::Unknown {
            service: service.payments.name().to_owned(),
            cause: "the payment is still being processed".to_owned(),
        }),
        state => Outcome::Refused(
            Problem::new(StatusCode::PAYMENT_REQUIRED, "payment_declined", "The payment was not completed.")
                .with("decline_code", state),
        ),
    }
}

/// Takes the money.
pub async fn capture(service: &Service, order_id: &str, payment_id: &str) -> Outcome {
    let path = format!("/payments/{}/capture", encode(payment_id));
    Outcome::of(post(service, &path, &format!("{order_id}:capture"), &json!({})).await.map(drop))
}

/// Cancels the authorization, or gives back in full what was taken, whichever it is.
///
/// A refusal is final for its key, so a refund that was declined is asked for with a new one when the order is taken up again
/// (`taken` counts that). Nothing is given back twice: it is always "what is left".
pub async fn undo(
    service: &Service,
    order_id: &str,
    payment_id: &str,
    captured: bool,
    taken: i64,
) -> Outcome {
    if !captured {
        let path = format!("/payments/{}/cancel", encode(payment_id));
        match Outcome::of(post(service, &path, &format!("{order_id}:void"), &json!({})).await.map(drop)) {
            // Its capture came through after all.
            Outcome::Refused(problem) if problem.status() == StatusCode::CONFLICT => {}
            other => return other,
        }
    }
    let path = format!("/payments/{}/refunds", encode(payment_id));
    let body = json!({"reason": "order_cancelled"});
    let key = format!("{order_id}:refund:{taken}");
    let refund = service.payments.post(&path).idempotency_key(&key).json(&body);
    match Outcome::of(refund.timeout(service.timing.call).send().await.map(drop)) {
        Outcome::Refused(problem) => nothing_left(service, order_id, payment_id, problem).await,
        other => other,
    }
}

/// A refused refund is fine if nothing is left to give back, for example because an admin did it before.
async fn nothing_left(service: &Service, order_id: &str, payment_id: &str, refused: Problem) -> Outcome {
    match find(service, order_id, payment_id).await {
        Ok(intent)
            if intent.captured == intent.refunded
                && matches!(intent.status.as_str(), "canceled" | "succeeded") =>
        {
            Outcome::Done(())
        }
        Ok(_) => Outcome::Refused(refused),
        Err(error) => Outcome::Unknown(error),
    }
}

async fn find(service: &Service, order_id: &str, payment_id: &str) -> Result<Intent, CallError> {
    let query = [("reference", order_id)];
    let found: Intents =
        service.payments.get("/payments").query(&query).timeout(service.timing.call).fetch().await?;
    found.items.into_iter().find(|intent| intent.id == payment_id).ok_or_else(|| CallError::Unknown {
        service: service.payments.name().to_owned(),
        cause: format!("it does not know payment {payment_id}"),
    })
}

async fn post(service: &Service, path: &str, key: &str, body: &Value) -> Result<Intent, CallError> {
    service.payments.post(path).idempotency_key(key).json(body).timeout(service.timing.call).fetch().await
}
