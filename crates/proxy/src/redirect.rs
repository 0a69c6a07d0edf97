//! From plain HTTP to HTTPS.

use std::net::SocketAddr;

use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;

use crate::fault::{Code, Fault};
use crate::identify;
use crate::respond::{self, Answer};
use crate::route::host_of;
use crate::table::{Entry, Table};

const HTTPS: u16 = 443;

/// Sends a client to the same host, path and query over HTTPS, at the gateway that listens at `gateway`. Its `Host` has been
/// looked at.
///
/// Only to a host that the gateway has a certificate for: to any other one the client could not connect, and what
/// a cache kept of it would be somebody else's choice.
pub(crate) fn answer(
    table: &Table,
    gateway: SocketAddr,
    request: &Request<Incoming>,
) -> Result<Response<Answer>, Fault> {
    let host = host_of(identify::host(request));
    if host.is_empty() {
        return Err(Fault::new(Code::BadHost, "the request does not say for which host it is"));
    }
    let tls = table.entries.get(&gateway).and_then(Entry::tls);
    if !tls.is_some_and(|tls| tls.is_for(host)) {
        return Err(Fault::new(Code::Misdirected, format!("there is no certificate for {host}")));
    }
    let location = location(host, gateway.port(), request.uri().path_and_query());
    let location = HeaderValue::try_from(location)
        .map_err(|_| Fault::new(Code::BadPath, "the path cannot be said in a header"))?;
    Ok(respond::redirect(location))
}

fn location(host: &str, port: u16, path: Option<&PathAndQuery>) -> String {
    let path = path.map(PathAndQuery::as_str).filter(|path| path.starts_with('/')).unwrap_or("/");
    match port {
        HTTPS => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_said_unless_it_is_that_of_https() {
        let path = PathAndQuery::from_static("/a?b=c");
        assert_eq!(location("a.example", 443, Some(&path)), "https://a.example/a?b=c");
        assert_eq!(location("[::1]", 8443, Some(&path)), "https://[::1]:8443/a?b=c");
        let star = PathAndQuery::from_static("*");
        assert_eq!(location("a.example", 443, Some(&star)), "https://a.example/");
        assert_eq!(location("a.example", 443, None), "https://a.example/");
    }
}
