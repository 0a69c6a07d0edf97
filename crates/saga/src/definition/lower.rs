//! From a draft to a plan: names looked up, the graph checked, calls fitted to contracts.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::draft::{Action, Draft, DraftStep, UndoWord};
use super::fault::{Fault, code};
use super::fit::{self, Types};
use super::section::{Sink, Spanned, close};
use crate::contracts::Contracts;
use crate::expr::{Reference, Template};
use crate::plan::{Kind, Plan, Retry, Step, Undo};

/// What `$failure` is made of: the fields of [`crate::record::Reason`].
const FAILURE: [&str; 5] = ["why", "step", "status", "body", "error"];

/// Where a value is used, which says what may be referred to.
#[derive(Clone, Copy)]
pub enum Place {
    /// In what a step does.
    Do(usize),
    /// In what undoes a step.
    Undo(usize),
    /// In `keep`.
    Keep(usize),
    /// In `output`.
    Output,
}

/// All that lowering looks things up in.
pub struct Lowering<'a> {
    pub draft: &'a Draft,
    pub contracts: &'a Contracts,
    pub sink: &'a Sink<'a>,
    /// The steps that come before each step, nearest and farther.
    ancestors: Vec<Vec<bool>>,
    index: BTreeMap<&'a str, usize>,
    after: Vec<Vec<usize>>,
}

/// Makes a plan; what is wrong is in `sink`, and then the plan is of no use.
pub fn lower(draft: &Draft, contracts: &Contracts, sink: &Sink<'_>) -> Plan {
    let mut lowering = Lowering {
        draft,
        contracts,
        sink,
        ancestors: Vec::new(),
        index: index(draft, sink),
        after: Vec::new(),
    };
    lowering.after = lowering.order();
    lowering.ancestors = lowering.closure();
    let order = lowering.topological();
    let forward_only = lowering.forward_only();
    let steps: Vec<Step> = draft
        .steps
        .iter()
        .enumerate()
        .map(|(at, step)| lowering.step(at, step, forward_only.get(at) == Some(&true)))
        .collect();
    if let Some(input) = &draft.input {
        lowering.input_schema(input);
    }
    let output = draft.output.as_ref().map(|output| lowering.template(output, Place::Output));
    Plan {
        name: draft.name.value.clone(),
        version: draft.version,
        input: draft.input.as_ref().map(|i| i.value.clone()),
        deadline: draft.deadline,
        steps: reorder(steps, &order),
        output,
    }
}

fn index<'a>(draft: &'a Draft, sink: &Sink<'_>) -> BTreeMap<&'a str, usize> {
    let mut index = BTreeMap::new();
    for (at, step) in draft.steps.iter().enumerate() {
        let id = step.id.value.as_str();
        if let Some(first) = index.get(id).and_then(|first: &usize| draft.steps.get(*first)) {
            let fault =
                Fault::error(code::DUPLICATE, step.id.span.clone(), format!("there are two steps `{id}`"));
            sink.push(fault.related(first.id.span.clone(), "the first"));
        } else {
            index.insert(id, at);
        }
    }
    index
}

/// Puts the steps in an order in which none waits for a later one.
fn reorder(steps: Vec<Step>, order: &[usize]) -> Vec<Step> {
    let mut place = vec![0; steps.len()];
    for (new, old) in order.iter().enumerate() {
        if let Some(slot) = place.get_mut(*old) {
            *slot = new;
        }
    }
    let mut steps: Vec<(usize, Step)> = steps
        .into_iter()
        .enumerate()
        .map(|(old, mut step)| {
            step.after = step.after.iter().filter_map(|a| place.get(*a).copied()).collect();
            (place.get(old).copied().unwrap_or(old), step)
        })
        .collect();
    steps.sort_by_key(|(place, _)| *place);
    steps.into_iter().map(|(_, step)| step).collect()
}

