//! What is called, in the words of the admin API.

use console::api::{CallerUsage, OperationUsage, RouteUsage, UsageReport};
use control::usage::{Called, Used};

/// The operations of a contract with their callers, those that have none too, and what is called beside the contract.
pub fn report(used: &Used, days: u64, now: u64) -> UsageReport {
    let (called, operations) = (&used.called, &used.operations);
    let mut names: Vec<&str> = operations.iter().map(|operation| operation.name.as_str()).collect();
    names.dedup();
    // Of a contract before this one.
    let gone =
        called.iter().filter_map(|call| call.operation.as_deref()).filter(|name| !names.contains(name));
    let mut gone: Vec<&str> = gone.collect();
    gone.dedup();
    let beside = called.iter().any(|call| call.operation.is_none()).then_some(None);
    let all = names.iter().chain(&gone).map(|name| Some(*name)).chain(beside);
    let of = |name: Option<&str>| OperationUsage {
        operation: name.map(str::to_owned),
        callers: called
            .iter()
            .filter(|call| call.operation.as_deref() == name)
            .map(|call| caller(call, now))
            .collect(),
    };
    let routes = used.routes.iter().map(|(name, taken)| RouteUsage {
        route: name.clone(),
        requests: taken.as_ref().map_or(0, Called::requests),
        per_hour: taken.as_ref().map_or(0.0, |taken| taken.per_hour(now)),
        last_hour: taken.as_ref().map(|taken| taken.hours.1),
    });
    UsageReport { days, operations: all.map(of).collect(), routes: routes.collect() }
}

fn caller(call: &Called, now: u64) -> CallerUsage {
    let [unanswered, _, _, refused, failed] = call.ends;
    CallerUsage {
        caller: call.caller.as_ref().map(ToString::to_string),
        requests: call.requests(),
        per_hour: call.per_hour(now),
        refused,
        failed,
        unanswered,
        last_hour: call.hours.1,
    }
}
