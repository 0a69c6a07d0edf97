//! The real service on a port and database of its own, and what its tests keep saying to it.

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use service_kit::config::Config;
use service_kit::start::App;
use service_kit::testing::{Running, database_url};
use tempfile::TempDir;

/// Every test customer's password.
pub const PASSWORD: &str = "correct horse battery";

async fn app_on(folder: &TempDir, env: &[(&str, &str)]) -> App {
    let url = database_url(folder.path()).await.unwrap();
    let own = [("PORT", "0"), ("DATABASE_URL", url.as_str())];
    let vars = own.iter().chain(env).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    shop_accounts::app::build(Config::from_vars("accounts", vars).unwrap()).await.unwrap()
}

/// An app that is not served.
pub async fn app(env: &[(&str, &str)]) -> (App, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (app_on(&folder, env).await, folder)
}

/// A served one.
pub struct Service {
    pub running: Running,
    client: Client,
    _folder: Option<TempDir>,
}

impl Service {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let service = Self::on(&folder, env).await;
        Self { _folder: Some(folder), ..service }
    }

    /// A replica on the database in this folder.
    pub async fn on(folder: &TempDir, env: &[(&str, &str)]) -> Self {
        let running = Running::start(app_on(folder, env).await).await.unwrap();
        Self { running, client: Client::new(), _folder: None }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.running.url(&format!("/api/accounts{path}")))
    }

    pub fn authorized(&self, method: Method, path: &str, tokens: &Value) -> RequestBuilder {
        self.request(method, path).bearer_auth(tokens["access_token"].as_str().unwrap())
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

    pub async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub async fn get(&self, path: &str, token: &str) -> Value {
        let mut request = self.request(Method::GET, path);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        let (status, body) = self.send(request).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub async fn register(&self, email: &str) {
        let (status, body) =
            self.post("/register", &json!({ "email": email, "password": PASSWORD, "name": "Test" })).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
    }

    pub async fn sign_in(&self, email: &str, password: &str) -> Value {
        let (status, body) = self.post("/sessions", &json!({ "email": email, "password": password })).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body
    }

    pub async fn refresh(&self, tokens: &Value) -> (StatusCode, Value) {
        self.post("/sessions/refresh", &json!({ "refresh_token": tokens["refresh_token"] })).await
    }

    pub async fn me_status(&self, tokens: &Value) -> u16 {
        self.send(self.authorized(Method::GET, "/me", tokens)).await.0.as_u16()
    }
}

/// A problem's code.
pub fn code(body: &Value) -> &str {
    body["code"].as_str().unwrap_or_default()
}

/// Asserts that an answer is this problem.
pub fn assert_problem((status, body): (StatusCode, Value), expected: u16, expected_code: &str) {
    assert_eq!((status.as_u16(), code(&body)), (expected, expected_code), "{body}");
}
