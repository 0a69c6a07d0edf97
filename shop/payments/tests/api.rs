//! What orders, customers and administrators see, over real HTTP.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use service_kit::clock::new_id;
use service_kit::config::Config;
use service_kit::testing::{documented_operations, served_operations};
use shop_payments::Cashier;
use support::{
    Database, Service, answer, charges, eur, eventually, new_payment, on_each_database, settings,
    test_provider,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_authorized_captured_and_refunded() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        let (status, made) = shop.post("/payments", new_payment(1000)).await;
        assert_eq!(
            (status, &made["status"], &made["amount"]),
            (201, &json!("requires_payment_method"), &eur(1000))
        );
        let id = made["id"].as_str().unwrap();
        let (status, ready) = shop.confirm(id, "pm_card_visa").await;
        assert_eq!(
            (status, &ready["status"], &ready["authorized"]),
            (200, &json!("requires_capture"), &eur(1000))
        );
        assert!(ready["authorization_expires_at"].is_string());
        let (status, paid) =
            shop.post(&format!("/payments/{id}/capture"), json!({ "amount": eur(800) })).await;
        assert_eq!((status, &paid["status"], &paid["captured"]), (200, &json!("succeeded"), &eur(800)));
        let (status, refund) = shop
            .post(&format!("/payments/{id}/refunds"), json!({ "amount": eur(300), "reason": "damaged" }))
            .await;
        assert_eq!((status, &refund["amount"], &refund["status"]), (201, &eur(300), &json!("succeeded")));
        let (status, rest) =
            shop.post(&format!("/payments/{id}/refunds"), json!({ "reason": "cancelled" })).await;
        assert_eq!((status, &rest["amount"]), (201, &eur(500)), "all that is left, without an amount");
        let (status, none) =
            shop.post(&format!("/payments/{id}/refunds"), json!({ "reason": "again" })).await;
        assert_eq!((status, &none["code"], &none["most"]), (409, &json!("amount_too_large"), &eur(0)));
        let ledger = shop.ledger(id).await;
        let told: Vec<_> = ledger.iter().map(|(entry, cents)| (entry.as_str(), *cents)).collect();
        let expected = [
            ("authorized", 1000),
            ("captured", 800),
            ("canceled", 200),
            ("refunded", 300),
            ("refunded", 500),
        ];
        assert_eq!(told, expected);
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_why_and_another_card_may_be_tried() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        let id = shop.create(1000).await;
        let refusals = [
            ("pm_card_declined", "generic_decline"),
            ("pm_card_insufficient_funds", "insufficient_funds"),
            ("pm_card_expired", "expired_card"),
            ("pm_nobody_knows", "unknown_payment_method"),
        ];
        for (method, code) in refusals {
            let key = new_id();
            let path = format!("/payments/{id}/confirm");
            for _ in 0..2 {
                let (status, refused) =
                    shop.post_with_key(&path, &key, json!({ "payment_method": method })).await;
                assert_eq!((status, &refused["code"]), (402, &json!("payment_declined")));
                assert_eq!(
                    (&refused["decline_code"], &refused["state"]),
                    (&json!(code), &json!("requires_payment_method"))
                );
            }
        }
        assert_eq!(charges(&shop.db, &id).await, 0);
        let (status, ready) = shop.confirm(&id, "pm_card_visa").await;
        assert_eq!(
            (status, &ready["status"], &ready["decline_code"]),
            (200, &json!("requires_capture"), &Value::Null)
        );
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn illegal_moves_are_refused_with_the_present_state() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        let conflict = |(status, body): (u16, Value)| (status, body["code"].clone(), body["state"].clone());
        let expected = |state: &str| (409, json!("state_conflict"), json!(state));
        let path = |id: &str, operation: &str| format!("/payments/{id}/{operation}");

        let new = shop.create(100).await;
        assert_eq!(
            conflict(shop.post(&path(&new, "capture"), json!({})).await),
            expected("requires_payment_method")
        );
        let paid = shop.captured(100).await;
        assert_eq!(conflict(shop.post(&path(&paid, "cancel"), json!({})).await), expected("succeeded"));
        assert_eq!(conflict(shop.post(&path(&paid, "capture"), json!({})).await), expected("succeeded"));
        assert_eq!(conflict(shop.confirm(&paid, "pm_card_visa").await), expected("succeeded"));
        let ready = shop.authorized(100).await;
        assert_eq!(
            conflict(shop.post(&path(&ready, "refunds"), json!({ "reason": "r" })).await),
            expected("requires_capture")
        );
        for _ in 0..2 {
            let (status, gone) =
                shop.post(&path(&ready, "cancel"), json!({ "reason": "out of stock" })).await;
            assert_eq!(
                (status, &gone["status"], &gone["cancel_reason"]),
                (200, &json!("canceled"), &json!("out of stock"))
            );
        }
        assert_eq!(shop.ledger(&ready).await.last().unwrap(), &("canceled".to_owned(), 100));
        assert_eq!(conflict(shop.confirm(&ready, "pm_card_visa").await), expected("canceled"));
        let (status, gone) = shop.post(&path(&new, "cancel"), json!({})).await;
        assert_eq!((status, &gone["status"]), (200, &json!("canceled")));
        let (status, _) = shop.confirm("none", "pm_card_visa").await;
        assert_eq!(status, 404);
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_fails_leaves_an_authorization_to_cancel() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        let id = shop.create(100).await;
        assert_eq!(shop.confirm(&id, "pm_card_capture_fails").await.0, 200);
        let (status, refused) = shop.post(&format!("/payments/{id}/capture"), json!({})).await;
        assert_eq!(
            (status, &refused["decline_code"], &refused["state"]),
            (402, &json!("capture_failed"), &json!("requires_capture"))
        );
        let (status, gone) = shop.post(&format!("/payments/{id}/cancel"), json!({})).await;
        assert_eq!((status, &gone["status"], &gone["captured"]), (200, &json!("canceled"), &eur(0)));
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_is_waited_for() {
    let database = Database::sqlite();
    let shop = Service::start(&database).await;
    let id = shop.create(100).await;
    let began = std::time::Instant::now();
    let (status, ready) = shop.confirm(&id, "pm_card_slow").await;
    assert_eq!((status, &ready["status"]), (200, &json!("requires_capture")));
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_payment_has_come_to_it_is_reversed() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        let reverse = async |id: &str, key: &str| {
            let (status, now) = shop.post_with_key(&format!("/payments/{id}/reverse"), key, json!({})).await;
            (status, now["status"].clone(), now["refunded"].clone())
        };
        let canceled = (200, json!("canceled"), eur(0));
        assert_eq!(reverse(&shop.create(100).await, "new").await, canceled);
        let ready = shop.authorized(100).await;
        let paid = shop.captured(100).await;
        let partly = shop.captured(100).await;
        let body = json!({ "amount": eur(30), "reason": "damaged" });
        assert_eq!(shop.post(&format!("/payments/{partly}/refunds"), body).await.0, 201);
        for round in ["the same key", "the same key", "another key"] {
            assert_eq!(reverse(&ready, &format!("ready {round}")).await, canceled);
            for (id, name) in [(&paid, "paid"), (&partly, "partly")] {
                let refunded = (200, json!("succeeded"), eur(100));
                assert_eq!(reverse(id, &format!("{name} {round}")).await, refunded, "{round}");
            }
        }
        // What comes too late finds the door closed.
        assert_eq!(shop.confirm(&ready, "pm_card_visa").await.0, 409);
        assert_eq!(reverse("none", "none").await.0, 404);
        let refunds = shop.ledger(&paid).await.into_iter().filter(|(entry, _)| entry == "refunded");
        assert_eq!(refunds.count(), 1);
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_act_a_need_to_act_is_a_refusal() {
    let database = Database::sqlite();
    let shop = Service::start(&database).await;
    let id = shop.create(100).await;
    let body =
        json!({ "payment_method": "pm_card_authentication_required", "error_on_requires_action": true });
    let (status, refused) = shop.post(&format!("/payments/{id}/confirm"), body).await;
    assert_eq!(
        (status, &refused["code"], &refused["decline_code"], &refused["state"]),
        (402, &json!("payment_declined"), &json!("authentication_required"), &json!("requires_action"))
    );
    let (status, gone) = shop.post(&format!("/payments/{id}/reverse"), json!({})).await;
    assert_eq!((status, &gone["status"]), (200, &json!("canceled")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_has_to_act_confirms_again() {
    let database = Database::sqlite();
    let shop = Service::start(&database).await;
    let id = shop.create(100).await;
    let (status, waiting) = shop.confirm(&id, "pm_card_authentication_required").await;
    assert_eq!(
        (status, &waiting["status"], &waiting["authorized"]),
        (200, &json!("requires_action"), &eur(0))
    );
    let (status, ready) = shop.post(&format!("/payments/{id}/confirm"), json!({})).await;
    assert_eq!(
        (status, &ready["status"], charges(&shop.db, &id).await),
        (200, &json!("requires_capture"), 1)
    );
    let other = shop.create(100).await;
    shop.confirm(&other, "pm_card_authentication_required").await;
    assert_eq!(
        shop.post(&format!("/payments/{other}/cancel"), json!({})).await.1["status"],
        json!("canceled")
    );
    shop.check_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_may_be_chosen_before_it_is_confirmed() {
    let database = Database::sqlite();
    let shop = Service::start(&database).await;
    let mut body = new_payment(100);
    body["payment_method"] = json!("pm_card_visa");
    let (_, made) = shop.post("/payments", body).await;
    assert_eq!(made["status"], json!("requires_confirmation"));
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        shop.post(&format!("/payments/{id}/confirm"), json!({})).await.1["status"],
        json!("requires_capture")
    );
    let bare = shop.create(100).await;
    let (status, missing) = shop.post(&format!("/payments/{bare}/confirm"), json!({})).await;
    assert_eq!((status, &missing["errors"][0]["field"]), (422, &json!("payment_method")));
}

/// Not one byte of the answer arrives, and yet the charge is made: once, however often it is asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_a_closed_connection_and_its_repeat_the_stored_success() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        let id = shop.create(100).await;
        let body = r#"{"payment_method":"pm_card_lost_reply"}"#;
        let request = format!(
            "POST /payments/{id}/confirm HTTP/1.1\r\nhost: shop\r\nx-isles-caller: isles-sagas\r\nidempotency-key: lost-1\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut connection = tokio::net::TcpStream::connect(shop.running.addr()).await.unwrap();
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        let end = connection.read_to_end(&mut received).await;
        assert!(received.is_empty() && end.is_ok_and(|bytes| bytes == 0), "{}", String::from_utf8_lossy(&received));

        assert_eq!(shop.status(&id).await, "requires_capture", "the effect is committed");
        let body: Value = serde_json::from_str(body).unwrap();
        let again = shop.unsent(&format!("/payments/{id}/confirm"), "lost-1", &body).send().await.unwrap();
        assert_eq!((again.status().as_u16(), &again.headers()["idempotency-replayed"]), (200, &"true".parse().unwrap()));
        assert_eq!(again.json::<Value>().await.unwrap()["status"], json!("requires_capture"));
        assert_eq!(charges(&shop.db, &id).await, 1);
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_that_is_over_is_given_back() {
    on_each_database(async |database| {
        let brief = shop_payments::app::Settings { authorization: Duration::from_millis(50), ..settings() };
        let shop = Service::start_with(&database, brief).await;
        let id = shop.authorized(100).await;
        eventually("it is canceled", async || shop.status(&id).await == "canceled").await;
        let (_, gone) = shop.get(&format!("/payments/{id}")).await;
        assert_eq!(
            (&gone["cancel_reason"], &gone["authorization_expires_at"]),
            (&json!("expired"), &Value::Null)
        );
        assert_eq!(shop.ledger(&id).await, [("authorized".to_owned(), 100), ("canceled".to_owned(), 100)]);
        let (status, refused) = shop.post(&format!("/payments/{id}/capture"), json!({})).await;
        assert_eq!((status, &refused["state"]), (409, &json!("canceled")));
        shop.check_books().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorization_cannot_be_captured_after_its_time_even_before_the_sweep() {
    let database = Database::sqlite();
    let never_swept = Duration::from_secs(3600);
    let brief = shop_payments::app::Settings {
        authorization: Duration::from_millis(1),
        look_every: never_swept,
        ..settings()
    };
    let shop = Service::start_with(&database, brief).await;
    let id = shop.authorized(100).await;
    eventually("its time is over", async || {
        let (status, refused) = shop.post(&format!("/payments/{id}/capture"), json!({})).await;
        status == 409 && refused["code"] == json!("authorization_expired")
    })
    .await;
    assert_eq!(shop.status(&id).await, "requires_capture");
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_see_their_own_payments_and_administrators_all() {
    let database = Database::sqlite();
    let shop = Service::start(&database).await;
    let id = shop.captured(500).await;
    let path = format!("/api/payments/{id}");
    let get = |token: Option<String>| {
        let request = shop.request(Method::GET, &path);
        answer(match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    };
    assert_eq!(get(None).await.0, 401);
    assert_eq!(get(Some(shop.customer_token("ann"))).await.1["captured"], eur(500));
    assert_eq!(get(Some(shop.customer_token("bob"))).await.0, 404, "another's payment does not exist");
    assert_eq!(get(Some(shop.admin_token())).await.0, 200);
    assert_eq!(get(Some("x.y.z".into())).await.0, 401);

    let refund = |token: String| {
        let request = shop.request(Method::POST, &format!("{path}/refunds")).bearer_auth(token);
        answer(
            request
                .header("idempotency-key", new_id())
                .json(&json!({ "amount": eur(100), "reason": "kind" })),
        )
    };
    assert_eq!(refund(shop.customer_token("ann")).await.0, 403);
    assert_eq!(refund(shop.admin_token()).await.0, 201);
    for (token, expected) in [(shop.customer_token("ann"), 403), (shop.admin_token(), 200)] {
        for path in ["/api/payments", &format!("/api/payments/{id}/ledger")] {
            assert_eq!(
                answer(shop.request(Method::GET, path).bearer_auth(&token)).await.0,
                expected,
                "{path}"
            );
        }
    }
    for caller in ["gateway", "storefront"] {
        let request = shop.request(Method::POST, "/payments").header("x-isles-caller", caller);
        let (status, refused) = answer(request.header("idempotency-key", "k").json(&new_payment(1))).await;
        assert_eq!((status, &refused["code"]), (403, &json!("caller_not_allowed")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_found_by_reference_and_page_by_page() {
    on_each_database(async |database| {
        let shop = Service::start(&database).await;
        for n in 0..25 {
            let mut body = new_payment(100 + n);
            body["reference"] = json!(format!("order-{}", n % 2));
            shop.post("/payments", body).await;
        }
        let (_, first) = shop.admin_get("/api/payments?reference=order-0&limit=10").await;
        let cursor = first["next_cursor"].as_str().unwrap();
        let (_, rest) =
            shop.admin_get(&format!("/api/payments?reference=order-0&limit=10&cursor={cursor}")).await;
        assert_eq!((rest["items"].as_array().unwrap().len(), &rest["next_cursor"]), (3, &Value::Null));
        assert_eq!(first["items"][0]["amount"], eur(124), "newest first");
        let (status, foreign) =
            shop.admin_get(&format!("/api/payments?reference=order-1&cursor={cursor}")).await;
        assert_eq!((status, &foreign["code"]), (400, &json!("invalid_cursor")));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_told_by_field_and_is_never_a_500() {
    let database = Database::sqlite();
    let shop = Service::start(&database).await;
    let with = |name: &str, value: Value| {
        let mut body = new_payment(100);
        body[name] = value;
        body
    };
    let bad = [
        (with("amount", eur(0)), "amount.amount"),
        (with("amount", eur(-5)), "amount.amount"),
        (with("amount", eur(i64::MAX)), "amount.amount"),
        (with("amount", json!({ "amount": 1, "currency": "euro" })), "amount.currency"),
        (with("amount", json!({ "amount": 1.5, "currency": "EUR" })), "amount.amount"),
        (with("customer_id", json!("")), "customer_id"),
        (with("reference", json!("x".repeat(200))), "reference"),
        (with("capture_method", json!("automatic")), "capture_method"),
        (with("payment_method", json!("4242424242424242")), "payment_method"),
        (with("payment_method", json!("pm_4242424242424242")), "payment_method"),
    ];
    for (body, field) in bad {
        let (status, problem) = shop.post("/payments", body.clone()).await;
        assert_eq!((status, &problem["errors"][0]["field"]), (422, &json!(field)), "{body} {problem}");
    }
    let id = shop.captured(100).await;
    for body in [
        json!({ "reason": "" }),
        json!({}),
        json!({ "reason": "r", "amount": { "amount": 1, "currency": "USD" } }),
    ] {
        assert_eq!(shop.post(&format!("/payments/{id}/refunds"), body.clone()).await.0, 422, "{body}");
    }
    for (cents, status) in [(0, 422), (-1, 422), (i64::MIN, 422), (101, 409), (i64::MAX, 409)] {
        let body = json!({ "reason": "r", "amount": eur(cents) });
        assert_eq!(shop.post(&format!("/payments/{id}/refunds"), body).await.0, status, "{cents}");
    }
    let key = new_id();
    let first = shop.post_with_key("/payments", &key, new_payment(100)).await;
    assert_eq!(shop.post_with_key("/payments", &key, new_payment(100)).await, first);
    assert_eq!(
        shop.post_with_key("/payments", &key, new_payment(101)).await.1["code"],
        json!("idempotency_key_reused")
    );
    let (status, missing) = answer(
        shop.request(Method::POST, "/payments").header("x-isles-caller", "isles-sagas").json(&new_payment(1)),
    )
    .await;
    assert_eq!((status, &missing["code"]), (400, &json!("missing_idempotency_key")));
}

#[tokio::test]
async fn what_cannot_work_is_told_at_the_start() {
    let database = Database::sqlite();
    let refused = [
        (vec![("PAYMENTS_PROVIDER", "stripe")], "STRIPE_SECRET_KEY is not set"),
        (
            vec![("PAYMENTS_PROVIDER", "paypal")],
            "PAYMENTS_PROVIDER cannot be used: it must be test or stripe",
        ),
        (vec![("WEBHOOK_URL", "http://127.0.0.1:9/")], "WEBHOOK_SECRET is not set"),
        (
            vec![("AUTHORIZATION_TTL_SECONDS", "0")],
            "AUTHORIZATION_TTL_SECONDS cannot be used: it must be at least 1",
        ),
    ];
    for (vars, expected) in refused {
        let always = [("PORT", "0"), ("DATABASE_URL", &database.url), ("ACCOUNTS_URL", "http://127.0.0.1:9")];
        let vars = always.into_iter().chain(vars).map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = Config::from_vars("payments", vars).unwrap();
        let error = shop_payments::app::build(config).await.err().map(|error| error.to_string());
        assert!(error.as_ref().is_some_and(|error| error.starts_with(expected)), "{error:?}, not {expected}");
    }
}

#[tokio::test]
async fn the_contract_names_every_operation() {
    let contract: Value = serde_yaml_ng::from_str(include_str!("../openapi.yaml")).unwrap();
    let database = Database::sqlite();
    let db = database.open().await;
    let cashier = Cashier::new(db.clone(), test_provider(&db), 1000, None);
    let routes = shop_payments::routes::router(db, cashier);
    assert_eq!(served_operations(routes).await, documented_operations(&contract));
}
