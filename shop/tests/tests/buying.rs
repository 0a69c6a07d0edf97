//! People buy in the whole shop: with a browser, and twenty at once over HTTP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::process::Command;

use shop_load::run::{Options, run};
use shop_tests::{RunningShop, folder};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_customers_buy_at_once_and_the_books_are_right() {
    let running = RunningShop::start();
    let options = Options { customers: 20, duration: None, purchases: Some(100), seed: 7 };
    let report = run(&running.shop, &options).await.unwrap();
    assert!(report.unexpected.is_empty(), "{report:#?}");
    assert_eq!(report.count("unknown") + report.count("unavailable"), 0, "{report:#?}");
    assert!(report.count("confirmed") >= 50, "{report:#?}");
    assert!(report.count("402 payment_declined") > 0, "{report:#?}");
    let verdict = running.audit().await;
    assert!(verdict.sold as u64 >= report.count("confirmed"), "{verdict:#?}");
    assert_eq!(verdict.sold, report.confirmed_orders.len(), "{verdict:#?}");
    learned(&running).await;
}

/// What was bought together is recommended together: the event of a confirmed order arrives.
async fn learned(running: &RunningShop) {
    let app = &running.app;
    let products = app.get("/api/catalog/products?limit=50").unwrap().json();
    let skus: Vec<_> = products["items"].as_array().unwrap().iter().map(|p| p["sku"].clone()).collect();
    testkit::wait_for("a recommendation", || {
        skus.iter().find_map(|sku| {
            let answer = app.get(&format!("/api/recommendations?sku={}", sku.as_str().unwrap())).unwrap();
            answer.json()["items"].as_array().filter(|items| !items.is_empty()).cloned()
        })
    });
}

/// Runs tests in a real browser; none may be skipped.
fn in_a_browser(script: &str, env: &[(&str, &str)]) {
    let output = Command::new("npm")
        .args(["run", "--silent", script])
        .current_dir(folder().join("storefront"))
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        said.contains("# skipped 0") || said.contains("ℹ skipped 0"),
        "no browser test may be skipped: {said}"
    );
}

#[test]
fn a_customer_buys_with_a_browser() {
    let running = RunningShop::start();
    in_a_browser("test:browser", &[("SHOP_URL", &format!("http://{}", running.app.gateway()))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_shows_the_shop_in_a_browser() {
    // Long enough for a hand that undoes a checkout while it waits for the bank.
    let slow = "[services.payments.env]\nTEST_PROVIDER_SLOW_MS = \"6000\"";
    let running = RunningShop::start_by(|manifest| manifest.replace("[services.payments.env]", slow));
    let options = Options { customers: 4, duration: None, purchases: Some(30), seed: 9 };
    run(&running.shop, &options).await.unwrap();
    running.rebuild("catalog");
    let address = running.app.isles(&["console"]).stdout;
    let look = move || {
        in_a_browser("test:console", &[("CONSOLE_URL", address.trim()), ("CONSOLE_REBUILT", "catalog")]);
    };
    tokio::task::spawn_blocking(look).await.unwrap();
}

#[test]
fn internal_operations_are_not_reachable_through_the_gateway() {
    let running = RunningShop::start();
    let address = running.app.gateway();
    for (method, path) in [
        ("POST", "/reservations"),
        ("POST", "/payments"),
        ("GET", "/payments?limit=1"),
        ("GET", "/products/by-sku?sku=A"),
        ("POST", "/events/order-confirmed"),
        ("GET", "/api/inventory/../../reservations"),
        ("GET", "/api/inventory/%2e%2e/%2e%2e/reservations"),
        ("GET", "/api/payments/..%2f..%2fpayments"),
    ] {
        let headers =
            [("x-isles-caller", "orders"), ("idempotency-key", "k"), ("content-type", "application/json")];
        let answer = testkit::request(address, method, path, &headers, "{}").unwrap();
        assert!(matches!(answer.status, 400 | 403 | 404 | 405), "{method} {path}: {answer:?}");
    }
}
