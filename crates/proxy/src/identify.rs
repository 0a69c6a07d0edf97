//! Who asks, and which way the request goes: decided by the listener, and at a gateway by its routes.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::header;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Version};
use hyper::body::Incoming;
use model::RateLimit;

use crate::connection::Client;
use crate::fault::{Code, Fault};
use crate::headers::{self, Trust};
use crate::intake::Allowance;
use crate::rate::Rate;
use crate::route::{self, Found};
use crate::table::{Entry, Kind, Lane, Table};
use crate::worker::Worker;

/// The other end of a client's connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The listener through which it came.
    pub listener: SocketAddr,
    /// Its address, as a header says it.
    pub address: HeaderValue,
    /// Its address.
    pub ip: IpAddr,
    /// It speaks TLS.
    pub secure: bool,
}

impl Peer {
    /// Of its URLs.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub lane: usize,
    pub caller: Caller<'a>,
    /// The prefix that is taken off the path.
    pub strip: &'a str,
    /// The prefix of the route; empty on an edge.
    pub route: &'a str,
    /// How often one client may ask.
    pub rate: Option<&'a Rate>,
    /// Only what the service's contract says is let through.
    pub enforce: bool,
    /// What the client may send; none for a service of the app.
    pub allowed: Option<Allowance>,
    /// When an answer must have begun.
    pub deadline: Instant,
    /// The time that the app allows for that; the caller may have less.
    pub limit: Duration,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Caller<'a> {
    /// Somebody outside.
    Client,
    /// A service; its name as a header says it.
    Service(&'a HeaderValue),
}

/// The listener's entry in a table, which may have been the last one with it.
pub(crate) fn identify(entry: Option<&Entry>) -> Result<&Entry, Fault> {
    entry.ok_or_else(|| {
        Fault::new(Code::NoRoute, "this address is being closed: it is no longer part of the app")
    })
}

/// Refuses what comes from a process that is not one of the caller's.
pub(crate) fn verify(client: &Client) -> Result<(), Fault> {
    let Some(why) = &client.refused else { return Ok(()) };
    let detail =
        format!("{why}, and this address is for these alone; `verify_callers = false` lets everybody in");
    Err(Fault::new(Code::CallerUnverified, detail))
}

/// Finds the way, and refuses requests whose path or host could be read in two ways.
pub(crate) fn find_way<'a>(
    table: &'a Table,
    entry: &'a Entry,
    request: &Request<Incoming>,
    arrived: Instant,
    worker: &Worker,
) -> Result<Way<'a>, Fault> {
    if request.method() == Method::CONNECT {
        return Err(Fault::new(Code::ConnectRefused, "this is a gateway to an app, not a tunnel"));
    }
    let path = request.uri().path();
    // A target of any other form could be taken for one that names another host.
    if !path.starts_with('/') && (path != "*" || request.method() != Method::OPTIONS) {
        return Err(Fault::new(Code::BadPath, "the path does not begin with a slash"));
    }
    let way = match &entry.kind {
        Kind::Edge { caller_header, lane, .. } => {
            let limit = table.lanes[*lane].timeouts.request;
            let time = within(limit, headers::time_left(request.headers(), Trust::Inside));
            let caller = Caller::Service(caller_header);
            let deadline = arrived + time;
            Way {
                lane: *lane,
                caller,
                strip: "",
                route: "",
                rate: None,
                enforce: false,
                allowed: None,
                deadline,
                limit,
            }
        }
        Kind::Redirect { .. } => {
            return Err(Fault::new(Code::NoRoute, "nothing is served here but a redirect"));
        }
        Kind::Gateway(gateway) => {
            if route::has_dot_segment(path) {
                return Err(Fault::new(
                    Code::BadPath,
                    "the path has a segment `.` or `..`; send it resolved",
                ));
            }
            let route = match gateway.router.find(path, route::host_of(host(request)), request.method()) {
                Found::Route(route) => route,
                Found::OtherMethods => {
                    let detail = format!("there are routes for {path}, but none for {}", request.method());
                    return Err(Fault::new(Code::MethodNotAllowed, detail));
                }
                Found::Nothing => {
                    return Err(Fault::new(
                        Code::NoRoute,
                        format!("no route of the gateway leads to {path}"),
                    ));
                }
            };
            route.asked.counters.slot(worker.index).request();
            let limit = route.timeout.unwrap_or(table.lanes[route.lane].timeouts.request);
            let time = within(limit, headers::time_left(request.headers(), Trust::Outside));
            let strip = if route.strip { route.path.as_str() } else { "" };
            // A call of gRPC may be a conversation of any length; its messages have limits of their own.
            let most = if headers::is_grpc(request.headers()) { u64::MAX } else { route.max_body };
            let allowed = Some(Allowance { most, pause: worker.patience().body });
            Way {
                lane: route.lane,
                caller: Caller::Client,
                strip,
                route: &route.path,
                rate: route.rate.as_ref(),
                enforce: route.enforce,
                allowed,
                deadline: arrived + time,
                limit,
            }
        }
    };
    check_http(&table.lanes[way.lane])?;
    Ok(way)
}

