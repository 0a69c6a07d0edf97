//! A service is updated and scaled while people buy, and nobody notices.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use shop_load::run::{Options, run};
use shop_tests::RunningShop;
use testkit::wait_until;

const OTHERS: [&str; 6] = ["accounts", "catalog", "payments", "orders", "recommendations", "storefront"];
const DEPLOYS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn inventory_is_deployed_and_scaled_while_people_buy_and_no_purchase_fails() {
    // Each deploy watches its first new replica for a second only, or there would be no end to it.
    let quick = "[services.inventory]\ndeploy = { hold = \"1s\" }";
    let running = RunningShop::start_by(|manifest| manifest.replace("[services.inventory]", quick));
    // There is enough for all of them.
    running.restock(100_000).await;
    let app = &running.app;
    let others = || OTHERS.map(|service| app.pids(service));
    let release = || app.service("inventory")["release"].clone();
    let before = others();
    let shop = running.shop.clone();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let buying = tokio::spawn(async move {
        let mut reports = Vec::new();
        for seed in 21.. {
            let options = Options { customers: 6, duration: None, purchases: Some(20), seed };
            reports.push(run(&shop, &options).await.unwrap());
            if stopped.try_recv().is_ok() {
                break;
            }
        }
        reports
    });

    let mut releases = vec![release()];
    for _ in 0..DEPLOYS {
        running.rebuild("inventory");
        let deployed = app.isles(&["deploy", "inventory"]);
        assert_eq!(deployed.code, Some(0), "{deployed:?}");
        releases.push(release());
    }
    for count in [4, 1] {
        assert_eq!(app.isles(&["scale", "inventory", &count.to_string()]).code, Some(0));
        wait_until("it is scaled", || app.pids("inventory"), |pids| pids.len() == count);
    }
    assert_eq!(app.isles(&["rollback", "inventory"]).code, Some(0));
    assert_eq!(release(), releases[DEPLOYS - 1], "the one before");

    stop.send(()).unwrap();
    let reports = buying.await.unwrap();
    for report in &reports {
        assert!(report.unexpected.is_empty(), "{report:#?}");
        assert_eq!(report.count("unknown") + report.count("unavailable"), 0, "{report:#?}");
        assert!(report.count("confirmed") > 0, "{report:#?}");
    }
    releases.dedup();
    assert_eq!(releases.len(), DEPLOYS + 1, "each is another one: {releases:?}");
    assert_eq!(others(), before, "the processes of all others are the same");
    running.audit().await;
}
