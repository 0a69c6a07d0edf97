//! What somebody has to be told of: pure, with the times given.
//!
//! An error budget is burnt when too large a part of the calls of a service fails for its objective. The windows and factors are
//! those of Google's SRE workbook (<https://sre.google/workbook/alerting-on-slos/>, "multiwindow, multi-burn-rate alerts"): the long
//! window says that it matters, the short one that it still goes on.

use std::collections::BTreeMap;

/// How soon somebody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Within days.
    Ticket,
    /// Now.
    Page,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Page => "page",
        }
    }
}

/// How fast a budget may burn, and over which times that is looked at, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// What it means.
    pub severity: Severity,
    /// How many times faster than the objective allows.
    pub factor: f64,
    /// The window that says that it matters.
    pub long: u64,
    /// The window that says that it still goes on.
    pub short: u64,
}

const HOUR: u64 = 3_600;

/// The recommended ones, the most urgent first: 2 % of a month's budget within an hour, 5 % within six, 10 % within three days.
pub const BURNS: [Burn; 3] = [
    Burn { severity: Severity::Page, factor: 14.4, long: HOUR, short: HOUR / 12 },
    Burn { severity: Severity::Page, factor: 6.0, long: 6 * HOUR, short: HOUR / 2 },
    Burn { severity: Severity::Ticket, factor: 1.0, long: 72 * HOUR, short: 6 * HOUR },
];

/// With fewer failures in the long window a few calls that go wrong are no sign of anything: one of twenty is 5 %.
pub const FEWEST_FAILURES: u64 = 10;

/// Calls within a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Calls {
    /// All of them.
    pub requests: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Calls {
    /// The part that failed.
    pub fn error_share(self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.failed as f64 / self.requests as f64 }
    }
}

/// The most urgent burn of a service's budget, with the calls of its long window. `availability` is the objective, in percent;
/// `calls` gives those of the last so many seconds.
pub fn burning(availability: f64, calls: &dyn Fn(u64) -> Calls) -> Option<(Burn, Calls)> {
    let allowed = 1.0 - availability / 100.0;
    BURNS.into_iter().find_map(|burn| {
        let long = calls(burn.long);
        let over = |calls: Calls| calls.error_share() > burn.factor * allowed;
        (long.failed >= FEWEST_FAILURES && over(long) && over(calls(burn.short))).then_some((burn, long))
    })
}

/// Which rule says that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A service burns its error budget.
    ErrorBudget,
    /// A service ends again and again.
    CrashLoop,
    /// A saga does not get on.
    StuckSaga,
}

impl Rule {
    /// Its name in the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::ErrorBudget => "error_budget",
            Self::CrashLoop => "crash_loop",
            Self::StuckSaga => "stuck_saga",
        }
    }

    /// Its name where alerts are sent, as names of alerts are written there.
    pub fn alert_name(self) -> &'static str {
        match self {
            Self::ErrorBudget => "ErrorBudgetBurn",
            Self::CrashLoop => "CrashLoop",
            Self::StuckSaga => "StuckSaga",
        }
    }
}

/// Something that somebody has to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Which rule says so.
    pub rule: Rule,
    /// What it is about: a service's name, or a saga's id.
    pub subject: String,
    /// The service, if it is about one.
    pub service: Option<String>,
    /// How soon somebody has to look.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub text: String,
}

/// An alert that is on, or just over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What it says, as it was last.
    pub condition: Condition,
    /// Since when, in Unix milliseconds.
    pub since: u64,
    /// When it was over.
    pub until: Option<u64>,
}

/// How long a condition has to be gone before its alert is over, in milliseconds: what comes and goes is told once.
pub const HOLD: u64 = 15_000;

/// All alerts that are on.
#[derive(Debug, Default)]
pub struct Alerts(BTreeMap<(Rule, String), On>);

#[derive(Debug)]
struct On {
    alert: Alert,
    seen: u64,
}

impl Alerts {
    /// Takes the conditions of a moment (Unix milliseconds); gives the alerts that began, became more urgent, or are over.
    pub fn update(&mut self, conditions: Vec<Condition>, now: u64) -> Vec<Alert> {
        let mut told = Vec::new();
        for condition in conditions {
            let key = (condition.rule, condition.subject.clone());
            match self.0.get_mut(&key) {
                Some(on) => {
                    let more = condition.severity > on.alert.condition.severity;
                    on.seen = now;
                    on.alert.condition = condition;
                    told.extend(more.then(|| on.alert.clone()));
                }
                None => {
                    let alert = Alert { condition, since: now, until: None };
                    told.push(alert.clone());
                    self.0.insert(key, On { alert, seen: now });
                }
            }
        }
        self.0.retain(|_, on| {
            let over = on.seen + HOLD <= now;
            told.extend(over.then(|| Alert { until: Some(now), ..on.alert.clone() }));
            !over
        });
        told
    }

