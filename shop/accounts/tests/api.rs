//! The accounts service over real HTTP, with its own database.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on says where")]

mod common;

use std::time::{Duration, Instant};

use common::{PASSWORD, Service, assert_problem, code};
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use service_kit::testing::{database_url, documented_operations, served_operations};

#[tokio::test]
async fn serves_exactly_its_contract() {
    let contract: Value = serde_yaml_ng::from_str(include_str!("../openapi.yaml")).unwrap();
    let (app, _folder) = common::app(&[]).await;
    assert_eq!(served_operations(app.routes().clone()).await, documented_operations(&contract));
}

#[tokio::test]
async fn registers_and_signs_in_with_any_spelling_of_the_address() {
    let shop = Service::start().await;
    let body = json!({ "email": " Ada@Example.COM ", "password": PASSWORD, "name": "Ada Λ 🧮" });
    let (status, body) = shop.post("/register", &body).await;
    assert_eq!(
        (status, &body["email"], &body["name"]),
        (StatusCode::CREATED, &json!("ada@example.com"), &json!("Ada Λ 🧮"))
    );
    let tokens = shop.sign_in("ADA@example.com", PASSWORD).await;
    assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("Bearer"), &json!(900)));
    let me = shop.get("/me", tokens["access_token"].as_str().unwrap()).await;
    assert_eq!((&me["id"], &me["role"]), (&body["id"], &json!("customer")));
    let again = json!({ "email": "ADA@EXAMPLE.com", "password": PASSWORD, "name": "x" });
    assert_problem(shop.post("/register", &again).await, 409, "email_taken");
}

#[tokio::test]
async fn two_registrations_of_one_address_make_one_account() {
    let shop = Service::start().await;
    let body = json!({ "email": "twin@example.com", "password": PASSWORD, "name": "Twin" });
    let answers = join_all((0..6).map(|_| shop.post("/register", &body))).await;
    let made = answers.iter().filter(|(status, _)| *status == StatusCode::CREATED).count();
    let taken = answers.iter().filter(|(_, body)| body["code"] == "email_taken").count();
    assert_eq!((made, taken), (1, 5), "{answers:?}");
}

#[tokio::test]
async fn refuses_what_is_not_acceptable() {
    let shop = Service::start().await;
    let base = json!({ "email": "ok@example.com", "password": PASSWORD, "name": "Ok" });
    for (field, value) in [
        ("email", json!("nobody")),
        ("email", json!("a@b@example.com")),
        ("email", json!(format!("{}@example.com", "x".repeat(300)))),
        ("password", json!("short")),
        ("password", json!("x".repeat(257))),
        ("name", json!("")),
        ("name", json!("   ")),
        ("name", json!("x".repeat(201))),
        ("name", json!("a\u{7}b")),
        ("name", json!(12)),
        ("email", Value::Null),
    ] {
        let mut body = base.clone();
        body[field] = value.clone();
        let answer = shop.post("/register", &body).await;
        assert_eq!(answer.1["errors"][0]["field"], field, "{value}: {}", answer.1);
        assert_problem(answer, 422, "validation_failed");
    }
    let nul = r#"{"email":"a@example.com","password":"long enough","name":"a\u0000"}"#;
    for (text, status, code) in [
        ("{", 400, "malformed_body"),
        ("[]", 422, "validation_failed"),
        ("", 400, "malformed_body"),
        (nul, 422, "validation_failed"),
    ] {
        for path in ["/register", "/sessions", "/sessions/refresh"] {
            let request = shop
                .request(Method::POST, path)
                .header("content-type", "application/json")
                .body(text.to_owned());
            let answer = shop.send(request).await;
            assert_problem(answer, status, code);
        }
    }
}

#[tokio::test]
async fn unknown_customer_and_wrong_password_look_alike() {
    let shop = Service::with(&[("SIGN_IN_FREE_PER_ACCOUNT", "100")]).await;
    shop.register("known@example.com").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        for (email, times) in [("known@example.com", &mut known), ("unknown@example.com", &mut unknown)] {
            let began = Instant::now();
            let (status, mut body) =
                shop.post("/sessions", &json!({ "email": email, "password": "not the one" })).await;
            times.push(began.elapsed());
            assert_eq!((status.as_u16(), code(&body)), (401, "invalid_credentials"));
            body.as_object_mut().unwrap().remove("instance");
            assert!(!body.to_string().contains("known@"), "{body}");
        }
    }
    // A hash takes tens of milliseconds, the rest one or two: without the dummy hash one would be ten times the other.
    let (known, unknown) = (known.into_iter().min().unwrap(), unknown.into_iter().min().unwrap());
    assert!(known < unknown * 3 && unknown < known * 3, "{known:?} {unknown:?}");
}

