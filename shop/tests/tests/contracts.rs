//! The shop's own contracts have teeth: what would break a real caller is refused by name, and what is really asked and answered
//! is what they say.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use shop_load::run::{Options, run};
use shop_tests::RunningShop;
use testkit::wait_until;

const WITH_CONTRACT: [&str; 6] =
    ["accounts", "catalog", "inventory", "payments", "orders", "recommendations"];

async fn buy(running: &RunningShop, purchases: u64) {
    let options = Options { customers: 4, duration: None, purchases: Some(purchases), seed: 5 };
    let report = run(&running.shop, &options).await.unwrap();
    assert!(report.unexpected.is_empty() && report.count("confirmed") > 0, "{report:#?}");
}

fn json(running: &RunningShop, args: &[&str]) -> Value {
    let ended = running.app.isles(args);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

#[track_caller]
fn deploy(running: &RunningShop, args: &[&str], code: i32) -> String {
    let ended = running.app.isles(&[&["deploy", "inventory"], args].concat());
    assert_eq!(ended.code, Some(code), "{ended:#?}");
    ended.stderr
}

/// Everything from one line of a contract to another one.
fn between(text: &str, from: &str, to: &str) -> String {
    let begin = text.find(from).unwrap();
    let end = begin + text[begin..].find(to).unwrap();
    text[begin..end].to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_would_break_a_caller_is_refused_by_name_and_rate() {
    let running = RunningShop::start();
    buy(&running, 20).await;
    let usage = || json(&running, &["api", "usage", "inventory", "--json"]);
    let asks = |usage: &Value, operation: &str, caller: &str| {
        let of = usage["operations"].as_array().unwrap().iter().find(|o| o["operation"] == operation);
        of.is_some_and(|o| o["callers"].as_array().unwrap().iter().any(|c| c["caller"] == caller))
    };
    // A customer looks at a page, for which the storefront looks at the shelf.
    let products = running.app.get("/api/catalog/products?limit=5").unwrap().json();
    for product in products["items"].as_array().unwrap() {
        let page = format!("/products/{}", product["slug"].as_str().unwrap());
        assert_eq!(running.app.get(&page).unwrap().status, 200, "{page}");
    }
    let shelf = "GET /api/inventory/stock/{sku}";
    wait_until("the storefront is known to look at the shelf", usage, |usage| {
        asks(usage, shelf, "storefront")
    });
    let release = || running.app.service("inventory")["release"].clone();
    let (first, pids) = (release(), running.app.pids("inventory"));
    let contract = running.contract("inventory");
    let whole = std::fs::read_to_string(&contract).unwrap();
    let change = |from: &str, to: &str| {
        assert!(whole.contains(from), "{from}");
        std::fs::write(&contract, whole.replacen(from, to, 1)).unwrap();
    };

    // A field that is used.
    let field = "        available: { type: integer, minimum: 0 }\n";
    let stock = between(&whole, "    Stock:\n", "    StockPage:\n");
    change(&stock, &stock.replace(", available]", "]").replace(field, ""));
    let said = deploy(&running, &[], 3);
    let line = said
        .lines()
        .find(|line| line.contains(&format!("breaks `{shelf}`")))
        .unwrap_or_else(|| panic!("{said}"));
    assert!(line.contains("available") && line.contains("storefront (") && line.contains("/h)"), "{said}");
    // A request that has to say more.
    change(
        "required: [key, lines]\n      properties:\n",
        "required: [key, lines, warehouse]\n      properties:\n        warehouse: { type: string }\n",
    );
    let said = deploy(&running, &[], 3);
    assert!(said.contains("breaks `POST /reservations`") && said.contains("used by saga checkout"), "{said}");
    // An operation that nothing but an undo needs.
    let cancel = between(&whole, "  /reservations/{key}/cancel:\n", "  /health/live:\n");
    change(&cancel, "");
    let said = deploy(&running, &[], 3);
    let undo = "breaks `POST /reservations/{key}/cancel`";
    assert!(said.contains(undo) && said.contains("saga checkout, to undo"), "{said}");
    assert_eq!(
        (release(), running.app.pids("inventory")),
        (first.clone(), pids),
        "nothing of it was started"
    );

    // Nobody has asked for this.
    let movements = between(&whole, "  /api/inventory/movements:\n", "  /api/inventory/reservations:\n");
    change(&movements, "");
    let said = deploy(&running, &[], 0);
    assert!(
        said.contains("`GET /api/inventory/movements`") && said.contains("nobody has called it"),
        "{said}"
    );
    let second = release();
    assert_ne!(second, first);
    // What is compatible passes without a word.
    change(field, &format!("{field}        restocked_at: {{ type: string, format: date-time }}\n"));
    assert!(!deploy(&running, &[], 0).contains("breaks"));

    // Forced, and kept with its reason.
    change(&cancel, "");
    let said = deploy(&running, &["--force"], 0);
    assert!(said.contains(&format!("forced, although: {undo}")), "{said}");
    let rollout = running.app.service("inventory")["rollout"].to_string();
    assert!(rollout.contains("forced, although") && rollout.contains("saga checkout, to undo"), "{rollout}");
    running.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_services_really_ask_and_answer_is_what_their_contracts_say() {
    let running = RunningShop::start();
    buy(&running, 40).await;
    running.audit().await;
    for service in WITH_CONTRACT {
        let drift = || json(&running, &["api", "drift", service, "--json"]);
        let looked_at = |drift: &Value| drift["operations"].as_array().is_some_and(|all| !all.is_empty());
        let drift = wait_until("it is looked at", drift, looked_at);
        let found: Vec<&Value> =
            drift["operations"].as_array().unwrap().iter().filter(|o| o["faulty"] != 0).collect();
        assert!(found.is_empty(), "{service}: {found:#?}");
        assert!(drift["unreadable"].is_null() && drift["unchecked"] == serde_json::json!([]), "{drift:#}");
        assert_eq!(drift["undocumented"], serde_json::json!([]), "{service}");
    }
}
