//! Processes of every kind are killed at random while people buy with every kind of card; the books are right, and every saga ends.
//!
//! `ISLES_CHECKOUTS`, `ISLES_KILLS` and `ISLES_SEED` change how many, and which; see `bench/README.md`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use shop_load::client::ClientError;
use shop_load::run::{Options, Report, run};
use shop_tests::RunningShop;
use testkit::{App, wait_until};

/// What is killed. The platform's own processes too.
const TARGETS: [&str; 5] = ["control plane", "data plane", "orders", "inventory", "payments"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_killed_while_people_buy_nobody_is_charged_twice_and_nothing_is_oversold() {
    let checkouts = setting("ISLES_CHECKOUTS", 120);
    let kills = setting("ISLES_KILLS", 20);
    let seed = setting("ISLES_SEED", fastrand::u64(..1_000_000));
    println!("ISLES_SEED={seed}");
    let running = RunningShop::start();
    let buying = tokio::spawn(customers(running.shop.clone(), checkouts, seed));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut killed = std::collections::BTreeMap::new();
    for _ in 0..kills {
        let target = *random.choice(&TARGETS).unwrap();
        kill(&running.app, target);
        *killed.entry(target).or_insert(0) += 1;
        // Not a wait for anything: where in the work of others the next one strikes is to be left to chance.
        tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
    }
    let report = buying.await.unwrap();
    running.app.wait_ready();
    let verdict = running.audit().await;
    println!("{killed:?}\n{report:#?}\n{verdict:#?}");
    assert!(report.count("confirmed") > 20, "{report:#?}");
    assert!(verdict.sold >= report.confirmed_orders.len(), "{verdict:#?} {report:#?}");
}

/// People who go on buying until they have bought as often as that.
async fn customers(shop: shop_load::client::Shop, purchases: u64, seed: u64) -> Report {
    let options = Options { customers: 8, duration: None, purchases: Some(purchases), seed };
    loop {
        match run(&shop, &options).await {
            // Who finds the door closed at the very first look comes again.
            Err(ClientError::NoAnswer { .. }) => {}
            report => return report.unwrap(),
        }
    }
}

/// Kills a process and waits until another one is in its place.
fn kill(app: &App, target: &str) {
    match target {
        "control plane" => {
            app.kill(u32::try_from(app.status()["pid"].as_u64().unwrap()).unwrap());
            app.up();
        }
        "data plane" => {
            let proxy = app.status()["proxy_pid"].as_u64().unwrap();
            app.kill(u32::try_from(proxy).unwrap());
            let now = || app.status()["proxy_pid"].as_u64();
            wait_until("another data plane", now, |now| now.is_some_and(|now| now != proxy));
        }
        service => {
            let before = app.pids(service);
            app.kill(before[0]);
            wait_until("it is back", || app.pids(service), |now| now.len() == 1 && *now != before);
        }
    }
}
