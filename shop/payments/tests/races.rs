//! Many at once: nothing is charged twice, and nothing is given back that was not taken.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use service_kit::clock::new_id;
use shop_payments::app::Settings;
use support::{Service, at_once, charges, count, eur, eventually, on_each_database, settings};

#[tokio::test(flavor = "multi_thread")]
async fn partial_refunds_at_once_never_exceed_what_was_captured() {
    on_each_database(async |database| {
        let replicas = [Arc::new(Service::start(&database).await), Arc::new(Service::start(&database).await)];
        let id = replicas[0].captured(100).await;
        let answers = at_once(20, |n| {
            let (shop, path) = (Arc::clone(&replicas[n % 2]), format!("/payments/{id}/refunds"));
            async move { shop.post(&path, json!({ "amount": eur(15), "reason": "part" })).await }
        })
        .await;
        assert_eq!((count(&answers, 201), count(&answers, 409)), (6, 14), "{answers:?}");
        let (_, payment) = replicas[0].get(&format!("/payments/{id}")).await;
        assert_eq!(payment["refunded"], eur(90));
        replicas[0].check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_at_once_charges_once() {
    on_each_database(async |database| {
        let shop = Arc::new(Service::start(&database).await);
        let (id, key) = (shop.create(100).await, new_id());
        let answers = at_once(20, |_| {
            let (shop, key, path) = (Arc::clone(&shop), key.clone(), format!("/payments/{id}/confirm"));
            async move { shop.post_with_key(&path, &key, json!({ "payment_method": "pm_card_slow" })).await }
        })
        .await;
        let waiting = answers.iter().filter(|(_, body)| body["code"] == "request_in_flight").count();
        assert_eq!(count(&answers, 200) + waiting, 20, "{answers:?}");
        assert!(count(&answers, 200) >= 1);
        assert_eq!((charges(&shop.db, &id).await, shop.status(&id).await.as_str()), (1, "requires_capture"));
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_confirmations_with_keys_of_their_own_charge_once() {
    on_each_database(async |database| {
        let replicas = [Arc::new(Service::start(&database).await), Arc::new(Service::start(&database).await)];
        let id = replicas[0].create(100).await;
        let answers = at_once(20, |n| {
            let (shop, id) = (Arc::clone(&replicas[n % 2]), id.clone());
            let method = ["pm_card_slow", "pm_card_visa"][n % 2];
            async move { shop.confirm(&id, method).await }
        })
        .await;
        assert_eq!((count(&answers, 200), count(&answers, 409)), (1, 19), "{answers:?}");
        assert_eq!(charges(&replicas[0].db, &id).await, 1);
        replicas[0].check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capture_and_cancel_at_once_have_one_winner() {
    on_each_database(async |database| {
        let shop = Arc::new(Service::start(&database).await);
        for _ in 0..10 {
            let id = shop.authorized(100).await;
            let answers = at_once(6, |n| {
                let operation = ["capture", "cancel"][n % 2];
                let (shop, path) = (Arc::clone(&shop), format!("/payments/{id}/{operation}"));
                async move { shop.post(&path, json!({})).await }
            })
            .await;
            assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 409)), "{answers:?}");
            let state = shop.status(&id).await;
            assert!(matches!(state.as_str(), "succeeded" | "canceled"), "{state}");
        }
        shop.check_books().await;
    })
    .await;
}

/// Authorizations run out while they are being captured: each ends captured or given back, never both.
#[tokio::test(flavor = "multi_thread")]
async fn capture_and_expiry_at_once_have_one_winner() {
    on_each_database(async |database| {
        let brief = Settings {
            authorization: Duration::from_millis(400),
            look_every: Duration::from_millis(5),
            ..settings()
        };
        let replicas = [
            Arc::new(Service::start_with(&database, brief.clone()).await),
            Arc::new(Service::start_with(&database, brief).await),
        ];
        let answers = at_once(40, |n| {
            let shop = Arc::clone(&replicas[n % 2]);
            async move {
                let id = shop.create(100).await;
                shop.confirm(&id, "pm_card_visa").await;
                // Each a little later than the one before: the last ones are too late.
                tokio::time::sleep(Duration::from_millis(u64::try_from(n).unwrap() * 15)).await;
                let (status, answer) = shop.post(&format!("/payments/{id}/capture"), json!({})).await;
                (status, json!([id, answer]))
            }
        })
        .await;
        for (status, told) in &answers {
            let id = told[0].as_str().unwrap();
            let end = if *status == 200 { "succeeded" } else { "canceled" };
            eventually("it comes to its end", async || replicas[0].status(id).await == end).await;
        }
        replicas[0].check_books().await;
    })
    .await;
}
