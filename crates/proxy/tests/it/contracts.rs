//! Real requests and answers held to a contract: on the way where a route asks for it, beside the way everywhere.

use std::net::SocketAddr;

use crate::common::*;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use model::shapes::ShapesFile;
use model::{Operation, Protocol, ReleaseId};
use proxy::link::{Drift, DriftFinding, DriftSide};
use serde_json::{Value, json};

fn shapes() -> Value {
    json!({
        "schemas": {
            "order": {
                "type": "object", "required": ["sku", "quantity"], "additionalProperties": false,
                "properties": { "sku": { "$ref": "#/$defs/sku" }, "quantity": { "type": "integer", "minimum": 1 },
                                "gift": { "type": "boolean" } },
            },
            "sku": { "type": "string", "pattern": "^[A-Z]+-[0-9]+$" },
            "orders": { "type": "array", "items": { "$ref": "#/$defs/order" } },
            "limit": { "type": "integer", "maximum": 100 },
            "tags": { "type": "array", "items": { "$ref": "#/$defs/tag" }, "maxItems": 2 },
            "tag": { "type": "integer" },
        },
        "operations": {
            "POST /orders": {
                "parameters": [],
                "body": { "required": true, "content": { "application/json": "order" } },
                "responses": { "201": { "application/json": "order" } },
            },
            "GET /orders": {
                "parameters": [
                    { "name": "limit", "place": "query", "required": false, "explode": true, "schema": "limit" },
                    { "name": "tags", "place": "query", "required": false, "explode": false, "schema": "tags" },
                    { "name": "X-Tenant", "place": "header", "required": true, "explode": false, "schema": null },
                ],
                "body": null,
                "responses": { "200": { "application/json": "orders" } },
            },
            "GET /orders/{sku}": {
                "parameters": [{ "name": "sku", "place": "path", "required": true, "explode": false, "schema": "sku" }],
                "body": null,
                "responses": { "2XX": { "application/json": "order" } },
            },
        },
    })
}

fn operations() -> Vec<Operation> {
    let names = ["POST /orders", "GET /orders", "GET /orders/{sku}"];
    let operation = |name: &str| {
        let (method, path) = name.split_once(' ').unwrap();
        Operation { method: method.into(), path: path.into(), name: name.into() }
    };
    names.map(operation).to_vec()
}

/// Answers with the request's body, or with what the header `x-say` says.
async fn echo() -> SocketAddr {
    backend(false, |request: Request<Incoming>| async move {
        let said = request.headers().get("x-say").map(|say| say.to_str().unwrap().to_owned());
        let created = request.method() == "POST";
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let status = if created { 201 } else { 200 };
        let body = said.map_or(body, Into::into);
        Response::builder()
            .status(status)
            .header("content-type", "application/json")
            .body(full(body))
            .unwrap()
    })
    .await
}

