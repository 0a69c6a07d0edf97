//! Every span that is kept, from where the last one left off.

use std::time::Duration;

use control::Control;

use super::{BATCH, LOOK, Sent, request, send};

/// Sends what is new; gives how long to wait for the next.
pub async fn round(control: &Control) -> Result<Duration, String> {
    let Some((request, app)) = request(control, "traces")? else { return Ok(LOOK) };
    let (spans, last) = control.spans_to_export(BATCH).await.map_err(|e| e.to_string())?;
    if spans.is_empty() {
        return Ok(LOOK);
    }
    match send(request, control::export_spans(&app, &spans)).await {
        Sent::Later(why) => return Err(why),
        Sent::Refused(status) => {
            tracing::error!("{} spans were refused with {status} and are not sent again", spans.len());
        }
        Sent::Taken => {}
    }
    control.exported(last).await.map_err(|e| e.to_string())?;
    // There may be more at once.
    Ok(if spans.len() == BATCH { Duration::ZERO } else { LOOK })
}
