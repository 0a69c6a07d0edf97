//! What was found of a contract, each kind once.

use std::collections::BTreeMap;

use model::{Operation, ServiceName};
use serde_json::Value;

use super::look::Side;
use super::mask::masked;
use super::{Violation, unix_now};
use crate::link::{DriftFinding, DriftSide, OperationDrift};

/// So many different ones are kept of one operation, and of all: they travel to the control plane each second.
const KEPT: usize = 20;
const KEPT_IN_ALL: usize = 60;

#[derive(Debug, Default)]
pub(super) struct Findings {
    /// By the number of the operation.
    operations: BTreeMap<usize, Known>,
    kept: usize,
}

#[derive(Debug, Default)]
struct Known {
    looked_at: u64,
    faulty: u64,
    /// Looks with something that was not kept.
    more: u64,
    kinds: Vec<Kind>,
}

#[derive(Debug)]
struct Kind {
    side: Side,
    /// Whose request it was; an answer is the service's whoever asked.
    caller: Option<ServiceName>,
    violation: Violation,
    count: u64,
    first: u64,
    last: u64,
    example: Option<Value>,
}

impl Findings {
    /// A request was looked at, and this was found, each with the body in which it was.
    pub fn note(
        &mut self,
        operation: usize,
        caller: Option<&ServiceName>,
        found: Vec<(Side, Violation, Option<Vec<u8>>)>,
    ) {
        let known = self.operations.entry(operation).or_default();
        known.looked_at += 1;
        known.faulty += u64::from(!found.is_empty());
        let now = unix_now();
        for (side, violation, body) in found {
            let violation = without_numbers(violation);
            let caller = caller.filter(|_| side == Side::Request);
            let same = |kind: &&mut Kind| {
                (kind.side, kind.caller.as_ref(), &kind.violation) == (side, caller, &violation)
            };
            if let Some(kind) = known.kinds.iter_mut().find(same) {
                kind.count += 1;
                kind.last = now;
                continue;
            }
            if known.kinds.len() == KEPT || self.kept == KEPT_IN_ALL {
                known.more += 1;
                continue;
            }
            self.kept += 1;
            let body = body.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
            // A parameter is not in a body.
            let example = body.filter(|_| violation.pointer.is_some()).map(|body| masked(&body));
            let caller = caller.cloned();
            known.kinds.push(Kind { side, caller, violation, count: 1, first: now, last: now, example });
        }
    }

    pub fn told(&self, operations: &[Operation]) -> Vec<OperationDrift> {
        let told = self.operations.iter().filter_map(|(number, known)| {
            Some(OperationDrift {
                operation: operations.get(*number)?.name.clone(),
                looked_at: known.looked_at,
                faulty: known.faulty,
                more: known.more,
                findings: known.kinds.iter().map(Kind::told).collect(),
            })
        });
        told.collect()
    }
}

impl Kind {
    fn told(&self) -> DriftFinding {
        DriftFinding {
            side: match self.side {
                Side::Request => DriftSide::Request,
                Side::Answer => DriftSide::Answer,
            },
            caller: self.caller.clone(),
            place: self.violation.place.clone(),
            pointer: self.violation.pointer.clone(),
            detail: self.violation.detail.clone(),
            count: self.count,
            first: self.first,
            last: self.last,
            example: self.example.clone(),
        }
    }
}

/// The same fault in another item of a list is the same fault.
fn without_numbers(violation: Violation) -> Violation {
    let segment = |segment: &str| {
        let number = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
        if number { "*".to_owned() } else { segment.to_owned() }
    };
    let pointer = violation.pointer.map(|p| p.split('/').map(segment).collect::<Vec<_>>().join("/"));
    Violation { pointer, ..violation }
}
