//! The load generator and the audit against the shop's real services, joined by a small gateway instead of the platform.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says where"
)]

mod gateway;
mod street;

use std::time::Duration;

use serde_json::{Value, json};
use shop_load::audit::{Verdict, audit_within};
use shop_load::client::{Call, Shop};
use shop_load::customer::{Customer, Ending, Wish, customer_buys};
use shop_load::run::{Options, run};
use street::{ADMIN, PASSWORD, Street};

const PATIENCE: Duration = Duration::from_secs(45);

async fn audited(shop: &Shop) -> Verdict {
    audit_within(shop, ADMIN, PASSWORD, PATIENCE).await.unwrap()
}

/// `shop-load audit --json` as a program: its exit code and what it prints.
async fn audit_command(street: &Street) -> (Option<i32>, Value) {
    command(street, &["audit"]).await
}

async fn command(street: &Street, arguments: &[&str]) -> (Option<i32>, Value) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_shop-load"));
    command.args(arguments).args(["--json", "--url", street.url()]);
    command.env("SHOP_ADMIN_EMAIL", ADMIN).env("SHOP_ADMIN_PASSWORD", PASSWORD);
    let output = command.output().await.unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

fn options(customers: usize, purchases: u64) -> Options {
    Options { customers, duration: None, purchases: Some(purchases), seed: 7 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn customers_buy_with_every_kind_of_card_and_the_books_add_up() {
    let street = Street::open().await;
    let shop = street.shop();
    let report = run(&shop, &options(6, 90)).await.unwrap();
    assert!(report.unexpected.is_empty(), "{report:#?}");
    assert_eq!(report.endings.values().sum::<u64>(), 90, "{report:#?}");
    assert!(report.count("confirmed") >= 50 && report.count("402 payment_declined") >= 5, "{report:#?}");
    assert_eq!(report.count("unknown"), 0, "{report:#?}");
    assert_eq!(report.latency["checkout"].count, 90);
    let verdict = audited(&shop).await;
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!(verdict.sold, report.confirmed_orders.len());
    assert!(verdict.payments >= verdict.sold && verdict.skus >= 40, "{verdict:#?}");
    let (code, told) = audit_command(&street).await;
    assert_eq!((code, &told["violations"], &told["sold"]), (Some(0), &json!([]), &json!(verdict.sold)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_runs_customers_and_tells_what_they_met() {
    let street = Street::open().await;
    let arguments = ["run", "--customers", "2", "--orders", "4", "--seed", "3"];
    let (code, told) = command(&street, &arguments).await;
    assert_eq!((code, &told["unexpected"]), (Some(0), &json!({})), "{told}");
    let endings: u64 = told["endings"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    assert_eq!((endings, &told["latency"]["checkout"]["count"]), (4, &json!(4)), "{told}");
    let (code, _) = command(&street, &["audit", "--wait", "30s"]).await;
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_come_and_go_cost_nobody_a_cent() {
    let street = Street::open().await;
    let shop = street.shop();
    let shopping = {
        let shop = shop.clone();
        tokio::spawn(async move { run(&shop, &options(6, 60)).await.unwrap() })
    };
    for service in ["payments", "inventory", "payments", "inventory"] {
        tokio::time::sleep(Duration::from_millis(400)).await;
        street.close(service);
        tokio::time::sleep(Duration::from_millis(300)).await;
        street.reopen(service);
    }
    let report = shopping.await.unwrap();
    assert!(report.count("confirmed") > 0, "{report:#?}");
    let verdict = audited(&shop).await;
    assert!(verdict.is_clean(), "{verdict:#?}\n{report:#?}");
    assert!(verdict.sold >= report.confirmed_orders.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_units_are_sold_once() {
    let street = Street::open().await;
    let shop = street.shop();
    let admin = shop.sign_in(ADMIN, PASSWORD).await.unwrap();
    let sku = "KIT-MUG-01";
    let path = format!("/api/inventory/stock/{sku}");
    let stock = shop.send(Call::get(&path)).await.unwrap().body;
    let delta = 5 - stock["on_hand"].as_i64().unwrap();
    let body = json!({"sku": sku, "delta": delta, "reason": "stocktaking"});
    let reply =
        shop.send(Call::post("/api/inventory/adjustments", body).token(&admin).key("s")).await.unwrap();
    reply.expect("adjust", &[200, 201]).unwrap();

    let mut buyers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let shop = shop.clone();
        buyers.spawn(async move {
            let mut customer = Customer::register(&shop, "Buyer").await.unwrap();
            let card = if number == 3 { "pm_card_lost_reply" } else { "pm_card_visa" };
            let wish = Wish { lines: vec![(sku.to_owned(), 1)], payment_method: card.to_owned() };
            customer_buys(&shop, &mut customer, &wish).await.unwrap().ending
        });
    }
    let endings = buyers.join_all().await;
    let confirmed = endings.iter().filter(|ending| matches!(ending, Ending::Confirmed { .. })).count();
    let short = Ending::Refused { status: 409, code: "insufficient_stock".to_owned() };
    let refused = endings.iter().filter(|ending| **ending == short).count();
    assert_eq!((confirmed, refused), (5, 3), "{endings:?}");
    let verdict = audited(&shop).await;
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert_eq!(shop.send(Call::get(&path)).await.unwrap().body["on_hand"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_finds_what_was_left_behind() {
    let street = Street::open().await;
    let shop = street.shop();
    street
        .post_as_saga(
            "inventory",
            "/reservations",
            "r",
            json!({"key": "ghost", "lines": [{"sku": "KIT-MUG-01", "quantity": 2}]}),
        )
        .await;
    let amount = json!({"amount": 900, "currency": "EUR"});
    let new =
        json!({"amount": amount, "customer_id": "nobody", "reference": "ghost", "capture_method": "manual"});
    let intent = street.post_as_saga("payments", "/payments", "p", new).await;
    let id = intent["id"].as_str().unwrap();
    let card = json!({"payment_method": "pm_card_visa"});
    street.post_as_saga("payments", &format!("/payments/{id}/confirm"), "c", card).await;
    let rules =
        |verdict: Verdict| verdict.violations.into_iter().map(|violation| violation.rule).collect::<Vec<_>>();
    let verdict = audit_within(&shop, ADMIN, PASSWORD, Duration::ZERO).await.unwrap();
    assert_eq!(rules(verdict), ["no_authorization_outlives_order", "no_reservation_outlives_order"]);

    street.post_as_saga("payments", &format!("/payments/{id}/capture"), "x", json!({})).await;
    street.post_as_saga("inventory", "/reservations/ghost/commit", "y", json!({})).await;
    let verdict = audit_within(&shop, ADMIN, PASSWORD, Duration::ZERO).await.unwrap();
    assert_eq!(rules(verdict), ["captured_is_sold_or_refunded", "units_match_order"]);
}
