//! `isles ps`: one row a replica, and below it what is wrong with it.

use console::api::{
    AppState, AppStatus, ExternalState, ExternalStatus, ReplicaStatus, RetiredProxy, ServiceState,
    ServiceStatus, Traffic,
};

use super::failure;
use super::style::{self, Symbols};
use super::table::{self, Cell, Column, Row};
use super::{text, traffic};

const COLUMNS: [Column; 13] = [
    Column { title: "SERVICE", right: false, expendable: 0 },
    Column { title: "REPLICA", right: true, expendable: 0 },
    Column { title: "STATE", right: false, expendable: 0 },
    Column { title: "RELEASE", right: false, expendable: 9 },
    Column { title: "PID", right: true, expendable: 7 },
    Column { title: "ADDRESS", right: false, expendable: 8 },
    Column { title: "RESTARTS", right: true, expendable: 5 },
    Column { title: "MEMORY", right: true, expendable: 0 },
    Column { title: "AGE", right: true, expendable: 0 },
    Column { title: "REQ/S", right: true, expendable: 0 },
    Column { title: "ERRORS", right: true, expendable: 0 },
    Column { title: "P50", right: true, expendable: 6 },
    Column { title: "P99", right: true, expendable: 4 },
];

const EXTERNALS: [Column; 4] = [
    Column { title: "EXTERNAL", right: false, expendable: 0 },
    Column { title: "STATE", right: false, expendable: 0 },
    Column { title: "URL", right: false, expendable: 8 },
    Column { title: "ADDRESSES", right: false, expendable: 9 },
];

/// How many of a release's characters tell it apart from others.
const RELEASE: usize = 8;

/// The whole picture; `traffic` is that of the last minute, if it is known.
pub fn render(
    status: &AppStatus,
    traffic: Option<&Traffic>,
    now: u64,
    width: usize,
    symbols: Symbols,
) -> Vec<String> {
    let mut lines = vec![heading(status, now)];
    if let Some(gateway) = &status.gateway {
        lines.push(format!("{} {}", style::dim("gateway"), style::note(gateway)));
    }
    lines.extend(status.retired_proxies.iter().map(retired));
    for problem in status.problems() {
        lines.push(format!("{} {}", style::busy(symbols.warning), text::plain(problem)));
    }
    lines.push(String::new());
    let rows: Vec<Row> =
        status.services.iter().flat_map(|service| rows(status, service, traffic, now, symbols)).collect();
    lines.extend(table::render(&COLUMNS, &rows, width));
    if !status.externals.is_empty() {
        lines.push(String::new());
        let rows: Vec<Row> =
            status.externals.iter().map(|external| external_row(external, symbols)).collect();
        lines.extend(table::render(&EXTERNALS, &rows, width));
    }
    lines
}

fn heading(status: &AppStatus, now: u64) -> String {
    let name = status.state.name();
    let state = match status.state {
        AppState::Ready => style::good(name),
        AppState::Starting | AppState::Stopping => style::busy(name),
        AppState::Degraded => style::bad(name),
        AppState::Unknown => style::dim(name),
    };
    let up = text::took(now.saturating_sub(status.started_at));
    format!("{} {state} {}", style::strong(&status.app), style::dim(&format!("up {up}, pid {}", status.pid)))
}

fn retired(proxy: &RetiredProxy) -> String {
    let plural = if proxy.in_flight == 1 { "" } else { "s" };
    let what = format!("pid {}, replaced, ends {} request{plural} in flight", proxy.pid, proxy.in_flight);
    format!("{} {}", style::dim("data plane"), style::busy(&what))
}

fn rows(
    status: &AppStatus,
    service: &ServiceStatus,
    traffic: Option<&Traffic>,
    now: u64,
    symbols: Symbols,
) -> Vec<Row> {
    let replicas = service.replicas.iter();
    let mut rows: Vec<Row> = replicas.map(|r| replica_row(service, r, traffic, now, symbols)).collect();
    if rows.is_empty() {
        rows.push(empty_row(service));
    }
    if service.state.is_failure()
        && let Some(last) = rows.last_mut()
    {
        let because = failure::reason(status, service, now);
        last.below = vec![format!("   {}", style::bad(&because))];
        last.below.extend(failure::last_lines(service).iter().map(|line| failure::quoted(line, symbols)));
    }
    rows
}

