//! Every address that Isles itself listens on: no two may be one.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;

use crate::code;
use crate::fault::{Fault, Sink};

/// The listeners found so far.
pub(crate) struct Listeners<'a> {
    sink: &'a Sink<'a>,
    all: RefCell<Vec<Listener>>,
}

struct Listener {
    address: SocketAddr,
    /// Where the manifest says so; `None` for a default.
    span: Option<Range<usize>>,
    what: String,
}

impl<'a> Listeners<'a> {
    pub(crate) fn new(sink: &'a Sink<'a>) -> Self {
        Self { sink, all: RefCell::default() }
    }

    /// Takes a listener in. `what` names it in a sentence.
    pub(crate) fn add(&self, address: SocketAddr, span: Option<Range<usize>>, what: impl Into<String>) {
        self.all.borrow_mut().push(Listener { address, span, what: what.into() });
    }

    /// Reports every listener that clashes with one before it in the text.
    pub(crate) fn check(self) {
        let mut all = self.all.into_inner();
        all.sort_by_key(|l| l.span.as_ref().map_or(0, |s| s.start));
        for (index, later) in all.iter().enumerate() {
            let clash = all.iter().take(index).find(|earlier| overlap(earlier.address, later.address));
            if let Some(earlier) = clash {
                self.sink.push(fault(earlier, later));
            }
        }
    }
}

fn fault(earlier: &Listener, later: &Listener) -> Fault {
    let message = format!("{} and {} listen on one address", earlier.what, later.what);
    let span = later.span.clone().or_else(|| earlier.span.clone()).unwrap_or_default();
    let fault = Fault::error(code::ADDRESS_CLASH, span, message).label(later.address.to_string());
    match &earlier.span {
        Some(at) if later.span.is_some() => {
            fault.related(at.clone(), earlier.address.to_string()).hint("give one of them another port")
        }
        _ => fault
            .hint(format!("{} is at {} unless the manifest says otherwise", earlier.what, earlier.address)),
    }
}

/// Whether the system would refuse the second of two listeners.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    // `[::]` takes IPv4 connections too; `0.0.0.0` takes no IPv6 ones.
    let all_of = |x: SocketAddr, y: SocketAddr| x.ip().is_unspecified() && (x.is_ipv6() || y.is_ipv4());
    a.port() != 0 && a.port() == b.port() && (a.ip() == b.ip() || all_of(a, b) || all_of(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlap_is_what_the_system_refuses() {
        let overlaps = |a: &str, b: &str| overlap(a.parse().unwrap(), b.parse().unwrap());
        assert!(overlaps("127.0.0.1:80", "127.0.0.1:80"));
        assert!(overlaps("0.0.0.0:80", "127.0.0.1:80"));
        assert!(overlaps("127.0.0.1:80", "[::]:80"));
        assert!(!overlaps("127.0.0.1:80", "127.0.0.2:80"));
        assert!(!overlaps("127.0.0.1:80", "127.0.0.1:81"));
        assert!(!overlaps("0.0.0.0:80", "[::1]:80"));
        assert!(!overlaps("127.0.0.1:0", "127.0.0.1:0"));
    }
}
