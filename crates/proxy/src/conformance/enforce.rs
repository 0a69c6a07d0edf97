//! Routes that let nothing in but what the contract says (`enforce_contract`).

use std::time::Instant;

use tokio::time::timeout_at;

use super::Violation;
use super::check::{self, Media, Seen};
use super::text::Written;
use crate::fault::{Code, Fault};
use crate::outbound::Outbound;
use crate::table::Lane;

/// The longest body that is held to a schema, in bytes: all of it is kept until it was read.
const LONGEST: usize = 1 << 20;

/// Refuses a request that is not as its operation says. `operation` is its number, none if it is none of the contract.
pub(crate) async fn hold(
    lane: &Lane,
    operation: Option<usize>,
    request: &mut Outbound,
    deadline: Instant,
) -> Result<(), Fault> {
    let unknown = || {
        let detail = format!("what requests to {} have to be like is not known", lane.service);
        Fault::new(Code::ContractUnknown, detail)
    };
    let contract = lane.contract.as_ref().ok_or_else(unknown)?;
    let book = contract.book().map_err(|_| unknown())?;
    let Some(number) = operation else {
        let detail = format!("the contract of {} has no operation for this method and path", lane.service);
        return Err(Fault::new(Code::NotInContract, detail));
    };
    let media = Media::of(request.head().2);
    let has_body = book.shape(number).is_some_and(|shape| shape.body.is_some());
    // What is not JSON passes by as it comes.
    let body = if has_body && (media.is_json() || request.is_empty()) {
        let read = timeout_at(deadline.into(), request.read_whole(LONGEST)).await;
        Some(read.map_err(|_| Fault::new(Code::SlowBody, "its time ended before all of its body came"))??)
    } else {
        None
    };
    let (_, path, headers) = request.head();
    let template = contract.operations.all().get(number).map_or("", |o| &o.path);
    let written = Written { template, path: path.path(), query: path.query().unwrap_or_default(), headers };
    let seen = body.as_deref().map_or(Seen::Not, Seen::Whole);
    let mut found = check::request(book, number, written, seen);
    if has_body && media.coded && !request.is_empty() {
        found.push(check::whole(
            "request body",
            "it is in a coding, in which it cannot be held to the contract",
        ));
    }
    if found.is_empty() {
        return Ok(());
    }
    let detail = format!("it is not as the contract of {} says, in {} ways", lane.service, found.len());
    let detail = if found.len() == 1 { found[0].to_string() } else { detail };
    Err(Fault { violations: found, ..Fault::new(Code::ContractViolation, detail) })
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pointer {
            Some(pointer) => write!(f, "{} at `{pointer}`: {}", self.place, self.detail),
            None => write!(f, "{}: {}", self.place, self.detail),
        }
    }
}
