//! The process dies between the provider's charge and its recording: the charge is neither lost nor made again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use service_kit::clock::new_id;
use service_kit::db::Db;
use shop_payments::provider::{Asked, Provider, Question};
use support::{
    Database, Service, answer, charges, check_books, eur, eventually, new_payment, on_each_database,
    settings, test_provider,
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;

/// The service as a process of its own.
struct Process {
    child: Child,
    base: String,
    client: Client,
}

impl Process {
    async fn start(database: &Database, slow_ms: u64) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shop-payments"))
            .env_clear()
            .env("PORT", "0")
            .env("DATABASE_URL", &database.url)
            .env("ACCOUNTS_URL", "http://127.0.0.1:9")
            .env("SWEEP_INTERVAL_MS", "50")
            .env("TEST_PROVIDER_SLOW_MS", slow_ms.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("the service ended before it listened");
            let line: Value = serde_json::from_str(&line).unwrap();
            if let Some(address) = line["addr"].as_str() {
                break address.to_owned();
            }
        };
        // Read on, so that the process never waits for a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, base: format!("http://{address}"), client: Client::new() }
    }

    async fn post(&self, path: &str, key: &str, body: &Value) -> (u16, Value) {
        answer(self.request(path, key, body)).await
    }

    fn request(&self, path: &str, key: &str, body: &Value) -> reqwest::RequestBuilder {
        let request =
            self.client.post(format!("{}{path}", self.base)).header("x-isles-caller", "isles-sagas");
        request.header("idempotency-key", key).json(body)
    }

    async fn status(&self, id: &str) -> String {
        let request =
            self.client.get(format!("{}/payments/{id}", self.base)).header("x-isles-caller", "isles-sagas");
        answer(request).await.1["status"].as_str().unwrap_or_default().to_owned()
    }
}

/// SIGKILL while the provider has charged and its answer is on its way; a new process finds out what happened.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_neither_loses_a_charge_nor_repeats_it() {
    on_each_database(async |database| {
        let db = database.open().await;
        let mut first = Process::start(&database, 600_000).await;
        let (_, made) = first.post("/payments", "create-1", &new_payment(100)).await;
        let id = made["id"].as_str().unwrap().to_owned();
        let (path, body) = (format!("/payments/{id}/confirm"), json!({ "payment_method": "pm_card_slow" }));
        let unanswered = tokio::spawn(first.request(&path, "confirm-1", &body).send());
        eventually("the provider has charged", async || charges(&db, &id).await == 1).await;
        assert_eq!(first.status(&id).await, "processing");
        first.child.kill().await.unwrap();
        assert!(unanswered.await.unwrap().is_err(), "the caller does not know what happened");

        let second = Process::start(&database, 1).await;
        eventually("the answer is found", async || second.status(&id).await == "requires_capture").await;
        // The dead process holds its key until its lease runs out; then the same call gets the success.
        eventually("the same call succeeds", async || {
            let (status, told) = second.post(&path, "confirm-1", &body).await;
            assert!(status == 200 || told["code"] == json!("request_in_flight"), "{told}");
            status == 200
        })
        .await;
        let capture = format!("/payments/{id}/capture");
        let (status, paid) = second.post(&capture, "capture-1", &json!({})).await;
        assert_eq!((status, &paid["captured"], charges(&db, &id).await), (200, &eur(100), 1));
        check_books(&db).await;
    })
    .await;
}

/// Lets the provider do its work, and then never comes back with the answer.
struct Silent {
    inner: Arc<dyn Provider>,
    /// Notified once the work is done.
    done: Arc<Notify>,
    /// Whether to do the work at all.
    works: bool,
}

impl Provider for Silent {
    fn ask<'a>(&'a self, question: &'a Question) -> Asked<'a> {
        Box::pin(async move {
            if self.works {
                self.inner.ask(question).await;
            }
            self.done.notify_one();
            std::future::pending().await
        })
    }
}

/// A service whose provider stays silent, over the same database as everyone else.
async fn silent(db: &Db, works: bool) -> (Service, Arc<Notify>) {
    let done = Arc::new(Notify::new());
    let provider = Silent { inner: test_provider(db), done: Arc::clone(&done), works };
    let slowly = shop_payments::app::Settings { look_every: Duration::from_secs(3600), ..settings() };
    (Service::start_over(db.clone(), Arc::new(provider), slowly).await, done)
}

/// Each operation, cut off before and after the provider's part of it, ends as if it had not been cut off.
#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_finished_after_a_crash() {
    on_each_database(async |database| {
        for works in [false, true] {
            for (operation, end, entry) in [
                ("confirm", "requires_capture", ("authorized", 100)),
                ("capture", "succeeded", ("captured", 100)),
                ("cancel", "canceled", ("canceled", 100)),
                ("refunds", "succeeded", ("refunded", 40)),
                ("reverse", "succeeded", ("refunded", 100)),
            ] {
                let before = Service::start(&database).await;
                let (id, body) = match operation {
                    "confirm" => (before.create(100).await, json!({ "payment_method": "pm_card_visa" })),
                    "refunds" => (before.captured(100).await, json!({ "amount": eur(40), "reason": "r" })),
                    "reverse" => (before.captured(100).await, json!({})),
                    _ => (before.authorized(100).await, json!({})),
                };
                drop(before);
                let db = database.open().await;
                let (crashing, asked) = silent(&db, works).await;
                let path = format!("/payments/{id}/{operation}");
                let call = tokio::spawn(crashing.unsent(&path, &new_id(), &body).send());
                asked.notified().await;
                drop(crashing);
                call.abort();

                let after = Service::start(&database).await;
                let expected = (entry.0.to_owned(), entry.1);
                eventually("the operation is finished", async || {
                    after.ledger(&id).await.last() == Some(&expected)
                })
                .await;
                assert_eq!(after.status(&id).await, end, "{operation} works={works}");
                assert_eq!(charges(&after.db, &id).await, 1);
                after.check_books().await;
            }
        }
    })
    .await;
}

/// A payment that is stuck in one process can be seen through by another that knows nothing of it but its id.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_finds_out_first_what_became_of_the_charge() {
    let database = Database::sqlite();
    let db = database.open().await;
    let (stuck, asked) = silent(&db, true).await;
    let id = stuck.create(100).await;
    let body = json!({ "payment_method": "pm_card_visa" });
    let call = tokio::spawn(stuck.unsent(&format!("/payments/{id}/confirm"), &new_id(), &body).send());
    asked.notified().await;
    assert_eq!(stuck.status(&id).await, "processing");
    let quiet = shop_payments::app::Settings { look_every: Duration::from_secs(3600), ..settings() };
    let other = Service::start_over(database.open().await, test_provider(&db), quiet).await;
    let (status, gone) = other.post(&format!("/payments/{id}/cancel"), json!({})).await;
    assert_eq!((status, &gone["status"], &gone["authorized"]), (200, &json!("canceled"), &eur(100)));
    assert_eq!(other.ledger(&id).await, [("authorized".to_owned(), 100), ("canceled".to_owned(), 100)]);
    call.abort();
    other.check_books().await;
}
