//! The real service on a port of its own, over SQLite always and PostgreSQL when `TEST_POSTGRES_URL` says where.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use service_kit::clock::new_id;
use service_kit::db::Db;
use service_kit::testing::{Running, Signer};
use shop_payments::app::{MIGRATIONS, Settings, assemble};
use shop_payments::provider::{Provider, TestProvider};
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

/// A database that no other test uses.
pub struct Database {
    pub url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/payments.db", folder.path().display());
        Self { url, _folder: Some(folder) }
    }

    async fn postgres(server: &str) -> Self {
        let admin = Db::open(server, &[]).await.unwrap();
        let name = format!("payments_{}", new_id().replace('-', ""));
        let create = format!("CREATE DATABASE {name}");
        sqlx::raw_sql(AssertSqlSafe(create)).execute(admin.pool()).await.unwrap();
        admin.close().await;
        let (base, _) = server.rsplit_once('/').unwrap();
        Self { url: format!("{base}/{name}"), _folder: None }
    }

    pub async fn open(&self) -> Db {
        Db::open(&self.url, MIGRATIONS).await.unwrap()
    }
}

/// Runs a test on every kind of database that can be had here, each time on a fresh one.
pub async fn on_each_database(test: impl AsyncFn(Database)) {
    test(Database::sqlite()).await;
    match std::env::var("TEST_POSTGRES_URL") {
        Ok(server) => test(Database::postgres(&server).await).await,
        Err(_) => println!("skipped on PostgreSQL: TEST_POSTGRES_URL is not set"),
    }
}

/// A running service and someone to talk to it.
pub struct Service {
    pub db: Db,
    pub running: Running,
    signer: Signer,
    client: Client,
}

/// Times that suit tests.
pub fn settings() -> Settings {
    Settings {
        authorization: Duration::from_secs(3600),
        look_every: Duration::from_millis(20),
        webhook: None,
    }
}

/// The test provider, whose slow method is not very slow.
pub fn test_provider(db: &Db) -> Arc<dyn Provider> {
    Arc::new(TestProvider::new(db.clone(), Duration::from_millis(300)))
}

impl Service {
    pub async fn start(database: &Database) -> Self {
        Self::start_with(database, settings()).await
    }

    pub async fn start_with(database: &Database, settings: Settings) -> Self {
        let db = database.open().await;
        let provider = test_provider(&db);
        Self::start_over(db, provider, settings).await
    }

    pub async fn start_over(db: Db, provider: Arc<dyn Provider>, settings: Settings) -> Self {
        let signer = Signer::new().unwrap();
        let app = assemble(db.clone(), signer.auth(), provider, settings).unwrap();
        let running = Running::start(app).await.unwrap();
        Self { db, running, signer, client: Client::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.running.url(path))
    }

    /// A POST, not sent yet: an admin's if it is a refund, and otherwise a saga's.
    pub fn unsent(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        let request = if path.ends_with("/refunds") {
            self.request(Method::POST, &format!("/api{path}")).bearer_auth(self.admin_token())
        } else {
            self.request(Method::POST, path).header("x-isles-caller", "isles-sagas")
        };
        request.header("idempotency-key", key).json(body)
    }

