//! Webhooks arrive signed, at least once, whatever the receiver does at first.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};
use service_kit::clock::now_ms;
use shop_payments::webhooks::{HEADER, Target, verify};
use support::{Database, Service, eur, eventually, on_each_database, settings};

const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

/// What arrived, and how many of the next ones to refuse.
#[derive(Default)]
struct Inbox {
    arrived: Vec<Value>,
    refuse: usize,
}

async fn receive(State(inbox): State<Arc<Mutex<Inbox>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let signature = headers[HEADER].to_str().unwrap();
    if verify(SECRET.as_bytes(), signature, &body, now_ms() / 1000).is_err() {
        return StatusCode::BAD_REQUEST;
    }
    let mut inbox = inbox.lock().unwrap();
    inbox.arrived.push(serde_json::from_slice(&body).unwrap());
    if inbox.refuse > 0 {
        inbox.refuse -= 1;
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::NO_CONTENT
}

async fn receiver(refuse: usize) -> (Arc<Mutex<Inbox>>, Target) {
    let inbox = Arc::new(Mutex::new(Inbox { refuse, ..Inbox::default() }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hooks", listener.local_addr().unwrap());
    let router = Router::new().route("/hooks", post(receive)).with_state(Arc::clone(&inbox));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (inbox, Target { url, secret: SECRET.to_owned(), first_pause: Duration::from_millis(20) })
}

async fn start(database: &Database, target: Target) -> Service {
    Service::start_with(database, shop_payments::app::Settings { webhook: Some(target), ..settings() }).await
}

fn kinds(inbox: &Mutex<Inbox>) -> BTreeSet<String> {
    let arrived = &inbox.lock().unwrap().arrived;
    arrived.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_to_a_payment_is_told_with_a_signature() {
    on_each_database(async |database| {
        let (inbox, target) = receiver(0).await;
        let shop = start(&database, target).await;
        let declined = shop.create(700).await;
        shop.confirm(&declined, "pm_card_declined").await;
        let canceled = shop.create(700).await;
        shop.post(&format!("/payments/{canceled}/cancel"), json!({})).await;
        let paid = shop.captured(700).await;
        shop.post(&format!("/payments/{paid}/refunds"), json!({ "reason": "r" })).await;
        let expected = [
            "payment.authorized",
            "payment.canceled",
            "payment.captured",
            "payment.declined",
            "payment.refunded",
        ];
        eventually("all five arrived", async || kinds(&inbox).len() == 5).await;
        assert_eq!(kinds(&inbox).iter().map(String::as_str).collect::<Vec<_>>(), expected);
        let inbox = inbox.lock().unwrap();
        let captured = inbox.arrived.iter().find(|event| event["type"] == "payment.captured").unwrap();
        assert_eq!((&captured["data"]["id"], &captured["data"]["captured"]), (&json!(paid), &eur(700)));
        assert!(captured["id"].is_string() && captured["created"].as_str().unwrap().ends_with('Z'));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_gets_the_same_event_again() {
    let database = Database::sqlite();
    let (inbox, target) = receiver(3).await;
    let shop = start(&database, target).await;
    shop.authorized(700).await;
    eventually("it was sent four times", async || inbox.lock().unwrap().arrived.len() == 4).await;
    let arrived = inbox.lock().unwrap().arrived.clone();
    assert!(arrived.windows(2).all(|pair| pair[0] == pair[1]), "one event, with one id: {arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_told_before_a_stop_is_told_after_the_next_start() {
    let database = Database::sqlite();
    let nobody = Target {
        url: "http://127.0.0.1:9/".to_owned(),
        secret: SECRET.to_owned(),
        first_pause: Duration::from_millis(20),
    };
    let shop = start(&database, nobody).await;
    shop.authorized(700).await;
    shop.running.stop().await;
    let (inbox, target) = receiver(0).await;
    let _again = start(&database, target).await;
    eventually("it arrived", async || kinds(&inbox).contains("payment.authorized")).await;
}
