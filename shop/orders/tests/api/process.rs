//! The service as a process, and people who use it.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use service_kit::clock::new_id;
use service_kit::db::Db;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::world::World;
use testkit::Sagas;

/// How long a test waits for a state before it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The service, its world and its database.
pub struct Shop {
    /// What it calls.
    pub world: World,
    sagas: Sagas,
    base: String,
    process: Child,
    home: TempDir,
    database: String,
    /// What it finds in its environment besides.
    pub settings: Vec<(&'static str, String)>,
    http: reqwest::Client,
    log: Log,
}

/// What the processes have logged so far.
type Log = Arc<Mutex<String>>;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its JSON.
    pub body: Value,
    /// Its headers.
    pub headers: reqwest::header::HeaderMap,
}

impl Reply {
    /// The problem's code.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The `id` in the body.
    pub fn id(&self) -> String {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id: {self:?}")).to_owned()
    }
}

/// Somebody who asks.
#[derive(Debug, Clone, Default)]
pub struct Person {
    token: Option<String>,
}

impl Shop {
    /// A shop with a short patience, so that tests are quick.
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// The same with other settings on top.
    pub async fn open_with(settings: &[(&'static str, &str)]) -> Self {
        Self::open_by(settings, str::to_owned).await
    }

    /// The same with sagas that a test changes: their definitions go through `edit`.
    pub async fn open_by(settings: &[(&'static str, &str)], edit: impl Fn(&str) -> String) -> Self {
        let world = World::start().await;
        let home = TempDir::new().unwrap();
        let settings = settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let database = database(&home).await;
        let (sagas, log) = (sagas(&world, edit).await, Log::default());
        let mut shop = Self {
            base: String::new(),
            process: Command::new("true").kill_on_drop(true).spawn().unwrap(),
            http: reqwest::Client::new(),
            world,
            sagas,
            home,
            database,
            settings,
            log,
        };
        shop.restart().await;
        shop
    }

    /// What has been logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Kills the process as a crash would.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Starts the process again on the same database.
    pub async fn restart(&mut self) {
        (self.process, self.base) = self.replica().await;
        self.sagas.point("orders", &self.base);
    }

    /// Starts a second replica on the same database.
    pub async fn replica(&self) -> (Child, String) {
        start(&self.world, &self.sagas, &self.home, &self.database, &self.settings, &self.log).await
    }

    /// A guest.
    pub fn guest(&self) -> Person {
        Person::default()
    }

    /// A signed-in customer.
    pub fn customer(&self, id: &str) -> Person {
        Person { token: Some(self.world.signer.customer(id).unwrap()) }
    }

    /// A signed-in admin.
    pub fn admin(&self) -> Person {
        Person { token: Some(self.world.signer.admin("boss").unwrap()) }
    }

    /// Sends a request; a broken connection is `None`.
    pub async fn try_send(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Option<Reply> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &person.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await.ok()?;
        Some(Reply { status, headers, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// Sends a request that must be answered.
    pub async fn send(
        &self,
        person: &Person,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Reply {
        self.try_send(person, method, path, headers, body).await.expect("an answer")
    }

    /// Reads a path.
    pub async fn get(&self, person: &Person, path: &str) -> Reply {
        self.send(person, Method::GET, path, &[], None).await
    }

    /// Posts with an Idempotency-Key.
    pub async fn post(&self, person: &Person, path: &str, key: &str, body: Value) -> Reply {
        self.send(person, Method::POST, path, &[("idempotency-key", key)], Some(body)).await
    }

    /// A new cart of this person with these lines.
    pub async fn cart(&self, person: &Person, lines: &[(&str, i64)]) -> String {
        let cart = self.send(person, Method::POST, "/api/orders/carts", &[], Some(json!({}))).await;
        assert!(matches!(cart.status, 200 | 201), "{cart:?}");
        let id = cart.id();
        for (sku, quantity) in lines {
            let reply = self.set_line(person, &id, sku, *quantity).await;
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        id
    }

    /// Sets a line.
    pub async fn set_line(&self, person: &Person, cart: &str, sku: &str, quantity: i64) -> Reply {
        let path = format!("/api/orders/carts/{cart}/lines/{sku}");
        self.send(person, Method::PUT, &path, &[], Some(json!({"quantity": quantity}))).await
    }

    /// Checks a cart out.
    pub async fn checkout(&self, person: &Person, cart: &str, method: &str, key: &str) -> Reply {
        let body = json!({"cart_id": cart, "payment_method": method});
        self.post(person, "/api/orders/checkout", key, body).await
    }

    /// The order, once its work is done.
    pub async fn settled(&self, person: &Person, order: &str) -> Value {
        let path = format!("/api/orders/{order}");
        let until = Instant::now() + PATIENCE;
        loop {
            let reply = self.try_send(person, Method::GET, &path, &[], None).await;
            if let Some(reply) = reply.filter(|reply| reply.body["settled"] == true) {
                return reply.body;
            }
            assert!(Instant::now() < until, "order {order} is not settled in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The customer's only order, once its work is done.
    pub async fn only_order(&self, person: &Person) -> Value {
        let list = self.get(person, "/api/orders").await;
        let items = list.body["items"].as_array().unwrap();
        assert_eq!(items.len(), 1, "{items:?}");
        self.settled(person, items[0]["id"].as_str().unwrap()).await
    }

    /// Waits until the world's books say so.
    pub async fn until(&self, what: &str, holds: impl Fn(&World) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(&self.world) {
            assert!(Instant::now() < until, "not in time: {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A database that no other test uses: an SQLite file, or one on the PostgreSQL server at `TEST_POSTGRES_URL` if that is set.
async fn database(home: &TempDir) -> String {
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else {
        return format!("sqlite://{}/orders.db", home.path().display());
    };
    let admin = Db::open(&server, &[]).await.unwrap();
    let name = format!("orders_{}", new_id().replace('-', ""));
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(admin.pool()).await.unwrap();
    let (base, _) = server.rsplit_once('/').unwrap();
    format!("{base}/{name}")
}

/// The shop's sagas, with the world in the place of inventory and payments.
async fn sagas(world: &World, edit: impl Fn(&str) -> String) -> Sagas {
    let shop = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contracts =
        ["orders", "inventory", "payments"].map(|service| (service, shop.join(service).join("openapi.yaml")));
    let sagas = Sagas::start(&shop.join("sagas"), &contracts, edit).await;
    sagas.point("inventory", &world.url);
    sagas.point("payments", &world.url);
    sagas
}

/// Starts the process and waits until it says where it listens.
async fn start(
    world: &World,
    sagas: &Sagas,
    home: &TempDir,
    database: &str,
    settings: &[(&'static str, String)],
    log: &Log,
) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shop-orders"));
    command.env_clear().env("PORT", "0").env("DATABASE_URL", database).env("ISLES_DATA", home.path());
    command.env("SAGAS_URL", &sagas.url);
    for callee in ["ACCOUNTS", "CATALOG", "RECOMMENDATIONS"] {
        command.env(format!("{callee}_URL"), &world.url);
    }
    command.envs(settings.iter().map(|(name, value)| (name, value)));
    let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"] == "listening" {
                return format!("http://{}", entry["addr"].as_str().unwrap());
            }
        }
        panic!("the service ended before it listened");
    };
    let base = tokio::time::timeout(PATIENCE, listening).await.expect("the service listens in time");
    // Its output must be read on, or it would block on a full pipe.
    let log = log.clone();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            log.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    (process, base)
}
