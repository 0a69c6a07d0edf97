//! What somebody has to be told of: shown, on the timeline, and sent to a webhook until it is taken.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

use std::net::SocketAddr;

use serde_json::Value;
use testkit::{App, Receiver, wait_until};

fn app(webhook: SocketAddr) -> App {
    let app = App::new(&format!(
        r#"
[alerts]
webhook = "http://{webhook}/${{secret.HOOK}}"
[[gateway.routes]]
path = "/"
service = "web"
[services.web]
dir = "web"
command = "{{scripted}}"
health = "/health"
[services.worker]
dir = "worker"
command = "{{scripted}}"
"#
    ));
    std::fs::create_dir_all(app.root().join(".isles/secrets")).unwrap();
    std::fs::write(app.root().join(".isles/secrets/HOOK"), "s3cret-path\n").unwrap();
    for service in ["web", "worker"] {
        std::fs::create_dir(app.root().join(service)).unwrap();
    }
    std::fs::write(app.root().join("web/script"), "fail 100").unwrap();
    app.up();
    app
}

fn alerts(app: &App) -> Vec<(String, String)> {
    let status = app.status();
    let alerts = status["alerts"].as_array().cloned().unwrap_or_default();
    let text = |alert: &Value, key: &str| alert[key].as_str().unwrap_or_default().to_owned();
    alerts.iter().map(|alert| (text(alert, "rule"), text(alert, "subject"))).collect()
}

/// The first that a webhook was sent of a name and a status, and how many of them.
fn told(webhook: &Receiver, name: &str, status: &str) -> Option<(Value, usize)> {
    let sent = webhook.received();
    let bodies = sent.iter().map(|sent| serde_json::from_slice::<Value>(&sent.body).unwrap());
    let mut these =
        bodies.filter(|body| body["commonLabels"]["alertname"] == name && body["status"] == status);
    let first = these.next()?;
    Some((first, 1 + these.count()))
}

#[test]
fn a_burnt_error_budget_and_a_crash_loop_are_told_until_somebody_takes_it_and_when_they_are_over() {
    let sent = Receiver::start(&[503]);
    let app = app(sent.address());
    assert!(alerts(&app).is_empty());

    // Every request fails, which is far more than one in a thousand.
    let burnt = || {
        let _ = app.get("/x");
        alerts(&app)
    };
    wait_until("the budget burns", burnt, |on| on.contains(&("error_budget".to_owned(), "web".to_owned())));
    let (body, _) = wait_until(
        "it is sent once more",
        || told(&sent, "ErrorBudgetBurn", "firing"),
        |told| told.as_ref().is_some_and(|(_, count)| *count == 2),
    )
    .unwrap();
    let alert = &body["alerts"][0];
    assert_eq!((&body["version"], &alert["labels"]["service"]), (&"4".into(), &"web".into()));
    assert_eq!((&alert["labels"]["severity"], &alert["labels"]["app"]), (&"page".into(), &"test".into()));
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.contains("calls of web in the last hour failed"), "{summary}");
    assert!(alert["endsAt"].as_str().unwrap().starts_with("0001-") && alert["startsAt"] != alert["endsAt"]);
    assert!(alert["generatorURL"].as_str().unwrap().ends_with("/services/web"), "{alert}");
    assert!(app.isles(&["ps"]).stdout.contains(summary.split(" of ").next().unwrap()), "{summary}");

    let crash = app.root().join(".isles/data/worker/crash");
    std::fs::write(&crash, "").unwrap();
    app.kill(app.pids("worker")[0]);
    wait_until("the crash loop is told", || told(&sent, "CrashLoop", "firing"), Option::is_some);
    std::fs::remove_file(&crash).unwrap();
    let over = wait_until("its end is told", || told(&sent, "CrashLoop", "resolved"), Option::is_some);
    let ended = &over.unwrap().0["alerts"][0];
    assert!(ended["endsAt"].as_str() > ended["startsAt"].as_str(), "{ended}");
    assert_eq!(told(&sent, "CrashLoop", "firing").unwrap().1, 1, "told once, however often it crashed");

    assert!(sent.received().iter().all(|sent| sent.path == "/s3cret-path"));
    let log = app.control_log();
    assert!(log.contains("503") && !log.contains("s3cret"), "{log}");
}
