//! Orders after they were placed: reading, listing, cancelling, shipping.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::process::{Person, Shop};
use crate::world::{Fault, When};

async fn bought(shop: &Shop, person: &Person, key: &str) -> String {
    let cart = shop.cart(person, &[("A", 1)]).await;
    let reply = shop.checkout(person, &cart, "pm_card_visa", key).await;
    assert_eq!(reply.status, 201, "{reply:?}");
    reply.id()
}

async fn act(shop: &Shop, person: &Person, order: &str, action: &str, key: &str) -> (u16, Value) {
    let reply = shop.post(person, &format!("/api/orders/{order}/{action}"), key, json!({})).await;
    (reply.status, reply.body)
}

#[tokio::test]
async fn only_the_customer_and_an_admin_see_an_order() {
    let shop = Shop::open().await;
    let (ann, bob, boss) = (shop.customer("ann"), shop.customer("bob"), shop.admin());
    let order = bought(&shop, &ann, "k").await;
    let path = format!("/api/orders/{order}");
    assert_eq!(shop.get(&ann, &path).await.status, 200);
    assert_eq!(shop.get(&boss, &path).await.status, 200);
    assert_eq!(shop.get(&bob, &path).await.status, 404);
    assert_eq!(shop.get(&shop.guest(), &path).await.status, 401);
    assert_eq!(act(&shop, &bob, &order, "cancel", "k").await.0, 404);
    assert_eq!(shop.get(&bob, "/api/orders").await.body["items"], json!([]));
    assert_eq!(shop.get(&bob, "/api/orders?all=true").await.status, 403);
    assert_eq!(shop.get(&boss, "/api/orders?all=true").await.body["items"][0]["id"], order);
    assert_eq!(shop.get(&boss, "/api/orders").await.body["items"], json!([]), "an admin's own orders");
}

#[tokio::test]
async fn lists_are_read_page_by_page_newest_first() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let mut made = Vec::new();
    for n in 0..5 {
        made.insert(0, bought(&shop, &ann, &n.to_string()).await);
    }
    let (mut seen, mut cursor, mut first) = (Vec::new(), String::new(), String::new());
    loop {
        let page = shop.get(&ann, &format!("/api/orders?limit=2{cursor}")).await.body;
        seen.extend(
            page["items"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        if first.is_empty() {
            first.clone_from(&cursor);
        }
    }
    assert_eq!(seen, made);
    let foreign = shop.get(&ann, &format!("/api/orders?status=confirmed{first}")).await;
    assert_eq!((foreign.status, foreign.code()), (400, "invalid_cursor"));
    assert_eq!(
        shop.get(&ann, "/api/orders?status=confirmed").await.body["items"].as_array().unwrap().len(),
        5
    );
    assert_eq!(shop.get(&ann, "/api/orders?status=shipped").await.body["items"], json!([]));
    assert_eq!(shop.get(&ann, "/api/orders?status=lost").await.status, 422);
}

#[tokio::test]
async fn a_cancelled_order_is_refunded_and_its_units_return() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    let order = bought(&shop, &ann, "k").await;
    let keyless =
        shop.send(&ann, reqwest::Method::POST, &format!("/api/orders/{order}/cancel"), &[], None).await;
    assert_eq!(keyless.code(), "missing_idempotency_key");
    let (status, body) = act(&shop, &ann, &order, "cancel", "c1").await;
    assert_eq!(
        (status, body["status"].as_str(), body["cancel_reason"].as_str()),
        (200, Some("refunded"), Some("cancelled_by_customer"))
    );
    shop.world.assert_no_trace(&order);
    assert_eq!(shop.world.intents_of(&order)[0].refunded, 500);
    assert_eq!(act(&shop, &ann, &order, "cancel", "c1").await, (200, body), "the same key, the same answer");
    let (status, body) = act(&shop, &ann, &order, "cancel", "c2").await;
    assert_eq!(
        (status, body["code"].as_str(), body["state"].as_str()),
        (409, Some("state_conflict"), Some("refunded"))
    );
    assert_eq!(shop.world.arrived("reverse"), 1);
}

