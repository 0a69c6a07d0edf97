//! Carts: whose they are, what they hold, and that no change of them is lost.

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::Shop;
use crate::world::{Fault, When};

#[tokio::test]
async fn a_cart_shows_todays_prices_and_quantity_zero_removes() {
    let shop = Shop::open().await;
    let guest = shop.guest();
    let cart = shop.cart(&guest, &[("A", 2), ("B", 1)]).await;
    let path = format!("/api/orders/carts/{cart}");
    let shown = shop.get(&guest, &path).await;
    assert_eq!(shown.body["total"], json!({"amount": 2250, "currency": "EUR"}));
    assert_eq!(shown.body["prices_stale"], false);
    let line = &shown.body["lines"][0];
    assert_eq!((line["sku"].as_str(), line["quantity"].as_i64()), (Some("A"), Some(2)));
    assert_eq!((&line["unit_price"]["amount"], &line["line_total"]["amount"]), (&json!(500), &json!(1000)));

    shop.world.books().prices.insert("A".into(), 700);
    assert_eq!(shop.get(&guest, &path).await.body["total"]["amount"], 2650);

    let removed = shop.set_line(&guest, &cart, "A", 0).await;
    assert_eq!(removed.body["lines"].as_array().unwrap().len(), 1);
    let emptied = shop.send(&guest, Method::DELETE, &format!("{path}/lines/B"), &[], None).await;
    assert_eq!((emptied.status, emptied.body["total"]["amount"].as_i64()), (200, Some(0)));
}

