//! Waiting for a state.

use std::fmt::Debug;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

/// How long a state may take that is sure to come; machines under test are slow at times.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(10);

/// Looks until `look` gives something, and gives that; fails after a minute, saying what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain: {what}");
        // This is how the state is polled; no test depends on how long it is.
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks")]
        std::thread::sleep(LOOK);
    }
}

/// Looks until `see` gives what `right` accepts; a failure shows what was seen last.
#[track_caller]
pub fn wait_until<T: Debug>(what: &str, mut see: impl FnMut() -> T, right: impl Fn(&T) -> bool) -> T {
    let mut last = None;
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let seen = see();
        if right(&seen) {
            return seen;
        }
        last = Some(seen);
        #[expect(clippy::disallowed_methods, reason = "the pause between two looks")]
        std::thread::sleep(LOOK);
    }
    panic!("waited {PATIENCE:?} in vain: {what}; seen last: {last:#?}");
}

/// A loopback port that nobody listens on now, outside the range of outgoing connections, so that it stays free.
pub fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = 33_000 - 1 - (random() % 10_000) as u16;
        if port < 32_768 && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port on 127.0.0.1");
}

fn random() -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(std::process::id()) as u32
}
