//! Looks now and then for what somebody has to be told of, shows it, and has it sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use control::alerts::{Alert, Alerts, BURNS, Burn, Calls, Condition, Rule, Severity, burning};
use control::{Control, Health, Mode, Refused, Status};
use model::ServiceName;
use saga::engine::Engine;
use saga::store::{Filter, Status as SagaStatus};
use tokio::sync::watch;

use super::platform::now;
use super::webhook::Webhook;

/// How often.
const LOOK: Duration = Duration::from_secs(5);
/// Sagas that are looked through.
const SAGAS: usize = 1_000;

/// Begins to look, until the receiver is gone or the app ends; `dashboard` is the address of the pages that explain an alert.
pub fn watch(
    control: Arc<Control>,
    engine: Option<Engine>,
    dashboard: Option<String>,
) -> watch::Receiver<Arc<[Alert]>> {
    let (sender, receiver) = watch::channel(Arc::from([]));
    let webhook = Webhook::start(control.clone(), dashboard);
    tokio::spawn(async move {
        let mut alerts = Alerts::default();
        while control.status().borrow().mode == Mode::Open && !sender.is_closed() {
            let conditions = look(&control, engine.as_ref()).await;
            for told in alerts.update(conditions, now()) {
                let condition = &told.condition;
                let text = match told.until {
                    None => format!("{}: {}", condition.severity.name(), condition.text),
                    Some(_) => format!("over: {}", condition.text),
                };
                control.happened("alert", condition.service.clone(), text);
                webhook.tell(told);
            }
            let on: Arc<[Alert]> = alerts.on().into();
            sender.send_if_modified(|shown| std::mem::replace(shown, Arc::clone(&on)) != on);
            tokio::time::sleep(LOOK).await;
        }
    });
    receiver
}

async fn look(control: &Control, engine: Option<&Engine>) -> Vec<Condition> {
    let status: Arc<Status> = control.status().borrow().clone();
    let mut conditions: Vec<Condition> = status
        .services
        .iter()
        .filter(|(_, service)| service.health == Health::CrashLoop)
        .map(|(name, _)| crash_loop(name))
        .collect();
    match budgets(control, status.desired.alerts.availability).await {
        Ok(found) => conditions.extend(found),
        Err(error) => tracing::warn!("error budgets could not be looked at: {error}"),
    }
    if let Some(engine) = engine {
        match stuck(engine).await {
            Ok(found) => conditions.extend(found),
            Err(error) => tracing::warn!("sagas that are stuck could not be looked for: {error}"),
        }
    }
    conditions
}

fn crash_loop(service: &ServiceName) -> Condition {
    Condition {
        rule: Rule::CrashLoop,
        subject: service.to_string(),
        service: Some(service.to_string()),
        severity: Severity::Page,
        text: format!("{service} ends again and again: `isles logs {service}` shows why"),
    }
}

async fn budgets(control: &Control, availability: f64) -> Result<Vec<Condition>, Refused> {
    let lengths: BTreeSet<u64> = BURNS.iter().flat_map(|burn| [burn.long, burn.short]).collect();
    let mut windows: BTreeMap<u64, BTreeMap<ServiceName, Calls>> = BTreeMap::new();
    for seconds in lengths {
        windows.insert(seconds, control.calls_within(seconds).await?);
    }
    let services: BTreeSet<&ServiceName> = windows.values().flat_map(BTreeMap::keys).collect();
    let burns = services.into_iter().filter_map(|service| {
        let calls = |seconds: u64| {
            windows.get(&seconds).and_then(|all| all.get(service)).copied().unwrap_or_default()
        };
        let (burn, calls) = burning(availability, &calls)?;
        Some(burnt(service, burn, calls, availability))
    });
    Ok(burns.collect())
}

fn burnt(service: &ServiceName, burn: Burn, calls: Calls, availability: f64) -> Condition {
    let within = match burn.long / 3600 {
        1 => "hour".to_owned(),
        hours if hours % 24 == 0 => format!("{} days", hours / 24),
        hours => format!("{hours} hours"),
    };
    let share = calls.error_share();
    let times = share / (1.0 - availability / 100.0);
    let text = format!(
        "{:.1} % of the {} calls of {service} in the last {within} failed, {times:.0} times what an availability of {availability} % allows",
        share * 100.0,
        calls.requests,
    );
    Condition {
        rule: Rule::ErrorBudget,
        subject: service.to_string(),
        service: Some(service.to_string()),
        severity: burn.severity,
        text,
    }
}

/// Sagas whose undo has not worked for longer than its `alert_after`, and those that stand still.
async fn stuck(engine: &Engine) -> Result<Vec<Condition>, saga::store::StoreError> {
    let status = vec![SagaStatus::Running, SagaStatus::Undoing, SagaStatus::Stuck];
    let found = engine.list(Filter { status, limit: SAGAS, ..Filter::default() }).await?;
    let stuck = found.into_iter().filter(|saga| saga.alert || saga.status == SagaStatus::Stuck);
    Ok(stuck
        .map(|saga| Condition {
            rule: Rule::StuckSaga,
            subject: saga.id.clone(),
            service: None,
            severity: Severity::Page,
            text: format!(
                "{} {} does not get on: `isles saga show {}` shows where",
                saga.saga, saga.id, saga.id
            ),
        })
        .collect())
}