/// Refuses a client that asks more often than it may.
pub(crate) fn check_rate(rate: Option<&Rate>, peer: &Peer, worker: &Worker) -> Result<(), Fault> {
    let Some(rate) = rate else { return Ok(()) };
    rate.admit(peer.ip, worker.nanos()).map_err(|wait| {
        let RateLimit { requests, per } = rate.declared;
        let detail = format!("a client may send {requests} requests in {} s here", per.as_secs());
        Fault::new(Code::RateLimited, detail).retry_after(wait.div_ceil(1_000_000_000))
    })
}

fn within(limit: Duration, left: Option<Duration>) -> Duration {
    left.map_or(limit, |left| left.min(limit))
}

fn check_http(lane: &Lane) -> Result<(), Fault> {
    if lane.protocol == model::Protocol::Tcp {
        let detail = format!("{} has protocol = \"tcp\": it is reached through an edge only", lane.service);
        return Err(Fault::new(Code::NotHttp, detail));
    }
    Ok(())
}

/// The host that a request is for; one that it names in its target counts more than the field (RFC 9112, 3.2.2).
pub(crate) fn host(request: &Request<Incoming>) -> &str {
    let named = request.uri().authority().map(Authority::as_str);
    let field = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(field).unwrap_or_default()
}

/// Makes the `Host` field say what the request's target says, and refuses a request that leaves the host open.
pub(crate) fn settle_host(request: &mut Request<Incoming>) -> Result<(), Fault> {
    let bad = |detail: &str| Err(Fault::new(Code::BadHost, detail));
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (field, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return bad("the request has more than one Host field");
    }
    if let Some(authority) = request.uri().authority() {
        let Ok(host) = HeaderValue::from_str(authority.as_str()) else {
            return bad("the host has characters that a host may not have");
        };
        // In HTTP/1.1 the field is to be ignored (RFC 9112, 3.2.2), in HTTP/2 it may not differ (RFC 9113, 8.3.1).
        if request.version() == Version::HTTP_2 && field.is_some_and(|field| *field != host) {
            return bad("the Host field is another one than :authority");
        }
        request.headers_mut().insert(header::HOST, host);
    }
    match request.headers().get(header::HOST) {
        Some(host) if is_host(host.as_bytes()) => Ok(()),
        Some(_) => bad("the host is not one: a name or an address, and perhaps a port"),
        None if request.version() == Version::HTTP_11 => bad("the request has no Host field"),
        None => Ok(()),
    }
}

/// Whether it is a host and, after a colon, a port or nothing (RFC 9110, 7.2). An empty host names nobody.
pub(crate) fn is_host(host: &[u8]) -> bool {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let (name, port) = match host {
        [b'[', rest @ ..] => {
            let Some(end) = rest.iter().position(|byte| *byte == b']') else { return false };
            let (address, after) = (&rest[..end], &rest[end + 1..]);
            let is_address =
                address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            if !is_address {
                return false;
            }
            match after {
                [] | [b':', ..] => (address, after.get(1..).unwrap_or_default()),
                _ => return false,
            }
        }
        _ => match host.iter().position(|byte| *byte == b':') {
            Some(colon) => (&host[..colon], &host[colon + 1..]),
            None => (host, &[][..]),
        },
    };
    let may_name =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'%' | b':');
    !name.is_empty() && name.iter().all(may_name) && port.iter().all(is_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "a",
            "a.example",
            "a-b_c~d",
            "a%20b",
            "a:80",
            "a:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]:",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":", ":80", "a:b", "a:80:90", "a b", "u@a", "a/b", "a?b", "a#b", "a,b", "[", "[]", "[]:80",
            "[::1", "[::1]x", "[x]", "[::1]]", "::1", "a\\b", "a\u{e9}",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
