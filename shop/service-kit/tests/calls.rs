//! Calls between services, and access tokens while accounts comes and goes.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use common::{Database, eventually};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use service_kit::auth::{Auth, Customer};
use service_kit::config::Config;
use service_kit::http::{CallError, Callee, encode};
use service_kit::problem::Problem;
use service_kit::start::App;
use service_kit::testing::{Running, Signer};

async fn serve(routes: Router) -> (Running, Database) {
    let database = Database::sqlite();
    let app = App::new(database.open().await, routes);
    (Running::start(app).await.unwrap(), database)
}

fn stock() -> Router {
    let headers = |headers: HeaderMap| async move {
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        axum::Json(
            json!({ "id": text("x-request-id"), "trace": text("traceparent"), "left": text("x-isles-deadline"), "key": text("idempotency-key") }),
        )
    };
    Router::new()
        .route("/headers", post(headers))
        .route(
            "/short",
            post(|| async { Problem::conflict("insufficient_stock", "No.").with("shortages", [1]) }),
        )
        .route("/nothing", get(|| async { Problem::not_found("No.") }))
        .route("/broken", get(|| async { Problem::internal("as asked") }))
        .route("/busy", get(|| async { Problem::unavailable("the database") }))
        .route("/text", get(|| async { (StatusCode::BAD_REQUEST, "plain") }))
        .route("/never", get(|| async { std::future::pending::<()>().await }))
}

#[tokio::test]
async fn headers_go_along_and_time_runs_out() {
    let (callee, _a) = serve(stock()).await;
    let inventory = Callee::new("inventory", callee.url(""));
    let relay = async |State(inventory): State<Callee>| {
        let body = inventory.post("/headers").idempotency_key("k").json(&json!({})).fetch::<Value>().await;
        body.map(axum::Json).map_err(Problem::from)
    };
    let (caller, _b) = serve(Router::new().route("/relay", get(relay)).with_state(inventory)).await;
    let request = reqwest::Client::new()
        .get(caller.url("/relay"))
        .header("x-request-id", "r-7")
        .header("traceparent", "00-aa-bb-01");
    let body: Value = request
        .try_clone()
        .unwrap()
        .header("x-isles-deadline", "900")
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&body["id"], &body["trace"], &body["key"]),
        (&json!("r-7"), &json!("00-aa-bb-01"), &json!("k"))
    );
    let left: u64 = body["left"].as_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&left), "{left}");
    let response = request.header("x-isles-deadline", "0").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.json::<Value>().await.unwrap()["service"], "inventory");
}

#[tokio::test]
async fn every_failure_has_its_meaning() {
    let (callee, _a) = serve(stock()).await;
    let inventory = Callee::new("inventory", callee.url(""));
    let refused = inventory.post("/short").json(&json!({})).send().await.unwrap_err();
    assert!(!refused.may_ask_again());
    assert_eq!(refused.problem().unwrap().code(), "insufficient_stock");
    let passed_on = Problem::from(refused);
    assert_eq!((passed_on.status().as_u16(), passed_on.member("shortages")), (409, Some(&json!([1]))));
    for (path, again, status) in
        [("/nothing", false, 502), ("/text", false, 502), ("/broken", true, 503), ("/busy", true, 503)]
    {
        let error = inventory.get(path).send().await.unwrap_err();
        assert_eq!(error.may_ask_again(), again, "{path}");
        assert_eq!(Problem::from(error).status().as_u16(), status, "{path}");
    }
    assert!(matches!(inventory.get("/busy").send().await, Err(CallError::Unavailable { .. })));
    assert!(matches!(inventory.get("/broken").send().await, Err(CallError::Unknown { .. })));
    let late = inventory.get("/never").timeout(Duration::from_millis(50)).send().await;
    assert!(matches!(late, Err(CallError::Unknown { .. })), "{late:?}");
    let addr = callee.url("");
    drop(callee);
    let gone = eventually(async || match Callee::new("inventory", &addr).get("/text").send().await {
        Err(error @ CallError::Unavailable { .. }) => Some(error),
        _ => None,
    });
    assert_eq!(Problem::from(gone.await).code(), "unavailable");
}

#[test]
fn encodes_what_is_not_plain() {
    assert_eq!(encode("A-1_b.c~"), "A-1_b.c~");
    assert_eq!(encode("a/b c?é%"), "a%2Fb%20c%3F%C3%A9%25");
}

/// A service that checks tokens with the keys published at `accounts`.
async fn shop(accounts: &str, data: &std::path::Path, database: &Database) -> Running {
    let vars = [("PORT", "0"), ("ISLES_DATA", data.to_str().unwrap()), ("ACCOUNTS_URL", accounts)];
    let config = Config::from_vars("orders", vars.map(|(k, v)| (k.to_owned(), v.to_owned()))).unwrap();
    let routes = Router::new().route("/me", get(|customer: Customer| async move { customer.id }));
    let app = App::new(database.open().await, routes).auth(Auth::from_config(&config).unwrap());
    Running::start(app).await.unwrap()
}

async fn me(shop: &Running, token: &str) -> u16 {
    reqwest::Client::new().get(shop.url("/me")).bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn customers_shop_on_while_accounts_is_down_even_across_a_restart() {
    let (signer, other) = (Signer::new().unwrap(), Signer::new().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let (set, count) = (signer.jwks(), Arc::clone(&asked));
    let publish = move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready(axum::Json(set.clone()))
    };
    let (accounts, _a) = serve(Router::new().route(service_kit::jwks::PATH, get(publish))).await;
    let base = accounts.url("");
    let (folder, database) = (tempfile::tempdir().unwrap(), Database::sqlite());
    let shop_1 = shop(&base, folder.path(), &database).await;
    let token = signer.customer("c1").unwrap();
    assert_eq!(me(&shop_1, &token).await, 200);
    let stranger = other.customer("c1").unwrap();
    for _ in 0..20 {
        assert_eq!(me(&shop_1, &stranger).await, 401);
    }
    assert!(asked.load(Ordering::SeqCst) <= 2, "unknown keys do not make a flood of requests");
    accounts.stop().await;
    assert_eq!(me(&shop_1, &token).await, 200);
    shop_1.stop().await;
    let shop_2 = shop(&base, folder.path(), &database).await;
    assert_eq!(me(&shop_2, &token).await, 200, "the keys are remembered on disk");
    let fresh = tempfile::tempdir().unwrap();
    let shop_3 = shop(&base, fresh.path(), &database).await;
    assert_eq!(me(&shop_3, &token).await, 503, "nobody can tell: neither yes nor no");
}