fn replica_row(
    service: &ServiceStatus,
    replica: &ReplicaStatus,
    traffic: Option<&Traffic>,
    now: u64,
    symbols: Symbols,
) -> Row {
    let number = replica.id.strip_prefix(service.name.as_str()).and_then(|n| n.strip_prefix('-'));
    let phase = replica.phase.replace('_', " ");
    let age = match replica.pid {
        Some(_) => text::age(now.saturating_sub(replica.started_at)),
        None => "-".to_owned(),
    };
    let restarts = replica.restarts.to_string();
    let mut cells = vec![
        Cell::plain(&service.name),
        Cell::plain(number.unwrap_or(&replica.id)),
        Cell::painted(phase, |text| style::phase(&replica.phase, text)),
        Cell::painted(short(&replica.release), style::dim),
        Cell::plain(replica.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())),
        Cell::plain(&replica.address),
        if replica.restarts > 0 { Cell::painted(restarts, style::busy) } else { Cell::plain(restarts) },
        Cell::plain(replica.memory.map_or_else(|| "-".to_owned(), text::bytes)),
        Cell::plain(age),
    ];
    // The process before this one had another address.
    let is_this = |t: &&console::api::ReplicaTraffic| t.id == replica.id && t.address == replica.address;
    let calls = traffic.and_then(|all| all.replicas.iter().find(is_this)).map(|found| &found.attempts);
    cells.extend(traffic::cells(calls));
    let below = match (&replica.probe_error, service.state.is_failure()) {
        (Some(error), false) => vec![format!("   {} {}", style::busy(symbols.warning), text::plain(error))],
        _ => Vec::new(),
    };
    Row { cells, below }
}

fn external_row(external: &ExternalStatus, symbols: Symbols) -> Row {
    let (state, paint): (_, fn(&str) -> String) = match external.state {
        ExternalState::Ready => ("ready", style::good),
        ExternalState::Resolving => ("resolving", style::busy),
        ExternalState::CircuitOpen => ("circuit open", style::bad),
        ExternalState::Unresolved => ("unresolved", style::bad),
        ExternalState::Unknown => ("unknown", style::dim),
    };
    let addresses = match external.addresses.as_slice() {
        [] => "-".to_owned(),
        [only] => only.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    };
    let below = external
        .detail
        .iter()
        .map(|detail| format!("   {} {}", style::busy(symbols.warning), text::plain(detail)));
    let cells = vec![
        Cell::plain(&external.name),
        Cell::painted(state, paint),
        Cell::plain(&external.url),
        Cell::plain(addresses),
    ];
    Row { cells, below: below.collect() }
}

/// A service that has no replica now.
fn empty_row(service: &ServiceStatus) -> Row {
    let mut state = service.state.name().to_owned();
    if let (false, Some(detail)) = (service.state.is_failure(), &service.detail) {
        state.push_str(&format!(": {}", text::plain(detail)));
    }
    let release = service.release.as_deref().map_or("-", short);
    let state = match (service.state, service.cold_start) {
        (ServiceState::Stopped, Some(took)) => {
            format!("scaled to zero, last started in {}", traffic::latency(took as f64))
        }
        (ServiceState::Stopped, None) => "scaled to zero".to_owned(),
        _ => state,
    };
    let mut cells = vec![
        Cell::plain(&service.name),
        Cell::plain("-"),
        Cell::painted(state, |text| style::state(service.state, text)),
        Cell::painted(release, style::dim),
    ];
    cells.extend((cells.len()..COLUMNS.len()).map(|_| Cell::plain("-")));
    Row { cells, below: Vec::new() }
}

fn short(release: &str) -> &str {
    release.get(..RELEASE).unwrap_or(release)
}

#[cfg(test)]
mod tests {
    use console::api::{Calls, ReplicaTraffic};

    use super::*;
    use crate::cli::show::style::UNICODE;
    use crate::cli::testing::{app, crashing, plain, replica, service};

    fn shop() -> AppStatus {
        let mut orders = service("orders", ServiceState::Ready);
        orders.replicas.push(ReplicaStatus { restarts: 2, ..replica("orders", 2) });
        let mut accounts = service("accounts", ServiceState::Degraded);
        accounts.replicas[0].phase = "unready".to_owned();
        accounts.replicas[0].probe_error = Some("GET /health: 503 Service Unavailable".to_owned());
        let mut catalog = service("catalog", ServiceState::BuildFailed);
        catalog.release = None;
        catalog.detail = Some("`npm run build` exited with code 1".to_owned());
        catalog.last_lines = vec!["src/app.ts(3,1): error TS2304: Cannot find name 'x'.".to_owned()];
        let services =
            vec![accounts, catalog, crashing("inventory"), orders, service("reports", ServiceState::Stopped)];
        app(AppState::Degraded, services)
    }

