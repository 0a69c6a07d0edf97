//! How failed sign-ins slow further ones down: some are free, then each failure blocks for twice as long, up to a limit
//! that lets the rightful owner back in soon enough.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

const FIRST_BLOCK_MS: i64 = 1000;
const LONGEST_BLOCK_MS: i64 = 5 * 60 * 1000;
/// Failures are forgotten this long after the last one.
pub const FORGET_MS: i64 = 60 * 60 * 1000;

/// How many failures have no consequence yet.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For one account.
    pub account: i64,
    /// For one network address.
    pub address: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { account: 5, address: 50 }
    }
}

/// Whom a failure counts against; in the database only as a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The key of its counter.
    pub digest: String,
    /// How many failures it has free.
    pub free: i64,
}

impl Subject {
    /// An account, whether it exists or not.
    pub fn account(email: &str, limits: Limits) -> Self {
        Self { digest: digest("account", email), free: limits.account }
    }

    /// The network that the client is in: the first address of `x-forwarded-for`, which the gateway sets.
    /// Of an IPv6 address the network's half, since a client has all of the other half.
    pub fn address(forwarded_for: &str, limits: Limits) -> Option<Self> {
        let address: IpAddr = forwarded_for.split(',').next()?.trim().parse().ok()?;
        let network = match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{:?}", &address.segments()[..4]),
        };
        Some(Self { digest: digest("address", &network), free: limits.address })
    }
}

/// How long the subject is blocked after this many failures, in milliseconds.
pub fn block_ms(failures: i64, free: i64) -> i64 {
    let beyond = failures - free;
    if beyond < 0 {
        return 0;
    }
    let doublings = u32::try_from(beyond.min(20)).unwrap_or(0);
    FIRST_BLOCK_MS.saturating_mul(2_i64.pow(doublings)).min(LONGEST_BLOCK_MS)
}

fn digest(kind: &str, text: &str) -> String {
    let digest = Sha256::digest(format!("{kind}:{text}").as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_and_end() {
        assert_eq!([4, 5, 6, 8].map(|failures| block_ms(failures, 5)), [0, 1000, 2000, 8000]);
        assert_eq!(block_ms(i64::MAX, 5), LONGEST_BLOCK_MS);
    }

    #[test]
    fn one_network_is_one_subject() {
        let subject = |text| Subject::address(text, Limits::default()).map(|subject| subject.digest);
        assert_eq!(subject("10.0.0.1, 10.9.9.9"), subject("10.0.0.1"));
        assert_eq!(subject("::ffff:10.0.0.1"), subject("10.0.0.1"));
        assert_eq!(subject("2001:db8::1"), subject("2001:db8::ffff"));
        assert_ne!(subject("2001:db8::1"), subject("2001:db8:0:1::1"));
        assert_eq!(subject("unknown"), None);
    }
}
