//! Sends alerts where the manifest says, in the format of Alertmanager's webhooks, version 4
//! (<https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>), so that whatever takes those takes these.

use std::sync::Arc;
use std::time::Duration;

use control::Control;
use control::alerts::Alert;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::outgoing;

/// Alerts that wait to be sent; what comes beyond is only shown.
const MOST: usize = 1_000;
/// How long it is tried again, and the pauses between.
const TRIED: Duration = Duration::from_secs(3_600);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What is sent, one after the other.
pub struct Webhook(mpsc::Sender<Alert>);

impl Webhook {
    /// Begins to wait for alerts; `dashboard` is the address of its pages.
    pub fn start(control: Arc<Control>, dashboard: Option<String>) -> Self {
        let (sender, mut alerts) = mpsc::channel::<Alert>(MOST);
        tokio::spawn(async move {
            while let Some(alert) = alerts.recv().await {
                send(&control, &alert, dashboard.as_deref()).await;
            }
        });
        Self(sender)
    }

    /// Has an alert sent.
    pub fn tell(&self, alert: Alert) {
        if self.0.try_send(alert).is_err() {
            tracing::warn!("an alert is not sent: {MOST} wait already");
        }
    }
}

/// Until it is taken, or for an hour. The URL is read each time: it may be what has to be mended.
async fn send(control: &Control, alert: &Alert, dashboard: Option<&str>) {
    let (begun, mut pause) = (tokio::time::Instant::now(), FIRST_PAUSE);
    loop {
        let desired = control.status().borrow().desired.clone();
        let Some(template) = &desired.alerts.webhook else { return };
        let result = match control::fill_for_app(template, control.paths()) {
            Ok(url) => post(&url, &body(desired.name.as_str(), alert, dashboard)).await,
            Err(unset) => Err(unset.to_string()),
        };
        let Err(why) = result else { return };
        if begun.elapsed() > TRIED {
            tracing::error!("an alert could not be sent for an hour: {why}; look at `webhook` in [alerts]");
            return;
        }
        tracing::warn!("an alert could not be sent and is sent again: {why}; look at `webhook` in [alerts]");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn post(url: &str, body: &Value) -> Result<(), String> {
    let status = outgoing::send(outgoing::client()?.post(url).json(body)).await?;
    if status.is_success() { Ok(()) } else { Err(format!("it is answered with {status}")) }
}

fn body(app: &str, alert: &Alert, dashboard: Option<&str>) -> Value {
    let condition = &alert.condition;
    let name = condition.rule.alert_name();
    let status = if alert.until.is_some() { "resolved" } else { "firing" };
    let base = dashboard.unwrap_or_default();
    let page = match &condition.service {
        Some(service) => format!("{base}/services/{service}"),
        None => format!("{base}/sagas/{}", condition.subject),
    };
    let mut labels = json!({"alertname": name, "severity": condition.severity.name(), "app": app});
    let subject = if condition.service.is_some() { "service" } else { "saga" };
    labels[subject] = condition.subject.clone().into();
    let annotations = json!({"summary": condition.text});
    json!({
        "version": "4",
        "groupKey": format!("{app}/{}/{}", condition.rule.name(), condition.subject),
        "truncatedAlerts": 0,
        "status": status,
        "receiver": "isles",
        "groupLabels": {"alertname": name},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": base,
        "alerts": [{
            "status": status,
            "labels": labels,
            "annotations": annotations,
            "startsAt": time(Some(alert.since)),
            // Alertmanager's word for "not yet".
            "endsAt": time(alert.until),
            "generatorURL": if base.is_empty() { String::new() } else { page },
            "fingerprint": format!("{:016x}", fingerprint(app, alert)),
        }],
    })
}

fn time(millis: Option<u64>) -> String {
    let millis = millis.and_then(|millis| i64::try_from(millis).ok());
    let time = millis.and_then(|millis| Timestamp::from_millisecond(millis).ok());
    time.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |time| time.to_string())
}

/// The same for the same alert, whenever it comes: FNV-1a, as Alertmanager's own (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn fingerprint(app: &str, alert: &Alert) -> u64 {
    let text = format!("{app}\u{ff}{}\u{ff}{}", alert.condition.rule.name(), alert.condition.subject);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
