//! Checkout when services fail: what is unknown is asked again with the same key, and what cannot be done is undone.

use serde_json::json;

use crate::process::Shop;
use crate::world::{Fault, When};

/// The steps of a checkout at other services.
pub const STEPS: [&str; 5] = ["reserve", "create", "confirm", "commit", "capture"];

#[tokio::test]
async fn a_lost_answer_to_any_step_is_asked_again_within_the_request() {
    for fault in [Fault::Drop, Fault::Status(500), Fault::Status(503)] {
        let shop = Shop::open().await;
        let ann = shop.customer("ann");
        for operation in STEPS {
            shop.world.trouble(operation, When::After, fault, 2);
            shop.world.trouble(operation, When::Before, fault, 1);
        }
        let cart = shop.cart(&ann, &[("A", 2)]).await;
        let bought = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
        assert_eq!(bought.status, 201, "{bought:?}");
        shop.world.assert_bought(&bought.id(), 2, 1000);
        for operation in STEPS {
            assert_eq!(shop.world.arrived(operation), 4, "{operation}: once right, three times in trouble");
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_asked_again() {
    let shop = Shop::open_by(&[], |saga| saga.replace("timeout: 10s", "timeout: 200ms")).await;
    let ann = shop.customer("ann");
    shop.world.trouble("confirm", When::After, Fault::Hang, 1);
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let bought = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!(bought.status, 201, "{bought:?}");
    shop.world.assert_bought(&bought.id(), 1, 500);
}

#[tokio::test]
async fn without_payments_nothing_is_bought_and_the_same_key_may_try_again() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    shop.world.trouble("create", When::Before, Fault::Status(503), usize::MAX);
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let down = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((down.status, down.code()), (503, "unavailable"), "{down:?}");
    assert_eq!(down.body["service"], "payments");
    assert!(down.headers.contains_key("retry-after"));
    let order = shop.only_order(&ann).await;
    assert_eq!(order["status"], "cancelled");
    shop.world.assert_no_trace(order["id"].as_str().unwrap());
    shop.world.heal();
    let bought = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!(bought.status, 201, "{bought:?}");
    shop.world.assert_bought(&bought.id(), 1, 500);
}

#[tokio::test]
async fn an_unknown_charge_is_said_to_be_unknown_and_found_out_later() {
    let shop = Shop::open_with(&[("CHECKOUT_BUDGET_MS", "1500")]).await;
    let ann = shop.customer("ann");
    shop.world.trouble("confirm", When::After, Fault::Drop, usize::MAX);
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let unknown = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((unknown.status, unknown.code()), (503, "checkout_unfinished"), "{unknown:?}");
    assert_eq!(unknown.body["state"], "stock_reserved");
    let order = unknown.body["order_id"].as_str().unwrap().to_owned();
    let other = shop.checkout(&ann, &cart, "pm_card_visa", "another key").await;
    assert_eq!(
        (other.status, other.body["order_id"].as_str()),
        (409, Some(&*order)),
        "no second order meanwhile"
    );
    shop.world.heal();
    assert_eq!(shop.settled(&ann, &order).await["status"], "confirmed");
    let told = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((told.status, told.id()), (201, order.clone()));
    shop.world.assert_bought(&order, 1, 500);
}

#[tokio::test]
async fn an_unauthorized_order_is_given_up_in_time() {
    let hurried = |saga: &str| saga.replace("deadline: 2m", "deadline: 3s");
    let shop = Shop::open_by(&[("CHECKOUT_BUDGET_MS", "1500")], hurried).await;
    let ann = shop.customer("ann");
    shop.world.trouble("confirm", When::After, Fault::Status(500), usize::MAX);
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let unknown = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!(unknown.code(), "checkout_unfinished", "{unknown:?}");
    let order = unknown.body["order_id"].as_str().unwrap();
    assert_eq!(shop.settled(&ann, order).await["status"], "cancelled");
    shop.world.assert_no_trace(order);
    assert_eq!(
        shop.world.intents_of(order)[0].status,
        "canceled",
        "the authorization that nobody heard of is void"
    );
}

#[tokio::test]
async fn an_undo_is_repeated_until_it_is_done() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    for operation in ["reverse", "release"] {
        shop.world.trouble(operation, When::Before, Fault::Status(503), 1);
        shop.world.trouble(operation, When::After, Fault::Drop, 1);
    }
    let cart = shop.cart(&ann, &[("A", 2)]).await;
    let reply = shop.checkout(&ann, &cart, "pm_card_capture_fails", "k").await;
    assert_eq!(reply.status, 402, "{reply:?}");
    let order = shop.only_order(&ann).await;
    assert_eq!(order["cancel_reason"], "payment_declined");
    shop.world.assert_no_trace(order["id"].as_str().unwrap());
    let told = shop.checkout(&ann, &cart, "pm_card_capture_fails", "k").await;
    assert_eq!((told.status, told.body["decline_code"].as_str()), (402, Some("capture_failed")));
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_undoes_the_order() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    shop.world.trouble("confirm", When::Before, Fault::Status(404), 1);
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let odd = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((odd.status, odd.code()), (502, "upstream_error"), "{odd:?}");
    let order = shop.only_order(&ann).await;
    shop.world.assert_no_trace(order["id"].as_str().unwrap());
    assert_eq!(
        shop.checkout(&ann, &cart, "pm_card_visa", "k").await.status,
        201,
        "the key is free, the cart open"
    );
}

#[tokio::test]
async fn events_are_delivered_at_least_once_and_hold_up_nobody() {
    let shop = Shop::open().await;
    let ann = shop.customer("ann");
    shop.world.trouble("event", When::Before, Fault::Status(503), 1);
    shop.world.trouble("event", When::After, Fault::Drop, 1);
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let bought = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!(bought.status, 201);
    shop.until("the event is there twice", |world| world.books().events.len() >= 2).await;
    let events = shop.world.books().events.clone();
    assert_eq!(events[0], events[1], "the same id and the same body");
    assert_eq!(events[0].1["data"], json!({"order_id": bought.id(), "skus": ["A"]}));
}
