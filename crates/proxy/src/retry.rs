//! Whether a request is sent once more, and when.
//!
//! Two limits hold at the same time: the number of attempts that the service's manifest allows for one request, and a
//! budget that all requests of an edge share, so that a service in trouble does not get a multiple of its load.

use std::sync::Mutex;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Response, StatusCode, header};

use crate::window::{SECONDS, Window};

/// Repeated attempts per hundred requests of the window.
const PERCENT: u64 = 20;
/// Repeated attempts that are always allowed, per second: with few requests a share of them would be none.
const FLOOR: u64 = 10;
/// The longest pause before the first repetition, where the answer asks for none; it doubles with each further one.
const BACKOFF: Duration = Duration::from_millis(25);
/// The longest pause that an answer may ask for and get; after longer ones the answer is passed on instead.
const PATIENCE: Duration = Duration::from_secs(2);

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// The status of gRPC for a service that cannot serve now.
const UNAVAILABLE: &str = "14";

/// The repetitions of one edge: at most a fifth of its requests over ten seconds, or ten per second if that is more.
#[derive(Debug)]
pub(crate) struct Budget {
    spent: Window,
    /// Held to look and spend in one step. Only repetitions get here, so requests never wait for it.
    turn: Mutex<()>,
}

impl Budget {
    pub(crate) fn new(workers: usize) -> Self {
        Self { spent: Window::new(workers), turn: Mutex::new(()) }
    }

    /// Spends one repetition if there is one left. `requests` are those of the edge, first attempts only.
    pub(crate) fn spend(&self, requests: &Window, worker: usize, now: u64) -> bool {
        // Nothing is guarded but the order of two steps, which a panic cannot spoil.
        let _turn = self.turn.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let allowed = (requests.sum(now) * PERCENT / 100).max(FLOOR * SECONDS);
        let left = self.spent.sum(now) < allowed;
        if left {
            self.spent.add(worker, now);
        }
        left
    }
}

/// How an attempt ended that could be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing of it was sent.
    Unsent,
    /// It was sent, and the connection ended before an answer began.
    Unanswered,
    /// An answer says that this replica cannot serve it now.
    Unavailable(Asked),
}

/// The pause that an answer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Nothing,
    Pause(Duration),
    /// A date, or something unknown: more than a request waits for.
    Long,
}

/// One request's repetitions.
#[derive(Debug)]
pub(crate) struct Retries {
    left: u32,
    made: u32,
    /// This request is itself a repetition made by the hop before, which goes on if this one fails.
    repeated_above: bool,
}

impl Retries {
    pub(crate) fn new(allowed: u32, repeated_above: bool) -> Self {
        Self { left: allowed, made: 0, repeated_above }
    }

    /// Whether there may be a further attempt.
    pub(crate) fn any(&self) -> bool {
        self.left > 0
    }

    /// The number of the attempt that comes next or is under way, from 1 on.
    pub(crate) fn attempt(&self) -> u32 {
        self.made + 1
    }

    /// The pause before the next attempt; none if there is to be no other. `repeatable` says whether sending the
    /// request twice is safe and possible, `time` is what is left of its time, `spend` takes from the budget.
    pub(crate) fn next(
        &mut self,
        ending: Ending,
        repeatable: bool,
        time: Duration,
        spend: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        let pause = match ending {
            Ending::Unsent => Duration::ZERO,
            Ending::Unanswered if repeatable => Duration::ZERO,
            Ending::Unavailable(asked) if repeatable && !self.repeated_above => self.pause(asked)?,
            Ending::Unanswered | Ending::Unavailable(_) => return None,
        };
        if self.left == 0 || pause >= time || !spend() {
            return None;
        }
        self.left -= 1;
        self.made += 1;
        Some(pause)
    }

    fn pause(&self, asked: Asked) -> Option<Duration> {
        match asked {
            // All who were refused at one moment must not come back at one moment.
            Asked::Nothing => Some((BACKOFF * (1 << self.made.min(6))).mul_f64(fastrand::f64())),
            Asked::Pause(pause) if pause <= PATIENCE => Some(pause.mul_f64(1.0 + fastrand::f64() / 4.0)),
            Asked::Pause(_) | Asked::Long => None,
        }
    }
}

/// Whether an answer says that the replica cannot serve now: a status of gateways, or `UNAVAILABLE` of gRPC in place
/// of any message. Then the pause that it asks for.
pub(crate) fn unavailable<B>(response: &Response<B>) -> Option<Asked> {
    let status = response.status();
    let gateway = [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT]
        .contains(&status);
    // In an answer with messages the status comes after them, in trailers.
    let grpc = || response.headers().get(GRPC_STATUS).is_some_and(|status| status == UNAVAILABLE);
    (gateway || grpc()).then(|| asked(response.headers()))
}

/// The status of gRPC in the head of an answer without messages, or in trailers.
pub(crate) fn grpc_status(fields: &HeaderMap) -> Option<u8> {
    fields.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()
}

