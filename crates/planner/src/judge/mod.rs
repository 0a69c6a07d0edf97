//! Compares a new release with the old one at the same moment, for each of their callers and in all.
//!
//! What is compared: the share of requests that failed through the release's own fault, and how long answers took. A
//! difference has to be both larger than what matters and larger than what chance explains:
//!
//! - **Failures**: Fisher's exact test, which holds for any counts, however small; and against the share that the manifest
//!   demands, the exact binomial test, where the old release itself keeps to it.
//! - **Latency**: as many as half (a tenth, a hundredth) of the old release's answers took longer than its median (90th, 99th
//!   percentile). If the new one is at most [`SLOWER`] times as slow, no more of its answers take longer than that many times
//!   the percentile: the same test on these counts.
//! - **Looking again and again** finds a difference some day where there is none. So a look is taken only when a release has
//!   [`GROWTH`] times as many requests as at the last one, and all looks, steps, callers and tests together may be wrong with
//!   the chance [`ALARM`] (Bonferroni's inequality).
//!
//! Failures that a release only passed on from its callees do not count, for either release.
//!
//! A machine that stalls for a moment makes many answers late at once, which a test that takes them for independent of each
//! other does not allow for. So what only looks slower is [`Verdict::Slow`], and counts once later requests say the same.

mod latencies;
mod statistics;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use statistics::{binomial, fisher};

pub use latencies::Latencies;

/// The chance that a rollout of a release which is as good as the old one is rolled back because of a comparison.
pub const ALARM: f64 = 0.005;
/// A look is taken when there are this many times as many requests as at the last.
pub const GROWTH: f64 = 1.3;
/// How much slower a release may be.
pub const SLOWER: f64 = 1.5;
/// Slower by less than this is not slower: nobody sees it, and the scheduler alone explains it.
const UNSEEN: Duration = Duration::from_millis(2);
/// A share of failures that is less than so many times the other is not worse.
const WORSE: f64 = 1.2;
/// Looks that there can be from 10 requests to 10 million, at [`GROWTH`].
const LOOKS: f64 = 53.0;
/// Canary steps that the chance of error is divided by, whatever their number.
const STEPS: f64 = 4.0;
/// A look below this is not taken: one failure would be half of everything.
const FEWEST: u64 = 10;
/// No more than so many requests are demanded before a release counts as judged.
const MOST_NEEDED: u64 = 3_000;

/// What was seen of both releases since the step began.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// By caller; a name for the gateway, where that calls.
    pub callers: BTreeMap<String, Pair>,
}

/// What one caller saw.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pair {
    /// Of the old release.
    pub old: Sample,
    /// Of the new one.
    pub new: Sample,
}

/// What was seen of one release.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Attempts made.
    pub requests: u64,
    /// Those that failed.
    pub failures: u64,
    /// Failures that were caused by a callee of the release and only passed on.
    pub passed_on: u64,
    /// How long answers took; empty where that is not known.
    pub latencies: Latencies,
}

/// What the comparison says.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// There is enough to see, and nothing is wrong.
    Good {
        /// With the figures, for a person.
        text: String,
    },
    /// The new release is worse.
    Bad {
        /// In what, each a sentence with its figures.
        reasons: Vec<String>,
    },
    /// The new release looks slower, which later requests have to confirm.
    Slow {
        /// Where, each a sentence with its figures.
        reasons: Vec<String>,
    },
    /// Nothing is wrong so far, and there is too little to say that it is good.
    TooLittle {
        /// Requests of the new release.
        have: u64,
        /// How many are needed.
        need: u64,
    },
}

impl Sample {
    fn own_failures(&self) -> u64 {
        self.failures.saturating_sub(self.passed_on).min(self.requests)
    }

    fn rate(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.own_failures() as f64 / self.requests as f64 }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures += other.failures;
        self.passed_on += other.passed_on;
        self.latencies.add(&other.latencies);
    }
}

impl Evidence {
    /// Both releases over all callers.
    pub fn total(&self) -> Pair {
        self.callers.values().fold(Pair::default(), |mut total, pair| {
            total.old.add(&pair.old);
            total.new.add(&pair.new);
            total
        })
    }

    /// Whether there is so much more than at the last look, when the new release had `last` requests, that another is taken.
    pub fn is_due(&self, last: u64) -> bool {
        let requests: u64 = self.callers.values().map(|pair| pair.new.requests).sum();
        requests >= FEWEST && requests as f64 >= last as f64 * GROWTH
    }
}

/// How many requests without a failure are needed to say that at most `1 - success` of all fail: the rule of three, which
/// gives 95 % confidence (J. Hanley, A. Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249, 1983).
/// `success` is in percent.
pub fn needed(success: f64) -> u64 {
    let may_fail = (1.0 - success / 100.0).max(f64::EPSILON);
    // Cut to the range just before, so it fits.
    (3.0 / may_fail).ceil().clamp(FEWEST as f64, MOST_NEEDED as f64) as u64
}

