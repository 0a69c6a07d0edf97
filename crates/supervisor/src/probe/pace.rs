//! When the next probe is due.

use std::time::Duration;

use tokio::time::Instant;

use super::Failure;

/// Between the first probes of a start.
const FIRST: Duration = Duration::from_millis(25);
/// A refused connection costs nothing, so a start is noticed within this fraction of the time that it took.
const REFUSED_FRACTION: u32 = 20;
/// Any interval is taken into these bounds, so that none makes a busy loop or an overflow.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// How much regular probes vary, so that replicas that started together are not asked together for ever.
const JITTER: f64 = 0.1;

/// The pace of one process' probes: eager until it is healthy for the first time, then regular.
pub(super) struct Pace {
    interval: Duration,
    started: Instant,
    eager: Option<Duration>,
}

impl Pace {
    pub fn new(interval: Duration, was_ready: bool) -> Self {
        let interval = interval.clamp(SHORTEST, LONGEST);
        let eager = (!was_ready).then_some(FIRST.min(interval));
        Self { interval, started: Instant::now(), eager }
    }

    /// How long to wait after a probe with this result.
    pub fn after(&mut self, result: &Result<(), Failure>) -> Duration {
        if result.is_ok() {
            self.eager = None;
        }
        let first = FIRST.min(self.interval);
        match (&mut self.eager, result) {
            (None, _) => self.interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64()),
            (Some(_), Err(Failure::Refused)) => {
                (self.started.elapsed() / REFUSED_FRACTION).clamp(first, self.interval)
            }
            (Some(pause), _) => {
                let now = *pause;
                *pause = (now * 3 / 2).min(self.interval);
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_start_is_noticed_within_a_twentieth_of_its_time() {
        let mut pace = Pace::new(INTERVAL, false);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            let pause = pace.after(&Err(Failure::Refused));
            assert!(pause >= FIRST && pause <= INTERVAL);
            assert!(pause <= FIRST.max(begun.elapsed() / 20), "{pause:?} after {:?}", begun.elapsed());
            tokio::time::advance(pause).await;
        }
        assert_eq!(pace.after(&Err(Failure::Refused)), INTERVAL);
    }

    #[test]
    fn a_service_that_answers_badly_is_asked_less_and_less() {
        let mut pace = Pace::new(INTERVAL, false);
        let bad = Err(Failure::Other("503".into()));
        let pauses: Vec<u128> = (0..12).map(|_| pace.after(&bad).as_millis()).collect();
        assert_eq!(pauses, [25, 37, 56, 84, 126, 189, 284, 427, 640, 961, 1000, 1000]);
    }

    #[test]
    fn a_healthy_service_is_asked_regularly_even_when_it_fails_later() {
        let mut pace = Pace::new(INTERVAL, false);
        let mut seen = std::collections::HashSet::new();
        for result in [Ok(()), Err(Failure::Refused), Ok(())].iter().cycle().take(60) {
            let pause = pace.after(result);
            assert!(pause >= INTERVAL.mul_f64(0.9) && pause <= INTERVAL.mul_f64(1.1), "{pause:?}");
            seen.insert(pause);
        }
        assert!(seen.len() > 30, "no jitter");
        assert!(Pace::new(INTERVAL, true).after(&Err(Failure::Refused)) >= INTERVAL.mul_f64(0.9));
    }

    #[test]
    fn an_interval_below_the_first_pause_is_kept() {
        let short = Duration::from_millis(10);
        let mut pace = Pace::new(short, false);
        assert_eq!(pace.after(&Err(Failure::Refused)), short);
        assert_eq!(pace.after(&Err(Failure::Other(String::new()))), short);
        assert_eq!(Pace::new(Duration::ZERO, false).after(&Err(Failure::Refused)), SHORTEST);
        assert!(Pace::new(Duration::MAX, true).after(&Ok(())) <= 2 * LONGEST);
    }
}
