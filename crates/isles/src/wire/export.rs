//! Sends every span that is kept on to another back end, by OTLP over HTTP, from where the last one left off.

use std::sync::Arc;
use std::time::Duration;

use control::{Control, Mode};
use reqwest::StatusCode;
use tokio::time::sleep;

use super::outgoing;

/// How often it is looked for new ones.
const LOOK: Duration = Duration::from_secs(2);
/// Spans in one export: what OpenTelemetry's SDKs send at most by default.
const BATCH: usize = 512;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What came of an export.
enum Sent {
    Taken,
    /// It may be taken later.
    Later(String),
    /// It will never be taken.
    Refused(StatusCode),
}

/// Begins; ends with the app.
pub fn start(control: Arc<Control>) {
    tokio::spawn(async move {
        let mut pause = LOOK;
        while control.status().borrow().mode == Mode::Open {
            pause = match round(&control).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK,
                Err(why) => {
                    tracing::warn!(
                        "spans could not be sent on and are sent again: {why}; look at `export` in [telemetry]"
                    );
                    (pause.max(LOOK) * 2).min(LONGEST_PAUSE)
                }
            };
            sleep(pause).await;
        }
    });
}

/// Sends what is new, if somebody is to have it; says whether there may be more at once.
async fn round(control: &Control) -> Result<bool, String> {
    let desired = control.status().borrow().desired.clone();
    let Some(template) = &desired.telemetry.export else { return Ok(false) };
    let fill = |template| control::fill_for_app(template, control.paths()).map_err(|unset| unset.to_string());
    let base = fill(template)?;
    let mut request = outgoing::client()?.post(format!("{}/v1/traces", base.trim_end_matches('/')));
    for (name, value) in &desired.telemetry.headers {
        request = request.header(name, fill(value)?);
    }
    let (spans, last) = control.spans_to_export(BATCH).await.map_err(|e| e.to_string())?;
    if spans.is_empty() {
        return Ok(false);
    }
    let body = control::otlp_export(desired.name.as_str(), &spans);
    match send(request.header("content-type", "application/x-protobuf").body(body)).await {
        Sent::Later(why) => return Err(why),
        Sent::Refused(status) => {
            tracing::error!("{} spans were refused with {status} and are not sent again", spans.len());
        }
        Sent::Taken => {}
    }
    control.exported(last).await.map_err(|e| e.to_string())?;
    Ok(spans.len() == BATCH)
}

/// Which answers mean "later" says OTLP.
async fn send(request: reqwest::RequestBuilder) -> Sent {
    match outgoing::send(request).await {
        Err(why) => Sent::Later(why),
        Ok(status) if status.is_success() => Sent::Taken,
        Ok(status) => match status.as_u16() {
            429 | 502 | 503 | 504 => Sent::Later(format!("it is answered with {status}")),
            _ => Sent::Refused(status),
        },
    }
}