/// Judges the new release; `success` is the percentage of its requests that must succeed. To be called when
/// [`Evidence::is_due`] says so, and at the end of a step.
pub fn judge(evidence: &Evidence, success: f64) -> Verdict {
    let total = evidence.total();
    let heard = evidence.callers.iter().filter(|(_, pair)| pair.new.requests > 0);
    let heard: Vec<_> = heard.collect();
    let look = ALARM / (STEPS * LOOKS);
    let mut found = worse("all callers", &total, success, look / 2.0);
    if let Some(reason) = found.failures.first_mut() {
        reason.extend(one_sided(&heard, &total.new));
    }
    if heard.len() > 1 {
        let each = look / 2.0 / heard.len() as f64;
        for (caller, pair) in &heard {
            // What everybody suffers from is said once.
            if found.is_nothing() || worse("", &total, success, each).is_nothing() {
                let own = worse(caller, pair, success, each);
                found.failures.extend(own.failures);
                found.slower.extend(own.slower);
            }
        }
    }
    if !found.failures.is_empty() {
        return Verdict::Bad { reasons: found.failures.into_iter().chain(found.slower).collect() };
    }
    if !found.slower.is_empty() {
        return Verdict::Slow { reasons: found.slower };
    }
    let (have, need) = (total.new.requests, needed(success));
    if have < need {
        return Verdict::TooLittle { have, need };
    }
    Verdict::Good { text: good(&total) }
}

/// Whose calls fail, where nearly all failures are one caller's and most requests are not.
fn one_sided(heard: &[(&String, &Pair)], total: &Sample) -> Option<String> {
    let (failures, requests) = (total.own_failures(), total.requests);
    let stands_out = |pair: &Pair| {
        let (own, asked) = (pair.new.own_failures(), pair.new.requests);
        own * 4 >= failures * 3 && asked * 2 <= requests && failures > 0
    };
    let (caller, pair) = heard.iter().find(|(_, pair)| stands_out(pair))?;
    Some(format!(" ({} of the {failures} failures are calls of {caller})", pair.new.own_failures()))
}

/// In what a release is worse, each a sentence.
#[derive(Debug, Default)]
struct Worse {
    failures: Vec<String>,
    slower: Vec<String>,
}

impl Worse {
    fn is_nothing(&self) -> bool {
        self.failures.is_empty() && self.slower.is_empty()
    }
}

/// In what the new release is worse for a caller, allowing for the chance of a false alarm.
fn worse(caller: &str, pair: &Pair, success: f64, chance: f64) -> Worse {
    if pair.new.requests < FEWEST {
        return Worse::default();
    }
    // Half for failures, of two kinds; half for latency, at three places.
    let failures =
        more_failures(caller, pair, chance / 4.0).or_else(|| too_many(caller, pair, success, chance / 4.0));
    let slower = [(50, 0.5), (90, 0.1), (99, 0.01)];
    let slower =
        slower.iter().find_map(|(name, beyond)| slower_at(caller, pair, *name, *beyond, chance / 6.0));
    Worse { failures: failures.into_iter().collect(), slower: slower.into_iter().collect() }
}

fn more_failures(caller: &str, pair: &Pair, chance: f64) -> Option<String> {
    let (old, new) = (&pair.old, &pair.new);
    if old.requests == 0 || new.rate() <= old.rate() * WORSE {
        return None;
    }
    let p = fisher(new.own_failures(), new.requests, old.own_failures(), old.requests);
    (p < chance).then(|| {
        format!(
            "{} of the requests of {caller} fail at the new release, {} at the old one",
            share(new),
            share(old)
        )
    })
}

fn too_many(caller: &str, pair: &Pair, success: f64, chance: f64) -> Option<String> {
    let may_fail = 1.0 - success / 100.0;
    // A bound that the old release does not keep either, as far as that can be said, says nothing about the new one.
    let old = &pair.old;
    if old.requests > 0 && (old.requests < needed(success) || old.rate() > may_fail) {
        return None;
    }
    let (new, rate) = (&pair.new, pair.new.rate());
    let p = binomial(new.own_failures(), new.requests, may_fail);
    (rate > may_fail && p < chance)
        .then(|| format!("{} of the requests of {caller} fail, and {success} % have to succeed", share(new)))
}

/// `percentile` of the old release is what `beyond` of its answers take longer than.
fn slower_at(caller: &str, pair: &Pair, percentile: u32, beyond: f64, chance: f64) -> Option<String> {
    let (old, new) = (&pair.old.latencies, &pair.new.latencies);
    let usual = old.beyond(beyond)?;
    let bound = usual.mul_f64(SLOWER).max(usual + UNSEEN);
    let slow = new.over(bound);
    if slow as f64 <= new.count() as f64 * beyond * WORSE {
        return None;
    }
    let p = fisher(slow, new.count(), old.over(usual), old.count());
    let now = new.beyond(beyond)?;
    (p < chance).then(|| {
        format!(
            "the p{percentile} of {caller} is {} at the new release ({} answers), {} at the old one ({})",
            text(now),
            new.count(),
            text(usual),
            old.count()
        )
    })
}

fn good(total: &Pair) -> String {
    let (old, new) = (&total.old, &total.new);
    let half = |sample: &Sample| sample.latencies.beyond(0.5).map(text);
    let latency = match (half(new), half(old)) {
        (Some(new), Some(old)) => format!(", p50 {new} and {old}"),
        _ => String::new(),
    };
    let passed_on = match new.passed_on {
        0 => String::new(),
        n => format!("; {n} more failures came from its callees and do not count against it"),
    };
    format!("{} of its requests failed, {} of the old release's{latency}{passed_on}", share(new), share(old))
}

fn share(sample: &Sample) -> String {
    format!("{:.2} % of {}", sample.rate() * 100.0, sample.requests)
}

fn text(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1000.0)
}
