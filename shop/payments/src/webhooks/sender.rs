//! Sends what the outbox hands out, and signs it: anew at each attempt, so that a late one is within tolerance.

use std::time::Duration;

use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use service_kit::clock::now_ms;
use service_kit::outbox::{Message, Outbox};
use tokio_util::sync::CancellationToken;

use super::signature;

/// Where webhooks go.
#[derive(Clone)]
pub struct Target {
    /// The receiver's address.
    pub url: String,
    /// What the receiver knows us by.
    pub secret: String,
    /// The pause after the first failure; it doubles after each further one.
    pub first_pause: Duration,
}

/// Sends until `stop`.
pub async fn send_until(stop: CancellationToken, outbox: Outbox, client: Client, target: Target) {
    let send = move |message| post(client.clone(), target.clone(), message);
    outbox.run(stop, send).await;
}

/// The client that webhooks are sent with. A redirect is not followed: what is signed goes to the address that was
/// configured, and nowhere else.
///
/// # Errors
/// The system's TLS roots cannot be read.
pub fn client() -> reqwest::Result<Client> {
    Client::builder().redirect(Policy::none()).build()
}

async fn post(client: Client, target: Target, message: Message) -> Result<(), String> {
    let signed = signature::sign(target.secret.as_bytes(), now_ms() / 1000, message.payload.as_bytes());
    let request = client.post(&target.url).header(CONTENT_TYPE, "application/json");
    let request = request.header(signature::HEADER, signed).body(message.payload);
    let response = request.send().await.map_err(|error| error.without_url().to_string())?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(format!("the receiver answered {status}")) }
}
