//! Who holds the other end of a TCP connection of this machine: sock_diag(7), one question for one socket.

use std::io::{self, Read as _};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

const AF_NETLINK: i32 = 16;
const NETLINK_SOCK_DIAG: i32 = 4;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// Length of `struct nlmsghdr`.
const HEADER: usize = 16;
/// Length of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Where `struct inet_diag_msg` has the user and the inode, after the header.
const UID: usize = 64;
const INODE: usize = 68;

/// A socket of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Its number in `/proc/<pid>/fd`; 0 when its process has closed it and the kernel is ending it.
    pub inode: u32,
    /// Its user; not to be relied on without a process.
    pub uid: u32,
}

/// A way to ask the kernel.
#[derive(Debug)]
pub(super) struct Diag {
    socket: Socket,
    last: u32,
}

impl Diag {
    pub(super) fn open() -> io::Result<Self> {
        let socket =
            Socket::new(Domain::from(AF_NETLINK), Type::DGRAM, Some(Protocol::from(NETLINK_SOCK_DIAG)))?;
        // The kernel answers before `send` returns; this is for the case that it does not.
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        Ok(Self { socket, last: 0 })
    }

    /// The socket with these addresses; none if there is none.
    pub(super) fn find(&mut self, own: SocketAddr, remote: SocketAddr) -> io::Result<Option<Held>> {
        self.last = self.last.wrapping_add(1);
        self.socket.send(&request(self.last, own, remote))?;
        let mut answer = [0; 1024];
        loop {
            let length = self.socket.read(&mut answer)?;
            match parse(&answer[..length], self.last)? {
                Answer::Other => {}
                Answer::Gone => return Ok(None),
                Answer::Found(held) => return Ok(Some(held)),
            }
        }
    }
}

fn request(sequence: u32, own: SocketAddr, remote: SocketAddr) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    };
    put(&((HEADER + REQUEST) as u32).to_ne_bytes());
    put(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    put(&NLM_F_REQUEST.to_ne_bytes());
    put(&sequence.to_ne_bytes());
    put(&[0; 4]);
    put(&[if own.is_ipv4() { AF_INET } else { AF_INET6 }, IPPROTO_TCP, 0, 0]);
    // All states.
    put(&u32::MAX.to_ne_bytes());
    put(&own.port().to_be_bytes());
    put(&remote.port().to_be_bytes());
    put(&octets(own.ip()));
    put(&octets(remote.ip()));
    // Any interface, any cookie.
    put(&0_u32.to_ne_bytes());
    put(&[0xff; 8]);
    bytes
}

fn octets(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut all = [0; 16];
            all[..4].copy_from_slice(&v4.octets());
            all
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// To an earlier question.
    Other,
    Gone,
    Found(Held),
}

fn parse(message: &[u8], sequence: u32) -> io::Result<Answer> {
    let u32_at = |at: usize| message.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes);
    let kind = message.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    let short = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is too short");
    if u32_at(8).ok_or_else(short)? != sequence {
        return Ok(Answer::Other);
    }
    match kind.ok_or_else(short)? {
        SOCK_DIAG_BY_FAMILY => {
            let field = |at| u32_at(HEADER + at).ok_or_else(short);
            Ok(Answer::Found(Held { uid: field(UID)?, inode: field(INODE)? }))
        }
        NLMSG_ERROR => {
            let code = u32_at(HEADER).ok_or_else(short)?.cast_signed();
            match io::Error::from_raw_os_error(code.wrapping_neg()) {
                error if error.kind() == io::ErrorKind::NotFound => Ok(Answer::Gone),
                error => Err(error),
            }
        }
        other => {
            Err(io::Error::new(io::ErrorKind::InvalidData, format!("unknown answer {other} of the kernel")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_kernel_tells_the_inode_and_what_is_gone() {
        let mut diag = Diag::open().unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let edge = listener.local_addr().unwrap();
            let client = TcpStream::connect(edge).unwrap();
            let own = client.local_addr().unwrap();
            let held = diag.find(own, edge).unwrap().unwrap();
            let link = std::fs::read_link(format!("/proc/self/fd/{}", client.as_raw_fd())).unwrap();
            assert_eq!(link.to_str().unwrap(), format!("socket:[{}]", held.inode));
            assert_eq!(held.uid, rustix::process::geteuid().as_raw());

            let (accepted, _) = listener.accept().unwrap();
            drop(client);
            let closed = diag.find(own, edge).unwrap();
            assert_eq!(
                closed.map(|held| held.inode),
                Some(0),
                "closed by its process, not yet by both sides"
            );
            drop((accepted, listener));
            assert_eq!(diag.find(SocketAddr::new(own.ip(), 1), edge).unwrap(), None);
        }
    }

    #[test]
    fn answers_that_make_no_sense_are_errors() {
        assert!(parse(&[], 1).is_err());
        assert!(parse(&[0; 12], 0).is_err());
        assert_eq!(parse(&[0; 16], 1).unwrap(), Answer::Other);
        let mut cut = [0_u8; 40];
        cut[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        assert!(parse(&cut, 0).is_err());
    }
}
