//! The contract gate: a release that would break somebody who really calls is refused, with their names.
//!
//! What counts as a caller: whoever called the operation within `deploy.used_within`, as the data plane has counted it, and
//! every saga that is declared, or that began with an older definition and is not over, for what it does and for what it undoes.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::{Change, Contract, Day, OperationRef, Severity};
use control::Release;
use control::gate::{Gate, Judgement, Proposal, Said};
use control::usage::Called;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::Operation;
use saga::engine::Engine;
use saga::plan::{Kind, Plan, Undo};
use tokio::sync::watch;

/// Changes of one operation that are named.
const NAMED: usize = 3;

/// Compares contracts, and knows what sagas need.
pub struct ContractGate {
    declared: Vec<Plan>,
    /// The engine, which is there soon after the gate; none where the app has no sagas.
    engine: Option<watch::Receiver<Option<Engine>>>,
}

/// A saga needs an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Need {
    saga: String,
    service: String,
    operation_id: String,
    undo: bool,
    /// Only what began before the definition was changed.
    unfinished: bool,
}

impl ContractGate {
    /// Speaks for these sagas too, and for what runs in the engine.
    pub fn new(declared: &[Plan], engine: Option<watch::Receiver<Option<Engine>>>) -> Self {
        Self { declared: declared.to_vec(), engine }
    }

    /// What sagas need of a service. An error says that nobody can tell.
    async fn needs(&self, service: &str) -> Result<Vec<Need>, String> {
        let mut needs: Vec<Need> = self.declared.iter().flat_map(|plan| needs_of(plan, false)).collect();
        if let Some(engine) = &self.engine {
            let mut engine = engine.clone();
            let engine = engine.wait_for(Option::is_some).await.map_err(|_| "the app is ending")?.clone();
            if let Some(engine) = engine {
                let plans = engine.plans_in_use().await;
                let plans = plans.map_err(|e| format!("what unfinished sagas need is not known: {e}"))?;
                let older = plans.iter().filter(|plan| !self.declared.contains(plan));
                needs.extend(older.flat_map(|plan| needs_of(plan, true)));
            }
        }
        needs.retain(|need| need.service == service);
        Ok(needs)
    }
}

fn needs_of(plan: &Plan, unfinished: bool) -> Vec<Need> {
    let need = |call: &saga::plan::Call, undo| Need {
        saga: plan.name.clone(),
        service: call.service.clone(),
        operation_id: call.operation.clone(),
        undo,
        unfinished,
    };
    let mut needs = Vec::new();
    for step in &plan.steps {
        if let Kind::Call(call) = &step.kind {
            needs.push(need(call, false));
        }
        if let Undo::Call(call) = &step.undo {
            needs.push(need(call, true));
        }
    }
    needs
}

impl Gate for ContractGate {
    fn judge(&self, proposal: Proposal) -> BoxFuture<'_, Result<Judgement, String>> {
        let now = Timestamp::now();
        async move {
            let needs = self.needs(proposal.service.name.as_str()).await?;
            let judged = tokio::task::spawn_blocking(move || judge(&proposal, &needs, now)).await;
            judged.map_err(|e| e.to_string())?
        }
        .boxed()
    }

    fn read(&self, release: &Release) -> Said {
        let Some(path) = release.placed().contract else { return Said::default() };
        match contract::load(&path) {
            Ok(contract) => Said { operations: operations(&contract), shapes: contract.shapes() },
            Err(fault) => {
                tracing::warn!("the operations of {} are not known: {fault}", release.spec.name);
                Said::default()
            }
        }
    }
}

fn operations(contract: &Contract) -> Vec<Operation> {
    let all = contract.operations().into_iter().flat_map(|operation| {
        let name = operation.name.key;
        operation.requests.into_iter().map(move |(method, path)| Operation {
            method,
            path,
            name: name.clone(),
        })
    });
    all.collect()
}

fn judge(proposal: &Proposal, needs: &[Need], now: Timestamp) -> Result<Judgement, String> {
    let Some(old) = &proposal.old else { return Ok(Judgement::default()) };
    let within = proposal.service.deploy.used_within;
    let read = |release: &Release| release.placed().contract.map(|path| contract::load(&path)).transpose();
    let after = read(&proposal.new).map_err(|fault| format!("its contract cannot be read: {fault}"))?;
    let noted = |note: String| Judgement { notes: vec![note], ..Judgement::default() };
    match (read(old), after) {
        (Ok(None), None) => Ok(noted("without a contract nobody can tell whom it breaks".to_owned())),
        (Ok(None), Some(_)) => Ok(Judgement::default()),
        (_, None) => {
            let what = "its contract is gone".to_owned();
            Ok(of_callers(what, &callers(&proposal.called, |_| true, needs, now), within))
        }
        (Err(fault), Some(_)) => {
            Ok(noted(format!("the contract that runs cannot be read, so nothing was compared: {fault}")))
        }
        (Ok(Some(before)), Some(after)) => compare(&before, &after, proposal, needs, now),
    }
}

