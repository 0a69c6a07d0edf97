//! Names of systems outside -> addresses, looked up again and again, away from the threads that serve requests.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// How long an answer is used. The system's resolver (getaddrinfo) tells no time to live; most records have a minute
/// or more.
const AGAIN: Duration = Duration::from_secs(30);
/// How soon a name is looked up again that could not be resolved.
const SOONER: Duration = Duration::from_secs(2);
/// How long a look-up may take. The system's resolver gives up on one server after five seconds by default.
const LIMIT: Duration = Duration::from_secs(10);
/// So many addresses of one name are used; more spread requests no better.
const MOST: usize = 16;

/// A host and a port.
pub(crate) type Host = (String, u16);
/// Its addresses, in order and each once; or why there are none.
pub(crate) type Found = Result<Vec<SocketAddr>, String>;

/// Keeps looking up.
#[derive(Debug)]
pub(crate) struct Resolver {
    looking: HashMap<Host, AbortHandle>,
    news: mpsc::UnboundedSender<(Host, Found)>,
}

impl Resolver {
    /// One that looks up nothing yet, and where it will tell what it finds, each time.
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<(Host, Found)>) {
        let (news, heard) = mpsc::unbounded_channel();
        (Self { looking: HashMap::new(), news }, heard)
    }

    /// Looks up these from now on, and no others. Runs inside a runtime.
    pub(crate) fn follow(&mut self, wanted: &HashSet<Host>) {
        for (_, gone) in self.looking.extract_if(|host, _| !wanted.contains(host)) {
            gone.abort();
        }
        for host in wanted {
            if !self.looking.contains_key(host) {
                let task = tokio::spawn(look(host.clone(), self.news.clone()));
                self.looking.insert(host.clone(), task.abort_handle());
            }
        }
    }
}

async fn look(host: Host, news: mpsc::UnboundedSender<(Host, Found)>) {
    loop {
        let found = look_up(&host).await;
        let pause = if found.is_ok() { AGAIN } else { SOONER };
        if news.send((host.clone(), found)).is_err() {
            return;
        }
        sleep(pause).await;
    }
}

async fn look_up((name, port): &Host) -> Found {
    match timeout(LIMIT, tokio::net::lookup_host((name.as_str(), *port))).await {
        Ok(Ok(addresses)) => usable(addresses.collect()).ok_or_else(|| format!("`{name}` has no address")),
        Ok(Err(error)) => Err(format!("`{name}` cannot be resolved: {error}")),
        Err(_) => Err(format!("`{name}` cannot be resolved: no answer within {LIMIT:?}")),
    }
}

/// Leaves out addresses of a version of IP that has no way out of this machine, unless nothing else is there.
fn usable(mut addresses: Vec<SocketAddr>) -> Option<Vec<SocketAddr>> {
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.iter().any(has_route) {
        addresses.retain(has_route);
    }
    addresses.truncate(MOST);
    (!addresses.is_empty()).then_some(addresses)
}

/// Asks the kernel for a route. Connecting a datagram socket sends nothing.
fn has_route(address: &SocketAddr) -> bool {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let routed = UdpSocket::bind((any, 0)).and_then(|socket| socket.connect(address));
    if let Err(error) = &routed {
        debug!(%address, %error, "no route");
    }
    routed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_and_addresses_are_looked_up_and_failures_say_why() {
        let at = |address: &str| Ok(vec![address.parse().unwrap()]);
        assert_eq!(look_up(&("127.0.0.9".to_owned(), 80)).await, at("127.0.0.9:80"));
        let local = look_up(&("localhost".to_owned(), 80)).await.unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback()) && !local.is_empty());
        let error = look_up(&("no-such-name.invalid".to_owned(), 80)).await.unwrap_err();
        assert!(error.starts_with("`no-such-name.invalid` cannot be resolved: "), "{error}");
    }

    #[test]
    fn each_address_once_and_none_without_a_way_there() {
        let of = |all: &[&str]| all.iter().map(|a| a.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let two = of(&["127.0.0.1:1", "127.0.0.2:1"]);
        assert_eq!(usable(of(&["127.0.0.2:1", "127.0.0.1:1", "127.0.0.2:1"])), Some(two.clone()));
        // The broadcast address has a route that only root of sockets may use: connecting to it is refused.
        assert_eq!(usable(of(&["255.255.255.255:1", "127.0.0.1:1", "127.0.0.2:1"])), Some(two));
        assert!(usable(of(&["255.255.255.255:1"])).is_some(), "better than nothing");
        assert_eq!(usable(vec![]), None);
    }

    #[tokio::test]
    async fn what_is_no_longer_wanted_is_no_longer_looked_up() {
        let (mut resolver, mut heard) = Resolver::new();
        let host = ("127.0.0.1".to_owned(), 9);
        resolver.follow(&HashSet::from([host.clone()]));
        assert_eq!(heard.recv().await.unwrap().0, host);
        let task = resolver.looking[&host].clone();
        resolver.follow(&HashSet::new());
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
        assert!(heard.try_recv().is_err());
    }
}