struct Shop {
    plane: Plane,
    /// Refuses what is not in the contract.
    gate: SocketAddr,
    /// Lets everything through.
    edge: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Shop {
    async fn open(shapes: Option<&Value>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shapes.json");
        if let Some(shapes) = shapes {
            std::fs::write(&path, shapes.to_string()).unwrap();
        }
        let (gate, edge) = (free(), free());
        let route = model::Route { enforce_contract: true, strip: true, ..route("/api", "s") };
        let mut table = Table::new().gateway(gate, vec![route]).edge(edge, "web", "s").upstream(
            "s",
            Protocol::Http,
            &[echo().await],
        );
        let upstream = table.0.upstreams.get_mut("s").unwrap();
        upstream.operations = operations();
        upstream.shapes = Some(ShapesFile { release: ReleaseId("r1".to_owned()), path });
        Self { plane: Plane::with(&table.0).await, gate, edge, _folder: folder }
    }

    async fn drift(&mut self) -> Drift {
        self.plane.client.signals().await.unwrap().drift.swap_remove(0)
    }

    /// What was found once there is something of this operation.
    async fn found(&mut self, operation: &str) -> Vec<DriftFinding> {
        until("something is found", async || {
            let drift = self.drift().await;
            assert_eq!((drift.missed, drift.unreadable, drift.unchecked), (0, None, vec![]));
            let of = drift.operations.into_iter().find(|of| of.operation == operation)?;
            assert!(of.looked_at >= of.faulty && of.more == 0);
            Some(of.findings).filter(|findings| !findings.is_empty())
        })
        .await
    }
}

fn post(target: &str, body: &'static str) -> Request<Body> {
    let mut request = request("POST", target, body);
    request.headers_mut().insert("content-type", "application/json; charset=utf-8".parse().unwrap());
    request
}

fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// Status, code and the faults of a refusal, each as `place pointer: detail`.
async fn refused(address: SocketAddr, request: Request<Body>) -> (u16, String, Vec<String>) {
    let answer = fetch(address, request).await;
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let problem: Value = serde_json::from_str(&text(answer).await).unwrap();
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let line = |e: &Value| {
        let pointer = e["pointer"].as_str().unwrap_or_default();
        format!("{} {pointer}: {}", e["place"].as_str().unwrap(), e["detail"].as_str().unwrap())
    };
    (status, problem["code"].as_str().unwrap().to_owned(), errors.iter().map(line).collect())
}

#[tokio::test]
async fn a_route_lets_nothing_in_but_what_the_contract_says() {
    let shop = Shop::open(Some(&shapes())).await;
    let whole = r#"{"sku":"A-1","quantity":2}"#;
    let answer = fetch(shop.gate, post("/api/orders", whole)).await;
    assert_eq!((answer.status().as_u16(), text(answer).await.as_str()), (201, whole), "whole and unchanged");
    // A body that can be sent again, over HTTP/2.
    let again = with(post("http://app.example/api/orders", whole), "idempotency-key", "k");
    assert_eq!(text(fetch_h2(shop.gate, again).await).await, whole);

    let faulty = r#"{"sku":"ada@example.com","quantity":0,"surprise":1}"#;
    let (status, code, errors) = refused(shop.gate, post("/api/orders", faulty)).await;
    assert_eq!((status, code.as_str()), (400, "contract_violation"));
    assert_eq!(
        errors,
        [
            "request body : Additional properties are not allowed ('surprise' was unexpected)",
            "request body /quantity: the value is less than the minimum of 1",
            "request body /sku: the value does not match \"^[A-Z]+-[0-9]+$\"",
        ]
    );
    let one = async |request| refused(shop.gate, request).await.2.join("; ");
    assert_eq!(one(post("/api/orders", "{")).await, "request body : it is not JSON");
    assert_eq!(one(post("/api/orders", "")).await, "request body : it is missing");
    let text = with(post("/api/orders", "x"), "content-type", "text/plain");
    assert_eq!(one(text).await, "request body : its content type, `text/plain`, is not in the contract");
    let get = |target| request("GET", target, "");
    let ask = |target| with(get(target), "x-tenant", "t");
    assert_eq!(one(get("/api/orders?limit=10")).await, "header parameter `X-Tenant` : it is missing");
    let large = "query parameter `limit` : the value is greater than the maximum of 100";
    assert_eq!(one(ask("/api/orders?limit=101")).await, large);
    assert_eq!(
        one(ask("/api/orders?limit=ten")).await,
        "query parameter `limit` : the value is not of type \"integer\""
    );
    assert_eq!(
        one(ask("/api/orders?tags=1,2,3")).await,
        "query parameter `tags` : the value has more than 2 items"
    );
    assert!(
        one(get("/api/orders/a%2D1")).await.starts_with("path parameter `sku` : the value does not match")
    );
    assert_eq!(
        one(ask("/api/orders?limit=1000&limit=1")).await,
        "query parameter `limit` : it is given more than once"
    );
    let coded = with(post("/api/orders", faulty), "content-encoding", "gzip");
    assert_eq!(
        one(coded).await,
        "request body : it is in a coding, in which it cannot be held to the contract"
    );
    let mut twice = post("/api/orders", faulty);
    twice.headers_mut().append("content-type", "application/json".parse().unwrap());
    assert_eq!(one(twice).await, "request body : its content type is none");
    for good in ["/api/orders?limit=100&tags=1,2&more=x", "/api/orders"] {
        assert_eq!(fetch(shop.gate, ask(good)).await.status(), 200, "{good}");
    }
    assert_eq!(fetch(shop.gate, get("/api/orders/A%2D1")).await.status(), 200);

    let (status, code, _) = refused(shop.gate, get("/api/secrets")).await;
    assert_eq!((status, code.as_str()), (404, "not_in_contract"));
    let long = format!("{{\"sku\":\"{}\"}}", "x".repeat(2 << 20));
    let (status, code, _) = refused(shop.gate, post("/api/orders", long.leak())).await;
    assert_eq!((status, code.as_str()), (413, "body_too_long"));
    // Between services nothing is refused.
    assert_eq!(fetch(shop.edge, post("/orders", faulty)).await.status(), 201);
}

#[tokio::test]
async fn a_contract_that_cannot_be_read_lets_nothing_in() {
    let mut shop = Shop::open(None).await;
    let (status, code, _) = refused(shop.gate, post("/api/orders", "{}")).await;
    assert_eq!((status, code.as_str()), (503, "contract_unknown"));
    assert!(shop.drift().await.unreadable.unwrap().contains("shapes.json"));
    assert_eq!(fetch(shop.edge, post("/orders", "{}")).await.status(), 201);
}

#[tokio::test]
async fn what_is_not_as_the_contract_says_is_found_and_shown_without_values() {
    let mut shop = Shop::open(Some(&shapes())).await;
    let faulty = r#"{"sku":"secret@example.com","quantity":2}"#;
    assert_eq!(fetch(shop.edge, post("/orders", faulty)).await.status(), 201);
    let [found] = &shop.found("POST /orders").await[..] else { panic!("one finding") };
    assert_eq!(found.side, DriftSide::Request, "an answer to what is wrong is not looked at");
    assert_eq!((found.caller.as_ref().unwrap().as_str(), found.count), ("web", 1));
    assert_eq!((found.place.as_str(), found.pointer.as_deref()), ("request body", Some("/sku")));
    assert_eq!(found.example, Some(json!({ "sku": "<string of 18>", "quantity": "<integer>" })));
    assert!(found.first > 1_700_000_000_000 && found.last >= found.first);

    let say = r#"[{"sku":"A-1","quantity":1},{"sku":"A-2","quantity":"two"}]"#;
    let ask = with(with(request("GET", "/orders", ""), "x-tenant", "t"), "x-say", say);
    assert_eq!(text(fetch(shop.edge, ask).await).await, say);
    let [found] = &shop.found("GET /orders").await[..] else { panic!("one finding") };
    assert_eq!((found.side, found.caller.as_ref()), (DriftSide::Answer, None));
    assert_eq!((found.place.as_str(), found.pointer.as_deref()), ("answer 200", Some("/*/quantity")));
    assert_eq!(found.detail, "the value is not of type \"integer\"");
    assert!(!serde_json::to_string(&shop.drift().await).unwrap().contains("secret"));
}

#[tokio::test]
async fn what_the_contract_does_not_have_is_listed_once_it_is_answered() {
    let mut shop = Shop::open(Some(&shapes())).await;
    assert_eq!(fetch(shop.edge, request("GET", "/debug/4711", "")).await.status(), 200);
    let drift = shop.drift().await;
    let [one] = &drift.undocumented[..] else { panic!("{drift:?}") };
    assert_eq!((one.request.as_str(), one.status, one.seen), ("GET /debug/{}", 200, 1));
    assert_eq!(one.caller.as_ref().unwrap().as_str(), "web");
}

#[tokio::test]
async fn requests_are_counted_by_route() {
    let mut shop = Shop::open(Some(&shapes())).await;
    for _ in 0..3 {
        fetch(shop.gate, post("/api/orders", "{}")).await;
    }
    let signals = shop.plane.client.signals().await.unwrap();
    let gateway = signals.edges.iter().find(|edge| edge.caller.is_none()).unwrap();
    assert_eq!(gateway.routes, [("/api".to_owned(), 3)], "those that were refused too");
}