    /// The same, with a key of its own.
    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        answer(self.unsent(path, &new_id(), &body)).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: Value) -> (u16, Value) {
        answer(self.unsent(path, key, &body)).await
    }

    /// A GET of a saga.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path).header("x-isles-caller", "isles-sagas")).await
    }

    /// A GET of an admin.
    pub async fn admin_get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path).bearer_auth(self.admin_token())).await
    }

    pub fn customer_token(&self, customer: &str) -> String {
        self.signer.customer(customer).unwrap()
    }

    pub fn admin_token(&self) -> String {
        self.signer.admin("boss").unwrap()
    }

    /// A new payment of so many cents, for the customer ann; its id.
    pub async fn create(&self, cents: i64) -> String {
        let (status, payment) = self.post("/payments", new_payment(cents)).await;
        assert_eq!(status, 201, "{payment}");
        payment["id"].as_str().unwrap().to_owned()
    }

    pub async fn confirm(&self, id: &str, method: &str) -> (u16, Value) {
        self.post(&format!("/payments/{id}/confirm"), json!({ "payment_method": method })).await
    }

    /// A payment that is authorized.
    pub async fn authorized(&self, cents: i64) -> String {
        let id = self.create(cents).await;
        let (status, payment) = self.confirm(&id, "pm_card_visa").await;
        assert_eq!((status, &payment["status"]), (200, &json!("requires_capture")));
        id
    }

    /// A payment that is captured.
    pub async fn captured(&self, cents: i64) -> String {
        let id = self.authorized(cents).await;
        let (status, payment) = self.post(&format!("/payments/{id}/capture"), json!({})).await;
        assert_eq!((status, &payment["status"]), (200, &json!("succeeded")));
        id
    }

    pub async fn status(&self, id: &str) -> String {
        let (_, payment) = self.get(&format!("/payments/{id}")).await;
        payment["status"].as_str().unwrap_or_default().to_owned()
    }

    /// The ledger as (entry, cents).
    pub async fn ledger(&self, id: &str) -> Vec<(String, i64)> {
        let path = format!("/api/payments/{id}/ledger");
        let (status, body) = answer(self.request(Method::GET, &path).bearer_auth(self.admin_token())).await;
        assert_eq!(status, 200, "{body}");
        let line = |line: &Value| {
            (line["entry"].as_str().unwrap().to_owned(), line["amount"]["amount"].as_i64().unwrap())
        };
        body["items"].as_array().unwrap().iter().map(line).collect()
    }

    pub async fn check_books(&self) {
        check_books(&self.db).await;
    }
}

/// How many charges the test provider made for a payment.
pub async fn charges(db: &Db, id: &str) -> i64 {
    sqlx::query_scalar("SELECT CAST(COUNT(*) AS BIGINT) FROM test_provider_charges WHERE payment_id = $1")
        .bind(id)
        .fetch_one(db.pool())
        .await
        .unwrap()
}

/// Payments, ledger and the test provider's own books agree.
pub async fn check_books(db: &Db) {
    for (column, entry) in [("authorized", "authorized"), ("captured", "captured"), ("refunded", "refunded")]
    {
        let sql = format!(
            "SELECT id, {column} FROM payments WHERE {column} <>
                 (SELECT COALESCE(SUM(ledger.amount), 0) FROM ledger WHERE payment_id = payments.id AND entry = '{entry}')"
        );
        let off: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(sql)).fetch_all(db.pool()).await.unwrap();
        assert!(off.is_empty(), "the ledger's {entry} differs (payment, amount): {off:?}");
    }
    let off: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT payments.id, payments.captured, payments.refunded FROM payments
         JOIN test_provider_charges AS charge ON charge.payment_id = payments.id
         WHERE payments.refunding = 0 AND payments.status <> 'processing'
           AND (charge.captured <> payments.captured OR charge.refunded <> payments.refunded)",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert!(off.is_empty(), "the provider's books differ (payment, captured, refunded): {off:?}");
    let twice: Vec<(String,)> = sqlx::query_as(
        "SELECT payment_id FROM test_provider_charges GROUP BY payment_id HAVING COUNT(*) > 1",
    )
    .fetch_all(db.pool())
    .await
    .unwrap();
    assert!(twice.is_empty(), "charged more than once: {twice:?}");
}

pub fn new_payment(cents: i64) -> Value {
    json!({ "amount": eur(cents), "customer_id": "ann", "reference": "order-1", "capture_method": "manual" })
}

pub fn eur(cents: i64) -> Value {
    json!({ "amount": cents, "currency": "EUR" })
}

/// Sends it; the status and the body as JSON (null without one).
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Runs so many of them at once, and gives all answers.
pub async fn at_once<F, W>(count: usize, work: F) -> Vec<(u16, Value)>
where
    F: Fn(usize) -> W,
    W: Future<Output = (u16, Value)> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..count {
        tasks.spawn(work(n));
    }
    tasks.join_all().await
}

pub fn count(answers: &[(u16, Value)], status: u16) -> usize {
    answers.iter().filter(|(got, _)| *got == status).count()
}

/// Asks until it holds, for at most twenty seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within twenty seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