fn asked(headers: &HeaderMap) -> Asked {
    let Some(value) = headers.get(header::RETRY_AFTER) else { return Asked::Nothing };
    match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
        Some(0) => Asked::Nothing,
        Some(seconds) => Asked::Pause(Duration::from_secs(seconds)),
        None => Asked::Long,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn an_edge_with_few_requests_repeats_ten_a_second_one_with_many_a_fifth() {
        for (requests, allowed) in [(0, 100), (100, 100), (500, 100), (505, 101), (1000, 200)] {
            let (seen, budget) = (Window::new(2), Budget::new(2));
            (0..requests).for_each(|n| seen.add(n, 20_000));
            let spent = (0..2000).filter(|n| budget.spend(&seen, *n, 20_500)).count();
            assert_eq!(spent, allowed, "of {requests}");
            assert!(!budget.spend(&seen, 0, 29_999));
            assert!(budget.spend(&seen, 0, 30_500), "the window has moved on");
        }
    }

    proptest! {
        #[test]
        fn no_window_has_more_repetitions_than_its_budget(
            steps in proptest::collection::vec((0u64..1500, 0usize..80, 0usize..40), 1..40),
        ) {
            let (requests, budget) = (Window::new(2), Budget::new(2));
            let (mut now, mut asked, mut spent) = (0, Vec::new(), Vec::new());
            for (pass, arrive, fail) in steps {
                now += pass;
                for n in 0..arrive {
                    requests.add(n, now);
                    asked.push(now);
                }
                let recent = |times: &[u64]| times.iter().filter(|t| **t / 1000 + 10 > now / 1000).count();
                for n in 0..fail {
                    let allowed = (recent(&asked) / 5).max(100);
                    let is_left = recent(&spent) < allowed;
                    prop_assert_eq!(budget.spend(&requests, n, now), is_left);
                    spent.extend(is_left.then_some(now));
                }
            }
        }
    }

    #[test]
    fn what_is_repeated() {
        use Ending::{Unanswered, Unavailable, Unsent};
        let busy = Unavailable(Asked::Nothing);
        // Ending, safe to repeat, allowed, repeated by the hop before: is it repeated?
        for (ending, repeatable, allowed, above, expected) in [
            (Unsent, true, 1, false, true),
            (Unsent, false, 1, true, true),
            (Unsent, true, 0, false, false),
            (Unanswered, true, 1, true, true),
            (Unanswered, false, 1, false, false),
            (busy, true, 1, false, true),
            (busy, true, 1, true, false),
            (busy, false, 1, false, false),
            (busy, true, 0, false, false),
            (Unavailable(Asked::Pause(Duration::from_secs(1))), true, 1, false, true),
            (Unavailable(Asked::Pause(Duration::from_secs(3))), true, 1, false, false),
            (Unavailable(Asked::Long), true, 1, false, false),
        ] {
            let next = Retries::new(allowed, above).next(ending, repeatable, LONG, || true);
            assert_eq!(next.is_some(), expected, "{ending:?} {repeatable} {allowed} {above}");
        }
    }

    #[test]
    fn attempts_are_counted_and_a_budget_that_is_spent_ends_them() {
        let mut retries = Retries::new(2, false);
        assert_eq!((retries.attempt(), retries.any()), (1, true));
        assert!(retries.next(Ending::Unsent, true, LONG, || false).is_none());
        assert_eq!(retries.attempt(), 1);
        assert!(retries.next(Ending::Unsent, true, LONG, || true).is_some());
        assert!(retries.next(Ending::Unsent, true, LONG, || true).is_some());
        assert_eq!((retries.attempt(), retries.any()), (3, false));
        let never = || -> bool { panic!("nothing is spent for an attempt that is not made") };
        assert!(retries.next(Ending::Unsent, true, LONG, never).is_none());
    }

    #[test]
    fn a_pause_is_never_shorter_than_asked_nor_longer_than_the_time_left() {
        for _ in 0..200 {
            let pause =
                |asked, time| Retries::new(1, false).next(Ending::Unavailable(asked), true, time, || true);
            let second = Duration::from_secs(1);
            let asked = pause(Asked::Pause(second), LONG).unwrap();
            assert!((second..=second * 5 / 4).contains(&asked), "{asked:?}");
            assert!(pause(Asked::Nothing, LONG).unwrap() <= BACKOFF);
            assert!(pause(Asked::Pause(second), second).is_none());
            assert!(pause(Asked::Nothing, Duration::ZERO).is_none());
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let answer = |status: u16, fields: &[(&'static str, &'static str)]| {
            let mut response = Response::builder().status(status).body(()).unwrap();
            for (name, value) in fields {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            unavailable(&response)
        };
        let after = |seconds| Some(Asked::Pause(Duration::from_secs(seconds)));
        for (status, fields, expected) in [
            (200, &[][..], None),
            (500, &[][..], None),
            (501, &[("retry-after", "1")][..], None),
            (502, &[][..], Some(Asked::Nothing)),
            (503, &[("retry-after", "0")][..], Some(Asked::Nothing)),
            (503, &[("retry-after", "7")][..], after(7)),
            (504, &[("retry-after", "Wed, 21 Oct 2037 07:28:00 GMT")][..], Some(Asked::Long)),
            (503, &[("retry-after", "-1")][..], Some(Asked::Long)),
            (200, &[("grpc-status", "14")][..], Some(Asked::Nothing)),
            (200, &[("grpc-status", "8")][..], None),
        ] {
            assert_eq!(answer(status, fields), expected, "{status} {fields:?}");
        }
    }
}
