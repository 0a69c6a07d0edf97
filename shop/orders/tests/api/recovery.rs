//! The process is killed between every pair of steps, before and after each one is carried out. Its sagas end right all the same.

use crate::faults::STEPS;
use crate::process::Shop;
use crate::world::{Fault, When};

/// Kills the service while `operation` hangs, starts it again, and gives the customer's order once it is settled.
async fn killed_at(operation: &'static str, when: When, method: &str) -> (Shop, serde_json::Value, String) {
    let mut shop = Shop::open().await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 2)]).await;
    shop.world.trouble(operation, when, Fault::Hang, 1);
    tokio::select! {
        reply = shop.checkout(&ann, &cart, method, "k") => panic!("it was to hang: {reply:?}"),
        () = shop.world.hangs() => {}
    }
    shop.kill().await;
    shop.world.heal();
    shop.restart().await;
    let order = shop.only_order(&ann).await;
    (shop, order, cart)
}

#[tokio::test]
async fn killed_between_any_steps_an_order_is_confirmed_and_paid_once() {
    for operation in STEPS {
        for when in [When::Before, When::After] {
            let (shop, order, cart) = killed_at(operation, when, "pm_card_visa").await;
            let place = format!("killed {when:?} {operation}");
            assert_eq!(order["status"], "confirmed", "{place}");
            let id = order["id"].as_str().unwrap();
            shop.world.assert_bought(id, 2, 1000);
            let ann = shop.customer("ann");
            let told = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
            assert_eq!((told.status, told.id().as_str()), (201, id), "{place}");
            shop.until("the event", |world| world.books().events.len() == 1).await;
        }
    }
}

#[tokio::test]
async fn killed_while_a_declined_order_is_undone_it_leaves_no_trace() {
    for (operation, method) in [
        ("reverse", "pm_card_declined"),
        ("release", "pm_card_declined"),
        ("reverse", "pm_card_capture_fails"),
        ("release", "pm_card_capture_fails"),
    ] {
        for when in [When::Before, When::After] {
            let (shop, order, cart) = killed_at(operation, when, method).await;
            let place = format!("killed {when:?} {operation}, {method}");
            assert_eq!(
                (order["status"].as_str(), order["cancel_reason"].as_str()),
                (Some("cancelled"), Some("payment_declined")),
                "{place}"
            );
            shop.world.assert_no_trace(order["id"].as_str().unwrap());
            let ann = shop.customer("ann");
            let told = shop.checkout(&ann, &cart, method, "k").await;
            assert_eq!((told.status, told.code()), (402, "payment_declined"), "{place}");
            let paid = shop.checkout(&ann, &cart, "pm_card_visa", "k2").await;
            assert_eq!(paid.status, 201, "{place}: the cart is open again: {paid:?}");
        }
    }
}

#[tokio::test]
async fn killed_while_a_cancelled_order_is_refunded_the_money_comes_back_once() {
    for operation in ["reverse", "release"] {
        for when in [When::Before, When::After] {
            let mut shop = Shop::open().await;
            let ann = shop.customer("ann");
            let cart = shop.cart(&ann, &[("A", 2)]).await;
            let order = shop.checkout(&ann, &cart, "pm_card_visa", "k").await.id();
            shop.world.trouble(operation, when, Fault::Hang, 1);
            let path = format!("/api/orders/{order}/cancel");
            tokio::select! {
                reply = shop.post(&ann, &path, "c", serde_json::json!({})) => panic!("it was to hang: {reply:?}"),
                () = shop.world.hangs() => {}
            }
            shop.kill().await;
            shop.world.heal();
            shop.restart().await;
            let place = format!("killed {when:?} {operation}");
            assert_eq!(shop.settled(&ann, &order).await["status"], "refunded", "{place}");
            shop.world.assert_no_trace(&order);
            assert_eq!(shop.world.intents_of(&order)[0].refunded, 1000, "{place}");
        }
    }
}

#[tokio::test]
async fn an_order_whose_saga_was_never_begun_is_bought_all_the_same() {
    // Nobody listens there, and a short patience.
    let nobody = [("SAGAS_URL", "http://127.0.0.1:9"), ("CHECKOUT_BUDGET_MS", "300")];
    let mut shop = Shop::open_with(&nobody).await;
    let ann = shop.customer("ann");
    let cart = shop.cart(&ann, &[("A", 1)]).await;
    let unknown = shop.checkout(&ann, &cart, "pm_card_visa", "k").await;
    assert_eq!((unknown.code(), unknown.body["state"].as_str()), ("checkout_unfinished", Some("pending")));
    assert_eq!(shop.world.arrived("reserve"), 0);
    shop.kill().await;
    shop.settings.clear();
    shop.restart().await;
    // Nobody asks for it any more: the message that was written with the order begins its saga.
    let order = shop.only_order(&ann).await;
    assert_eq!(order["status"], "confirmed");
    shop.world.assert_bought(order["id"].as_str().unwrap(), 1, 500);
}
