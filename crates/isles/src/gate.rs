//! The contract gate: a release that would break somebody who really calls is refused, with their names.
//!
//! What counts as a caller: whoever called the operation within the last days, as the data plane has counted it, and every
//! saga that is declared, for what it does and for what it undoes.

use std::collections::BTreeMap;

use contract::{Change, Contract, Day, OperationRef, Severity};
use control::Release;
use control::gate::{DAYS, Gate, Judgement, Proposal};
use control::usage::Called;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use model::Operation;
use saga::plan::{Kind, Plan, Undo};

/// Changes of one operation that are named.
const NAMED: usize = 3;

/// Compares contracts, and knows what sagas need.
#[derive(Debug, Default)]
pub struct ContractGate {
    needs: Vec<Need>,
}

/// A saga needs an operation.
#[derive(Debug, Clone)]
struct Need {
    saga: String,
    service: String,
    operation_id: String,
    undo: bool,
}

impl ContractGate {
    /// Speaks for these sagas too.
    pub fn new(plans: &[Plan]) -> Self {
        let mut needs = Vec::new();
        for plan in plans {
            for step in &plan.steps {
                let mut need = |call: &saga::plan::Call, undo| {
                    needs.push(Need {
                        saga: plan.name.clone(),
                        service: call.service.clone(),
                        operation_id: call.operation.clone(),
                        undo,
                    });
                };
                if let Kind::Call(call) = &step.kind {
                    need(call, false);
                }
                if let Undo::Call(call) = &step.undo {
                    need(call, true);
                }
            }
        }
        Self { needs }
    }
}

impl Gate for ContractGate {
    fn judge(&self, proposal: Proposal) -> BoxFuture<'_, Result<Judgement, String>> {
        let service = proposal.service.name.to_string();
        let needs: Vec<Need> = self.needs.iter().filter(|need| need.service == service).cloned().collect();
        let now = Timestamp::now();
        async move {
            let judged = tokio::task::spawn_blocking(move || judge(&proposal, &needs, now)).await;
            judged.map_err(|e| e.to_string())?
        }
        .boxed()
    }

    fn operations(&self, release: &Release) -> Vec<Operation> {
        let Some(path) = release.placed().contract else { return Vec::new() };
        match contract::load(&path) {
            Ok(contract) => operations(&contract),
            Err(fault) => {
                tracing::warn!("the operations of {} are not known: {fault}", release.spec.name);
                Vec::new()
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
    let read = |release: &Release| release.placed().contract.map(|path| contract::load(&path)).transpose();
    let after = read(&proposal.new).map_err(|fault| format!("its contract cannot be read: {fault}"))?;
    let noted = |note: String| Judgement { notes: vec![note], ..Judgement::default() };
    match (read(old), after) {
        (Ok(None), None) => Ok(noted("without a contract nobody can tell whom it breaks".to_owned())),
        (Ok(None), Some(_)) => Ok(Judgement::default()),
        (_, None) => {
            let what = "its contract is gone".to_owned();
            Ok(of_callers(what, &callers(&proposal.called, |_| true, needs, now)))
        }
        (Err(fault), Some(_)) => {
            Ok(noted(format!("the contract that runs cannot be read, so nothing was compared: {fault}")))
        }
        (Ok(Some(before)), Some(after)) => compare(&before, &after, &proposal.called, needs, now),
    }
}

/// What breaks somebody is a reason, what breaks nobody a note.
fn of_callers(what: String, callers: &[String]) -> Judgement {
    match callers {
        [] => Judgement {
            notes: vec![format!("{what}: nobody has called it for {DAYS} days")],
            reasons: vec![],
        },
        some => Judgement { reasons: vec![format!("{what}: used by {}", some.join(", "))], notes: vec![] },
    }
}

fn compare(
    before: &Contract,
    after: &Contract,
    called: &[Called],
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
        let callers = callers(called, |name| operation.is_none_or(|o| o.key == name), &mine, now);
        let what = operation.map_or("everything".to_owned(), |o| format!("`{}`", o.key));
        let found = of_callers(format!("breaks {what} ({})", sentences(&changes)), &callers);
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
    let undo = if need.undo { ", to undo" } else { "" };
    format!("saga {}{undo}", need.saga)
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
