//! A thin HTTP client of the shop: one call, one [`Reply`], whatever its status.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

/// Why there is no answer to look at.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The request got no answer: refused, cut off or timed out. It may have been carried out.
    #[error("{method} {path}: no answer: {cause}")]
    NoAnswer {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
        /// What the connection said.
        cause: String,
    },
    /// The client could not be set up.
    #[error("cannot set up an HTTP client: {0}")]
    Setup(String),
    /// The answer is not what the contract says.
    #[error("{what}: unexpected answer {status} {code}: {detail}")]
    Unexpected {
        /// What was asked.
        what: String,
        /// The answer's status.
        status: u16,
        /// The problem's code, or `-`.
        code: String,
        /// The problem's detail.
        detail: String,
    },
}

/// An answer of the shop.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// The JSON body, `null` if there is none.
    pub body: Value,
    /// `Retry-After` in seconds, if it was sent.
    pub retry_after: Option<u64>,
}

impl Reply {
    /// The stable code of a problem, or `""`.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    /// The body if the status is `expected`.
    ///
    /// # Errors
    /// [`ClientError::Unexpected`] with the problem's code and detail.
    pub fn expect(self, what: &str, expected: &[u16]) -> Result<Value, ClientError> {
        if expected.contains(&self.status.as_u16()) {
            return Ok(self.body);
        }
        Err(self.unexpected(what))
    }

    /// This answer as an error.
    #[must_use]
    pub fn unexpected(&self, what: &str) -> ClientError {
        let code = if self.code().is_empty() { "-" } else { self.code() };
        ClientError::Unexpected {
            what: what.to_owned(),
            status: self.status.as_u16(),
            code: code.to_owned(),
            detail: self.body["detail"].as_str().unwrap_or_default().to_owned(),
        }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call<'a> {
    method: Method,
    path: &'a str,
    token: Option<&'a str>,
    key: Option<&'a str>,
    body: Option<Value>,
}

impl<'a> Call<'a> {
    /// A request without a body.
    #[must_use]
    pub fn new(method: Method, path: &'a str) -> Self {
        Self { method, path, token: None, key: None, body: None }
    }

    /// Reads `path`.
    #[must_use]
    pub fn get(path: &'a str) -> Self {
        Self::new(Method::GET, path)
    }

    /// Posts `body` to `path`.
    #[must_use]
    pub fn post(path: &'a str, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    /// Puts `body` at `path`.
    #[must_use]
    pub fn put(path: &'a str, body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PUT, path) }
    }

    /// Signs the request with an access token.
    #[must_use]
    pub fn token(self, token: &'a str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Adds an `Idempotency-Key`.
    #[must_use]
    pub fn key(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }
    }
}

/// A running shop. Cheap to clone: clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct Shop {
    base: String,
    http: reqwest::Client,
}

impl Shop {
    /// The shop whose gateway listens at `base`, for example `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// [`ClientError::Setup`] when the HTTP client cannot be built.
    pub fn at(base: &str) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| ClientError::Setup(error.to_string()))?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http })
    }

    /// Sends one request and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError::NoAnswer`] when the request or its answer got lost.
    pub async fn send(&self, call: Call<'_>) -> Result<Reply, ClientError> {
        let lost = |cause: reqwest::Error| ClientError::NoAnswer {
            method: call.method.to_string(),
            path: call.path.to_owned(),
            cause: cause.without_url().to_string(),
        };
        let mut request = self.http.request(call.method.clone(), format!("{}{}", self.base, call.path));
        if let Some(token) = call.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = call.key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let retry_after = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        let bytes = response.bytes().await.map_err(lost)?;
        Ok(Reply { status, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null), retry_after })
    }

    /// Reads every page of a list.
    ///
    /// # Errors
    /// A page is lost or not answered with 200.
    pub async fn list(&self, path: &str, token: &str) -> Result<Vec<Value>, ClientError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = format!("{path}{separator}limit=200{cursor}");
            let body = self.send(Call::get(&page).token(token)).await?.expect(&page, &[200])?;
            items.extend(body["items"].as_array().cloned().unwrap_or_default());
            match body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={}", encode(next)),
                None => return Ok(items),
            }
        }
    }

    /// Signs in and gives the access token.
    ///
    /// # Errors
    /// The answer is lost or not 201 with a token.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<String, ClientError> {
        let body = serde_json::json!({"email": email, "password": password});
        let reply = self.send(Call::post("/api/accounts/sessions", body)).await?;
        let session = reply.clone().expect("sign in", &[200, 201])?;
        match session["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(reply.unexpected("sign in (no access_token)")),
        }
    }
}

/// Percent-encodes a query value.
fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encode("a-b_c.~9"), "a-b_c.~9");
        assert_eq!(encode("a+/=&ü"), "a%2B%2F%3D%26%C3%BC");
    }
}