#[tokio::test]
async fn failed_sign_ins_slow_down_the_account_for_everyone() {
    let shop = Service::start().await;
    shop.register("victim@example.com").await;
    for email in ["victim@example.com", "nobody@example.com"] {
        let guess = json!({ "email": email, "password": "guess" });
        let guesses = (0..12).map(|_| shop.post("/sessions", &guess));
        let answers = join_all(guesses).await;
        let refused = answers.iter().filter(|(status, _)| status.as_u16() == 429).count();
        assert!((2..=7).contains(&refused), "{email}: {refused}");
        let request =
            shop.request(Method::POST, "/sessions").json(&json!({ "email": email, "password": PASSWORD }));
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 429, "also with the right password");
        let wait: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!(wait >= 1);
    }
    shop.register("other@example.com").await;
    shop.sign_in("other@example.com", PASSWORD).await;
}

#[tokio::test]
async fn the_owner_gets_back_in_after_the_pause() {
    let shop = Service::start().await;
    shop.register("victim@example.com").await;
    for _ in 0..5 {
        shop.post("/sessions", &json!({ "email": "victim@example.com", "password": "guess" })).await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let body = json!({ "email": "victim@example.com", "password": PASSWORD });
        let (status, _) = shop.post("/sessions", &body).await;
        match status.as_u16() {
            201 => break,
            429 => assert!(Instant::now() < deadline),
            other => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn failed_sign_ins_slow_down_the_network_they_come_from() {
    let shop = Service::with(&[("SIGN_IN_FREE_PER_ADDRESS", "4")]).await;
    shop.register("a@example.com").await;
    let attempt = async |address: &str, email: &str, password: &str| {
        let body = json!({ "email": email, "password": password });
        let request = shop.request(Method::POST, "/sessions").header("x-forwarded-for", address).json(&body);
        shop.send(request).await.0.as_u16()
    };
    for n in 0..4 {
        assert_eq!(attempt("203.0.113.9, 10.0.0.1", &format!("user{n}@example.com"), "guess").await, 401);
    }
    assert_eq!(attempt("203.0.113.9", "a@example.com", PASSWORD).await, 429);
    assert_eq!(attempt("203.0.113.10", "a@example.com", PASSWORD).await, 201);
}

#[tokio::test]
async fn refresh_rotates_and_reuse_ends_the_family() {
    let shop = Service::start().await;
    shop.register("a@example.com").await;
    let first = shop.sign_in("a@example.com", PASSWORD).await;
    let other = shop.sign_in("a@example.com", PASSWORD).await;
    let (status, second) = shop.refresh(&first).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    let (_, third) = shop.refresh(&second).await;
    assert_problem(shop.refresh(&first).await, 401, "unauthenticated");
    assert_problem(shop.refresh(&third).await, 401, "unauthenticated");
    assert_eq!(shop.me_status(&third).await, 401, "the family's access token is out here, too");
    assert_eq!(shop.refresh(&other).await.0, StatusCode::OK, "another session is not touched");
    for bad in ["", "x", "ü", &"x".repeat(10_000)] {
        assert_problem(shop.refresh(&json!({ "refresh_token": bad })).await, 401, "unauthenticated");
    }
}

#[tokio::test]
async fn of_two_refreshes_at_once_at_most_one_wins() {
    let shop = Service::start().await;
    shop.register("a@example.com").await;
    let tokens = shop.sign_in("a@example.com", PASSWORD).await;
    let answers = join_all((0..5).map(|_| shop.refresh(&tokens))).await;
    let won = answers.iter().filter(|(status, _)| *status == StatusCode::OK).count();
    assert_eq!(won, 1);
}

#[tokio::test]
async fn signing_out_ends_the_session() {
    let shop = Service::start().await;
    shop.register("a@example.com").await;
    let sign_out = async |token: Option<&str>, body: Value| {
        let mut request = shop.request(Method::DELETE, "/sessions/current");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        request.send().await.unwrap().status().as_u16()
    };
    let tokens = shop.sign_in("a@example.com", PASSWORD).await;
    let access = tokens["access_token"].as_str();
    for _ in 0..2 {
        assert_eq!(sign_out(access, Value::Null).await, 204);
    }
    assert_eq!((shop.refresh(&tokens).await.0.as_u16(), shop.me_status(&tokens).await), (401, 401));
    let tokens = shop.sign_in("a@example.com", PASSWORD).await;
    let body = json!({ "refresh_token": tokens["refresh_token"] });
    assert_eq!(sign_out(Some("expired"), body).await, 204);
    assert_eq!(shop.refresh(&tokens).await.0.as_u16(), 401);
    assert_eq!(sign_out(None, Value::Null).await, 401);
    assert_eq!(sign_out(Some("garbage"), Value::Null).await, 401);
    assert_eq!(sign_out(None, json!({ "refresh_token": "garbage" })).await, 401);
}

#[tokio::test]
async fn a_password_change_ends_the_other_sessions() {
    let shop = Service::start().await;
    shop.register("a@example.com").await;
    let (mine, theirs) =
        (shop.sign_in("a@example.com", PASSWORD).await, shop.sign_in("a@example.com", PASSWORD).await);
    let change = async |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        shop.send(shop.authorized(Method::POST, "/me/password", &mine).json(&body)).await
    };
    assert_problem(change("wrong password", "a whole new one").await, 422, "wrong_password");
    assert_problem(change(PASSWORD, "short").await, 422, "validation_failed");
    assert_eq!(change(PASSWORD, "a whole new one").await.0, StatusCode::NO_CONTENT);
    assert_eq!((shop.me_status(&mine).await, shop.me_status(&theirs).await), (200, 401));
    assert_eq!(shop.refresh(&theirs).await.0.as_u16(), 401);
    assert_eq!(shop.refresh(&mine).await.0.as_u16(), 200);
    let old = json!({ "email": "a@example.com", "password": PASSWORD });
    assert_problem(shop.post("/sessions", &old).await, 401, "invalid_credentials");
    shop.sign_in("a@example.com", "a whole new one").await;
}

#[tokio::test]
async fn changes_the_profile_only_from_the_version_that_was_read() {
    let shop = Service::start().await;
    shop.register("a@example.com").await;
    shop.register("b@example.com").await;
    let tokens = shop.sign_in("a@example.com", PASSWORD).await;
    let shown = shop.authorized(Method::GET, "/me", &tokens).send().await.unwrap();
    let etag = shown.headers()["etag"].to_str().unwrap().to_owned();
    let patch = async |if_match: Option<&str>, body: Value| {
        let mut request = shop.authorized(Method::PATCH, "/me", &tokens).json(&body);
        if let Some(tag) = if_match {
            request = request.header("if-match", tag);
        }
        shop.send(request).await
    };
    let (status, body) = patch(Some(&etag), json!({ "name": "Ada II", "role": "admin" })).await;
    assert_eq!((status.as_u16(), &body["name"], &body["role"]), (200, &json!("Ada II"), &json!("customer")));
    assert_problem(patch(Some(&etag), json!({ "name": "Ada III" })).await, 412, "precondition_failed");
    assert_problem(patch(None, json!({ "email": "new@example.com" })).await, 422, "validation_failed");
    let with = |email: &str, password: &str| json!({ "email": email, "current_password": password });
    assert_problem(patch(None, with("new@example.com", "wrong password")).await, 422, "wrong_password");
    assert_problem(patch(None, with("B@example.com", PASSWORD)).await, 409, "email_taken");
    assert_eq!(patch(None, with("New@Example.com", PASSWORD)).await.1["email"], "new@example.com");
    shop.sign_in("new@example.com", PASSWORD).await;
    assert_problem(shop.send(shop.request(Method::GET, "/me")).await, 401, "unauthenticated");
}

#[tokio::test]
async fn addresses_are_their_customers_own() {
    let shop = Service::start().await;
    shop.register("a@example.com").await;
    shop.register("b@example.com").await;
    let (ada, bob) =
        (shop.sign_in("a@example.com", PASSWORD).await, shop.sign_in("b@example.com", PASSWORD).await);
    let home = json!({ "name": "Ada", "line1": "Straße 1", "city": "Köln", "postal_code": "50667", "country": "DE" });
    let (status, made) = shop.send(shop.authorized(Method::POST, "/me/addresses", &ada).json(&home)).await;
    assert_eq!((status.as_u16(), &made["line2"], &made["version"]), (201, &Value::Null, &json!(1)));
    let path = format!("/me/addresses/{}", made["id"].as_str().unwrap());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let request = shop.authorized(method, &path, &bob).json(&home);
        assert_problem(shop.send(request).await, 404, "not_found");
    }
    let mut moved = home.clone();
    moved["city"] = json!("Bonn");
    let put = shop.authorized(Method::PUT, &path, &ada).header("if-match", "\"v1\"");
    assert_eq!(shop.send(put.try_clone().unwrap().json(&moved)).await.1["city"], "Bonn");
    assert_problem(shop.send(put.json(&moved)).await, 412, "precondition_failed");
    moved["country"] = json!("Germany");
    assert_problem(
        shop.send(shop.authorized(Method::POST, "/me/addresses", &ada).json(&moved)).await,
        422,
        "validation_failed",
    );
    for _ in 0..4 {
        shop.send(shop.authorized(Method::POST, "/me/addresses", &ada).json(&home)).await;
    }
    let page = shop.send(shop.authorized(Method::GET, "/me/addresses?limit=3", &ada)).await.1;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest = shop
        .send(shop.authorized(Method::GET, &format!("/me/addresses?limit=3&cursor={cursor}"), &ada))
        .await
        .1;
    assert_eq!((page["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (3, 2));
    assert_eq!(rest["next_cursor"], Value::Null);
    let foreign = shop.authorized(Method::GET, &format!("/me/addresses?cursor={cursor}"), &bob);
    assert_problem(shop.send(foreign).await, 400, "invalid_cursor");
    assert_eq!(shop.send(shop.authorized(Method::DELETE, &path, &ada)).await.0.as_u16(), 204);
    assert_problem(shop.send(shop.authorized(Method::GET, &path, &ada)).await, 404, "not_found");
}

#[tokio::test]
async fn replicas_share_one_key_and_the_admin_and_sessions() {
    let admin = [("SHOP_ADMIN_EMAIL", "Boss@example.com"), ("SHOP_ADMIN_PASSWORD", "boss password")];
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = tokio::join!(Service::on(&folder, &admin), Service::on(&folder, &admin));
    let keys = [one.get("/.well-known/jwks.json", "").await, two.get("/.well-known/jwks.json", "").await];
    assert_eq!(keys[0], keys[1]);
    assert_eq!(keys[0]["keys"].as_array().unwrap().len(), 1);
    assert!(keys[0]["keys"][0].get("d").is_none(), "the private part is not published");
    let tokens = one.sign_in("boss@example.com", "boss password").await;
    assert_eq!(two.get("/me", tokens["access_token"].as_str().unwrap()).await["role"], "admin");
    assert_eq!(two.refresh(&tokens).await.0, StatusCode::OK);
    assert_eq!(one.refresh(&tokens).await.0.as_u16(), 401);
}

#[tokio::test]
async fn whoever_registered_the_admins_address_first_does_not_become_admin() {
    let folder = tempfile::tempdir().unwrap();
    let first = Service::on(&folder, &[]).await;
    first.register("boss@example.com").await;
    let env = [("SHOP_ADMIN_EMAIL", "boss@example.com"), ("SHOP_ADMIN_PASSWORD", "boss password")];
    let second = Service::on(&folder, &env).await;
    let tokens = second.sign_in("boss@example.com", PASSWORD).await;
    assert_eq!(second.get("/me", tokens["access_token"].as_str().unwrap()).await["role"], "customer");
}

#[tokio::test]
async fn nothing_secret_is_stored_in_the_clear_and_a_dearer_hash_replaces_a_cheap_one() {
    let folder = tempfile::tempdir().unwrap();
    let cheap = Service::on(&folder, &[]).await;
    cheap.register("a@example.com").await;
    let tokens = cheap.sign_in("a@example.com", PASSWORD).await;
    cheap.running.stop().await;
    let url = database_url(folder.path()).await.unwrap();
    let hashes = async || {
        let db = service_kit::db::Db::open(&url, &[]).await.unwrap();
        let row: (String, String) =
            sqlx::query_as("SELECT c.password_hash, t.digest FROM customers c, refresh_tokens t")
                .fetch_one(db.pool())
                .await
                .unwrap();
        row
    };
    let (hash, digest) = hashes().await;
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert_ne!(digest, tokens["refresh_token"].as_str().unwrap());
    let dear = Service::on(&folder, &[("PASSWORD_PASSES", "3")]).await;
    let body = json!({ "email": "a@example.com", "password": PASSWORD });
    let (first, second) = tokio::join!(dear.post("/sessions", &body), dear.post("/sessions", &body));
    assert_eq!((first.0, second.0), (StatusCode::CREATED, StatusCode::CREATED));
    assert!(hashes().await.0.contains("t=3"));
    dear.sign_in("a@example.com", PASSWORD).await;
}
