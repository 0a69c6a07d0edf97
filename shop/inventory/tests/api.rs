//! What orders, customers and administrators see, over real HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use reqwest::Method;
use serde_json::{Value, json};
use service_kit::clock::new_id;
use service_kit::config::Config;
use service_kit::testing::{Running, documented_operations, served_operations};
use support::{Database, Service, answer, eventually, on_each_database, reserve_body, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_becomes_a_sale_and_can_come_back() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10), ("B", 5)]).await;
        let (status, held) = shop.reserve("o1", &[("B", 1), ("A", 2), ("A", 1)]).await;
        assert_eq!((status, &held["status"]), (201, &json!("held")));
        assert_eq!(held["lines"], json!([{"sku": "A", "quantity": 3}, {"sku": "B", "quantity": 1}]));
        assert!(held["expires_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!((shop.stock("A").await, shop.stock("B").await), ((10, 3), (5, 1)));

        for _ in 0..2 {
            let (status, sold) = shop.post("/reservations/o1/commit", json!({})).await;
            assert_eq!((status, &sold["status"]), (200, &json!("committed")));
            assert_eq!((shop.stock("A").await, shop.stock("B").await), ((7, 0), (4, 0)));
        }
        let (status, refused) = shop.post("/reservations/o1/release", json!({})).await;
        assert_eq!(
            (status, &refused["code"], &refused["state"]),
            (409, &json!("state_conflict"), &json!("committed"))
        );

        for _ in 0..2 {
            let (status, back) = shop.post("/reservations/o1/cancel", json!({})).await;
            assert_eq!((status, &back["status"]), (200, &json!("returned")));
            assert_eq!(shop.stock("A").await, (10, 0));
        }
        let (_, movements) = shop.admin_get("/api/inventory/movements?sku=A").await;
        let told: Vec<_> = movements["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (&m["reason"], &m["delta"], &m["reference"]))
            .collect();
        let (initial, none, o1) = (json!("initial"), Value::Null, json!("o1"));
        assert_eq!(
            told,
            [
                (&json!("return"), &json!(3), &o1),
                (&json!("commit"), &json!(-3), &o1),
                (&initial, &json!(10), &none)
            ]
        );
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_or_none_and_every_shortage_is_told() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10), ("B", 1)]).await;
        let (status, body) = shop.reserve("o1", &[("A", 2), ("B", 2), ("B", 3), ("NONE", 1)]).await;
        assert_eq!((status, &body["code"]), (409, &json!("insufficient_stock")));
        assert_eq!(
            body["shortages"],
            json!([{"sku": "B", "wanted": 5, "available": 1}, {"sku": "NONE", "wanted": 1, "available": 0}])
        );
        assert_eq!((shop.stock("A").await, shop.stock("B").await), ((10, 0), (1, 0)));
        let (status, _) = shop.reserve("o1", &[("A", 2)]).await;
        assert_eq!(status, 201, "a refused reserve leaves nothing behind, its key included");
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_cancelled_however_far_it_came() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10)]).await;
        let states: [(&str, &[&str], &str); 4] = [
            ("never", &[], "released"),
            ("held", &["reserve"], "released"),
            ("sold", &["reserve", "commit"], "returned"),
            ("given-back", &["reserve", "release"], "released"),
        ];
        for (key, done, after) in states {
            for step in done {
                let (status, body) = match *step {
                    "reserve" => shop.reserve(key, &[("A", 4)]).await,
                    step => shop.post(&format!("/reservations/{key}/{step}"), json!({})).await,
                };
                assert!(matches!(status, 200 | 201), "{key} {step}: {body}");
            }
            for _ in 0..2 {
                let (status, gone) = shop.post(&format!("/reservations/{key}/cancel"), json!({})).await;
                assert_eq!((status, &gone["status"]), (200, &json!(after)), "{key}");
                assert_eq!(shop.stock("A").await, (10, 0), "{key}");
            }
            // What was on its way for longer than anybody waited comes to nothing.
            assert_eq!(shop.reserve(key, &[("A", 4)]).await.0, 409, "{key}");
            let (status, _) = shop.post(&format!("/reservations/{key}/commit"), json!({})).await;
            assert_eq!(status, 409, "{key}");
        }
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_before_its_reserve_leaves_a_tombstone() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10)]).await;
        let (status, tomb) = shop.post("/reservations/late/release", json!({})).await;
        assert_eq!((status, &tomb["status"], &tomb["lines"]), (200, &json!("released"), &json!([])));
        let (status, refused) = shop.reserve("late", &[("A", 1)]).await;
        assert_eq!((status, &refused["code"]), (409, &json!("reservation_released")));
        let (status, refused) = shop.post("/reservations/late/commit", json!({})).await;
        assert_eq!((status, &refused["code"]), (409, &json!("reservation_released")));
        let (status, _) = shop.post("/reservations/late/release", json!({})).await;
        assert_eq!((status, shop.stock("A").await), (200, (10, 0)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lapsed_hold_gives_back_and_cannot_be_committed() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10)]).await;
        let mut body = reserve_body("o1", &[("A", 4)]);
        body["ttl_seconds"] = json!(1);
        let (status, _) = shop.post("/reservations", body.clone()).await;
        assert_eq!((status, shop.stock("A").await), (201, (10, 4)));
        eventually("the sweeper gives back", async || shop.stock("A").await == (10, 0)).await;
        for operation in ["commit", "extend"] {
            let (status, refused) =
                shop.post(&format!("/reservations/o1/{operation}"), json!({"ttl_seconds": 5})).await;
            assert_eq!((status, &refused["code"]), (409, &json!("reservation_expired")), "{operation}");
        }
        let (status, refused) = shop.post("/reservations", body).await;
        assert_eq!((status, &refused["code"]), (409, &json!("reservation_expired")));
        let (status, gone) = shop.post("/reservations/o1/release", json!({})).await;
        assert_eq!((status, &gone["status"]), (200, &json!("expired")), "there is nothing left to release");
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_hold_outlives_its_first_end() {
    let database = Database::sqlite();
    let shop = Service::start(&database, &[("A", 10)]).await;
    let mut body = reserve_body("o1", &[("A", 4)]);
    body["ttl_seconds"] = json!(1);
    let (_, held) = shop.post("/reservations", body).await;
    let (status, extended) = shop.post("/reservations/o1/extend", json!({"ttl_seconds": 300})).await;
    assert_eq!(status, 200);
    assert!(extended["expires_at"].as_str().unwrap() > held["expires_at"].as_str().unwrap());
    let (_, shorter) = shop.post("/reservations/o1/extend", json!({"ttl_seconds": 1})).await;
    assert_eq!(shorter["expires_at"], extended["expires_at"], "a hold is never shortened");
    let first_end = held["expires_at"].as_str().unwrap().to_owned();
    eventually("the first end has passed", async || {
        service_kit::clock::rfc3339(service_kit::clock::now_ms()) > first_end
    })
    .await;
    shop_inventory::sweep(&shop.db, service_kit::clock::now_ms()).await.unwrap();
    let (status, _) = shop.post("/reservations/o1/commit", json!({})).await;
    assert_eq!((status, shop.stock("A").await), (200, (6, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_means_one_effect_and_one_answer() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10)]).await;
        let (key, body) = (new_id(), reserve_body("o1", &[("A", 1)]));
        let first = shop.post_with_key("/reservations", &key, body.clone()).await;
        let again = shop.post_with_key("/reservations", &key, body.clone()).await;
        assert_eq!((first.0, &first), (201, &again));
        let other = shop.post_with_key("/reservations", &key, reserve_body("o1", &[("A", 2)])).await;
        assert_eq!((other.0, &other.1["code"]), (422, &json!("idempotency_key_reused")));
        let (status, missing) = answer(
            shop.request(Method::POST, "/reservations").header("x-isles-caller", "isles-sagas").json(&body),
        )
        .await;
        assert_eq!((status, &missing["code"]), (400, &json!("missing_idempotency_key")));
        let (status, same) = shop.reserve("o1", &[("A", 1)]).await;
        assert_eq!((status, &same["status"]), (200, &json!("held")), "another key, the very same hold");
        let (status, clash) = shop.reserve("o1", &[("A", 2)]).await;
        assert_eq!((status, &clash["state"]), (409, &json!("held")));
        assert_eq!(shop.stock("A").await, (10, 1));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_go_to_the_ledger_and_never_below_what_is_reserved() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10)]).await;
        shop.reserve("o1", &[("A", 4)]).await;
        let (status, refused) = shop.adjust("A", -7).await;
        assert_eq!((status, &refused["code"]), (409, &json!("insufficient_stock")));
        assert_eq!(refused["shortages"], json!([{"sku": "A", "wanted": 7, "available": 6}]));
        let (status, made) = shop.adjust("A", -6).await;
        assert_eq!(
            (status, &made["delta"], &made["actor"], &made["reason"]),
            (201, &json!(-6), &json!("boss"), &json!("counted"))
        );
        assert_eq!(made["stock"], json!({"sku": "A", "on_hand": 4, "reserved": 4, "available": 0}));
        let (status, new) = shop.adjust("NEW", 3).await;
        assert_eq!(
            (status, &new["stock"]["on_hand"]),
            (201, &json!(3)),
            "a first delivery makes a SKU known"
        );
        assert_eq!(shop.adjust("UNKNOWN", -1).await.0, 409);
        assert_eq!(shop.get("/api/inventory/stock/UNKNOWN").await.0, 404);
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_administrators_adjust_and_only_orders_reserves() {
    let database = Database::sqlite();
    let shop = Service::start(&database, &[("A", 10)]).await;
    let body = json!({"sku": "A", "delta": 1, "reason": "found"});
    let adjust = || {
        shop.request(Method::POST, "/api/inventory/adjustments")
            .header("idempotency-key", new_id())
            .json(&body)
    };
    assert_eq!(answer(adjust()).await.0, 401);
    assert_eq!(answer(adjust().bearer_auth(shop.customer_token())).await.0, 403);
    assert_eq!(answer(adjust().bearer_auth(shop.admin_token())).await.0, 201);
    for path in ["/api/inventory/movements", "/api/inventory/reservations"] {
        assert_eq!(shop.get(path).await.0, 401);
        assert_eq!(answer(shop.request(Method::GET, path).bearer_auth(shop.customer_token())).await.0, 403);
        assert_eq!(shop.admin_get(path).await.0, 200);
    }
    for caller in ["gateway", "storefront", ""] {
        let request = shop.request(Method::POST, "/reservations").header("x-isles-caller", caller);
        let (status, refused) =
            answer(request.header("idempotency-key", "k").json(&reserve_body("o1", &[("A", 1)]))).await;
        assert_eq!((status, &refused["code"]), (403, &json!("caller_not_allowed")), "{caller:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_by_field_and_is_never_a_500() {
    let database = Database::sqlite();
    let shop = Service::start(&database, &[("A", 10)]).await;
    let field = |body: &Value| body["errors"][0]["field"].as_str().unwrap_or_default().to_owned();
    let bad = [
        (json!({"key": "", "lines": [{"sku": "A", "quantity": 1}]}), "key"),
        (json!({"key": "a/b", "lines": [{"sku": "A", "quantity": 1}]}), "key"),
        (json!({"key": "k", "lines": []}), "lines"),
        (json!({"key": "k", "lines": [{"sku": "A", "quantity": 0}]}), "lines[0].quantity"),
        (
            json!({"key": "k", "lines": [{"sku": "A", "quantity": i64::MAX}, {"sku": "A", "quantity": i64::MAX}]}),
            "lines[0].quantity",
        ),
        (json!({"key": "k", "lines": [{"sku": "A", "quantity": 1}], "ttl_seconds": 0}), "ttl_seconds"),
        (json!({"key": "k", "lines": [{"sku": "A", "quantity": 1}], "ttl_seconds": i64::MAX}), "ttl_seconds"),
    ];
    for (body, expected) in bad {
        let (status, problem) = shop.post("/reservations", body.clone()).await;
        assert_eq!((status, field(&problem).as_str()), (422, expected), "{body}");
    }
    assert_eq!(shop.post("/reservations/none/commit", json!({})).await.0, 404);
    assert_eq!(shop.post("/reservations/none/extend", json!({"ttl_seconds": 5})).await.0, 404);
    for (delta, reason) in [(0, "x"), (i64::MIN, "x"), (i64::MAX, "x"), (1, " "), (1, "commit")] {
        let body = json!({"sku": "A", "delta": delta, "reason": reason});
        let request =
            shop.request(Method::POST, "/api/inventory/adjustments").bearer_auth(shop.admin_token());
        let (status, _) = answer(request.header("idempotency-key", new_id()).json(&body)).await;
        assert_eq!(status, 422, "{body}");
    }
    for path in ["?limit=x", "?cursor=x", "?status=lost"] {
        let status = shop.admin_get(&format!("/api/inventory/reservations{path}")).await.0;
        assert!(matches!(status, 400 | 422), "{path}: {status}");
    }
    assert_eq!(shop.stock("A").await, (10, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_is_read_one_by_one_in_a_batch_and_page_by_page() {
    on_each_database(async |database| {
        let stock: Vec<(String, i64)> = (0..45).map(|n| (format!("S{n:02}"), n)).collect();
        let stock: Vec<(&str, i64)> = stock.iter().map(|(sku, n)| (sku.as_str(), *n)).collect();
        let shop = Service::start(&database, &stock).await;
        let (_, batch) = shop.get("/api/inventory/stock?sku=S07&sku=S03&sku=NONE").await;
        let skus: Vec<_> =
            batch["items"].as_array().unwrap().iter().map(|item| item["sku"].clone()).collect();
        assert_eq!((skus, &batch["next_cursor"]), (vec![json!("S03"), json!("S07")], &Value::Null));
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (_, page) = shop.get(&format!("/api/inventory/stock?limit=20{cursor}")).await;
            seen.extend(
                page["items"].as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(seen, stock.iter().map(|(sku, _)| *sku).collect::<Vec<_>>());

        let tagged = shop.request(Method::GET, "/api/inventory/stock/S07").send().await.unwrap();
        let etag = tagged.headers()["etag"].clone();
        let again = || shop.request(Method::GET, "/api/inventory/stock/S07").header("if-none-match", &etag);
        assert_eq!(answer(again()).await.0, 304);
        shop.reserve("o1", &[("S07", 1)]).await;
        assert_eq!(answer(again()).await.0, 200, "a hold changes what is available");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reservations_are_listed_by_status() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 100)]).await;
        for n in 0..25 {
            shop.reserve(&format!("o{n:02}"), &[("A", 1)]).await;
        }
        for n in 0..3 {
            shop.post(&format!("/reservations/o{n:02}/commit"), json!({})).await;
        }
        let list = async |path: &str| {
            let request = shop.request(Method::GET, path).header("x-isles-caller", "isles-sagas");
            answer(request).await.1
        };
        let first = list("/reservations?status=held&limit=20").await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = list(&format!("/reservations?status=held&limit=20&cursor={cursor}")).await;
        assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (2, &Value::Null));
        let foreign = list(&format!("/reservations?status=committed&cursor={cursor}")).await;
        assert_eq!(foreign["code"], json!("invalid_cursor"));
        assert_eq!(list("/reservations?status=committed").await["items"].as_array().unwrap().len(), 3);
        assert_eq!(list("/reservations/o00").await["status"], json!("committed"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_seeds_nothing_twice() {
    on_each_database(async |database| {
        let shop = Service::start(&database, &[("A", 10)]).await;
        shop.adjust("A", -3).await;
        drop(shop);
        let shop = Service::start(&database, &[("A", 10), ("B", 2)]).await;
        assert_eq!((shop.stock("A").await, shop.stock("B").await), ((7, 0), (2, 0)));
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_shop_has_its_first_stock() {
    let folder = tempfile::tempdir().unwrap();
    let vars = [
        ("PORT", "0".to_owned()),
        ("ISLES_DATA", folder.path().display().to_string()),
        ("ACCOUNTS_URL", "http://127.0.0.1:9".to_owned()),
    ];
    let config = Config::from_vars("inventory", vars.map(|(name, value)| (name.to_owned(), value))).unwrap();
    let running = Running::start(shop_inventory::app::build(config).await.unwrap()).await.unwrap();
    let url = running.url("/api/inventory/stock?limit=100");
    let page: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let items = page["items"].as_array().unwrap();
    assert!(items.len() >= 40, "{} SKUs", items.len());
    assert!(items.iter().any(|item| item["available"].as_i64().unwrap() > 0));
}

#[tokio::test]
async fn the_contract_names_every_operation() {
    let contract: Value = serde_yaml_ng::from_str(include_str!("../openapi.yaml")).unwrap();
    let database = Database::sqlite();
    let routes = shop_inventory::routes::router(database.open().await, &settings());
    assert_eq!(served_operations(routes).await, documented_operations(&contract));
}
