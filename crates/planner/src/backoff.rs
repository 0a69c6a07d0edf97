//! How long a replica that ended unasked has to wait before it is started again.

use std::time::Duration;

use model::ReplicaId;

/// From this many ends in a row, without a stable time between them, a replica is said to be in a crash loop.
/// It is still started again, at the longest delay.
pub const CRASH_LOOP_FAILURES: u32 = 5;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);

/// The delay after `failures` ends in a row: none after the first (a replica that ran well and was killed is
/// back at once), then 250 ms doubling up to 30 s, each ± 20 % so that replicas that died together do not
/// come back together. The jitter is a hash of the replica and the count: the same state gives the same plan.
pub fn restart_delay(replica: &ReplicaId, failures: u32) -> Duration {
    if failures <= 1 {
        return Duration::ZERO;
    }
    let doublings = (failures - 2).min(16);
    let base = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let spread = f64::from(fnv1a(&format!("{replica}/{failures}")) % 401) / 1000.0; // 0.0 ..= 0.4
    base.mul_f64(0.8 + spread)
}

/// FNV-1a, 32 bit (RFC 9923): the same on every machine and in every version, which std's hasher is not.
fn fnv1a(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_and_stay_within_their_jitter() {
        let replica: ReplicaId = "orders-1".parse().unwrap();
        assert_eq!(restart_delay(&replica, 0), Duration::ZERO);
        assert_eq!(restart_delay(&replica, 1), Duration::ZERO);
        for (failures, base_ms) in [(2, 250), (3, 500), (4, 1000), (8, 16_000), (9, 30_000), (1000, 30_000)] {
            let delay = restart_delay(&replica, failures).as_secs_f64() * 1000.0;
            let base = f64::from(base_ms);
            assert!((base * 0.8..=base * 1.2).contains(&delay), "{failures}: {delay} ms");
        }
    }

    #[test]
    fn replicas_that_died_together_do_not_come_back_together() {
        let delays: std::collections::BTreeSet<_> =
            (1..=20).map(|i| restart_delay(&format!("orders-{i}").parse().unwrap(), 6)).collect();
        assert!(delays.len() > 10, "{delays:?}");
    }
}
