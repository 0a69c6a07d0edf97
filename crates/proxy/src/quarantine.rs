//! In, out for a while, back on trial: the life of whatever failed too often. Pure.
//!
//! ```text
//!           put_out              the time is over, and somebody enters
//!   In ─────────────────> Out ─────────────────────────────────────────> OnTrial
//!    ^                     ^                                              │   │
//!    │                     └──────────────── one failure ─────────────────┘   │
//!    └────────────────────── as many successes as the terms ask for ──────────┘
//! ```

/// How long something stays out and how it gets back in. Times are in milliseconds.
#[derive(Debug)]
pub(crate) struct Terms {
    /// How long it is out the first time; the second time twice as long, and so on.
    pub first: u64,
    /// The longest time.
    pub longest: u64,
    /// Successes, one after the other, that bring it back.
    pub successes: u32,
    /// After so much time in, it counts from one again.
    pub forgiven: u64,
}

/// The state of one thing. Times are on the process's clock in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    phase: Phase,
    /// How often it was put out.
    times: u64,
    /// When it came back.
    back: u64,
    tickets: u64,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    In,
    Out {
        until: u64,
    },
    /// Good answers so far, and who is in there now: one at a time.
    OnTrial {
        good: u32,
        holder: Option<Ticket>,
    },
}

