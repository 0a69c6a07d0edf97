//! Checkout when every service does its work: one order for one cart, and plain refusals.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::process::{Reply, Shop};

#[tokio::test]
async fn a_cart_becomes_a_paid_order_once() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 2), ("B", 1)]).await;
    let address =
        json!({"name": "Ann", "line1": "Quay 1", "city": "Kiel", "postal_code": "24103", "country": "DE"});
    let body = json!({
        "cart_id": cart, "payment_method": "pm_card_visa", "shipping_address": address,
        "expected_total": {"amount": 2250, "currency": "EUR"},
    });
    let bought = shop.post(&ann, "/api/orders/checkout", "key-1", body.clone()).await;
    assert_eq!(bought.status, 201, "{bought:?}");
    let order = bought.id();
    assert_eq!(bought.headers["location"].to_str().unwrap(), format!("/api/orders/{order}"));
    assert_eq!(
        (bought.body["status"].as_str(), bought.body["settled"].as_bool()),
        (Some("confirmed"), Some(true))
    );
    assert_eq!(bought.body["total"], json!({"amount": 2250, "currency": "EUR"}));
    assert_eq!(bought.body["payment_id"], "pi_1");
    assert_eq!(bought.body["lines"][0]["name"], "Thing A");
    assert_eq!(bought.body["shipping_address"]["city"], "Kiel");
    shop.world.assert_bought(&order, 2, 2250);

    let again = shop.post(&ann, "/api/orders/checkout", "key-1", body).await;
    assert_eq!((again.status, &again.body), (201, &bought.body), "the same key, the same answer");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = shop.checkout(&ann, &cart, "pm_card_slow", "key-1").await;
    assert_eq!((other.status, other.code()), (422, "idempotency_key_reused"));
    let closed = shop.checkout(&ann, &cart, "pm_card_visa", "key-2").await;
    assert_eq!((closed.status, closed.code()), (409, "cart_closed"));
    assert_eq!(
        (closed.body["order_id"].as_str(), closed.body["state"].as_str()),
        (Some(&*order), Some("confirmed"))
    );
    assert_eq!(shop.set_line(&ann, &cart, "A", 1).await.code(), "cart_closed");
    assert_eq!(shop.world.intents_of(&order).len(), 1);

    let next = shop.cart(&ann, &[]).await;
    assert_ne!(next, cart, "what was bought is not what is filled next");
    shop.until("the event", |world| !world.books().events.is_empty()).await;
    let event = shop.world.books().events[0].1.clone();
    assert_eq!(
        (event["type"].as_str(), &event["data"]),
        (Some("order.confirmed"), &json!({"order_id": order, "skus": ["A", "B"]}))
    );
}

#[tokio::test]
async fn parallel_checkouts_of_one_cart_give_one_order() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    for round in 0..4 {
        let cart = shop.cart(&ann, &[("C", 1)]).await;
        let keys: Vec<String> = (0..8).map(|n| format!("{round}-{n}")).collect();
        let replies = join_all(keys.iter().map(|key| shop.checkout(&ann, &cart, "pm_card_visa", key))).await;
        let (won, lost): (Vec<Reply>, Vec<Reply>) =
            replies.into_iter().partition(|reply| reply.status == 201);
        assert_eq!(won.len(), 1, "{won:?} {lost:?}");
        for reply in lost {
            assert_eq!(reply.status, 409, "{reply:?}");
            assert_eq!(reply.body["order_id"], won[0].id());
            assert!(reply.body["state"].is_string());
        }
    }
    assert_eq!(shop.world.arrived("capture"), 4);
    assert_eq!(shop.world.books().on_hand["C"], 6);
}

#[tokio::test]
async fn the_same_key_at_once_gives_one_order_and_one_answer() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let replies = join_all((0..6).map(|_| shop.checkout(&ann, &cart, "pm_card_visa", "k"))).await;
    for reply in &replies {
        assert!(reply.status == 201 || reply.code() == "request_in_flight", "{reply:?}");
    }
    let order = shop.only_order(&ann).await;
    let last = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((last.status, last.id()), (201, order["id"].as_str().unwrap().to_owned()));
    shop.world.assert_bought(&last.id(), 1, 500);
}

#[tokio::test]
async fn a_changed_total_is_told_and_nothing_is_done() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 2)]).await;
    shop.world.books().prices.insert("A".into(), 600);
    let with = |amount: i64| json!({"cart_id": cart, "payment_method": "pm_card_visa", "expected_total": {"amount": amount, "currency": "EUR"}});
    let changed = shop.post(&ann, "/api/orders/checkout", "k1", with(1000)).await;
    assert_eq!((changed.status, changed.code()), (409, "total_changed"));
    assert_eq!(changed.body["total"], json!({"amount": 1200, "currency": "EUR"}));
    assert_eq!((shop.world.arrived("reserve"), shop.world.arrived("create")), (0, 0));
    assert_eq!(shop.post(&ann, "/api/orders/checkout", "k2", with(1200)).await.status, 201);
}

