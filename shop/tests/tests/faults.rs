//! Things are killed while people buy: services come back, the rest goes on, and the books are right.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use shop_load::client::{ClientError, Shop};
use shop_load::customer::{Customer, Ending, Wish, customer_buys};
use shop_load::run::{Options, Report, run};
use shop_tests::RunningShop;
use testkit::wait_until;

/// Customers who go on buying while something happens to the shop.
fn customers(shop: &Shop, purchases: u64, seed: u64) -> tokio::task::JoinHandle<Report> {
    let shop = shop.clone();
    tokio::spawn(async move {
        let options = Options { customers: 6, duration: None, purchases: Some(purchases), seed };
        loop {
            match run(&shop, &options).await {
                // Who finds the door closed at the very first look comes again.
                Err(ClientError::NoAnswer { .. }) => {}
                report => return report.unwrap(),
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn any_killed_service_comes_back_and_no_order_is_lost_or_doubled() {
    let running = RunningShop::start();
    let app = &running.app;
    let services =
        ["accounts", "catalog", "inventory", "payments", "orders", "recommendations", "storefront"];
    let buying = customers(&running.shop, 150, 11);
    for service in services {
        let before = app.pids(service);
        app.kill(before[0]);
        wait_until("it is back", || app.pids(service), |now| now.len() == 1 && *now != before);
    }
    let report = buying.await.unwrap();
    // A customer may meet a service in the moment in which it is not there, and is told so; nothing else may happen.
    assert!(report.count("confirmed") > 0, "{report:#?}");
    app.wait_ready();
    running.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_two_replicas_of_inventory_killing_one_fails_no_purchase() {
    let running = RunningShop::start();
    let app = &running.app;
    assert_eq!(app.isles(&["scale", "inventory", "2"]).code, Some(0));
    wait_until("two replicas", || app.pids("inventory"), |pids| pids.len() == 2);
    let buying = customers(&running.shop, 80, 12);
    for _ in 0..3 {
        let before = app.pids("inventory");
        app.kill(before[0]);
        wait_until("two again", || app.pids("inventory"), |now| now.len() == 2 && *now != before);
    }
    let report = buying.await.unwrap();
    assert!(report.unexpected.is_empty(), "{report:#?}");
    assert_eq!(report.count("unknown") + report.count("unavailable"), 0, "{report:#?}");
    running.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_the_control_plane_fails_no_purchase_and_restarts_no_service() {
    let running = RunningShop::start();
    let app = &running.app;
    let services =
        ["accounts", "catalog", "inventory", "payments", "orders", "recommendations", "storefront"];
    let pids = || services.map(|s| app.pids(s));
    let before = pids();
    let control = u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap();
    let buying = customers(&running.shop, 60, 13);
    app.kill(control);
    app.up();
    let report = buying.await.unwrap();
    assert!(report.unexpected.is_empty(), "{report:#?}");
    assert_eq!(report.count("unknown") + report.count("unavailable"), 0, "{report:#?}");
    assert_eq!(pids(), before, "the same processes");
    running.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_plane_comes_back_and_the_books_are_right() {
    let running = RunningShop::start();
    let app = &running.app;
    let buying = customers(&running.shop, 60, 14);
    for _ in 0..2 {
        let proxy = app.status()["proxy_pid"].as_u64().unwrap();
        app.kill(u32::try_from(proxy).unwrap());
        wait_until(
            "another data plane",
            || app.status()["proxy_pid"].as_u64(),
            |now| now.is_some_and(|now| now != proxy),
        );
        wait_until("the storefront", || app.get("/").map(|a| a.status).ok(), |status| *status == Some(200));
    }
    buying.await.unwrap();
    running.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_sells_without_recommendations() {
    let running = RunningShop::start();
    let app = &running.app;
    assert_eq!(app.isles(&["scale", "recommendations", "0"]).code, Some(0));
    wait_until("none left", || app.service("recommendations"), |s| s["state"] == "stopped");
    let products = app.get("/api/catalog/products?limit=1").unwrap().json();
    let product = &products["items"][0];
    let page = app.get(&format!("/products/{}", product["slug"].as_str().unwrap())).unwrap();
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains(product["name"].as_str().unwrap()), "{}", page.body);

    let mut customer = Customer::register(&running.shop, "Somebody").await.unwrap();
    let sku = product["sku"].as_str().unwrap().to_owned();
    let wish = Wish { lines: vec![(sku, 1)], payment_method: "pm_card_visa".into() };
    let bought = customer_buys(&running.shop, &mut customer, &wish).await.unwrap();
    assert!(matches!(bought.ending, Ending::Confirmed { .. }), "{bought:?}");
    running.audit().await;
}
