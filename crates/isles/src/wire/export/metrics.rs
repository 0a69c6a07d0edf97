//! All that was counted, and the latest of what services measure. What is not taken need not be sent again: the next has it all.

use std::time::Duration;

use control::{Control, Edge, Point};

use super::{LOOK, REFUSED_PAUSE, Sent, request, send};
use crate::wire::platform::now;

/// How often.
const EVERY: Duration = Duration::from_secs(15);

/// Gives how long to wait for the next.
pub async fn round(control: &Control) -> Result<Duration, String> {
    let Some((request, app)) = request(control, "metrics")? else { return Ok(LOOK) };
    let now = now();
    let report = control.traffic().report(Duration::from_secs(1), now);
    let calls = report.edges.iter().map(|edge| {
        let of = Edge { caller: edge.now.caller.clone(), callee: edge.now.callee.clone() };
        (of, Point::of(&edge.now.requests))
    });
    let calls: Vec<(Edge, Point)> = calls.collect();
    let services = control.status().borrow().services.keys().cloned().collect::<Vec<_>>();
    let own: Vec<_> =
        services.into_iter().map(|service| (service.clone(), control.points(&service))).collect();
    match send(request, control::export_metrics(&app, &calls, &own, now)).await {
        Sent::Taken => Ok(EVERY),
        Sent::Later(why) => Err(why),
        Sent::Refused(status) => {
            let minutes = REFUSED_PAUSE.as_secs() / 60;
            tracing::warn!(
                "the back end of `export` in [telemetry] takes no metrics ({status}); they are offered again in {minutes} minutes"
            );
            Ok(REFUSED_PAUSE)
        }
    }
}
