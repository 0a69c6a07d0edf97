//! Every span that is kept, from where the last one left off.

use std::sync::Arc;
use std::time::Duration;

use control::Control;
use tokio::time::sleep;

use super::{BATCH, LOOK, Sent, longer, open, request, send};

pub async fn run(control: Arc<Control>) {
    let mut pause = LOOK;
    while open(&control) {
        pause = match round(&control).await {
            Ok(true) => Duration::ZERO,
            Ok(false) => LOOK,
            Err(why) => {
                tracing::warn!(
                    "spans could not be sent on and are sent again: {why}; look at `export` in [telemetry]"
                );
                longer(pause)
            }
        };
        sleep(pause).await;
    }
}

/// Sends what is new; says whether there may be more at once.
async fn round(control: &Control) -> Result<bool, String> {
    let Some((request, app)) = request(control, "traces")? else { return Ok(false) };
    let (spans, last) = control.spans_to_export(BATCH).await.map_err(|e| e.to_string())?;
    if spans.is_empty() {
        return Ok(false);
    }
    match send(request, control::export_spans(&app, &spans)).await {
        Sent::Later(why) => return Err(why),
        Sent::Refused(status) => {
            tracing::error!("{} spans were refused with {status} and are not sent again", spans.len());
        }
        Sent::Taken => {}
    }
    control.exported(last).await.map_err(|e| e.to_string())?;
    Ok(spans.len() == BATCH)
}
