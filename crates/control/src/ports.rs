//! Free loopback ports, outside the range from which the kernel gives ports to outgoing connections.
//!
//! A port of an edge has to be free again when the data plane is started anew, and a port from the ephemeral
//! range (32768 to 60999 on Linux, ip(7)) could be somebody's outgoing connection by then.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

const FIRST: u16 = 10_240;
const LAST: u16 = 32_767;

/// A loopback address that nobody listens on now and that is not in `taken`.
///
/// The search begins at a random port, so that several apps on one machine rarely meet.
pub fn free(taken: &BTreeSet<SocketAddr>) -> io::Result<SocketAddr> {
    let count = LAST - FIRST + 1;
    let begin = fastrand::u16(0..count);
    for offset in 0..count {
        let port = FIRST + (begin + offset) % count;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if !taken.contains(&address) && TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AddrInUse,
        format!("no port from {FIRST} to {LAST} is free on 127.0.0.1"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_distinct_and_not_ephemeral() {
        let mut taken = BTreeSet::new();
        for _ in 0..50 {
            let address = free(&taken).unwrap();
            assert!((FIRST..=LAST).contains(&address.port()));
            TcpListener::bind(address).unwrap();
            assert!(taken.insert(address));
        }
    }
}
