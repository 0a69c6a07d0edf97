//! Many at once: nothing is sold twice, nothing is lost, whoever wins.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use service_kit::clock::{new_id, now_ms};
use support::{Database, Service, on_each_database, reserve_body, settings};
use tokio::task::JoinSet;

/// Runs so many of them at once, and gives all answers.
async fn at_once<F, W>(count: usize, work: F) -> Vec<(u16, Value)>
where
    F: Fn(usize) -> W,
    W: Future<Output = (u16, Value)> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..count {
        tasks.spawn(work(n));
    }
    tasks.join_all().await
}

fn count(answers: &[(u16, Value)], status: u16) -> usize {
    answers.iter().filter(|(got, _)| *got == status).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_want_the_last_ten() {
    on_each_database(async |database| {
        let shop = Arc::new(Service::start(&database, &[("A", 10)]).await);
        let answers = at_once(50, |n| {
            let shop = Arc::clone(&shop);
            async move { shop.reserve(&format!("o{n}"), &[("A", 1)]).await }
        })
        .await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (10, 40));
        assert_eq!(shop.stock("A").await, (10, 10));
        let sold = at_once(50, |n| {
            let shop = Arc::clone(&shop);
            async move { shop.post(&format!("/reservations/o{n}/commit"), json!({})).await }
        })
        .await;
        assert_eq!((count(&sold, 200), count(&sold, 404), shop.stock("A").await), (10, 40, (0, 0)));
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn carts_with_the_same_skus_in_any_order_do_not_deadlock() {
    on_each_database(async |database| {
        let shop = Arc::new(Service::start(&database, &[("A", 30), ("B", 30), ("C", 30)]).await);
        let answers = at_once(40, |n| {
            let shop = Arc::clone(&shop);
            let mut lines = vec![("A", 1), ("B", 1), ("C", 1)];
            lines.rotate_left(n % 3);
            async move { shop.reserve(&format!("o{n}"), &lines).await }
        })
        .await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (30, 10));
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_once_has_one_effect() {
    on_each_database(async |database| {
        let shop = Arc::new(Service::start(&database, &[("A", 10)]).await);
        let key = new_id();
        let answers = at_once(20, |_| {
            let (shop, key) = (Arc::clone(&shop), key.clone());
            async move { shop.post_with_key("/reservations", &key, reserve_body("o1", &[("A", 2)])).await }
        })
        .await;
        let repeats =
            answers.iter().all(|(status, body)| *status == 201 || body["code"] == "request_in_flight");
        assert!(repeats && count(&answers, 201) >= 1, "{answers:?}");
        assert_eq!(shop.stock("A").await, (10, 2));
    })
    .await;
}

/// Two replicas on one database: their sweepers, commits, releases and extensions all race for the same holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_hold_ends_once_whoever_comes_first() {
    on_each_database(async |database| {
        let replicas = [
            Arc::new(Service::start(&database, &[("A", 60)]).await),
            Arc::new(Service::start(&database, &[]).await),
        ];
        for n in 0..60 {
            let mut body = reserve_body(&format!("o{n}"), &[("A", 1)]);
            body["ttl_seconds"] = json!(1);
            assert_eq!(replicas[0].post("/reservations", body).await.0, 201);
        }
        let answers = at_once(180, |n| {
            let shop = Arc::clone(&replicas[n % 2]);
            let operation = ["commit", "release", "extend"][n / 60];
            let path = format!("/reservations/o{}/{operation}", n % 60);
            async move { shop.post(&path, json!({"ttl_seconds": 1})).await }
        })
        .await;
        assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 409)), "{answers:?}");
        // Long after every hold has lapsed, what was neither committed nor released is expired.
        let later = now_ms() + 3_600_000;
        let (one, two) = tokio::join!(
            shop_inventory::sweep(&replicas[0].db, later),
            shop_inventory::sweep(&replicas[1].db, later)
        );
        assert!(one.is_ok() && two.is_ok());
        let (on_hand, reserved) = replicas[0].stock("A").await;
        let (_, sold) = replicas[0].admin_get("/api/inventory/reservations?status=committed&limit=100").await;
        assert_eq!(
            (on_hand + i64::try_from(sold["items"].as_array().unwrap().len()).unwrap(), reserved),
            (60, 0)
        );
        replicas[0].check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adjustments_and_holds_at_once_never_oversell() {
    on_each_database(async |database| {
        let shop = Arc::new(Service::start_with(&database, &[("A", 20)], settings()).await);
        let answers = at_once(60, |n| {
            let shop = Arc::clone(&shop);
            async move {
                if n % 3 == 0 {
                    shop.adjust("A", -1).await
                } else {
                    shop.reserve(&format!("o{n}"), &[("A", 1)]).await
                }
            }
        })
        .await;
        assert_eq!(
            (count(&answers, 201), count(&answers, 409)),
            (20, 40),
            "twenty units went one way or the other"
        );
        let (on_hand, reserved) = shop.stock("A").await;
        assert_eq!(on_hand, reserved);
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_seed_once() {
    on_each_database(async |database: Database| {
        let stock = [("A", 10), ("B", 20)];
        let (one, two) = tokio::join!(Service::start(&database, &stock), Service::start(&database, &stock));
        assert_eq!((one.stock("A").await, two.stock("B").await), ((10, 0), (20, 0)));
        one.check_books().await;
    })
    .await;
}
