//! Opening a listening address once per worker, and refusing one that somebody else has.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 4096;

/// Opens `address` `workers` times; the kernel spreads connections over the sockets.
///
/// The first socket is bound and listens without `SO_REUSEPORT`, which the kernel grants only if nobody else listens
/// there, a second data plane of the same user included. Only then is the address opened for the others.
///
/// # Errors
/// `AddrInUse` if somebody listens there; else what the system reports.
pub(crate) fn open(address: SocketAddr, workers: usize) -> io::Result<Vec<TcpListener>> {
    if address.port() == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a listener needs a port"));
    }
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.listen(BACKLOG)?;
    first.set_reuse_port(true)?;
    widen(address, vec![first.into()], workers)
}

/// Opens `address` as often as is missing for `workers`, beside sockets of [`open`] that another process may have opened.
///
/// There may be more than that: none can be closed without resetting the connections that wait in it.
///
/// # Errors
/// What the system reports.
pub(crate) fn widen(
    address: SocketAddr,
    mut sockets: Vec<TcpListener>,
    workers: usize,
) -> io::Result<Vec<TcpListener>> {
    while sockets.len() < workers {
        let next = socket(address)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(BACKLOG)?;
        sockets.push(next.into());
    }
    Ok(sockets)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    // Accepted connections inherit it, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn all_sockets_get_connections_and_nobody_else_gets_the_address() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        assert_eq!(open(address, 2).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(free);

        let sockets = open(address, 2).unwrap();
        assert_eq!(open(address, 2).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(TcpListener::bind(address).unwrap_err().kind(), ErrorKind::AddrInUse);

        let clients: Vec<_> = (0..200).map(|_| TcpStream::connect(address).unwrap()).collect();
        let taken: Vec<usize> = sockets
            .iter()
            .map(|socket| {
                let mut taken = 0;
                while let Ok((stream, _)) = socket.accept() {
                    assert!(stream.nodelay().unwrap());
                    taken += 1;
                }
                taken
            })
            .collect();
        assert_eq!(taken.iter().sum::<usize>(), clients.len());
        assert!(taken.iter().all(|n| *n > 20), "unevenly spread: {taken:?}");
    }
}