/// What breaks somebody is a reason, what breaks nobody a note.
fn of_callers(what: String, callers: &[String], within: Duration) -> Judgement {
    match callers {
        [] => Judgement {
            notes: vec![format!("{what}: nobody has called it for {}", span(within))],
            reasons: vec![],
        },
        some => Judgement { reasons: vec![format!("{what}: used by {}", some.join(", "))], notes: vec![] },
    }
}

fn compare(
    before: &Contract,
    after: &Contract,
    proposal: &Proposal,
    needs: &[Need],
    now: Timestamp,
) -> Result<Judgement, String> {
    let options = contract::Options { today: Day::parse(&now.to_string()) };
    let report = contract::diff(before, after, &options).map_err(|fault| fault.to_string())?;
    let mut broken = BTreeMap::<Option<&OperationRef>, Vec<&Change>>::new();
    for change in report.changes.iter().filter(|change| change.severity >= Severity::Unknown) {
        broken.entry(change.operation.as_ref()).or_default().push(change);
    }
    let (mut judgement, mut said) = (Judgement::default(), Vec::new());
    for (operation, changes) in broken {
        let is_it =
            |need: &&Need| operation.is_none_or(|o| o.operation_id.as_ref() == Some(&need.operation_id));
        let mine: Vec<Need> = needs.iter().filter(is_it).cloned().collect();
        let callers = callers(&proposal.called, |name| operation.is_none_or(|o| o.key == name), &mine, now);
        let what = operation.map_or("everything".to_owned(), |o| format!("`{}`", o.key));
        let found = of_callers(
            format!("breaks {what} ({})", sentences(&changes)),
            &callers,
            proposal.service.deploy.used_within,
        );
        judgement.reasons.extend(found.reasons);
        judgement.notes.extend(found.notes);
        said.extend(mine.into_iter().map(|need| need.operation_id));
    }
    let unsaid = needs.iter().filter(|need| !said.contains(&need.operation_id));
    judgement.reasons.extend(
        unsaid
            .filter(|need| is_renamed(need, before, after))
            .map(|need| format!("has no operation `{}` any more: used by {}", need.operation_id, saga(need))),
    );
    Ok(judgement)
}

/// A name that is safe to change on the wire is what a saga calls an operation by.
fn is_renamed(need: &Need, before: &Contract, after: &Contract) -> bool {
    let has = |contract: &Contract| {
        contract.operations().iter().any(|o| o.name.operation_id.as_ref() == Some(&need.operation_id))
    };
    has(before) && !has(after)
}

/// Who needs operations of these names, with how often they call.
fn callers(called: &[Called], is_one: impl Fn(&str) -> bool, needs: &[Need], now: Timestamp) -> Vec<String> {
    let now = u64::try_from(now.as_millisecond()).unwrap_or(0);
    let mut rates = BTreeMap::<&str, f64>::new();
    for call in called.iter().filter(|call| call.operation.as_deref().is_some_and(&is_one)) {
        // The engine of sagas calls for those that are named here.
        if call.caller.as_ref() != Some(&*control::SAGAS) {
            let caller = call.caller.as_ref().map_or("the gateway", |caller| caller.as_str());
            *rates.entry(caller).or_default() += call.per_hour(now);
        }
    }
    let mut callers: Vec<String> =
        rates.iter().map(|(caller, rate)| format!("{caller} ({}/h)", number(*rate))).collect();
    let mut sagas: Vec<String> = needs.iter().map(saga).collect();
    sagas.dedup();
    callers.extend(sagas);
    callers
}

fn saga(need: &Need) -> String {
    let which = if need.unfinished { " as defined before, some of which are not over" } else { "" };
    let undo = if need.undo { ", to undo" } else { "" };
    format!("saga {}{which}{undo}", need.saga)
}

/// A time in whole days, or in hours where it is none.
fn span(time: Duration) -> String {
    let hours = time.as_secs() / 3600;
    match (hours / 24, hours % 24) {
        (1, 0) => "a day".to_owned(),
        (days, 0) => format!("{days} days"),
        _ => format!("{hours} h"),
    }
}

/// The first of them, each once.
fn sentences(changes: &[&Change]) -> String {
    let mut all: Vec<&str> = changes.iter().map(|change| change.sentence.as_str()).collect();
    all.dedup();
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{}{more}", all.join("; "))
}

/// A rate that somebody reads.
fn number(rate: f64) -> String {
    match rate {
        ..10.0 => format!("{rate:.1}"),
        ..10_000.0 => format!("{rate:.0}"),
        _ => format!("{:.0}k", rate / 1000.0),
    }
}
