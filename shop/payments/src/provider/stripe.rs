//! Stripe's HTTP API: form-encoded requests, JSON answers, an `Idempotency-Key` on every POST. One of our
//! payments is one of its payment intents, so that Stripe, too, allows a single successful charge.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::{Answer, Asked, Outcome, Provider, Question};
use crate::domain::Operation;

/// A client of Stripe's API, or of anything that speaks it.
#[derive(Clone)]
pub struct Stripe {
    client: Client,
    base: String,
    secret_key: String,
}

/// What one request came to: an object that says where things stand, or our answer already.
type Replied = Result<Value, Answer>;

impl Stripe {
    /// `base`: where the API is, without a path; `timeout`: how long one request may take.
    ///
    /// # Errors
    /// When the system's TLS roots cannot be read.
    pub fn new(base: &str, secret_key: String, timeout: Duration) -> reqwest::Result<Self> {
        let client = Client::builder().timeout(timeout).build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), secret_key })
    }

    async fn answer(&self, question: &Question) -> Answer {
        let asked = match question.operation {
            Operation::Authorize => self.authorize(question).await,
            Operation::Capture => self.capture(question).await,
            Operation::Void => self.void(question).await,
            Operation::Refund => self.refund(question).await,
        };
        let mut answer = match asked {
            Ok(object) => read_status(question.operation, &object),
            Err(answer) => answer,
        };
        if answer.reference.is_none() {
            answer.reference.clone_from(&question.reference);
        }
        answer
    }

    async fn authorize(&self, question: &Question) -> Replied {
        let intent = match &question.reference {
            // It may have moved on since: the customer has authenticated, for example.
            Some(reference) => self.get(&format!("/v1/payment_intents/{reference}")).await?,
            None => self.create(question).await?,
        };
        let Some(id) = intent.get("id").and_then(Value::as_str) else {
            return Err(Answer::unknown("a payment intent without an id"));
        };
        let status = intent.get("status").and_then(Value::as_str).unwrap_or_default();
        if matches!(status, "requires_capture" | "requires_action" | "processing" | "canceled") {
            return Ok(intent);
        }
        let method = question.payment_method.as_deref().unwrap_or_default();
        let form = [("payment_method", method)];
        let confirmed = self.post(&format!("/v1/payment_intents/{id}/confirm"), &question.key, &form).await;
        confirmed.map_err(|answer| Answer { reference: answer.reference.or(Some(id.to_owned())), ..answer })
    }

    async fn create(&self, question: &Question) -> Replied {
        let amount = question.amount.to_string();
        let form = [
            ("amount", amount.as_str()),
            ("currency", &question.currency.to_lowercase()),
            ("capture_method", "manual"),
            ("payment_method_types[]", "card"),
            ("metadata[payment_id]", &question.payment_id),
        ];
        // Not the attempt's key: every attempt of this payment shall find the same intent.
        self.post("/v1/payment_intents", &format!("{}:create", question.payment_id), &form).await
    }

    async fn capture(&self, question: &Question) -> Replied {
        let path = format!("{}/capture", intent_path(question)?);
        self.post(&path, &question.key, &[("amount_to_capture", &question.amount.to_string())]).await
    }

    async fn void(&self, question: &Question) -> Replied {
        let path = format!("{}/cancel", intent_path(question)?);
        self.post(&path, &question.key, &[]).await
    }

    async fn refund(&self, question: &Question) -> Replied {
        let amount = question.amount.to_string();
        let reference = question.reference.as_deref().unwrap_or_default();
        let form = [("payment_intent", reference), ("amount", amount.as_str())];
        self.post("/v1/refunds", &question.key, &form).await
    }

    async fn get(&self, path: &str) -> Replied {
        let request = self.client.get(format!("{}{path}", self.base));
        self.send(request).await
    }

    async fn post(&self, path: &str, key: &str, form: &[(&str, &str)]) -> Replied {
        let request = self.client.post(format!("{}{path}", self.base));
        self.send(request.header("Idempotency-Key", key).form(form)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Replied {
        let request = request.bearer_auth(&self.secret_key);
        let response = request.send().await.map_err(|error| no_answer(&error))?;
        let status = response.status();
        let body: Value = response.json().await.map_err(|error| no_answer(&error))?;
        if status.is_success() { Ok(body) } else { read_error(status, &body) }
    }
}

impl Provider for Stripe {
    fn ask<'a>(&'a self, question: &'a Question) -> Asked<'a> {
        Box::pin(self.answer(question))
    }
}

/// The connection failed or timed out. Without its URL: the log needs no addresses of payments.
fn no_answer(error: &reqwest::Error) -> Answer {
    let why = if error.is_timeout() { "Stripe did not answer in time" } else { "Stripe cannot be reached" };
    Answer::unknown(why)
}

fn intent_path(question: &Question) -> Result<String, Answer> {
    let reference = question.reference.as_deref();
    let reference = reference.ok_or_else(|| Answer::declined("no_such_charge"))?;
    Ok(format!("/v1/payment_intents/{reference}"))
}

/// Stripe's error object: a refusal, an intent that already moved on, or nothing that tells what happened.
fn read_error(status: StatusCode, body: &Value) -> Replied {
    let error = body.get("error").unwrap_or(&Value::Null);
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    let code = text("decline_code").or_else(|| text("code"));
    match (text("type"), status.as_u16()) {
        (Some("card_error"), _) => {
            let intent = error.get("payment_intent").and_then(|intent| intent.get("id"));
            let mut answer = Answer::declined(code.unwrap_or("card_declined"));
            answer.reference = intent.and_then(Value::as_str).map(str::to_owned);
            Err(answer)
        }
        (_, 400) if text("code") == Some("payment_intent_unexpected_state") => {
            let intent = error.get("payment_intent").cloned();
            intent.ok_or_else(|| Answer::unknown("an intent in an unexpected state that Stripe did not show"))
        }
        (Some("invalid_request_error"), 400 | 404) => {
            Err(Answer::declined(code.unwrap_or("invalid_request")))
        }
        (kind, number) => {
            let kind = kind.unwrap_or("no error type");
            Err(Answer::unknown(format!("Stripe answered {number} ({kind})")))
        }
    }
}

/// Where a payment intent, or a refund, stands, seen from what was asked.
fn read_status(operation: Operation, object: &Value) -> Answer {
    let status = object.get("status").and_then(Value::as_str).unwrap_or_default();
    let reference = match operation {
        Operation::Refund => None,
        _ => object.get("id").and_then(Value::as_str).map(str::to_owned),
    };
    let outcome = match (operation, status) {
        (Operation::Authorize, "requires_capture" | "succeeded")
        | (Operation::Capture, "succeeded")
        | (Operation::Void, "canceled")
        | (Operation::Refund, "succeeded" | "pending") => Outcome::Done,
        (Operation::Authorize, "requires_action") => Outcome::ActionRequired,
        (Operation::Authorize, "requires_payment_method" | "canceled")
        | (Operation::Capture, "canceled")
        | (Operation::Refund, "failed" | "canceled") => Outcome::Declined { code: refusal(object) },
        (_, other) => Outcome::Unknown { why: format!("Stripe reports the state {other}") },
    };
    Answer { outcome, reference }
}

/// Why Stripe says that it came to nothing.
fn refusal(object: &Value) -> String {
    let last = object.get("last_payment_error");
    let named = last.and_then(|error| error.get("decline_code").or_else(|| error.get("code")));
    let named = named.or_else(|| object.get("failure_reason")).and_then(Value::as_str);
    named.unwrap_or("payment_canceled").to_owned()
}