/// The right to try: one at a time has it, and hands it back with [`Quarantine::settle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Quarantine {
    pub(crate) fn is_in(&self) -> bool {
        self.phase == Phase::In
    }

    /// Puts it out, if it is in.
    pub(crate) fn put_out(&mut self, terms: &Terms, now: u64) {
        if self.is_in() {
            if now.saturating_sub(self.back) >= terms.forgiven {
                self.times = 0;
            }
            self.out(terms, now);
        }
    }

    /// When somebody may enter: 0 if it is in, never (`u64::MAX`) while somebody has not come out yet.
    pub(crate) fn opens(&self) -> u64 {
        match &self.phase {
            Phase::In => 0,
            Phase::Out { until } => (*until).max(1),
            Phase::OnTrial { holder: None, .. } => 1,
            Phase::OnTrial { holder: Some(_), .. } => u64::MAX,
        }
    }

    /// Enters, if it is time to and nobody else is in there.
    pub(crate) fn enter(&mut self, now: u64) -> Option<Ticket> {
        let good = match self.phase {
            Phase::Out { until } if until <= now => 0,
            Phase::OnTrial { good, holder: None } => good,
            _ => return None,
        };
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.phase = Phase::OnTrial { good, holder: Some(ticket) };
        Some(ticket)
    }

    /// Hands a ticket back and says how it went; `None` if that cannot be said.
    pub(crate) fn settle(&mut self, terms: &Terms, ticket: Ticket, went_well: Option<bool>, now: u64) {
        let Phase::OnTrial { good, holder } = &mut self.phase else { return };
        if *holder != Some(ticket) {
            return;
        }
        *holder = None;
        match went_well {
            None => {}
            Some(true) => {
                *good += 1;
                if *good >= terms.successes {
                    self.bring_back(now);
                }
            }
            Some(false) => self.out(terms, now),
        }
    }

    /// Ends the waiting: there is reason to believe that something changed.
    pub(crate) fn hasten(&mut self, now: u64) {
        if let Phase::Out { until } = &mut self.phase {
            *until = now.min(*until);
        }
    }

    /// Ends the quarantine.
    pub(crate) fn bring_back(&mut self, now: u64) {
        self.phase = Phase::In;
        self.back = now;
    }

    fn out(&mut self, terms: &Terms, now: u64) {
        self.times += 1;
        self.phase = Phase::Out { until: now + (terms.first * self.times).min(terms.longest) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TERMS: Terms = Terms { first: 30, longest: 75, successes: 3, forgiven: 300 };

    fn trial(quarantine: &mut Quarantine, now: u64, went_well: bool) {
        let ticket = quarantine.enter(now).unwrap();
        quarantine.settle(&TERMS, ticket, Some(went_well), now);
    }

    #[test]
    fn it_comes_back_after_its_time_and_three_successes_one_at_a_time() {
        let mut quarantine = Quarantine::default();
        assert!(quarantine.enter(0).is_none(), "nobody needs a ticket for what is in");
        quarantine.put_out(&TERMS, 100);
        assert_eq!((quarantine.opens(), quarantine.enter(129)), (130, None));
        let first = quarantine.enter(130).unwrap();
        assert_eq!((quarantine.opens(), quarantine.enter(131)), (u64::MAX, None));
        quarantine.settle(&TERMS, first, Some(true), 140);
        assert_eq!(quarantine.opens(), 1);
        trial(&mut quarantine, 141, true);
        assert!(!quarantine.is_in());
        trial(&mut quarantine, 142, true);
        assert!(quarantine.is_in());
    }

    #[test]
    fn each_time_is_longer_until_it_has_been_in_for_long() {
        let mut quarantine = Quarantine::default();
        quarantine.put_out(&TERMS, 1000);
        for (now, until) in [(1030, 1090), (1090, 1165), (1165, 1240)] {
            assert_eq!(quarantine.opens(), now);
            trial(&mut quarantine, now, false);
            assert_eq!(quarantine.opens(), until);
        }
        (0..3).for_each(|_| trial(&mut quarantine, 1240, true));
        quarantine.put_out(&TERMS, 1539);
        assert_eq!(quarantine.opens(), 1539 + 75, "remembered");
        quarantine.bring_back(1600);
        quarantine.put_out(&TERMS, 1900);
        assert_eq!(quarantine.opens(), 1900 + 30, "forgiven");
    }

    #[test]
    fn with_news_it_is_tried_at_once_but_not_trusted() {
        let mut quarantine = Quarantine::default();
        quarantine.hasten(5);
        assert!(quarantine.is_in());
        quarantine.put_out(&TERMS, 100);
        quarantine.hasten(110);
        assert_eq!(quarantine.opens(), 110);
        trial(&mut quarantine, 110, false);
        assert_eq!(quarantine.opens(), 110 + 60);
    }

    #[test]
    fn a_ticket_that_says_nothing_lets_the_next_one_in_and_an_old_one_counts_for_nothing() {
        let mut quarantine = Quarantine::default();
        quarantine.put_out(&TERMS, 0);
        let lost = quarantine.enter(30).unwrap();
        quarantine.settle(&TERMS, lost, None, 31);
        let holder = quarantine.enter(31).unwrap();
        quarantine.settle(&TERMS, lost, Some(false), 32);
        assert_eq!(quarantine.opens(), u64::MAX, "still tried by the holder");
        quarantine.settle(&TERMS, holder, Some(false), 33);
        quarantine.settle(&TERMS, holder, Some(true), 34);
        assert_eq!(quarantine.opens(), 33 + 60);
    }

    proptest! {
        #[test]
        fn at_most_one_holds_a_ticket_and_out_never_lasts_longer_than_the_longest(
            steps in proptest::collection::vec((0u64..100, 0u8..5), 1..100),
        ) {
            let (mut quarantine, mut now, mut held) = (Quarantine::default(), 0, None);
            for (pass, action) in steps {
                now += pass;
                match (action, held) {
                    (0, _) => quarantine.put_out(&TERMS, now),
                    (1, None) => held = quarantine.enter(now),
                    (1, Some(_)) => prop_assert!(quarantine.enter(now).is_none()),
                    (_, Some(ticket)) => {
                        let went_well = [None, Some(false), Some(true)][usize::from(action) - 2];
                        quarantine.settle(&TERMS, ticket, went_well, now);
                        held = None;
                    }
                    _ => {}
                }
                let opens = quarantine.opens();
                prop_assert_eq!(opens == 0, quarantine.is_in());
                prop_assert_eq!(opens == u64::MAX, held.is_some());
                prop_assert!(held.is_some() || opens <= now + TERMS.longest);
            }
        }
    }
}
