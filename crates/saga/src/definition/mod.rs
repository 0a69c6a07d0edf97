//! Definitions: YAML in, plans or every fault at once out.

mod draft;
pub mod fault;
mod fit;
mod lower;
mod quantity;
mod section;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use crate::contracts::Contracts;
use crate::plan::{Kind, Plan};
use draft::{Action, Draft};
use fault::{Fault, code};
use section::Sink;

/// A larger file is refused.
const LARGEST: usize = 256 * 1024;

/// Reads one definition that starts no other saga.
///
/// # Errors
/// Every fault, in the order of the text.
pub fn read(text: &str, contracts: &Contracts) -> Result<Plan, Vec<Fault>> {
    read_all(&[text], contracts).pop().unwrap_or_else(|| Err(Vec::new()))
}

/// Reads definitions that belong together; gives a plan or every fault for each.
pub fn read_all(texts: &[&str], contracts: &Contracts) -> Vec<Result<Plan, Vec<Fault>>> {
    let sinks: Vec<Sink<'_>> = texts.iter().map(|text| Sink::new(text)).collect();
    let drafts: Vec<Option<Draft>> = texts.iter().zip(&sinks).map(|(text, sink)| draft(text, sink)).collect();
    let named = names(&drafts, &sinks);
    for (draft, sink) in drafts.iter().zip(&sinks) {
        let Some(draft) = draft else { continue };
        children(draft, &named, sink);
    }
    let plans: Vec<Option<Plan>> = drafts
        .iter()
        .zip(&sinks)
        .map(|(draft, sink)| draft.as_ref().map(|d| lower::lower(d, contracts, sink)))
        .collect();
    for ((draft, plan), sink) in drafts.iter().zip(&plans).zip(&sinks) {
        if let (Some(draft), Some(plan)) = (draft, plan) {
            undoable_children(draft, plan, &drafts, sink);
        }
    }
    plans
        .into_iter()
        .zip(sinks)
        .map(|(plan, sink)| {
            let faults = sink.finish();
            plan.filter(|_| faults.is_empty()).ok_or(faults)
        })
        .collect()
}

fn draft(text: &str, sink: &Sink<'_>) -> Option<Draft> {
    if text.len() > LARGEST {
        sink.error(
            code::SYNTAX,
            &(0..0),
            format!("a definition has at most {LARGEST} bytes, and this one has {}", text.len()),
        );
        return None;
    }
    match yaml::read(text) {
        Ok(Some(node)) => Some(draft::read(&node, sink)),
        Ok(None) => {
            sink.error(code::MISSING_KEY, &(0..0), "the file is empty");
            None
        }
        Err(fault) => {
            sink.push(*fault);
            None
        }
    }
}

/// Every saga and whom it starts; two of one name are a fault.
fn names<'a>(drafts: &'a [Option<Draft>], sinks: &[Sink<'_>]) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut named = BTreeMap::new();
    for (draft, sink) in drafts.iter().zip(sinks) {
        let Some(draft) = draft.as_ref().filter(|d| !d.name.value.is_empty()) else { continue };
        let starts = draft.steps.iter().filter_map(|step| match &step.action {
            Action::Saga { name, .. } => Some(name.value.as_str()),
            _ => None,
        });
        if named.insert(draft.name.value.as_str(), starts.collect()).is_some() {
            let message = format!("there are two sagas `{}`", draft.name.value);
            sink.error(code::DUPLICATE, &draft.name.span, message);
        }
    }
    named
}

/// Every saga that is started is there, and none starts itself, however many are between.
fn children(draft: &Draft, named: &BTreeMap<&str, BTreeSet<&str>>, sink: &Sink<'_>) {
    for step in &draft.steps {
        let Action::Saga { name, .. } = &step.action else { continue };
        if !named.contains_key(name.value.as_str()) {
            let fault = Fault::error(
                code::UNKNOWN_REFERENCE,
                name.span.clone(),
                format!("there is no saga `{}`", name.value),
            );
            let all: Vec<&str> = named.keys().copied().collect();
            sink.push(fault.hint(format!("there are: {}", all.join(", "))));
            continue;
        }
        let (mut seen, mut todo) = (BTreeSet::new(), vec![name.value.as_str()]);
        while let Some(next) = todo.pop() {
            if next == draft.name.value {
                let message = format!("`{}` starts itself by way of `{}`", draft.name.value, name.value);
                sink.error(code::CYCLE, &name.span, message);
                break;
            }
            if seen.insert(next) {
                todo.extend(named.get(next).into_iter().flatten());
            }
        }
    }
}

/// A saga that may pass its pivot cannot be undone, so it may not be started where it might have to be.
fn undoable_children(draft: &Draft, plan: &Plan, drafts: &[Option<Draft>], sink: &Sink<'_>) {
    for step in plan.steps.iter().filter(|step| !step.forward_only && step.undo == crate::plan::Undo::Saga) {
        let Kind::Saga { name, .. } = &step.kind else { continue };
        let child = drafts.iter().flatten().find(|d| d.name.value == *name);
        let span = draft.steps.iter().find(|d| d.id.value == step.id).map(|d| d.id.span.clone());
        if let (Some(child), Some(span)) = (child, span)
            && child.steps.iter().any(|s| s.pivot)
        {
            let message = format!("`{name}` has a pivot, so `{}` could not be undone", step.id);
            let hint = "make this step the pivot, or put it after the pivot, or name an operation in `undo`";
            sink.push(Fault::error(code::PIVOT, span, message).hint(hint));
        }
    }
}