#[tokio::test]
async fn declined_then_paid_with_another_card() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 3)]).await;
    let declined = shop.checkout(&ann, &cart, "pm_card_declined", "k1").await;
    assert_eq!((declined.status, declined.code()), (402, "payment_declined"));
    assert_eq!(declined.body["decline_code"], "generic_decline");
    let order = shop.only_order(&ann).await;
    assert_eq!(
        (order["status"].as_str(), order["cancel_reason"].as_str()),
        (Some("cancelled"), Some("payment_declined"))
    );
    shop.world.assert_no_trace(order["id"].as_str().unwrap());

    let again = shop.checkout(&ann, &cart, "pm_card_declined", "k1").await;
    assert_eq!((again.status, &again.body), (402, &declined.body));
    assert_eq!(shop.set_line(&ann, &cart, "A", 2).await.status, 200, "the cart is open again");
    let paid = shop.checkout(&ann, &cart, "pm_card_visa", "k2").await;
    assert_eq!(paid.status, 201, "{paid:?}");
    shop.world.assert_bought(&paid.id(), 2, 1000);
}

#[tokio::test]
async fn a_failed_capture_puts_everything_back() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 3)]).await;
    let failed = shop.checkout(&ann, &cart, "pm_card_capture_fails", "k1").await;
    assert_eq!((failed.status, failed.body["decline_code"].as_str()), (402, Some("capture_failed")));
    let order = shop.only_order(&ann).await;
    let id = order["id"].as_str().unwrap();
    shop.world.assert_no_trace(id);
    assert_eq!(shop.world.books().reservations[id].status, "returned");
    assert_eq!(shop.world.intents_of(id)[0].status, "canceled");
}

#[tokio::test]
async fn too_little_stock_names_what_is_short() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 11), ("B", 1)]).await;
    let short = shop.checkout(&ann, &cart, "pm_card_visa", "k1").await;
    assert_eq!((short.status, short.code()), (409, "insufficient_stock"));
    assert_eq!(short.body["shortages"], json!([{"sku": "A", "wanted": 11, "available": 10}]));
    assert_eq!(shop.world.arrived("create"), 0);
    assert_eq!(shop.set_line(&ann, &cart, "A", 10).await.status, 200);
    assert_eq!(shop.checkout(&ann, &cart, "pm_card_visa", "k2").await.status, 201);
}

#[tokio::test]
async fn a_guests_cart_is_claimed_by_who_checks_it_out() {
    let shop = Shop::open().await;
    let (guest, ann) = (shop.guest(), shop.customer("ann"));
    let cart = shop.cart(&guest, &[("A", 1)]).await;
    let unsigned = shop.checkout(&guest, &cart, "pm_card_visa", "k").await;
    assert_eq!((unsigned.status, unsigned.code()), (401, "unauthenticated"));
    assert_eq!(shop.checkout(&ann, &cart, "pm_card_visa", "k").await.status, 201);
    assert_eq!(shop.get(&guest, &format!("/api/orders/carts/{cart}")).await.status, 404);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let empty = shop.cart(&ann, &[]).await;
    let path = "/api/orders/checkout";
    let good = json!({"cart_id": empty, "payment_method": "pm_card_visa"});
    let keyless = shop.send(&ann, reqwest::Method::POST, path, &[], Some(good.clone())).await;
    assert_eq!((keyless.status, keyless.code()), (400, "missing_idempotency_key"));
    assert_eq!(shop.post(&ann, path, "k", good).await.body["errors"][0]["code"], "cart_empty");
    let wrong: [(Value, &str); 4] = [
        (json!({"cart_id": empty, "payment_method": "4242424242424242"}), "payment_method"),
        (json!({"cart_id": empty}), "body"),
        (json!({"cart_id": empty, "payment_method": "pm_x", "expected_total": 3}), "expected_total"),
        (
            json!({"cart_id": empty, "payment_method": "pm_x", "shipping_address":
                   {"name": "", "line1": "x", "city": "x", "postal_code": "x", "country": "DE"}}),
            "shipping_address.name",
        ),
    ];
    for (body, field) in wrong {
        let reply = shop.post(&ann, path, "k", body.clone()).await;
        assert_eq!((reply.status, reply.code()), (422, "validation_failed"), "{body}");
        assert_eq!(reply.body["errors"][0]["field"], field, "{body}");
    }
    let nobodys = json!({"cart_id": "none", "payment_method": "pm_card_visa"});
    assert_eq!(shop.post(&ann, path, "k", nobodys).await.status, 404);

    assert_eq!(shop.set_line(&ann, &empty, "A", 1).await.status, 200);
    shop.world.books().prices.remove("A");
    let gone = shop.checkout(&ann, &empty, "pm_card_visa", "k").await;
    assert_eq!((gone.status, gone.code(), &gone.body["skus"]), (409, "product_unavailable", &json!(["A"])));
}
