//! Idempotency keys through real HTTP: one effect, one answer, whatever happens in between.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use common::{Database, databases};
use http::StatusCode;
use serde_json::{Value, json};
use service_kit::auth::Caller;
use service_kit::db::{Db, Tx};
use service_kit::extract::{Json, Path};
use service_kit::idempotency::{Begun, Idempotency, Once, Reply};
use service_kit::problem::Problem;
use service_kit::start::App;
use service_kit::testing::Running;
use tokio::sync::Semaphore;

#[derive(Clone)]
struct Shop {
    db: Db,
    gate: Arc<Semaphore>,
}

/// Adds to a counter; refuses negative amounts after having added, to prove that a refusal undoes it.
async fn add(
    State(shop): State<Shop>,
    Caller(caller): Caller,
    key: Idempotency,
    Path(id): Path<String>,
    Json(body): Json<Value>,
) -> Result<Reply, Problem> {
    let amount = body["amount"].as_i64().unwrap_or(0);
    let mut first = match key.once(&shop.db, &caller, &body).await? {
        Once::Replay(reply) => return Ok(reply),
        Once::First(first) => first,
    };
    let outcome = add_in(first.tx(), &id, amount).await;
    first.settle(outcome).await
}

async fn add_in(tx: &mut Tx, id: &str, amount: i64) -> Result<Reply, Problem> {
    sqlx::query("INSERT INTO counters (id, total) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET total = counters.total + excluded.total")
        .bind(id)
        .bind(amount)
        .execute(&mut **tx)
        .await?;
    match amount {
        13 => Err(Problem::unavailable("luck")),
        ..0 => Err(Problem::conflict("negative", "Not less than nothing.")),
        _ => Reply::created(&json!({ "added": amount })),
    }
}

/// The same over two transactions, with a gate in between.
async fn slow_add(
    State(shop): State<Shop>,
    Caller(caller): Caller,
    key: Idempotency,
    Json(body): Json<Value>,
) -> Result<Reply, Problem> {
    let claim = match key.begin(&shop.db, &caller, &body).await? {
        Begun::Replay(reply) => return Ok(reply),
        Begun::Claimed(claim) => claim,
    };
    let pass = shop.gate.acquire().await.map_err(Problem::internal)?;
    pass.forget();
    if body["refuse"] == true {
        return claim.finish_alone(Err(Problem::conflict("refused", "No."))).await;
    }
    if body["fail"] == true {
        return claim.finish_alone(Err(Problem::unavailable("luck"))).await;
    }
    let mut tx = shop.db.begin_write().await?;
    sqlx::query("INSERT INTO counters (id, total) VALUES ('slow', 1) ON CONFLICT (id) DO UPDATE SET total = counters.total + 1")
        .execute(&mut *tx)
        .await?;
    let reply = Reply::created(&json!({ "taken_over": claim.taken_over() }))?;
    claim.finish(&mut tx, &reply).await?;
    tx.commit().await?;
    Ok(reply)
}

struct Fixture {
    running: Running,
    shop: Shop,
    client: reqwest::Client,
    _database: Database,
}

impl Fixture {
    async fn start(database: Database) -> Self {
        let db = database.open().await;
        let shop = Shop { db: db.clone(), gate: Arc::new(Semaphore::new(0)) };
        let routes = Router::new().route("/counters/{id}/add", post(add)).route("/slow", post(slow_add));
        let app = App::new(db, routes.with_state(shop.clone())).prune_idempotency_keys();
        let running = Running::start(app).await.unwrap();
        Self { running, shop, client: reqwest::Client::new(), _database: database }
    }

    async fn post(&self, path: &str, key: Option<&str>, body: Value) -> (StatusCode, Value, bool) {
        let mut request =
            self.client.post(self.running.url(path)).json(&body).header("x-isles-caller", "orders");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let response = request.send().await.unwrap();
        if response.status() == StatusCode::CONFLICT {
            let in_flight = response.headers().contains_key("retry-after");
            let (status, body): (_, Value) = (response.status(), response.json().await.unwrap());
            assert_eq!(in_flight, body["code"] == "request_in_flight");
            return (status, body, false);
        }
        let replayed = response.headers().contains_key("idempotency-replayed");
        (response.status(), response.json().await.unwrap(), replayed)
    }

    async fn total(&self, id: &str) -> i64 {
        let row: Option<(i64,)> = sqlx::query_as("SELECT total FROM counters WHERE id = $1")
            .bind(id)
            .fetch_optional(self.shop.db.pool())
            .await
            .unwrap();
        row.map_or(0, |(total,)| total)
    }
}

#[tokio::test]
async fn one_effect_and_one_answer() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        let (status, body, _) = shop.post("/counters/a/add", None, json!({ "amount": 1 })).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (400, Some("missing_idempotency_key")));
        let first = shop.post("/counters/a/add", Some("k1"), json!({ "amount": 5, "note": "x" })).await;
        assert_eq!((first.0.as_u16(), first.2), (201, false));
        let again = shop.post("/counters/a/add", Some("k1"), json!({ "note": "x", "amount": 5 })).await;
        assert_eq!((again.0, &again.1, again.2), (first.0, &first.1, true));
        for (path, amount) in [("/counters/a/add", 6), ("/counters/b/add", 5)] {
            let (status, body, _) = shop.post(path, Some("k1"), json!({ "amount": amount })).await;
            assert_eq!((status.as_u16(), body["code"].as_str()), (422, Some("idempotency_key_reused")));
        }
        assert_eq!((shop.total("a").await, shop.total("b").await), (5, 0));
    }
}