#[tokio::test]
async fn twenty_parallel_line_changes_lose_none() {
    let shop = Shop::open().await;
    let skus: Vec<String> = (0..20).map(|n| format!("P{n}")).collect();
    for sku in &skus {
        shop.world.books().prices.insert(sku.clone(), 100);
    }
    let customer = shop.customer("ann");
    let cart = shop.cart(&customer, &[]).await;
    let changes = skus.iter().map(|sku| shop.set_line(&customer, &cart, sku, 3));
    for reply in join_all(changes).await {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let shown = shop.get(&customer, &format!("/api/orders/carts/{cart}")).await;
    assert_eq!(shown.body["lines"].as_array().unwrap().len(), 20);
    assert_eq!(shown.body["total"]["amount"], 20 * 3 * 100);
    assert_eq!(shown.body["version"], 21, "each change is a version of its own");
}

#[tokio::test]
async fn what_does_not_fit_is_refused_field_by_field() {
    let shop = Shop::open().await;
    let guest = shop.guest();
    let cart = shop.cart(&guest, &[]).await;
    for quantity in [-1, 100] {
        let reply = shop.set_line(&guest, &cart, "A", quantity).await;
        assert_eq!((reply.status, reply.body["errors"][0]["field"].as_str()), (422, Some("quantity")));
    }
    assert_eq!(shop.set_line(&guest, &cart, "NOPE", 1).await.body["errors"][0]["code"], "unknown_sku");
    assert_eq!(shop.set_line(&guest, &cart, "a%20b", 1).await.status, 422);
    let path = format!("/api/orders/carts/{cart}/lines/A");
    for (body, status) in [(json!({"quantity": "1"}), 422), (json!({}), 422), (json!({"quantity": 1.5}), 422)]
    {
        assert_eq!(shop.send(&guest, Method::PUT, &path, &[], Some(body)).await.status, status);
    }
    assert_eq!(shop.get(&guest, "/api/orders/carts/nothing").await.status, 404);

    for n in 0..51 {
        shop.world.books().prices.insert(format!("L{n}"), 1);
    }
    for n in 0..50 {
        assert_eq!(shop.set_line(&guest, &cart, &format!("L{n}"), 1).await.status, 200);
    }
    let reply = shop.set_line(&guest, &cart, "L50", 1).await;
    assert_eq!((reply.status, reply.body["errors"][0]["code"].as_str()), (422, Some("too_many_lines")));
    assert_eq!(shop.set_line(&guest, &cart, "L49", 9).await.status, 200, "a line that is there may change");
}

#[tokio::test]
async fn if_match_guards_a_change() {
    let shop = Shop::open().await;
    let guest = shop.guest();
    let cart = shop.cart(&guest, &[("A", 1)]).await;
    let path = format!("/api/orders/carts/{cart}");
    let tag = shop.get(&guest, &path).await.headers["etag"].to_str().unwrap().to_owned();
    let line = format!("{path}/lines/A");
    let set = |quantity: i64| Some(json!({"quantity": quantity}));
    let first = shop.send(&guest, Method::PUT, &line, &[("if-match", &tag)], set(2)).await;
    assert_eq!(first.status, 200);
    let second = shop.send(&guest, Method::PUT, &line, &[("if-match", &tag)], set(3)).await;
    assert_eq!((second.status, second.code()), (412, "precondition_failed"));
    assert_eq!(shop.get(&guest, &path).await.body["lines"][0]["quantity"], 2);
}

#[tokio::test]
async fn a_customers_cart_is_nobody_elses() {
    let shop = Shop::open().await;
    let (ann, bob) = (shop.customer("ann"), shop.customer("bob"));
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let path = format!("/api/orders/carts/{cart}");
    for other in [&bob, &shop.guest()] {
        assert_eq!(shop.get(other, &path).await.status, 404);
        assert_eq!(shop.set_line(other, &cart, "A", 5).await.status, 404);
        let body = json!({"cart_id": cart, "payment_method": "pm_card_visa"});
        let stolen = shop.post(other, "/api/orders/checkout", "k", body).await;
        assert!(matches!(stolen.status, 401 | 404), "{stolen:?}");
    }
    let again = shop.send(&ann, Method::POST, "/api/orders/carts", &[], None).await;
    assert_eq!((again.status, again.id()), (200, cart), "a customer has one open cart");
}

#[tokio::test]
async fn a_guests_cart_merges_once() {
    let shop = Shop::open().await;
    let (guest, ann) = (shop.guest(), shop.customer("ann"));
    let mine = shop.cart(&ann, &[("A", 2), ("B", 98)]).await;
    let theirs = shop.cart(&guest, &[("A", 1), ("B", 5), ("C", 4)]).await;
    let merge = |from: String| Some(json!({"merge_from": from}));
    let refused = shop.send(&guest, Method::POST, "/api/orders/carts", &[], merge(theirs.clone())).await;
    assert_eq!(refused.status, 401);

    let requests =
        (0..5).map(|_| shop.send(&ann, Method::POST, "/api/orders/carts", &[], merge(theirs.clone())));
    let merged = join_all(requests).await;
    assert!(merged.iter().all(|reply| reply.status == 200 && reply.id() == mine), "{merged:?}");
    let told: Vec<&Value> =
        merged.iter().map(|reply| &reply.body["merge"]).filter(|merge| !merge.is_null()).collect();
    assert_eq!(told, [&json!({"capped": ["B"], "dropped": []})], "one of them merged");
    let shown = shop.get(&ann, &format!("/api/orders/carts/{mine}")).await;
    let lines: Vec<(&str, i64)> = shown.body["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| (line["sku"].as_str().unwrap(), line["quantity"].as_i64().unwrap()))
        .collect();
    assert_eq!(lines, [("A", 3), ("B", 99), ("C", 4)]);
    let late = shop.set_line(&guest, &theirs, "A", 9).await;
    assert_eq!((late.status, late.code()), (409, "cart_closed"));
    let unknown = shop.send(&ann, Method::POST, "/api/orders/carts", &[], merge("nothing".into())).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn without_the_catalog_a_cart_shows_its_last_known_prices() {
    let shop = Shop::open().await;
    let guest = shop.guest();
    let cart = shop.cart(&guest, &[("A", 2)]).await;
    shop.world.trouble("products", When::Before, Fault::Status(503), usize::MAX);
    let shown = shop.get(&guest, &format!("/api/orders/carts/{cart}")).await;
    assert_eq!((shown.status, shown.body["prices_stale"].as_bool()), (200, Some(true)));
    assert_eq!(shown.body["total"]["amount"], 1000);
    assert_eq!(shop.set_line(&guest, &cart, "A", 3).await.body["total"]["amount"], 1500);
    let unseen = shop.set_line(&guest, &cart, "B", 1).await;
    assert_eq!((unseen.status, unseen.code()), (503, "unavailable"));
    let ann = shop.customer("ann");
    let checkout = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((checkout.status, checkout.code()), (503, "unavailable"), "nothing is sold at an old price");
    shop.world.heal();
    assert_eq!(shop.checkout(&ann, &cart, "pm_card_visa", "k").await.status, 201);
}

#[tokio::test]
async fn the_id_of_a_guests_cart_is_in_no_log() {
    let shop = Shop::open_with(&[("RUST_LOG", "debug")]).await;
    let guest = shop.guest();
    let cart = shop.cart(&guest, &[("A", 1)]).await;
    shop.get(&guest, &format!("/api/orders/carts/{cart}")).await;
    shop.get(&guest, &format!("/api/orders/cart/{cart}")).await;
    let logged = |what: &str| shop.log().contains(what);
    shop.until("all four requests are logged", |_| {
        logged("/api/orders/carts/{cart_id}/lines/{sku}") && logged("\"status\":404")
    })
    .await;
    assert!(!logged(&cart), "{}", shop.log());
}
