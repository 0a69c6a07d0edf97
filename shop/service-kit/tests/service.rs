//! A served app seen from outside: health, problems, limits, identity, and an end that loses nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use common::Database;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use service_kit::auth::{Admin, Caller, Customer, MaybeCustomer, Role, internal};
use service_kit::extract::{Json, Path, Query};
use service_kit::page::Limit;
use service_kit::start::App;
use service_kit::testing::{Running, Signer};
use tokio::sync::Notify;

#[derive(Clone, Default)]
struct Gate {
    entered: Arc<Notify>,
    open: Arc<Notify>,
    finished: Arc<Notify>,
}

#[derive(serde::Deserialize)]
struct List {
    limit: Option<Limit>,
}

async fn gated(State(gate): State<Gate>) -> &'static str {
    gate.entered.notify_one();
    gate.open.notified().await;
    gate.finished.notify_one();
    "done"
}

fn routes(gate: Gate) -> Router {
    let inside = Router::new().route("/inside", get(|Caller(caller): Caller| async move { caller }));
    Router::new()
        .route("/me", get(|customer: Customer| async move { customer.id }))
        .route(
            "/maybe",
            get(|MaybeCustomer(customer): MaybeCustomer| async move {
                customer.map(|c| c.id).unwrap_or_default()
            }),
        )
        .route("/admin", get(|Admin(customer): Admin| async move { customer.id }))
        .route("/echo", post(|Json(body): Json<Value>| async move { axum::Json(body) }))
        .route(
            "/list",
            get(|Query(list): Query<List>| async move { list.limit.unwrap_or_default().get().to_string() }),
        )
        .route("/things/{id}", get(|Path(id): Path<String>| async move { id }))
        .route(
            "/panic",
            get(|| async {
                if true {
                    panic!("as asked")
                }
            }),
        )
        .route("/gated", get(gated))
        .merge(internal(&["orders"], inside))
        .with_state(gate)
}

struct Fixture {
    running: Running,
    client: Client,
    signer: Signer,
    gate: Gate,
    _database: Database,
}

impl Fixture {
    async fn start() -> Self {
        let database = Database::sqlite();
        let (signer, gate) = (Signer::new().unwrap(), Gate::default());
        let app = App::new(database.open().await, routes(gate.clone())).auth(signer.auth());
        let running = Running::start(app).await.unwrap();
        Self { running, client: Client::new(), signer, gate, _database: database }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        let request = self.client.get(self.running.url(path));
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value))
            .send()
            .await
            .unwrap()
    }

    async fn get_as(&self, path: &str, token: &str) -> u16 {
        self.get(path, &[("authorization", &format!("Bearer {token}"))]).await.status().as_u16()
    }
}

async fn assert_problem(response: Response, status: u16, code: &str) -> Value {
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.status().as_u16(), status);
    let body: Value = response.json().await.unwrap();
    assert_eq!((body["status"].as_u64(), body["code"].as_str()), (Some(status.into()), Some(code)));
    assert!(body["title"].is_string() && body["detail"].is_string() && body["type"].is_string());
    body
}

#[tokio::test]
async fn every_wrong_request_is_a_problem() {
    let shop = Fixture::start().await;
    let body = assert_problem(shop.get("/nowhere?x=1", &[]).await, 404, "not_found").await;
    assert_eq!(body["instance"], "/nowhere");
    let response = shop.get("/echo", &[]).await;
    assert_eq!(response.headers()["allow"], "POST");
    assert_problem(response, 405, "method_not_allowed").await;
    assert_problem(shop.get("/list?limit=x", &[]).await, 422, "validation_failed").await;
    assert_problem(shop.get("/list?limit=1&limit=2", &[]).await, 422, "validation_failed").await;
    assert_problem(shop.get("/things/a%00b", &[]).await, 404, "not_found").await;
    assert_problem(shop.get("/things/%ff", &[]).await, 404, "not_found").await;
    assert_problem(shop.get("/panic", &[]).await, 500, "internal_error").await;
    assert_eq!(shop.get("/list?limit=9999999999999999999999", &[]).await.text().await.unwrap(), "100");
}

#[tokio::test]
async fn bodies_are_checked() {
    let shop = Fixture::start().await;
    let post = |body: Vec<u8>, media: &'static str| {
        shop.client.post(shop.running.url("/echo")).header("content-type", media).body(body).send()
    };
    assert_problem(post(b"{".to_vec(), "application/json").await.unwrap(), 400, "malformed_body").await;
    assert_problem(post(b"\xff\xfe".to_vec(), "application/json").await.unwrap(), 400, "malformed_body")
        .await;
    assert_problem(post(b"{}".to_vec(), "text/plain").await.unwrap(), 415, "unsupported_media_type").await;
    let large = format!("\"{}\"", "x".repeat(300 * 1024)).into_bytes();
    assert_problem(post(large, "application/json").await.unwrap(), 413, "body_too_large").await;
    let unicode = json!({ "name": "Ωmega 🍎 \u{202e}" });
    let answer = post(unicode.to_string().into_bytes(), "application/json; charset=utf-8").await.unwrap();
    assert_eq!(answer.json::<Value>().await.unwrap(), unicode);
}