#[tokio::test]
async fn if_match_guards_what_is_done_with_an_order() {
    let shop = Shop::open().await;
    let (ann, boss) = (shop.customer("ann"), shop.admin());
    let seen = async |order: &str| {
        let reply = shop.get(&ann, &format!("/api/orders/{order}")).await;
        reply.headers["etag"].to_str().unwrap().to_owned()
    };
    let act = async |person: &Person, order: &str, action: &str, key: &str, tag: &str| {
        let headers = [("idempotency-key", key), ("if-match", tag)];
        let path = format!("/api/orders/{order}/{action}");
        let reply = shop.send(person, reqwest::Method::POST, &path, &headers, Some(json!({}))).await;
        (reply.status, reply.body["status"].as_str().map(str::to_owned))
    };
    let order = bought(&shop, &ann, "k1").await;
    let confirmed = seen(&order).await;
    for (action, before, after) in [("ship", "confirmed", "shipped"), ("deliver", "shipped", "delivered")] {
        let tag = seen(&order).await;
        assert_eq!(act(&boss, &order, action, action, "\"v0\"").await.0, 412);
        assert_eq!(shop.get(&ann, &format!("/api/orders/{order}")).await.body["status"], before);
        // The refusal did not use up the key; and what was done once is answered again, whatever the order is by now.
        for _ in 0..2 {
            assert_eq!(act(&boss, &order, action, action, &tag).await, (200, Some(after.to_owned())));
        }
    }
    assert_eq!(act(&ann, &order, "cancel", "c1", &confirmed).await.0, 412);
    assert_eq!(act(&ann, &order, "cancel", "c2", "*").await.0, 409, "the condition holds, the rule does not");

    let order = bought(&shop, &ann, "k2").await;
    let tag = seen(&order).await;
    assert_eq!(act(&ann, &order, "cancel", "c", "\"v0\"").await.0, 412);
    for _ in 0..2 {
        assert_eq!(act(&ann, &order, "cancel", "c", &tag).await, (200, Some("refunded".to_owned())));
    }
}

#[tokio::test]
async fn a_refund_that_must_wait_is_accepted_and_done_later() {
    let shop = Shop::open_with(&[("CHECKOUT_BUDGET_MS", "1500")]).await;
    let (ann, boss) = (shop.customer("ann"), shop.admin());
    let order = bought(&shop, &ann, "k").await;
    shop.world.trouble("reverse", When::Before, Fault::Status(503), usize::MAX);
    let (status, body) = act(&shop, &ann, &order, "cancel", "c").await;
    assert_eq!(
        (status, body["status"].as_str(), body["settled"].as_bool()),
        (202, Some("cancelled"), Some(false))
    );
    let (status, body) = act(&shop, &boss, &order, "ship", "s").await;
    assert_eq!((status, body["state"].as_str()), (409, Some("cancelled")), "it is not shipped any more");
    shop.world.heal();
    assert_eq!(shop.settled(&ann, &order).await["status"], "refunded");
    shop.world.assert_no_trace(&order);
}