    /// Those that are on, the most urgent and then the oldest first.
    pub fn on(&self) -> Vec<Alert> {
        let mut on: Vec<Alert> = self.0.values().map(|on| on.alert.clone()).collect();
        on.sort_by_key(|alert| (std::cmp::Reverse(alert.condition.severity), alert.since));
        on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_burns_when_it_matters_and_still_goes_on() {
        // The parts that fail in the last 5 minutes, half hour, hour, 6 hours and 3 days, of ten calls a second; what that is.
        let page = |long| Some((Severity::Page, long));
        for (shares, expected) in [
            ([0.0, 0.0, 0.0, 0.0, 0.0], None),
            ([0.02, 0.02, 0.02, 0.02, 0.02], page(HOUR)),
            // 1.44 % is the limit.
            ([0.014, 0.014, 0.014, 0.014, 0.014], page(6 * HOUR)),
            ([0.0, 0.01, 0.02, 0.007, 0.0], page(6 * HOUR)),
            ([0.0, 0.0, 0.5, 0.1, 0.0], None),
            ([1.0, 0.2, 0.01, 0.0, 0.0], None),
            ([0.0, 0.0, 0.0, 0.002, 0.002], Some((Severity::Ticket, 72 * HOUR))),
            ([0.002, 0.002, 0.002, 0.0, 0.002], None),
        ] {
            let windows = [300, 1_800, HOUR, 6 * HOUR, 72 * HOUR];
            let calls = |seconds: u64| {
                let at = windows.iter().position(|w| *w == seconds).unwrap();
                let requests = seconds * 10;
                Calls { requests, failed: (requests as f64 * shares[at]) as u64 }
            };
            let found = burning(99.9, &calls).map(|(burn, _)| (burn.severity, burn.long));
            assert_eq!(found, expected, "{shares:?}");
        }
        let few = |failed| move |_: u64| Calls { requests: 20, failed };
        assert_eq!((burning(99.9, &few(9)), burning(99.9, &few(10)).is_some()), (None, true));
        let all_fail = burning(50.0, &few(20)).map(|(burn, _)| burn.severity);
        assert_eq!(all_fail, Some(Severity::Ticket), "twice what is allowed, and not 14 times");
        assert!(burning(99.9, &|_| Calls::default()).is_none());
    }

    fn crash(severity: Severity, text: &str) -> Condition {
        let (rule, subject, service) = (Rule::CrashLoop, "orders".to_owned(), Some("orders".to_owned()));
        Condition { rule, subject, service, severity, text: text.to_owned() }
    }

    #[test]
    fn what_comes_and_goes_is_told_once_and_its_end_too() {
        let mut alerts = Alerts::default();
        let one = |severity, text: &str| vec![crash(severity, text)];
        let told = |told: Vec<Alert>| {
            let one = |a: Alert| (a.condition.text, a.since, a.until);
            told.into_iter().map(one).collect::<Vec<_>>()
        };
        let (ticket, page) = (Severity::Ticket, Severity::Page);
        let first = told(alerts.update(one(ticket, "a"), 1_000));
        assert_eq!(first, [("a".to_owned(), 1_000, None)]);
        assert!(alerts.update(one(ticket, "b"), 2_000).is_empty(), "only its words are others");
        assert_eq!(told(alerts.on()), [("b".to_owned(), 1_000, None)]);
        assert!(alerts.update(vec![], 3_000).is_empty(), "gone for a moment");
        assert!(alerts.update(one(ticket, "c"), 4_000).is_empty(), "back again");
        assert_eq!(told(alerts.update(one(page, "d"), 5_000)), [("d".to_owned(), 1_000, None)]);
        assert!(alerts.update(vec![], 5_000 + HOLD - 1).is_empty());
        let over = told(alerts.update(vec![], 5_000 + HOLD));
        assert_eq!(over, [("d".to_owned(), 1_000, Some(5_000 + HOLD))]);
        assert!(alerts.on().is_empty() && alerts.update(vec![], 100_000).is_empty());
    }
}
