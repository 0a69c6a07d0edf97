//! Which operations of a service are called.

use console::api::{CallerUsage, OperationUsage, RouteUsage, UsageReport};

use super::table::{self, Cell, Column, Row};
use super::{style, text};

const HOUR: u64 = 3_600_000;

/// A line for each operation and caller.
pub fn render(report: &UsageReport, now: u64, width: usize) -> Vec<String> {
    if report.operations.is_empty() {
        let days = text::count(usize::try_from(report.days).unwrap_or(usize::MAX), "day");
        return vec![format!(
            "nothing was called in the last {days}, and its contract, if there is one, has no operations"
        )];
    }
    let columns = [
        column("OPERATION", false, 0),
        column("CALLER", false, 0),
        column("REQUESTS", true, 0),
        column("PER HOUR", true, 1),
        column("4XX", true, 2),
        column("5XX", true, 2),
        column("LAST", true, 3),
    ];
    let rows: Vec<Row> = report.operations.iter().flat_map(|operation| rows(operation, now)).collect();
    let mut lines = table::render(&columns, &rows, width);
    if !report.routes.is_empty() {
        lines.push(String::new());
        lines.extend(routes(&report.routes, now, width));
    }
    lines
}

fn column(title: &'static str, right: bool, expendable: u8) -> Column {
    Column { title, right, expendable }
}

/// A line for each route of the gateway to the service.
fn routes(routes: &[RouteUsage], now: u64, width: usize) -> Vec<String> {
    let columns = [
        column("ROUTE", false, 0),
        column("REQUESTS", true, 0),
        column("PER HOUR", true, 1),
        column("LAST", true, 2),
    ];
    let row = |route: &RouteUsage| {
        let cells = match route.last_hour {
            None => vec![
                Cell::plain(&route.route),
                Cell::painted("nobody", style::dim),
                Cell::plain(""),
                Cell::plain(""),
            ],
            Some(last) => vec![
                Cell::plain(&route.route),
                Cell::plain(route.requests.to_string()),
                Cell::plain(format!("{:.1}", route.per_hour)),
                Cell::plain(hour(last, now)),
            ],
        };
        Row { cells, below: vec![] }
    };
    table::render(&columns, &routes.iter().map(row).collect::<Vec<_>>(), width)
}

/// Counted by the hour.
fn hour(last: u64, now: u64) -> String {
    let age = now.saturating_sub(last);
    if age < HOUR { "this hour".to_owned() } else { text::age(age) }
}

fn rows(usage: &OperationUsage, now: u64) -> Vec<Row> {
    let title = || match &usage.operation {
        Some(name) => Cell::plain(name),
        None => Cell::painted("not in the contract", style::busy),
    };
    if usage.callers.is_empty() {
        let mut cells = vec![title(), Cell::painted("nobody", style::dim)];
        cells.extend((0..5).map(|_| Cell::plain("")));
        return vec![Row { cells, below: vec![] }];
    }
    let line = |(at, caller): (usize, &CallerUsage)| {
        let failed = match caller.failed {
            0 => Cell::plain("0"),
            count => Cell::painted(count.to_string(), style::bad),
        };
        let cells = vec![
            if at == 0 { title() } else { Cell::plain("") },
            Cell::plain(caller.caller.as_deref().unwrap_or("the gateway")),
            Cell::plain(caller.requests.to_string()),
            Cell::plain(format!("{:.1}", caller.per_hour)),
            Cell::plain(caller.refused.to_string()),
            failed,
            Cell::plain(hour(caller.last_hour, now)),
        ];
        Row { cells, below: vec![] }
    };
    usage.callers.iter().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::plain;

    #[test]
    fn callers_are_listed_and_so_is_what_nobody_calls() {
        let caller = |name: Option<&str>, requests, failed, last_hour| CallerUsage {
            caller: name.map(str::to_owned),
            requests,
            per_hour: requests as f64 / 2.0,
            refused: 1,
            failed,
            unanswered: 0,
            last_hour,
        };
        let operation =
            |name: Option<&str>, callers| OperationUsage { operation: name.map(str::to_owned), callers };
        let report = UsageReport {
            days: 7,
            operations: vec![
                operation(
                    Some("GET /v1/stock/{sku}"),
                    vec![caller(Some("orders"), 412, 0, 3 * HOUR), caller(None, 9, 2, HOUR)],
                ),
                operation(Some("POST /v1/moves"), vec![]),
                operation(None, vec![caller(None, 1, 0, 3 * HOUR)]),
            ],
            routes: vec![
                RouteUsage {
                    route: "/api/stock".to_owned(),
                    requests: 10,
                    per_hour: 5.0,
                    last_hour: Some(HOUR),
                },
                RouteUsage { route: "GET /old".to_owned(), requests: 0, per_hour: 0.0, last_hour: None },
            ],
        };
        insta::assert_snapshot!(plain(&render(&report, 3 * HOUR + 1, 100)), @r#"
        OPERATION            CALLER       REQUESTS  PER HOUR  4XX  5XX       LAST
        GET /v1/stock/{sku}  orders            412     206.0    1    0  this hour
                             the gateway         9       4.5    1    2         2h
        POST /v1/moves       nobody
        not in the contract  the gateway         1       0.5    1    0  this hour

        ROUTE       REQUESTS  PER HOUR  LAST
        /api/stock        10       5.0    2h
        GET /old      nobody
        "#);
        assert!(plain(&render(&UsageReport::default(), 0, 80)).contains("nothing was called"));
    }
}