/// Begins a checkout in which `operation` has its effect and gives no answer, until the world is healed.
async fn unfinished(shop: &Shop, person: &Person, operation: &'static str, state: &str) -> String {
    shop.world.trouble(operation, When::After, Fault::Drop, usize::MAX);
    let cart = shop.cart(person, &[("A", 1)]).await;
    let unknown = shop.checkout(person, &cart, "pm_card_visa", "k").await;
    assert_eq!((unknown.code(), unknown.body["state"].as_str()), ("checkout_unfinished", Some(state)));
    unknown.body["order_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_unfinished_checkout_can_be_cancelled_before_the_money_is_taken() {
    let shop = Shop::open_with(&[("CHECKOUT_BUDGET_MS", "1500")]).await;
    let ann = shop.customer("ann");
    let order = unfinished(&shop, &ann, "confirm", "stock_reserved").await;
    let (status, body) = act(&shop, &ann, &order, "cancel", "c").await;
    assert_eq!((status, body["status"].as_str()), (200, Some("cancelled")), "{body}");
    assert_eq!(body["cancel_reason"], "cancelled_by_customer");
    shop.world.assert_no_trace(&order);
    assert_eq!(
        shop.world.intents_of(&order)[0].status,
        "canceled",
        "the bank had agreed, and nobody heard of it"
    );
    assert_eq!(act(&shop, &ann, &order, "cancel", "c").await, (200, body));
    assert_eq!(act(&shop, &ann, &order, "cancel", "c2").await.0, 409);
}

#[tokio::test]
async fn once_the_money_may_be_taken_a_checkout_is_finished_and_then_refunded() {
    let shop = Shop::open_with(&[("CHECKOUT_BUDGET_MS", "1500")]).await;
    let ann = shop.customer("ann");
    let order = unfinished(&shop, &ann, "capture", "payment_authorized").await;
    let (status, body) = act(&shop, &ann, &order, "cancel", "c").await;
    assert_eq!((status, body["code"].as_str()), (409, Some("request_in_flight")));
    shop.world.heal();
    assert_eq!(shop.settled(&ann, &order).await["status"], "confirmed");
    let (status, body) = act(&shop, &ann, &order, "cancel", "c").await;
    assert_eq!((status, body["status"].as_str()), (200, Some("refunded")), "{body}");
    shop.world.assert_no_trace(&order);
    assert_eq!(shop.world.intents_of(&order)[0].refunded, 500);
}

#[tokio::test]
async fn an_admin_ships_and_delivers_in_that_order() {
    let shop = Shop::open().await;
    let (ann, boss) = (shop.customer("ann"), shop.admin());
    let order = bought(&shop, &ann, "k").await;
    assert_eq!(act(&shop, &ann, &order, "ship", "s").await.0, 403);
    let (status, body) = act(&shop, &boss, &order, "deliver", "d0").await;
    assert_eq!((status, body["state"].as_str()), (409, Some("confirmed")));
    let (status, shipped) = act(&shop, &boss, &order, "ship", "s").await;
    assert_eq!((status, shipped["status"].as_str()), (200, Some("shipped")));
    assert_eq!(act(&shop, &boss, &order, "ship", "s").await, (200, shipped));
    assert_eq!(act(&shop, &boss, &order, "ship", "s2").await.1["state"], "shipped");
    let (status, body) = act(&shop, &ann, &order, "cancel", "c").await;
    assert_eq!((status, body["state"].as_str()), (409, Some("shipped")));
    assert_eq!(act(&shop, &boss, &order, "deliver", "d").await.1["status"], "delivered");
    assert_eq!(act(&shop, &boss, "nothing", "ship", "x").await.0, 404);
    assert_eq!(shop.world.arrived("reverse"), 0);
}

#[tokio::test]
async fn shipping_and_cancelling_at_once_leaves_one_winner() {
    let shop = Shop::open().await;
    let (ann, boss) = (shop.customer("ann"), shop.admin());
    for n in 0..4 {
        let order = bought(&shop, &ann, &n.to_string()).await;
        let (s, c) = (format!("s{n}"), format!("c{n}"));
        let done =
            join_all([act(&shop, &boss, &order, "ship", &s), act(&shop, &ann, &order, "cancel", &c)]).await;
        let end = shop.settled(&ann, &order).await["status"].as_str().unwrap().to_owned();
        let refunded = shop.world.intents_of(&order)[0].refunded;
        match end.as_str() {
            "shipped" => assert_eq!((done[0].0, done[1].0, refunded), (200, 409, 0)),
            "refunded" => assert_eq!((done[0].0, done[1].0, refunded), (409, 200, 500)),
            other => panic!("{other}: {done:?}"),
        }
    }
}
