//! The real provider, against a small server that speaks Stripe's HTTP API by script and notes what it is asked.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use service_kit::clock::new_id;
use shop_payments::provider::Stripe;
use support::{Database, Service, eur, eventually, settings};

/// A request as the server saw it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    what: String,
    key: Option<String>,
    authorization: String,
    form: BTreeMap<String, String>,
}

#[derive(Default)]
struct Script {
    /// The next answers, each for the request that it names; without one the request hangs.
    answers: VecDeque<(String, u16, Value)>,
    seen: Vec<Seen>,
}

type Shared = Arc<Mutex<Script>>;

async fn play(State(script): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (key, authorization) = (header("idempotency-key"), header("authorization").unwrap_or_default());
    let what = format!("{} {}", parts.method, parts.uri.path());
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    let form = reqwest::Url::parse(&format!("http://x/?{}", String::from_utf8_lossy(&body))).unwrap();
    let form = form.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let next = {
        let mut script = script.lock().unwrap();
        script.seen.push(Seen { what: what.clone(), key, authorization, form });
        script.answers.pop_front()
    };
    match next {
        Some((expected, status, body)) if expected == what => {
            (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
        }
        Some((expected, ..)) => {
            (StatusCode::IM_A_TEAPOT, format!("expected {expected}, got {what}")).into_response()
        }
        None => std::future::pending().await,
    }
}

/// The service over a scripted Stripe.
struct Stage {
    shop: Service,
    script: Shared,
    _database: Database,
}

impl Stage {
    async fn set(patience: Duration) -> Self {
        let script = Shared::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(play).with_state(Arc::clone(&script));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let stripe = Stripe::new(&base, "sk_test_1".to_owned(), patience).unwrap();
        let database = Database::sqlite();
        let db = database.open().await;
        let shop = Service::start_over(db, Arc::new(stripe), settings()).await;
        Self { shop, script, _database: database }
    }

    fn will_answer(&self, what: &str, status: u16, body: Value) {
        self.script.lock().unwrap().answers.push_back((what.to_owned(), status, body));
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.script.lock().unwrap().seen)
    }

    /// A payment that Stripe has authorized as pi_1.
    async fn authorized(&self) -> String {
        self.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
        self.will_answer("POST /v1/payment_intents/pi_1/confirm", 200, intent("requires_capture"));
        let id = self.shop.create(1000).await;
        let (status, payment) = self.shop.confirm(&id, "pm_1abc").await;
        assert_eq!((status, &payment["status"]), (200, &json!("requires_capture")), "{payment}");
        self.seen();
        id
    }
}

fn intent(status: &str) -> Value {
    json!({ "id": "pi_1", "object": "payment_intent", "status": status })
}