impl Lowering<'_> {
    /// What each step waits for: what `after` says, or else the step before it.
    fn order(&self) -> Vec<Vec<usize>> {
        let mut all = Vec::new();
        for (at, step) in self.draft.steps.iter().enumerate() {
            let Some(names) = &step.after else {
                all.push(at.checked_sub(1).into_iter().collect());
                continue;
            };
            let mut after = Vec::new();
            for name in names {
                match self.index.get(name.value.as_str()) {
                    Some(other) if !after.contains(other) => after.push(*other),
                    Some(_) => {}
                    None => self.unknown(&name.span, "step", &name.value, self.index.keys().copied()),
                }
            }
            all.push(after);
        }
        all
    }

    fn closure(&self) -> Vec<Vec<bool>> {
        let count = self.draft.steps.len();
        (0..count)
            .map(|at| {
                let mut seen = vec![false; count];
                let mut todo: Vec<usize> = self.after.get(at).cloned().unwrap_or_default();
                while let Some(next) = todo.pop() {
                    if let Some(slot) = seen.get_mut(next).filter(|slot| !**slot) {
                        *slot = true;
                        todo.extend(self.after.get(next).into_iter().flatten());
                    }
                }
                seen
            })
            .collect()
    }

    /// Whether `earlier` is always done before `later` begins.
    pub fn before(&self, earlier: usize, later: usize) -> bool {
        self.ancestors.get(later).and_then(|row| row.get(earlier)).copied().unwrap_or(false)
    }

    /// The indexes in an order that respects `after`; a circle is a fault.
    fn topological(&self) -> Vec<usize> {
        for (at, step) in self.draft.steps.iter().enumerate() {
            if self.before(at, at) {
                let message = format!("`{}` waits for itself", step.id.value);
                self.sink.error(code::CYCLE, &step.id.span, message);
            }
        }
        let mut order: Vec<usize> = (0..self.draft.steps.len()).collect();
        // How many come before is an order that respects `after`; the sort is stable.
        order.sort_by_key(|at| self.ancestors.get(*at).map_or(0, |row| row.iter().filter(|b| **b).count()));
        order
    }

    /// Which steps are the pivot or come after it. Every other step must come before it.
    fn forward_only(&self) -> Vec<bool> {
        let steps = &self.draft.steps;
        let pivots: Vec<usize> =
            (0..steps.len()).filter(|at| steps.get(*at).is_some_and(|s| s.pivot)).collect();
        let Some(pivot) = pivots.first().copied() else { return vec![false; steps.len()] };
        for second in pivots.iter().skip(1).filter_map(|at| steps.get(*at)) {
            let fault = Fault::error(
                code::PIVOT,
                second.id.span.clone(),
                "a saga has one pivot, and this is the second",
            );
            self.sink.push(fault.hint("after the first there is no way back anyway: leave `pivot` out here"));
        }
        for (at, step) in steps.iter().enumerate() {
            if at != pivot && !self.before(at, pivot) && !self.before(pivot, at) {
                let message = format!("`{}` runs beside the pivot", step.id.value);
                let hint = "when the pivot is refused this step has to be undone, and when it works it may not be: put one after the other with `after`";
                self.sink.push(Fault::error(code::PIVOT, step.id.span.clone(), message).hint(hint));
            }
        }
        (0..steps.len()).map(|at| at == pivot || self.before(pivot, at)).collect()
    }

    fn step(&self, at: usize, step: &DraftStep, forward_only: bool) -> Step {
        let kind = self.kind(at, step, forward_only);
        if let Some(when) = &step.when {
            when.value.references(&mut |r| self.reference(r, &when.span, Place::Do(at)));
        }
        let keep = step.keep.iter().map(|(name, template)| {
            if name.value == "key" {
                self.sink.error(
                    code::CONFLICT,
                    &name.span,
                    "`key` is the step's own key: keep the value under another name",
                );
            }
            (name.value.clone(), self.template(template, Place::Keep(at)))
        });
        Step {
            id: step.id.value.clone(),
            after: self.after.get(at).cloned().unwrap_or_default(),
            when: step.when.as_ref().map(|w| w.value.clone()),
            keep: keep.collect(),
            undo: self.undo(at, step, &kind, forward_only),
            kind,
            pivot: step.pivot,
            forward_only,
        }
    }

    fn kind(&self, at: usize, step: &DraftStep, forward_only: bool) -> Kind {
        match &step.action {
            Action::Timer(millis) => Kind::Timer(*millis),
            Action::Event { name, timeout } => Kind::Event { name: name.clone(), timeout: *timeout },
            Action::Saga { name, input } => {
                Kind::Saga { name: name.value.clone(), input: self.template(input, Place::Do(at)) }
            }
            Action::Call { operation, with } => {
                let retry = if forward_only {
                    // There is no way back, so it is asked for until it works, ever more slowly.
                    let (longest, alert_after) = (step.undo_retry.longest, step.undo_retry.alert_after);
                    Retry {
                        max: None,
                        longest: longest.max(step.retry.first),
                        alert_after,
                        ..step.retry.clone()
                    }
                } else {
                    step.retry.clone()
                };
                let (service, id) = &operation.value;
                fit::call(self, (service, id), &operation.span, with, Place::Do(at), step.timeout, retry)
            }
            Action::Unreadable => Kind::Timer(0),
        }
    }

    fn undo(&self, at: usize, step: &DraftStep, kind: &Kind, forward_only: bool) -> Undo {
        let Some(word) = &step.undo else {
            let harmless = match kind {
                Kind::Call(call) => matches!(call.method.as_str(), "" | "GET" | "HEAD" | "OPTIONS"),
                Kind::Saga { .. } => return if forward_only { Undo::Nothing } else { Undo::Saga },
                Kind::Timer(_) | Kind::Event { .. } => true,
            };
            if !harmless && !forward_only {
                let message = format!("nothing undoes what `{}` does", step.id.value);
                let hint = "name the operation that takes it back in `undo`, or write `undo: none` if there is nothing to take back";
                self.sink.push(Fault::error(code::NO_UNDO, step.id.span.clone(), message).hint(hint));
            }
            return Undo::Nothing;
        };
        let UndoWord::Call(service, id) = &word.value else { return Undo::Nothing };
        if forward_only {
            let message = "from the pivot on nothing is undone";
            let fault = Fault::error(code::UNDO_UNUSED, word.span.clone(), message);
            self.sink.push(fault.hint("leave `undo` out, or put the step before the pivot"));
        } else if !matches!(step.action, Action::Call { .. } | Action::Saga { .. } | Action::Unreadable) {
            self.sink.error(code::UNDO_UNUSED, &word.span, "a step that waits has no effect to undo");
        }
        let retry = step.undo_retry.clone();
        let names = (service.as_str(), id.as_str());
        match fit::call(self, names, &word.span, &step.undo_with, Place::Undo(at), step.timeout, retry) {
            Kind::Call(call) => Undo::Call(Box::new(call)),
            _ => Undo::Nothing,
        }
    }

    /// Checks the references of a value.
    pub fn template(&self, template: &Spanned<Template>, place: Place) -> Template {
        template.value.references(&mut |r| self.reference(r, &template.span, place));
        template.value.clone()
    }

    fn reference(&self, reference: &Reference, span: &Range<usize>, place: Place) {
        let literal = reference.to_string();
        let inner = literal.trim_start_matches('$');
        let span = self.sink.narrow(span, inner);
        match reference.root.as_str() {
            "input" => self.input(reference, &span),
            "body" => match place {
                Place::Keep(at) => self.body(at, reference, &span),
                _ => {
                    let fault = Fault::error(
                        code::NOT_KNOWN_YET,
                        span,
                        format!("`{literal}` is only there in `keep`"),
                    );
                    self.sink.push(fault.hint("keep it under a name in the step that gets it: `keep: { id: $body.id }`, then `$step.id`"));
                }
            },
            "failure" => self.failure(reference, &span, place),
            root => match self.index.get(root) {
                Some(step) => self.step_value(*step, reference, &span, place),
                None => {
                    let names = self.index.keys().copied().chain(["input", "body", "failure"]);
                    self.unknown(&span, "step", root, names);
                }
            },
        }
    }

    /// Why the saga goes back: only an undo can ask.
    fn failure(&self, reference: &Reference, span: &Range<usize>, place: Place) {
        if !matches!(place, Place::Undo(_)) {
            let message =
                format!("`{reference}` is only there in `undo_with`: before that nothing has failed");
            self.sink.error(code::NOT_KNOWN_YET, span, message);
        } else if let Some(name) = reference.path.first().filter(|name| !FAILURE.contains(&name.as_str())) {
            let fault =
                Fault::error(code::UNKNOWN_REFERENCE, span.clone(), format!("a failure has no `{name}`"));
            self.sink.push(fault.hint(format!("it has: {}", FAILURE.join(", "))));
        }
    }

    /// `$step.key` is known from the beginning, `$step.kept` once the step is done.
    fn step_value(&self, step: usize, reference: &Reference, span: &Range<usize>, place: Place) {
        let Some(draft) = self.draft.steps.get(step) else { return };
        let id = draft.id.value.as_str();
        let Some(name) = reference.path.first() else {
            let fault =
                Fault::error(code::UNKNOWN_REFERENCE, span.clone(), format!("`${id}` alone is nothing"));
            return self.sink.push(
                fault.hint(format!("`${id}.key` is its key, `${id}.name` what it keeps under that name")),
            );
        };
        if name == "key" {
            return;
        }
        let kept: Vec<&str> = draft.keep.iter().map(|(k, _)| k.value.as_str()).collect();
        if !kept.contains(&name.as_str()) {
            let fault =
                Fault::error(code::UNKNOWN_REFERENCE, span.clone(), format!("`{id}` keeps no `{name}`"));
            let hint = match kept.as_slice() {
                [] => format!("it keeps nothing: add `keep: {{ {name}: $body.{name} }}` to it"),
                names => format!("it keeps: {}", names.join(", ")),
            };
            return self.sink.push(fault.hint(hint));
        }
        let known = match place {
            Place::Output => true,
            Place::Do(at) | Place::Undo(at) | Place::Keep(at) => self.before(step, at),
        };
        if known {
            return;
        }
        let fault = match place {
            Place::Undo(at) if at == step => {
                let message = format!(
                    "the undo of `{id}` needs `{reference}`, which nobody knows when the answer of `{id}` was lost"
                );
                let hint = format!(
                    "let the undo find the effect by `${id}.key`, which the call carried as its Idempotency-Key"
                );
                Fault::error(code::NOT_KNOWN_YET, span.clone(), message).hint(hint)
            }
            _ => {
                let message = format!("`{reference}` is not known here: `{id}` may not be done by then");
                Fault::error(code::NOT_KNOWN_YET, span.clone(), message)
                    .hint(format!("wait for it: `after: [{id}]`"))
            }
        };
        self.sink.push(fault);
    }

    fn input_schema(&self, input: &Spanned<String>) {
        let Some((service, pointer)) = input.value.split_once('#') else {
            let fault = Fault::error(
                code::BAD_VALUE,
                input.span.clone(),
                format!("`{}` is not `service#/pointer`", input.value),
            );
            return self.sink.push(fault.hint("as in `orders#/components/schemas/CheckoutRequest`"));
        };
        match self.contracts.get(service) {
            None => self.unknown(&input.span, "service", service, self.contracts.keys().map(String::as_str)),
            Some(None) => self.no_contract(&input.span, service),
            Some(Some(contract)) if contract.at(pointer).is_none() => {
                let message = format!("the contract of `{service}` has nothing at `{pointer}`");
                self.sink.error(code::UNKNOWN_REFERENCE, &input.span, message);
            }
            Some(Some(_)) => {}
        }
    }

    fn input(&self, reference: &Reference, span: &Range<usize>) {
        if let Err(missing) = self.input_types(reference) {
            let message = format!("the input has no `{missing}`");
            let hint = self.draft.input.as_ref().map(|i| format!("its schema is {}", i.value));
            let fault = Fault::error(code::UNKNOWN_REFERENCE, span.clone(), message);
            self.sink.push(match hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            });
        }
    }

    fn body(&self, at: usize, reference: &Reference, span: &Range<usize>) {
        let Some(DraftStep { action: Action::Call { operation, .. }, .. }) = self.draft.steps.get(at) else {
            return;
        };
        let (service, id) = &operation.value;
        let Some(Some(contract)) = self.contracts.get(service) else { return };
        let Some(schema) = contract.operation(id).and_then(|o| o.answer.as_ref()) else { return };
        if let Err(missing) = fit::walk(contract, schema, &reference.path) {
            let message = format!("the answer of `{service}.{id}` has no `{missing}`");
            self.sink.error(code::UNKNOWN_REFERENCE, span, message);
        }
    }

    /// The types that a reference's value may have; `Ok(None)` if nobody can say.
    pub fn types_of(&self, reference: &Reference) -> Types {
        if reference.root == "input" {
            return self.input_types(reference).ok().flatten();
        }
        (reference.path.first().map(String::as_str) == Some("key") && reference.path.len() == 1)
            .then(|| std::iter::once("string".to_owned()).collect())
    }

    fn input_types(&self, reference: &Reference) -> Result<Types, String> {
        let Some((service, pointer)) = self.draft.input.as_ref().and_then(|i| i.value.split_once('#')) else {
            return Ok(None);
        };
        let Some(Some(contract)) = self.contracts.get(service) else { return Ok(None) };
        let Some(schema) = contract.at(pointer) else { return Ok(None) };
        let found: Option<&Value> = fit::walk(contract, schema, &reference.path)?;
        Ok(found.and_then(|s| contract.types(s)).map(|t| t.into_iter().map(str::to_owned).collect()))
    }

    pub fn no_contract(&self, span: &Range<usize>, service: &str) {
        let message = format!("`{service}` has no contract, so nobody knows its operations");
        let hint = format!("add `contract = \"openapi.yaml\"` to [services.{service}]");
        self.sink.push(Fault::error(code::NO_CONTRACT, span.clone(), message).hint(hint));
    }

    pub fn unknown<'n>(
        &self,
        span: &Range<usize>,
        what: &str,
        name: &str,
        names: impl Iterator<Item = &'n str>,
    ) {
        let code = if what == "service" { code::UNKNOWN_SERVICE } else { code::UNKNOWN_REFERENCE };
        let fault = Fault::error(code, span.clone(), format!("there is no {what} `{name}`"));
        let names: Vec<&str> = names.collect();
        self.sink.push(match names.iter().find(|n| close(n, name)) {
            Some(likely) => fault.hint(format!("did you mean `{likely}`?")),
            None if names.is_empty() => fault,
            None => fault.hint(format!("there are: {}", names.join(", "))),
        });
    }
}
