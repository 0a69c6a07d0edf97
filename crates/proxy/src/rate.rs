//! How many requests one client may send to a route.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A, in its "virtual scheduling" form): of each client one number
//! is kept, the time at which its next request would be due if it came at the steady rate. A client that has been
//! quiet may send as many at once as the limit has for its whole period; after that one more whenever its share of
//! the period has passed.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use model::RateLimit;

/// Sets of the table, and clients in each: 65,536 clients, 1 MiB, for each route with a limit.
const SETS: usize = 4096;
const WAYS: usize = 16;

/// The limit of one route.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    pub declared: RateLimit,
    /// Nanoseconds from one request to the next at the steady rate.
    interval: u64,
    /// How far ahead of the steady rate a client may be, in nanoseconds.
    tolerance: u64,
    clients: Arc<Clients>,
}

/// Who has sent how much; it outlives the table.
///
/// All threads share it, so a limit is exact, and a request of a route with a limit takes a lock: one of 4096, held for
/// a look at sixteen pairs of numbers. Where more than sixteen busy clients fall into one set, the one that is nearest to
/// being forgiven is forgotten, and may send its burst again: memory is bounded, and the error is on the client's side.
#[derive(Debug)]
pub(crate) struct Clients {
    sets: Box<[Mutex<[Client; WAYS]>]>,
    /// Keyed at random, so that nobody can choose addresses that fall into one set.
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy, Default)]
struct Client {
    /// A hash of its address.
    key: u64,
    /// When its next request would be due, in nanoseconds; of no meaning once that is past.
    due: u64,
}

impl Default for Clients {
    fn default() -> Self {
        let sets = (0..SETS).map(|_| Mutex::new([Client::default(); WAYS])).collect();
        Self { sets, hasher: RandomState::new() }
    }
}

impl Rate {
    pub(crate) fn new(declared: RateLimit, clients: Arc<Clients>) -> Self {
        let requests = u64::from(declared.requests.max(1));
        let per = u64::try_from(declared.per.as_nanos()).unwrap_or(u64::MAX);
        let interval = (per / requests).max(1);
        Self { declared, interval, tolerance: interval.saturating_mul(requests - 1), clients }
    }

    /// Lets a request in, or says after how many nanoseconds the next one would be. `now` is the process's clock in
    /// nanoseconds.
    pub(crate) fn admit(&self, client: IpAddr, now: u64) -> Result<(), u64> {
        let key = self.clients.hasher.hash_one(bucket(client));
        // The low bits choose the set; the whole of it tells clients apart.
        let set = &self.clients.sets[key as usize % SETS];
        // Numbers only, each written whole: a panic could not have left them half done.
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let known = set.iter().position(|client| client.key == key && client.due > now);
        let index = known.or_else(|| {
            let (index, _) = set.iter().enumerate().min_by_key(|(_, client)| client.due)?;
            set[index] = Client { key, due: now };
            Some(index)
        });
        let Some(client) = index.and_then(|index| set.get_mut(index)) else { return Ok(()) };
        let ahead = client.due.saturating_sub(now);
        if ahead > self.tolerance {
            return Err(ahead - self.tolerance);
        }
        client.due = client.due.max(now).saturating_add(self.interval);
        Ok(())
    }
}

/// Who counts as one client: an IPv4 address, and the 64 bits of an IPv6 address that a provider gives to one customer
/// (RFC 6177), who may choose the rest at will.
fn bucket(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        // No routed network has its first 32 bits empty, so no IPv4 address is met.
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rate(requests: u32, seconds: u64) -> Rate {
        Rate::new(RateLimit { requests, per: Duration::from_secs(seconds) }, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_the_steady_rate() {
        let rate = rate(5, 1);
        let client = ip("192.0.2.1");
        for _ in 0..5 {
            assert_eq!(rate.admit(client, SECOND), Ok(()));
        }
        assert_eq!(rate.admit(client, SECOND), Err(SECOND / 5));
        assert_eq!(rate.admit(client, SECOND + SECOND / 10), Err(SECOND / 10), "a refusal costs nothing");
        assert_eq!(rate.admit(client, SECOND + SECOND / 5), Ok(()));
        assert!(rate.admit(client, SECOND + SECOND / 5).is_err());
        assert_eq!(rate.admit(ip("192.0.2.2"), SECOND), Ok(()), "others have their own");
        for _ in 0..5 {
            assert_eq!(rate.admit(client, SECOND * 9), Ok(()), "all is forgiven");
        }
        assert!(rate.admit(client, SECOND * 9).is_err());
    }

    #[test]
    fn a_network_of_64_bits_and_a_mapped_address_are_one_client() {
        for (first, second, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
        ] {
            let rate = rate(1, 3600);
            assert_eq!(rate.admit(ip(first), 1), Ok(()));
            assert_eq!(rate.admit(ip(second), 1).is_err(), same, "{first} {second}");
        }
    }

    #[test]
    fn a_changed_limit_goes_on_with_what_is_known() {
        let clients = Arc::<Clients>::default();
        let limit = |requests| RateLimit { requests, per: Duration::from_secs(3600) };
        let client = ip("192.0.2.1");
        let before = Rate::new(limit(2), Arc::clone(&clients));
        assert!(before.admit(client, 1).is_ok() && before.admit(client, 1).is_ok());
        assert!(Rate::new(limit(1), Arc::clone(&clients)).admit(client, 1).is_err());
        assert!(Rate::new(limit(4000), clients).admit(client, SECOND * 1800).is_ok());
    }

    #[test]
    fn with_more_clients_than_places_memory_stays_and_most_are_known() {
        let rate = rate(1, 3600);
        let clients = (0..40_000_u32).map(|n| IpAddr::from(n.to_be_bytes()));
        let known = |now| clients.clone().filter(|client| rate.admit(*client, now).is_err()).count();
        assert_eq!(known(1), 0);
        assert!(known(2) > 36_000, "{}", known(2));
        let crowd = (0..400_000_u32).map(|n| IpAddr::from((n + 0x0a00_0000).to_be_bytes()));
        assert_eq!(crowd.filter(|client| rate.admit(*client, 3).is_err()).count(), 0);
    }

    proptest! {
        /// In any window a client gets no more than the burst and its steady share.
        #[test]
        fn no_pattern_gets_more(
            requests in 1_u32..50, seconds in 1_u64..100,
            pauses in proptest::collection::vec(0_u64..2_000_000_000, 1..400),
        ) {
            let rate = rate(requests, seconds);
            let client = ip("192.0.2.1");
            let mut now = SECOND;
            let mut passed = 0_u64;
            for pause in pauses {
                now += pause;
                passed += u64::from(rate.admit(client, now).is_ok());
                let share = (now - SECOND) / rate.interval;
                prop_assert!(passed <= u64::from(requests) + share);
            }
        }
    }
}