fn form(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_created_confirmed_captured_and_refunded_in_stripes_words() {
    let stage = Stage::set(Duration::from_secs(5)).await;
    stage.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
    stage.will_answer("POST /v1/payment_intents/pi_1/confirm", 200, intent("requires_capture"));
    let id = stage.shop.create(1000).await;
    assert_eq!(stage.shop.confirm(&id, "pm_1abc").await.0, 200);
    let seen = stage.seen();
    assert!(seen.iter().all(|request| request.authorization == "Bearer sk_test_1"), "{seen:?}");
    assert_eq!(
        seen[0].form,
        form(&[
            ("amount", "1000"),
            ("currency", "eur"),
            ("capture_method", "manual"),
            ("payment_method_types[]", "card"),
            ("metadata[payment_id]", &id),
        ])
    );
    assert_eq!(seen[1].form, form(&[("payment_method", "pm_1abc")]));
    assert!(seen[0].key.is_some() && seen[1].key.is_some() && seen[0].key != seen[1].key);

    stage.will_answer("POST /v1/payment_intents/pi_1/capture", 200, intent("succeeded"));
    let (status, paid) =
        stage.shop.post(&format!("/payments/{id}/capture"), json!({ "amount": eur(900) })).await;
    assert_eq!((status, &paid["captured"]), (200, &eur(900)));
    assert_eq!(stage.seen()[0].form, form(&[("amount_to_capture", "900")]));

    stage.will_answer("POST /v1/refunds", 200, json!({ "id": "re_1", "status": "succeeded" }));
    let (status, _) = stage
        .shop
        .post(&format!("/payments/{id}/refunds"), json!({ "amount": eur(400), "reason": "r" }))
        .await;
    assert_eq!(status, 201);
    assert_eq!(stage.seen()[0].form, form(&[("payment_intent", "pi_1"), ("amount", "400")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_error_is_a_refusal_and_the_next_card_uses_the_same_intent() {
    let stage = Stage::set(Duration::from_secs(5)).await;
    stage.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
    let error = json!({ "error": { "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
        "payment_intent": intent("requires_payment_method") } });
    stage.will_answer("POST /v1/payment_intents/pi_1/confirm", 402, error);
    let id = stage.shop.create(1000).await;
    let (status, refused) = stage.shop.confirm(&id, "pm_poor").await;
    assert_eq!((status, &refused["decline_code"]), (402, &json!("insufficient_funds")));

    stage.will_answer("GET /v1/payment_intents/pi_1", 200, intent("requires_payment_method"));
    stage.will_answer("POST /v1/payment_intents/pi_1/confirm", 200, intent("requires_capture"));
    let (status, ready) = stage.shop.confirm(&id, "pm_rich").await;
    assert_eq!((status, &ready["status"]), (200, &json!("requires_capture")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_result_is_asked_again_with_the_same_key() {
    let stage = Stage::set(Duration::from_millis(200)).await;
    stage.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
    let id = stage.shop.create(1000).await;
    let key = new_id();
    let (path, body) = (format!("/payments/{id}/confirm"), json!({ "payment_method": "pm_1abc" }));
    // The confirmation hangs until our patience ends.
    let (status, unknown) = stage.shop.post_with_key(&path, &key, body.clone()).await;
    assert_eq!((status, &unknown["code"]), (503, &json!("unavailable")));
    assert_eq!(stage.shop.status(&id).await, "processing");
    let other = stage.shop.post_with_key(&path, &key, json!({ "payment_method": "pm_2def" })).await;
    assert_eq!((other.0, &other.1["code"]), (422, &json!("idempotency_key_reused")));
    // Then Stripe fails, and then it answers: whoever asks, the resolver or the repeated call.
    stage.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
    stage.will_answer(
        "POST /v1/payment_intents/pi_1/confirm",
        500,
        json!({ "error": { "type": "api_error" } }),
    );
    stage.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
    stage.will_answer("POST /v1/payment_intents/pi_1/confirm", 200, intent("requires_capture"));
    eventually("the answer is known", async || stage.shop.status(&id).await == "requires_capture").await;
    let (status, ready) = stage.shop.post_with_key(&path, &key, body).await;
    assert_eq!((status, &ready["status"]), (200, &json!("requires_capture")));
    let seen = stage.seen();
    for what in ["POST /v1/payment_intents", "POST /v1/payment_intents/pi_1/confirm"] {
        let keys: Vec<_> =
            seen.iter().filter(|request| request.what == what).map(|request| &request.key).collect();
        assert!(keys.len() >= 3, "{what}");
        assert!(keys[0].is_some() && keys.windows(2).all(|pair| pair[0] == pair[1]), "{what}: {keys:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_that_moved_on_by_itself_is_taken_as_it_is() {
    let stage = Stage::set(Duration::from_secs(5)).await;
    let id = stage.authorized().await;
    let moved = |status| {
        json!({ "error": { "type": "invalid_request_error", "code": "payment_intent_unexpected_state",
            "payment_intent": intent(status) } })
    };
    stage.will_answer("POST /v1/payment_intents/pi_1/capture", 400, moved("canceled"));
    let (status, refused) = stage.shop.post(&format!("/payments/{id}/capture"), json!({})).await;
    assert_eq!((status, &refused["decline_code"]), (402, &json!("payment_canceled")));
    stage.will_answer("POST /v1/payment_intents/pi_1/cancel", 400, moved("canceled"));
    let (status, gone) = stage.shop.post(&format!("/payments/{id}/cancel"), json!({})).await;
    assert_eq!((status, &gone["status"]), (200, &json!("canceled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_authenticated_is_seen_at_the_next_confirmation() {
    let stage = Stage::set(Duration::from_secs(5)).await;
    stage.will_answer("POST /v1/payment_intents", 200, intent("requires_payment_method"));
    stage.will_answer("POST /v1/payment_intents/pi_1/confirm", 200, intent("requires_action"));
    let id = stage.shop.create(1000).await;
    assert_eq!(stage.shop.confirm(&id, "pm_1abc").await.1["status"], json!("requires_action"));
    stage.will_answer("GET /v1/payment_intents/pi_1", 200, intent("requires_capture"));
    let (status, ready) = stage.shop.post(&format!("/payments/{id}/confirm"), json!({})).await;
    assert_eq!((status, &ready["status"]), (200, &json!("requires_capture")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_or_a_full_server_is_no_refusal() {
    for (status, kind) in
        [(401, "invalid_request_error"), (429, "rate_limit_error"), (409, "idempotency_error")]
    {
        let stage = Stage::set(Duration::from_secs(5)).await;
        stage.will_answer("POST /v1/payment_intents", status, json!({ "error": { "type": kind } }));
        let id = stage.shop.create(1000).await;
        let (answered, problem) = stage.shop.confirm(&id, "pm_1abc").await;
        assert_eq!((answered, &problem["code"]), (503, &json!("unavailable")), "{status}");
        assert_eq!(stage.shop.status(&id).await, "processing", "{status}");
    }
}
