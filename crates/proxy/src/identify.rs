//! Who asks, and which way the request goes: decided by the listener, and at a gateway by its routes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::header;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, Version};
use hyper::body::Incoming;

use crate::fault::{Code, Fault};
use crate::headers::{self, Trust};
use crate::route::{self, Found};
use crate::table::{Entry, Kind, Lane, Table};

/// The other end of a client's connection.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The listener through which it came.
    pub listener: SocketAddr,
    /// Its address, as a header says it.
    pub address: HeaderValue,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub lane: usize,
    pub caller: Caller<'a>,
    /// The prefix that is taken off the path.
    pub strip: &'a str,
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

/// The listener's entry in a table.
pub(crate) fn identify<'a>(table: &'a Table, peer: &Peer) -> Result<&'a Entry, Fault> {
    table.entries.get(&peer.listener).ok_or_else(|| {
        Fault::new(Code::NoRoute, "this address is being closed: it is no longer part of the app")
    })
}

/// Finds the way, and refuses requests whose path or host could be read in two ways.
pub(crate) fn find_way<'a>(
    table: &'a Table,
    entry: &'a Entry,
    request: &Request<Incoming>,
    arrived: Instant,
) -> Result<Way<'a>, Fault> {
    if request.method() == Method::CONNECT {
        return Err(Fault::new(Code::ConnectRefused, "this is a gateway to an app, not a tunnel"));
    }
    let way = match &entry.kind {
        Kind::Edge { caller_header, lane, .. } => {
            let limit = table.lanes[*lane].timeouts.request;
            let time = within(limit, headers::time_left(request.headers(), Trust::Inside));
            let caller = Caller::Service(caller_header);
            Way { lane: *lane, caller, strip: "", deadline: arrived + time, limit }
        }
        Kind::Gateway(router) => {
            let path = request.uri().path();
            if route::has_dot_segment(path) {
                return Err(Fault::new(
                    Code::BadPath,
                    "the path has a segment `.` or `..`; send it resolved",
                ));
            }
            let route = match router.find(path, route::host_of(host(request)), request.method()) {
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
            let limit = route.timeout.unwrap_or(table.lanes[route.lane].timeouts.request);
            let time = within(limit, headers::time_left(request.headers(), Trust::Outside));
            let strip = if route.strip { route.path.as_str() } else { "" };
            Way { lane: route.lane, caller: Caller::Client, strip, deadline: arrived + time, limit }
        }
    };
    check_http(&table.lanes[way.lane])?;
    Ok(way)
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
fn host(request: &Request<Incoming>) -> &str {
    let named = request.uri().authority().map(Authority::as_str);
    let field = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    named.or_else(field).unwrap_or_default()
}

/// Makes the `Host` field say what the request's target says, and refuses a request that leaves the host open.
pub(crate) fn settle_host(request: &mut Request<Incoming>) -> Result<(), Fault> {
    if let Some(authority) = request.uri().authority() {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| Fault::new(Code::BadHost, "the host has characters that a host may not have"))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.as_bytes()) => Ok(()),
        (Some(_), None) => Err(Fault::new(Code::BadHost, "the host has characters that a host may not have")),
        (Some(_), Some(_)) => Err(Fault::new(Code::BadHost, "the request has more than one Host field")),
        (None, _) if request.version() == Version::HTTP_11 => {
            Err(Fault::new(Code::BadHost, "the request has no Host field"))
        }
        (None, _) => Ok(()),
    }
}

fn is_host(host: &[u8]) -> bool {
    host.iter().all(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~' | b'%')
    })
}
