//! What the data plane found of a contract, in the words of the admin API.

use console::api::{DriftFinding, DriftReport, OperationDrift, Undocumented};
use proxy::link::{self, DriftSide};

/// All of it; nothing where a service is held to no contract.
pub fn report(drift: Option<link::Drift>) -> DriftReport {
    let Some(drift) = drift else { return DriftReport::default() };
    DriftReport {
        release: Some(drift.release.to_string()),
        missed: drift.missed,
        unreadable: drift.unreadable,
        unchecked: drift.unchecked,
        operations: drift.operations.into_iter().map(operation).collect(),
        undocumented: drift.undocumented.into_iter().map(undocumented).collect(),
    }
}

fn operation(drift: link::OperationDrift) -> OperationDrift {
    OperationDrift {
        operation: drift.operation,
        looked_at: drift.looked_at,
        faulty: drift.faulty,
        more: drift.more,
        findings: drift.findings.into_iter().map(finding).collect(),
    }
}

fn finding(found: link::DriftFinding) -> DriftFinding {
    let side = match found.side {
        DriftSide::Request => "request",
        DriftSide::Answer => "answer",
    };
    DriftFinding {
        side: side.to_owned(),
        caller: found.caller.map(|caller| caller.to_string()),
        place: found.place,
        pointer: found.pointer,
        detail: found.detail,
        count: found.count,
        first: found.first,
        last: found.last,
        example: found.example,
    }
}

fn undocumented(known: link::Undocumented) -> Undocumented {
    Undocumented {
        request: known.request,
        caller: known.caller.map(|caller| caller.to_string()),
        status: known.status,
        seen: known.seen,
        last: known.last,
    }
}
