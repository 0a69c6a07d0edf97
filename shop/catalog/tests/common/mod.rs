//! The real service on a port and database of its own, with an admin, a customer and a guest.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service_kit::config::Config;
use service_kit::start::App;
use service_kit::testing::{Running, Signer, database_url};
use tempfile::TempDir;

/// The app on the database of this folder.
pub async fn app(folder: &TempDir, signer: &Signer) -> App {
    let url = database_url(folder.path()).await.unwrap();
    let vars = [("PORT", "0"), ("DATABASE_URL", url.as_str())]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = Config::from_vars("catalog", vars).unwrap();
    shop_catalog::app::build_with(&config, signer.auth()).await.unwrap()
}

pub struct Service {
    pub running: Running,
    pub admin: String,
    pub customer: String,
    client: Client,
    _folder: TempDir,
}

impl Service {
    pub async fn start() -> Self {
        let (folder, signer) = (tempfile::tempdir().unwrap(), Signer::new().unwrap());
        let running = Running::start(app(&folder, &signer).await).await.unwrap();
        let (admin, customer) = (signer.admin("boss").unwrap(), signer.customer("ada").unwrap());
        Self { running, admin, customer, client: Client::new(), _folder: folder }
    }

    /// As a guest.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.running.url(path))
    }

    pub fn as_admin(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.admin)
    }

    /// The status and the JSON body; null for an empty one.
    pub async fn send(&self, request: RequestBuilder) -> (StatusCode, Value) {
        let response = request.send().await.unwrap();
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            assert_eq!(response.headers()["content-type"], "application/problem+json");
        }
        let text = response.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        self.send(self.request(Method::GET, path)).await
    }

    /// Adds a product as the admin.
    pub async fn add(&self, sku: &str, more: Value) -> Value {
        let (status, body) =
            self.send(self.as_admin(Method::POST, "/api/catalog/products").json(&draft(sku, more))).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    /// Every page of a list: the values of one member, in order.
    pub async fn walk(&self, query: &str, member: &str) -> Vec<Value> {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.get(&format!("/api/catalog/products?{query}{cursor}")).await;
            assert_eq!(status, StatusCode::OK, "{page}");
            seen.extend(page["items"].as_array().unwrap().iter().map(|item| item[member].clone()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return seen,
            }
        }
    }
}

/// A good draft with some members replaced.
pub fn draft(sku: &str, more: Value) -> Value {
    let mut draft = json!({
        "sku": sku, "name": format!("Thing {sku}"), "description": "A thing.", "category": "things",
        "price": { "amount": 1250, "currency": "EUR" },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        draft[name] = value.clone();
    }
    draft
}

/// Asserts that an answer is this problem.
pub fn assert_problem((status, body): (StatusCode, Value), expected: u16, code: &str) {
    assert_eq!((status.as_u16(), body["code"].as_str()), (expected, Some(code)), "{body}");
}