#[tokio::test]
async fn a_refusal_is_stored_and_its_effect_undone_but_a_failure_is_not_stored() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        for _ in 0..2 {
            let (status, body, _) = shop.post("/counters/a/add", Some("k1"), json!({ "amount": -5 })).await;
            assert_eq!((status.as_u16(), body["code"].as_str()), (409, Some("negative")));
            let (status, ..) = shop.post("/counters/a/add", Some("k2"), json!({ "amount": 13 })).await;
            assert_eq!(status.as_u16(), 503);
        }
        assert_eq!(shop.total("a").await, 0);
        let kept: (i64,) = sqlx::query_as("SELECT COUNT(*) FROM idempotency_keys")
            .fetch_one(shop.shop.db.pool())
            .await
            .unwrap();
        assert_eq!(kept.0, 1);
    }
}

#[tokio::test]
async fn many_at_once_have_one_effect() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        let requests = (0..20).map(|_| shop.post("/counters/a/add", Some("k"), json!({ "amount": 1 })));
        let answers = futures_util::future::join_all(requests).await;
        assert!(
            answers.iter().all(|(status, body, _)| status.as_u16() == 201 && body["added"] == 1),
            "{answers:?}"
        );
        assert_eq!(shop.total("a").await, 1);
    }
}

#[tokio::test]
async fn a_claim_holds_off_repeats_until_it_is_finished() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        // Whichever of the two comes second is held off, and lets the other through.
        let one = async || {
            let (status, body, _) = shop.post("/slow", Some("k"), json!({})).await;
            if status == StatusCode::CONFLICT {
                assert_eq!(body["code"], "request_in_flight");
                shop.shop.gate.add_permits(1);
            }
            status
        };
        let both = async { tokio::join!(one(), one()) };
        let (a, b) = tokio::time::timeout(Duration::from_secs(30), both).await.unwrap();
        assert_eq!(a.min(b), StatusCode::CREATED);
        assert_eq!(a.max(b), StatusCode::CONFLICT);
        let done = common::eventually(async || {
            let (status, _, replayed) = shop.post("/slow", Some("k"), json!({})).await;
            (status == StatusCode::CREATED).then_some(replayed)
        })
        .await;
        assert!(done, "the later one must be a replay");
        assert_eq!(shop.total("slow").await, 1);
    }
}

#[tokio::test]
async fn a_failed_claim_is_free_at_once_and_a_refused_one_is_stored() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        shop.shop.gate.add_permits(10);
        let (status, ..) = shop.post("/slow", Some("f"), json!({ "fail": true })).await;
        assert_eq!(status.as_u16(), 503);
        let (status, ..) = shop.post("/slow", Some("f"), json!({ "fail": true })).await;
        assert_eq!(status.as_u16(), 503, "not held off by the failed claim");
        for _ in 0..2 {
            let (status, body, _) = shop.post("/slow", Some("r"), json!({ "refuse": true })).await;
            assert_eq!((status.as_u16(), body["code"].as_str()), (409, Some("refused")));
        }
        assert_eq!(shop.shop.gate.available_permits(), 10 - 3);
    }
}

#[tokio::test]
async fn a_dead_process_claim_is_taken_over_after_its_lease() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        shop.shop.gate.add_permits(10);
        // What a process leaves behind that was killed after its claim: the row, and nobody who renews it.
        let leave = "INSERT INTO idempotency_keys (caller, route, key, fingerprint, state, owner, lease_until, status, body, created_at) \
                     SELECT caller, route, $1, fingerprint, 'in_flight', 'dead', $2, 0, '', created_at FROM idempotency_keys WHERE key = 'k'";
        let (status, ..) = shop.post("/slow", Some("k"), json!({})).await;
        assert_eq!(status.as_u16(), 201);
        let now = service_kit::clock::now_ms();
        for (key, lease) in [("running", now + 60_000), ("dead", now - 1)] {
            sqlx::query(leave).bind(key).bind(lease).execute(shop.shop.db.pool()).await.unwrap();
        }
        let (status, body, _) = shop.post("/slow", Some("running"), json!({})).await;
        assert_eq!((status.as_u16(), body["code"].as_str()), (409, Some("request_in_flight")));
        let answers =
            futures_util::future::join_all((0..5).map(|_| shop.post("/slow", Some("dead"), json!({})))).await;
        let won = answers
            .iter()
            .filter(|(status, body, replay)| status.as_u16() == 201 && body["taken_over"] == true && !replay);
        assert_eq!(won.count(), 1, "{answers:?}");
        assert_eq!(shop.total("slow").await, 2);
    }
}

#[tokio::test]
async fn old_keys_are_forgotten() {
    for database in databases().await {
        let shop = Fixture::start(database).await;
        shop.post("/counters/a/add", Some("k"), json!({ "amount": 1 })).await;
        let aged = "UPDATE idempotency_keys SET created_at = created_at - 86400000";
        sqlx::query(aged).execute(shop.shop.db.pool()).await.unwrap();
        let (status, _, replayed) = shop.post("/counters/a/add", Some("k"), json!({ "amount": 2 })).await;
        assert_eq!((status.as_u16(), replayed), (201, false), "a key older than a day is a new one");
        sqlx::query(aged).execute(shop.shop.db.pool()).await.unwrap();
        assert_eq!(service_kit::idempotency::prune(&shop.shop.db).await.unwrap(), 1);
    }
}