#[tokio::test]
async fn knows_who_asks() {
    let shop = Fixture::start().await;
    let (customer, admin) = (shop.signer.customer("c1").unwrap(), shop.signer.admin("a1").unwrap());
    assert_eq!(shop.get_as("/me", &customer).await, 200);
    assert_eq!(shop.get_as("/maybe", &customer).await, 200);
    assert_eq!(shop.get_as("/admin", &admin).await, 200);
    assert_problem(shop.get("/me", &[]).await, 401, "unauthenticated").await;
    assert_problem(shop.get("/admin", &[]).await, 401, "unauthenticated").await;
    assert_eq!(shop.get_as("/admin", &customer).await, 403);
    assert_eq!(shop.get("/maybe", &[]).await.status().as_u16(), 200);
    for path in ["/me", "/maybe", "/admin"] {
        assert_eq!(shop.get_as(path, "garbage").await, 401);
        assert_problem(shop.get(path, &[("authorization", "Basic eDp5")]).await, 401, "unauthenticated")
            .await;
    }
}

#[tokio::test]
async fn refuses_every_token_that_is_not_ours() {
    let shop = Fixture::start().await;
    let good = shop.signer.claims("c1", Role::Admin);
    let mut bad = Vec::new();
    for alter in [
        (|c| c.exp -= 2000) as fn(&mut service_kit::auth::Claims),
        |c| c.iss = "someone".into(),
        |c| c.aud = "other".into(),
    ] {
        let mut claims = good.clone();
        alter(&mut claims);
        bad.push(shop.signer.sign(&claims).unwrap());
    }
    bad.push(Signer::new().unwrap().sign(&good).unwrap());
    let signed = shop.signer.sign(&good).unwrap();
    let (head, rest) = signed.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    bad.push(format!("{head}.{payload}."));
    bad.push(format!("{head}.{payload}x.{signature}"));
    bad.push(format!("eyJhbGciOiJub25lIn0.{payload}."));
    bad.push(format!("eyJhbGciOiJIUzI1NiIsImtpZCI6IngifQ.{payload}.{signature}"));
    for token in bad {
        assert_eq!(shop.get_as("/admin", &token).await, 401, "{token}");
    }
    assert_eq!(shop.get_as("/admin", &signed).await, 200);
}

#[tokio::test]
async fn internal_routes_are_for_named_callers_only() {
    let shop = Fixture::start().await;
    assert_eq!(shop.get("/inside", &[("x-isles-caller", "orders")]).await.text().await.unwrap(), "orders");
    for headers in [
        &[][..],
        &[("x-isles-caller", "gateway")],
        &[("x-isles-caller", "Orders")],
        &[("x-isles-caller", "")],
    ] {
        assert_problem(shop.get("/inside", headers).await, 403, "caller_not_allowed").await;
    }
}

#[tokio::test]
async fn tells_its_health_and_echoes_the_request_id() {
    let shop = Fixture::start().await;
    assert_eq!(shop.get("/health/live", &[]).await.status().as_u16(), 200);
    let ready = shop.get("/health/ready", &[("x-request-id", "r-1")]).await;
    assert_eq!((ready.status().as_u16(), ready.headers()["x-request-id"].to_str().unwrap()), (200, "r-1"));
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight() {
    let shop = Fixture::start().await;
    let request = tokio::spawn(shop.client.get(shop.running.url("/gated")).send());
    shop.gate.entered.notified().await;
    let addr = shop.running.addr();
    let stopping = tokio::spawn(shop.running.stop());
    common::eventually(async || tokio::net::TcpStream::connect(addr).await.err()).await;
    assert!(!stopping.is_finished());
    shop.gate.open.notify_one();
    assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_client_that_goes_away_cannot_stop_what_it_began() {
    let shop = Fixture::start().await;
    let request = tokio::spawn(shop.client.get(shop.running.url("/gated")).send());
    shop.gate.entered.notified().await;
    request.abort();
    assert!(request.await.is_err());
    drop(shop.client);
    let stopping = tokio::spawn(shop.running.stop());
    shop.gate.open.notify_one();
    shop.gate.finished.notified().await;
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_handler_that_forgot_auth_is_our_fault() {
    let database = Database::sqlite();
    let app = App::new(database.open().await, routes(Gate::default()));
    let running = Running::start(app).await.unwrap();
    let response =
        Client::new().get(running.url("/me")).header("authorization", "Bearer x").send().await.unwrap();
    assert_problem(response, 500, "internal_error").await;
}

#[tokio::test]
async fn lists_what_it_serves() {
    let served = service_kit::testing::served_operations(routes(Gate::default())).await;
    for operation in ["GET /me", "POST /echo", "GET /things/{id}", "GET /inside"] {
        assert!(served.contains(operation), "{operation} is not in {served:?}");
    }
    assert_eq!(served.len(), 9);
    let contract =
        json!({ "paths": { "/things/{id}": { "get": { "operationId": "getThing" }, "parameters": [] } } });
    let documented = service_kit::testing::documented_operations(&contract);
    assert_eq!(documented.into_iter().collect::<Vec<_>>(), ["GET /things/{id}"]);
}