    /// Requests for one of the replicas of orders, and some for a process that is gone.
    fn traffic() -> Traffic {
        let replica = |index: u32, port: u32, attempts: Calls| ReplicaTraffic {
            id: format!("orders-{index}"),
            release: "0123456789ab".to_owned(),
            address: format!("127.0.0.1:{port}"),
            attempts,
            in_flight: 0,
            ejected: false,
            ejections: 0,
        };
        let calls = Calls {
            count: 750,
            rate: 12.5,
            failed: 18,
            error_share: Some(0.024),
            p50_ms: Some(3.21),
            p99_ms: Some(187.0),
            ..Calls::default()
        };
        let replicas = vec![replica(1, 20_001, calls.clone()), replica(2, 29_999, calls)];
        Traffic { seconds: 60, replicas, ..Traffic::default() }
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        insta::assert_snapshot!(plain(&render(&shop(), Some(&traffic()), 131_000, 140, UNICODE)), @r"
        shop degraded up 2 min 1 s, pid 4711
        gateway http://127.0.0.1:8080

        SERVICE    REPLICA  STATE           RELEASE    PID  ADDRESS          RESTARTS  MEMORY  AGE  REQ/S  ERRORS    P50    P99
        accounts         1  unready         01234567  5001  127.0.0.1:20001         0   38 MB   2m      -       -      -      -
           ! GET /health: 503 Service Unavailable
        catalog          -  build failed    -            -  -                       -       -    -      -       -      -      -
           build failed: `npm run build` exited with code 1
           │ src/app.ts(3,1): error TS2304: Cannot find name 'x'.
        inventory        1  crash loop      01234567     -  127.0.0.1:20001         6       -    -      -       -      -      -
           crash loop: exited with code 3 after 0.2 s (6 restarts)
           │ reading config
           │ error: DATABASE_URL is not set
        orders           1  ready           01234567  5001  127.0.0.1:20001         0   38 MB   2m     12    2.4%  3.2ms  187ms
        orders           2  ready           01234567  5002  127.0.0.1:20002         2   38 MB   2m      -       -      -      -
        reports          -  scaled to zero  01234567     -  -                       -       -    -      -       -      -      -
        ");
    }

    #[test]
    fn systems_outside_have_a_table_of_their_own() {
        let external = |name: &str, state, detail: Option<&str>, addresses: &[&str]| ExternalStatus {
            name: name.to_owned(),
            url: format!("https://api.{name}.example/v1"),
            state,
            detail: detail.map(str::to_owned),
            addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        };
        let mut status = app(AppState::Ready, vec![service("orders", ServiceState::Ready)]);
        status.externals = vec![
            external("mail", ExternalState::Unresolved, Some("`api.mail.example` cannot be resolved"), &[]),
            external("stripe", ExternalState::Ready, None, &["192.0.2.1:443", "192.0.2.2:443"]),
        ];
        insta::assert_snapshot!(plain(&render(&status, None, 131_000, 140, UNICODE)), @r"
        shop ready up 2 min 1 s, pid 4711
        gateway http://127.0.0.1:8080

        SERVICE  REPLICA  STATE  RELEASE    PID  ADDRESS          RESTARTS  MEMORY  AGE  REQ/S  ERRORS  P50  P99
        orders         1  ready  01234567  5001  127.0.0.1:20001         0   38 MB   2m      -       -    -    -

        EXTERNAL  STATE       URL                            ADDRESSES
        mail      unresolved  https://api.mail.example/v1    -
           ! `api.mail.example` cannot be resolved
        stripe    ready       https://api.stripe.example/v1  192.0.2.1:443 and 1 more
        ");
    }

    #[test]
    fn a_data_plane_that_drains_or_cannot_be_replaced_is_shown() {
        let mut status = app(AppState::Ready, vec![service("orders", ServiceState::Ready)]);
        status.retired_proxies = vec![RetiredProxy { pid: 4000, in_flight: 1 }];
        status.proxy_outdated =
            Some("the data plane 4712 is of another build, and could not be replaced".to_owned());
        insta::assert_snapshot!(plain(&render(&status, None, 131_000, 72, UNICODE)));
    }

    #[test]
    fn a_narrow_one_leaves_the_least_important_columns_out() {
        insta::assert_snapshot!(plain(&render(&shop(), Some(&traffic()), 131_000, 72, UNICODE)), @r"
        shop degraded up 2 min 1 s, pid 4711
        gateway http://127.0.0.1:8080

        SERVICE    REPLICA  STATE           MEMORY  AGE  REQ/S  ERRORS    P99
        accounts         1  unready          38 MB   2m      -       -      -
           ! GET /health: 503 Service Unavailable
        catalog          -  build failed         -    -      -       -      -
           build failed: `npm run build` exited with code 1
           │ src/app.ts(3,1): error TS2304: Cannot find name 'x'.
        inventory        1  crash loop           -    -      -       -      -
           crash loop: exited with code 3 after 0.2 s (6 restarts)
           │ reading config
           │ error: DATABASE_URL is not set
        orders           1  ready            38 MB   2m     12    2.4%  187ms
        orders           2  ready            38 MB   2m      -       -      -
        reports          -  scaled to zero       -    -      -       -      -
        ");
    }
}
