//! The real service on a port of its own, over SQLite always and PostgreSQL when `TEST_POSTGRES_URL` says where.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use service_kit::clock::new_id;
use service_kit::db::Db;
use service_kit::testing::{Running, Signer};
use shop_inventory::app::{MIGRATIONS, Settings, assemble};
use shop_inventory::domain::Line;
use sqlx::AssertSqlSafe;

/// A database that no other test uses.
pub struct Database {
    url: String,
    _folder: Option<tempfile::TempDir>,
}

impl Database {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/inventory.db", folder.path().display());
        Self { url, _folder: Some(folder) }
    }

    async fn postgres(server: &str) -> Self {
        let admin = Db::open(server, &[]).await.unwrap();
        let name = format!("inventory_{}", new_id().replace('-', ""));
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

/// Times that suit tests: holds last a minute unless said otherwise, and the sweeper is quick.
pub fn settings() -> Settings {
    Settings { hold: Duration::from_secs(60), sweep_every: Duration::from_millis(20) }
}

impl Service {
    /// Starts it with so many units of each SKU on the shelf.
    pub async fn start(database: &Database, stock: &[(&str, i64)]) -> Self {
        Self::start_with(database, stock, settings()).await
    }

    pub async fn start_with(database: &Database, stock: &[(&str, i64)], settings: Settings) -> Self {
        let db = database.open().await;
        let signer = Signer::new().unwrap();
        let lines: Vec<Line> = stock
            .iter()
            .map(|(sku, quantity)| Line { sku: (*sku).to_owned(), quantity: *quantity })
            .collect();
        let app = assemble(db.clone(), signer.auth(), settings, &lines).await.unwrap();
        let running = Running::start(app).await.unwrap();
        Self { db, running, signer, client: Client::new() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.running.url(path))
    }

    /// A POST of the service orders, with a key of its own.
    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.post_with_key(path, &new_id(), body).await
    }

    pub async fn post_with_key(&self, path: &str, key: &str, body: Value) -> (u16, Value) {
        let request = self.request(Method::POST, path).header("x-isles-caller", "isles-sagas");
        answer(request.header("idempotency-key", key).json(&body)).await
    }

    /// A GET of anyone.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub fn admin_token(&self) -> String {
        self.signer.admin("boss").unwrap()
    }

    pub fn customer_token(&self) -> String {
        self.signer.customer("ann").unwrap()
    }

    pub async fn admin_get(&self, path: &str) -> (u16, Value) {
        answer(self.request(Method::GET, path).bearer_auth(self.admin_token())).await
    }

    pub async fn adjust(&self, sku: &str, delta: i64) -> (u16, Value) {
        let body = json!({ "sku": sku, "delta": delta, "reason": "counted" });
        let request =
            self.request(Method::POST, "/api/inventory/adjustments").bearer_auth(self.admin_token());
        answer(request.header("idempotency-key", new_id()).json(&body)).await
    }

    pub async fn reserve(&self, key: &str, lines: &[(&str, i64)]) -> (u16, Value) {
        self.post("/reservations", reserve_body(key, lines)).await
    }

    /// `(on_hand, reserved)` of a SKU.
    pub async fn stock(&self, sku: &str) -> (i64, i64) {
        let (status, body) = self.get(&format!("/api/inventory/stock/{sku}")).await;
        assert_eq!(status, 200, "{body}");
        (body["on_hand"].as_i64().unwrap(), body["reserved"].as_i64().unwrap())
    }

    /// The whole ledger agrees with the shelf, and what is reserved with what is held.
    pub async fn check_books(&self) {
        let off: Vec<(String, i64, i64)> = sqlx::query_as(
            "SELECT sku, on_hand, CAST((SELECT COALESCE(SUM(delta), 0) FROM movements WHERE movements.sku = stock.sku) AS BIGINT)
             FROM stock WHERE on_hand <> (SELECT COALESCE(SUM(delta), 0) FROM movements WHERE movements.sku = stock.sku)",
        )
        .fetch_all(self.db.pool())
        .await
        .unwrap();
        assert!(off.is_empty(), "ledger and shelf differ (sku, on hand, ledger): {off:?}");
        let off: Vec<(String, i64)> = sqlx::query_as(
            "SELECT sku, reserved FROM stock WHERE reserved <>
                 (SELECT COALESCE(SUM(quantity), 0) FROM reservation_lines JOIN reservations ON key = reservation_key
                  WHERE status = 'held' AND reservation_lines.sku = stock.sku)",
        )
        .fetch_all(self.db.pool())
        .await
        .unwrap();
        assert!(off.is_empty(), "reserved differs from what is held (sku, reserved): {off:?}");
    }
}

pub fn reserve_body(key: &str, lines: &[(&str, i64)]) -> Value {
    let lines: Vec<_> =
        lines.iter().map(|(sku, quantity)| json!({ "sku": sku, "quantity": quantity })).collect();
    json!({ "key": key, "lines": lines })
}

/// Sends it; the status and the body as JSON (null without one).
pub async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

/// Asks until it holds, for at most ten seconds.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
