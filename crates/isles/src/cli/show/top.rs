//! Who calls whom at the moment, the busiest first, below what every service does.

use console::api::{AppStatus, EdgeTraffic, Traffic};

use super::style::{self, Symbols};
use super::table::{self, Cell, Column, Row};
use super::{ps, traffic};

const COLUMNS: [Column; 9] = [
    Column { title: "CALLER", right: false, expendable: 0 },
    Column { title: "CALLEE", right: false, expendable: 0 },
    Column { title: "REQ/S", right: true, expendable: 0 },
    Column { title: "ERRORS", right: true, expendable: 0 },
    Column { title: "P50", right: true, expendable: 3 },
    Column { title: "P99", right: true, expendable: 1 },
    Column { title: "IN FLIGHT", right: true, expendable: 2 },
    Column { title: "RETRIES", right: true, expendable: 5 },
    Column { title: "CIRCUIT", right: false, expendable: 4 },
];

/// The whole picture.
pub fn render(status: &AppStatus, calls: &Traffic, now: u64, width: usize, symbols: Symbols) -> Vec<String> {
    let mut lines = ps::render(status, Some(calls), now, width, symbols);
    let mut edges: Vec<&EdgeTraffic> =
        calls.edges.iter().filter(|edge| edge.requests.count > 0 || edge.in_flight > 0).collect();
    edges.sort_by(|a, b| b.requests.rate.total_cmp(&a.requests.rate));
    lines.push(String::new());
    if edges.is_empty() {
        lines.push(style::dim("nobody calls anybody"));
    } else {
        lines.extend(table::render(&COLUMNS, &edges.into_iter().map(row).collect::<Vec<_>>(), width));
    }
    lines
}

fn row(edge: &EdgeTraffic) -> Row {
    let mut cells =
        vec![Cell::plain(edge.caller.as_deref().unwrap_or("the gateway")), Cell::plain(&edge.callee)];
    cells.extend(traffic::cells(Some(&edge.requests)));
    cells.push(Cell::plain(edge.in_flight.to_string()));
    cells.push(Cell::plain(edge.total.retries.to_string()));
    cells.push(match edge.circuit.as_str() {
        "closed" => Cell::plain("closed"),
        other => Cell::painted(other.replace('_', " "), style::bad),
    });
    Row { cells, below: vec![] }
}

#[cfg(test)]
mod tests {
    use console::api::{AppState, Calls, EdgeTotals, ServiceState};

    use super::*;
    use crate::cli::show::style::UNICODE;
    use crate::cli::testing::{app, plain, service};

    fn edge(caller: Option<&str>, rate: f64, circuit: &str) -> EdgeTraffic {
        let calls = Calls {
            count: (rate * 10.0) as u64,
            rate,
            error_share: Some(0.02),
            p50_ms: Some(3.2),
            p99_ms: Some(18.0),
            ..Calls::default()
        };
        EdgeTraffic {
            caller: caller.map(str::to_owned),
            callee: "orders".to_owned(),
            listener: "127.0.0.1:1".to_owned(),
            requests: calls,
            in_flight: 2,
            circuit: circuit.to_owned(),
            total: EdgeTotals { retries: 7, ..EdgeTotals::default() },
            releases: vec![],
        }
    }

    #[test]
    fn the_busiest_edges_are_first() {
        let status = app(AppState::Ready, vec![service("orders", ServiceState::Ready)]);
        let edges = vec![edge(Some("web"), 3.0, "half_open"), edge(None, 250.0, "closed")];
        let calls = Traffic { seconds: 10, edges, ..Traffic::default() };
        insta::assert_snapshot!(plain(&render(&status, &calls, 131_000, 100, UNICODE)), @r"
        shop ready up 2 min 1 s, pid 4711
        gateway http://127.0.0.1:8080

        SERVICE  REPLICA  STATE   PID  ADDRESS          RESTARTS  MEMORY  AGE  REQ/S  ERRORS  P50  P99
        orders         1  ready  5001  127.0.0.1:20001         0   38 MB   2m      -       -    -    -

        CALLER       CALLEE  REQ/S  ERRORS    P50   P99  IN FLIGHT  RETRIES  CIRCUIT
        the gateway  orders    250    2.0%  3.2ms  18ms          2        7  closed
        web          orders    3.0    2.0%  3.2ms  18ms          2        7  half open
        ");
        let quiet = plain(&render(&status, &Traffic::default(), 131_000, 100, UNICODE));
        assert!(quiet.trim_end().ends_with("nobody calls anybody"), "{quiet}");
    }
}
