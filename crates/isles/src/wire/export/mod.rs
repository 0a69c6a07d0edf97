//! Sends on to another back end, by OTLP over HTTP, what is told and measured here.

mod logs;
mod metrics;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use control::{Control, Mode};
use reqwest::{RequestBuilder, StatusCode};
use tokio::time::sleep;

use super::outgoing;

/// How often it is looked for something new.
const LOOK: Duration = Duration::from_secs(2);
/// Spans or lines in one export: what OpenTelemetry's SDKs send at most by default.
const BATCH: usize = 512;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a back end is left alone with what it refused for good, such as one that takes no logs.
const REFUSED_PAUSE: Duration = Duration::from_secs(600);

/// What came of an export.
enum Sent {
    Taken,
    /// It may be taken later.
    Later(String),
    /// It will never be taken.
    Refused(StatusCode),
}

/// Begins; ends with the app.
pub fn start(control: &Arc<Control>) {
    tokio::spawn(repeat(control.clone(), "spans could not be sent on and are sent again", spans::round));
    tokio::spawn(repeat(control.clone(), "metrics could not be sent on", metrics::round));
    tokio::spawn(logs::run(control.clone()));
}

/// Does one round after the other, each as long after the one before as that says; later while the back end is in trouble.
async fn repeat(
    control: Arc<Control>,
    trouble: &'static str,
    round: impl AsyncFn(&Control) -> Result<Duration, String>,
) {
    let mut pause = LOOK;
    while open(&control) {
        pause = match round(&control).await {
            Ok(pause) => pause,
            Err(why) => {
                tracing::warn!("{trouble}: {why}; look at `export` in [telemetry]");
                longer(pause)
            }
        };
        sleep(pause).await;
    }
}

fn open(control: &Control) -> bool {
    control.status().borrow().mode == Mode::Open
}

/// Longer each time, since the back end may be in trouble.
fn longer(pause: Duration) -> Duration {
    (pause.max(LOOK) * 2).min(LONGEST_PAUSE)
}

/// A request to the back end with the app's name, if somebody is to have it; `signal` is the last part of its path.
fn request(control: &Control, signal: &str) -> Result<Option<(RequestBuilder, String)>, String> {
    let desired = control.status().borrow().desired.clone();
    let Some(template) = &desired.telemetry.export else { return Ok(None) };
    let fill = |template| control::fill_for_app(template, control.paths()).map_err(|unset| unset.to_string());
    let base = fill(template)?;
    let mut request = outgoing::client()?.post(format!("{}/v1/{signal}", base.trim_end_matches('/')));
    for (name, value) in &desired.telemetry.headers {
        request = request.header(name, fill(value)?);
    }
    Ok(Some((request.header("content-type", "application/x-protobuf"), desired.name.to_string())))
}

/// Which answers mean "later" says OTLP.
async fn send(request: RequestBuilder, body: Vec<u8>) -> Sent {
    match outgoing::send(request.body(body)).await {
        Err(why) => Sent::Later(why),
        Ok(status) if status.is_success() => Sent::Taken,
        Ok(status) => match status.as_u16() {
            429 | 502 | 503 | 504 => Sent::Later(format!("it is answered with {status}")),
            _ => Sent::Refused(status),
        },
    }
}
