//! Requests of the control plane's own to addresses that the manifest names: bounded in time, and without the address in any message,
//! since it may hold a secret.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What sends. Where a request is redirected to is not asked: nobody has named it.
pub fn client() -> Result<Client, String> {
    Client::builder().timeout(PATIENCE).redirect(Policy::none()).build().map_err(quiet)
}

/// Sends a request; gives the status of the answer.
pub async fn send(request: RequestBuilder) -> Result<StatusCode, String> {
    Ok(request.send().await.map_err(quiet)?.status())
}

fn quiet(error: reqwest::Error) -> String {
    error.without_url().to_string()
}
