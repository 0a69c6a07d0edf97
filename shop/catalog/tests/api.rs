//! The catalog service over real HTTP, with its own database.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use std::collections::BTreeSet;

use common::{Service, assert_problem, draft};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::http::encode;
use service_kit::testing::{Signer, documented_operations, served_operations};

const PRODUCTS: &str = "/api/catalog/products";

#[tokio::test]
async fn serves_exactly_its_contract() {
    let contract: Value = serde_yaml_ng::from_str(include_str!("../openapi.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let app = common::app(&folder, &Signer::new().unwrap()).await;
    assert_eq!(served_operations(app.routes().clone()).await, documented_operations(&contract));
}

#[tokio::test]
async fn a_fresh_shop_is_seeded_once_even_by_two_replicas() {
    let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new().unwrap());
    let _both = tokio::join!(common::app(&folder, &signer), common::app(&folder, &signer));
    let running = service_kit::testing::Running::start(common::app(&folder, &signer).await).await.unwrap();
    let page: Value =
        reqwest::get(running.url("/api/catalog/products?limit=100")).await.unwrap().json().await.unwrap();
    let items = page["items"].as_array().unwrap();
    assert!(items.len() >= 40);
    let categories: Value =
        reqwest::get(running.url("/api/catalog/categories")).await.unwrap().json().await.unwrap();
    let categories = categories["items"].as_array().unwrap();
    assert!(categories.len() >= 6);
    let counted: i64 = categories.iter().map(|category| category["count"].as_i64().unwrap()).sum();
    assert_eq!(usize::try_from(counted).unwrap(), items.len());
    for item in items {
        assert_eq!(item["price"]["currency"], "EUR");
        assert_eq!(
            item["image"].as_str().unwrap(),
            format!("/images/products/{}.svg", item["slug"].as_str().unwrap())
        );
    }
}

#[tokio::test]
async fn pages_hold_every_product_once_in_every_order() {
    let shop = Service::start().await;
    for n in 0..5 {
        // Equal names and prices: only the id tells them apart.
        shop.add(&format!("SAME-{n}"), json!({ "name": "same", "slug": format!("same-{n}") })).await;
    }
    let all: BTreeSet<String> = shop.walk("limit=100", "sku").await.iter().map(ToString::to_string).collect();
    for sort in ["name", "price", "-price", "newest"] {
        for limit in [1, 7] {
            let seen = shop.walk(&format!("sort={sort}&limit={limit}"), "sku").await;
            let unique: BTreeSet<String> = seen.iter().map(ToString::to_string).collect();
            assert_eq!((seen.len(), &unique), (all.len(), &all), "{sort} by {limit}");
        }
    }
    let prices =
        |values: Vec<Value>| values.iter().map(|price| price["amount"].as_i64().unwrap()).collect::<Vec<_>>();
    let (up, down) = (
        prices(shop.walk("sort=price&limit=9", "price").await),
        prices(shop.walk("sort=-price&limit=9", "price").await),
    );
    assert!(up.is_sorted() && down.is_sorted_by(|a, b| a >= b));
    let names = shop.walk("limit=9", "name").await;
    assert!(names.is_sorted_by_key(|name| name.as_str().unwrap().to_lowercase()));
    assert_eq!(shop.walk("sort=newest&limit=2", "sku").await[0], "SAME-4");
}

#[tokio::test]
async fn searches_without_regard_to_case_and_takes_signs_as_they_are() {
    let shop = Service::start().await;
    shop.add("U-1", json!({ "name": "ÄPFEL 100% Öl", "description": "rund_und\\gut", "category": "obst", "category_name": "Frisches Obst" })).await;
    for q in [
        "äpfel",
        "ÖL",
        "100%",
        "rund_und",
        "\\gut",
        "frisches",
        "obst öl",
        "u-1",
        "äPFEL rund OBST öl 100% \\gut",
    ] {
        assert_eq!(shop.walk(&format!("q={}", encode(q)), "sku").await, [json!("U-1")], "{q}");
    }
    for q in ["äpfel birnen", "100_", "r%d", "' OR 1=1 --", "\u{1f34e}"] {
        assert!(shop.walk(&format!("q={}", encode(q)), "sku").await.is_empty(), "{q}");
    }
    assert_eq!(shop.walk("q=&category=obst", "sku").await, [json!("U-1")]);
    assert!(shop.walk("category=nowhere", "sku").await.is_empty());
}

#[tokio::test]
async fn refuses_a_list_that_makes_no_sense() {
    let shop = Service::start().await;
    let long = format!("q={}", "x".repeat(201));
    for query in ["sort=colour", "limit=many", "status=nice", "q=a%00b", &long] {
        assert_problem(shop.get(&format!("{PRODUCTS}?{query}")).await, 422, "validation_failed");
    }
    let (_, page) = shop.get(&format!("{PRODUCTS}?limit=2")).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for query in [
        format!("sort=price&cursor={cursor}"),
        format!("q=mug&cursor={cursor}"),
        format!("category=desk&cursor={cursor}"),
        "cursor=x".into(),
        "cursor=".into(),
    ] {
        assert_problem(shop.get(&format!("{PRODUCTS}?{query}")).await, 400, "invalid_cursor");
    }
    for (limit, count) in [("0", 1), ("-5", 1), ("3", 3)] {
        let (_, page) = shop.get(&format!("{PRODUCTS}?limit={limit}")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), count);
    }
    assert_eq!(shop.get(&format!("{PRODUCTS}?limit=99999999999999999999")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn finds_by_id_and_by_slug_and_saves_what_did_not_change() {
    let shop = Service::start().await;
    let made = shop.add("A-1", json!({ "name": "Ein Ding" })).await;
    assert_eq!(
        (&made["slug"], &made["image"], &made["status"]),
        (&json!("ein-ding"), &json!("/images/products/ein-ding.svg"), &json!("active"))
    );
    let by_id = shop.get(&format!("{PRODUCTS}/{}", made["id"].as_str().unwrap())).await;
    assert_eq!(by_id, (StatusCode::OK, made.clone()));
    assert_eq!(shop.get(&format!("{PRODUCTS}/ein-ding")).await.1, made);
    let response = shop
        .request(Method::GET, &format!("{PRODUCTS}/ein-ding"))
        .header("if-none-match", "\"v1\"")
        .send()
        .await
        .unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["etag"]), (304, &"\"v1\"".parse().unwrap()));
    for missing in ["nothing", "%00", "%F0%9F%8D%8E", "..%2f..", "' OR 1=1"] {
        assert_problem(shop.get(&format!("{PRODUCTS}/{missing}")).await, 404, "not_found");
    }
}

#[tokio::test]
async fn only_admins_change_anything() {
    let shop = Service::start().await;
    let path = format!("{PRODUCTS}/enamel-mug");
    for (method, path) in [(Method::POST, PRODUCTS), (Method::PATCH, &path), (Method::DELETE, &path)] {
        let request =
            || shop.request(method.clone(), path).header("if-match", "*").json(&draft("X-1", json!({})));
        assert_problem(shop.send(request()).await, 401, "unauthenticated");
        assert_problem(shop.send(request().bearer_auth("garbage")).await, 401, "unauthenticated");
        assert_problem(shop.send(request().bearer_auth(&shop.customer)).await, 403, "forbidden");
    }
    let (_, mug) = shop.get(&path).await;
    assert_eq!((&mug["version"], &mug["status"]), (&json!(1), &json!("active")));
}

#[tokio::test]
async fn customers_see_active_products_only() {
    let shop = Service::start().await;
    shop.add("D-1", json!({ "status": "draft", "slug": "draft-1", "category": "secret" })).await;
    let status = |request| async { shop.send(request).await.0.as_u16() };
    let draft_path = format!("{PRODUCTS}/draft-1");
    assert_eq!(status(shop.request(Method::GET, &draft_path)).await, 404);
    assert_eq!(status(shop.request(Method::GET, &draft_path).bearer_auth(&shop.customer)).await, 404);
    assert_eq!(status(shop.as_admin(Method::GET, &draft_path)).await, 200);
    assert!(shop.walk("category=secret", "sku").await.is_empty());
    assert_problem(shop.get(&format!("{PRODUCTS}?status=all")).await, 403, "forbidden");
    let seen = async |query: &str| {
        let page =
            shop.send(shop.as_admin(Method::GET, &format!("{PRODUCTS}?category=secret{query}"))).await.1;
        page["items"].as_array().unwrap().len()
    };
    assert_eq!((seen("").await, seen("&status=active").await, seen("&status=draft").await), (1, 0, 1));
    let categories = shop.get("/api/catalog/categories").await.1;
    let secret =
        categories["items"].as_array().unwrap().iter().find(|category| category["slug"] == "secret").unwrap();
    assert_eq!((&secret["name"], &secret["count"]), (&json!("Secret"), &json!(0)));
}

#[tokio::test]
async fn changes_and_archives_only_from_the_version_that_was_read() {
    let shop = Service::start().await;
    shop.add("C-1", json!({ "slug": "c-1" })).await;
    let path = format!("{PRODUCTS}/c-1");
    let patch = async |if_match: Option<&str>, body: Value| {
        let mut request = shop.as_admin(Method::PATCH, &path).json(&body);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        shop.send(request).await
    };
    assert_problem(patch(None, json!({ "name": "x" })).await, 428, "precondition_required");
    let (status, body) =
        patch(Some("\"v1\""), json!({ "price": { "amount": 999, "currency": "EUR" }, "name": "Neu" })).await;
    assert_eq!((status.as_u16(), &body["version"], &body["price"]["amount"]), (200, &json!(2), &json!(999)));
    assert_problem(patch(Some("\"v1\""), json!({ "name": "x" })).await, 412, "precondition_failed");
    assert_problem(patch(Some("W/\"v2\""), json!({ "name": "x" })).await, 412, "precondition_failed");
    assert_problem(patch(Some("\"v2\""), json!({ "sku": "OTHER" })).await, 422, "validation_failed");
    assert_problem(patch(Some("\"v2\""), json!({ "slug": "enamel-mug" })).await, 409, "slug_taken");
    assert_eq!(shop.walk("q=neu+c-1", "sku").await, [json!("C-1")], "the search follows the change");
    assert_problem(shop.send(shop.as_admin(Method::DELETE, &path)).await, 428, "precondition_required");
    for tag in ["\"v2\"", "\"v3\""] {
        let request = shop.as_admin(Method::DELETE, &path).header("if-match", tag);
        assert_eq!(shop.send(request).await.0, StatusCode::NO_CONTENT);
    }
    assert_problem(shop.get(&path).await, 404, "not_found");
    assert_eq!(shop.send(shop.as_admin(Method::GET, &path)).await.1["status"], "archived");
    assert_eq!(patch(Some("\"v3\""), json!({ "status": "active" })).await.0, StatusCode::OK);
    assert_eq!(shop.get(&path).await.0, StatusCode::OK);
    assert_problem(
        shop.send(shop.as_admin(Method::PATCH, &format!("{PRODUCTS}/none")).json(&json!({}))).await,
        404,
        "not_found",
    );
}

#[tokio::test]
async fn of_many_changes_from_one_version_one_wins() {
    let shop = Service::start().await;
    shop.add("R-1", json!({ "slug": "r-1" })).await;
    let changes = (0..8).map(|n| {
        let request = shop.as_admin(Method::PATCH, &format!("{PRODUCTS}/r-1")).header("if-match", "\"v1\"");
        shop.send(request.json(&json!({ "name": format!("Name {n}") })))
    });
    let answers = join_all(changes).await;
    let won = answers.iter().filter(|(status, _)| status.as_u16() == 200).count();
    let lost = answers.iter().filter(|(status, _)| status.as_u16() == 412).count();
    assert_eq!((won, lost), (1, 7));
    let drafts =
        (0..6).map(|_| shop.send(shop.as_admin(Method::POST, PRODUCTS).json(&draft("TWIN", json!({})))));
    let answers = join_all(drafts).await;
    let made = answers.iter().filter(|(status, _)| status.as_u16() == 201).count();
    assert_eq!((made, answers.iter().filter(|(_, body)| body["code"] == "sku_taken").count()), (1, 5));
}

#[tokio::test]
async fn refuses_drafts_that_are_not_acceptable() {
    let shop = Service::start().await;
    let price =
        |amount: Value, currency: &str| json!({ "price": { "amount": amount, "currency": currency } });
    for (more, field) in [
        (json!({ "sku": "" }), "sku"),
        (json!({ "sku": "a b" }), "sku"),
        (json!({ "sku": "x".repeat(65) }), "sku"),
        (json!({ "slug": "No Slug" }), "slug"),
        (json!({ "slug": "019a0000-0000-7000-8000-000000000000" }), "slug"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a\u{1b}[2J" }), "name"),
        (json!({ "name": ["x"] }), "name"),
        (json!({ "description": "x".repeat(5001) }), "description"),
        (json!({ "category": "Not A Slug" }), "category"),
        (json!({ "image": "https://evil.example/x.svg" }), "image"),
        (json!({ "image": "javascript:alert(1)" }), "image"),
        (json!({ "status": "sold" }), "status"),
        (price(json!(-1), "EUR"), "price.amount"),
        (price(json!(100_000_001), "EUR"), "price.amount"),
        (price(json!(1.5), "EUR"), "price.amount"),
        (price(json!("1"), "EUR"), "price.amount"),
        (
            price(json!(99_999_999_999_999_999_999_u128.to_string().parse::<f64>().unwrap()), "EUR"),
            "price.amount",
        ),
        (price(json!(1), "USD"), "price.currency"),
        (price(json!(1), "euro"), "price.currency"),
        (json!({ "price": 12 }), "price"),
        (json!({ "name": Value::Null }), "name"),
    ] {
        let request = shop.as_admin(Method::POST, PRODUCTS).json(&draft("OK-1", more.clone()));
        let answer = shop.send(request).await;
        assert_eq!(answer.1["errors"][0]["field"], field, "{more}: {}", answer.1);
        assert_problem(answer, 422, "validation_failed");
    }
    for text in ["{", "nonsense", "", "{\"sku\": 1e999}"] {
        let request =
            shop.as_admin(Method::POST, PRODUCTS).header("content-type", "application/json").body(text);
        assert_problem(shop.send(request).await, 400, "malformed_body");
    }
    let huge = draft("OK-1", json!({ "description": "x".repeat(300_000) }));
    assert_problem(shop.send(shop.as_admin(Method::POST, PRODUCTS).json(&huge)).await, 413, "body_too_large");
}

#[tokio::test]
async fn other_services_ask_by_sku() {
    let shop = Service::start().await;
    shop.add("S-1", json!({})).await;
    shop.add("S-2", json!({ "status": "draft" })).await;
    let ask = async |query: &str, caller: &str| {
        shop.send(
            shop.request(Method::GET, &format!("/products/by-sku{query}")).header("x-isles-caller", caller),
        )
        .await
    };
    let (status, body) = ask("?sku=S-2&sku=S-1&sku=NONE&sku=S-1&sku=KIT-MUG-01", "orders").await;
    let skus: Vec<_> =
        body["items"].as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap()).collect();
    assert_eq!((status.as_u16(), skus), (200, vec!["KIT-MUG-01", "S-1"]));
    assert_problem(ask("?sku=S-1", "gateway").await, 403, "caller_not_allowed");
    assert_problem(ask("?sku=S-1", "").await, 403, "caller_not_allowed");
    assert_problem(ask("", "orders").await, 422, "validation_failed");
    let many: String = (0..101).map(|n| format!("&sku=A{n}")).collect();
    assert_problem(ask(&format!("?{}", &many[1..]), "orders").await, 422, "validation_failed");
}
