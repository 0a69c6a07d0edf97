//! What the rollouts of a service, the latest first, say about its releases. Pure.

use std::collections::BTreeSet;

use model::ReleaseId;
use planner::rollout::{Cause, Outcome, Rollout};

use crate::release::Release;

/// Whether a release was left for another one, by itself or by hand, the last time it was in question.
pub fn was_rolled_back(rollouts: &[Rollout], release: &ReleaseId) -> bool {
    let said = rollouts.iter().find_map(|rollout| match rollout.outcome()? {
        Outcome::Done if rollout.to.as_ref() == Some(release) => Some(false),
        Outcome::RolledBack { .. } if rollout.to.as_ref() == Some(release) => Some(true),
        Outcome::Done if rollout.from.as_ref() == Some(release) && rollout.cause == Cause::Rollback => {
            Some(true)
        }
        _ => None,
    });
    said.unwrap_or(false)
}

/// The release to go back to from `current`: the latest that was in charge, was not left itself, and is kept.
pub fn previous(
    rollouts: &[Rollout],
    current: Option<&ReleaseId>,
    is_kept: impl Fn(&ReleaseId) -> bool,
) -> Option<ReleaseId> {
    in_charge(rollouts).find(|r| Some(*r) != current && !was_rolled_back(rollouts, r) && is_kept(r)).cloned()
}

/// The latest `count` releases: those that were in charge first, then what was made last.
pub fn latest(rollouts: &[Rollout], made: &[Release], count: usize) -> BTreeSet<ReleaseId> {
    let mut latest = BTreeSet::new();
    for id in in_charge(rollouts).chain(made.iter().map(|release| &release.id)) {
        if latest.len() == count {
            break;
        }
        latest.insert(id.clone());
    }
    latest
}

fn in_charge(rollouts: &[Rollout]) -> impl Iterator<Item = &ReleaseId> {
    let done = rollouts.iter().filter(|r| matches!(r.outcome(), Some(Outcome::Done)));
    // What was replaced was in charge too, also where the rollout that brought it is forgotten.
    done.flat_map(|r| r.to.iter().chain(&r.from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::service;
    use planner::rollout::Stage;

    fn id(name: &str) -> ReleaseId {
        ReleaseId(name.into())
    }

    /// From `(from, to, cause, outcome)`, oldest first.
    fn history(rows: &[(&str, &str, Cause, &str)]) -> Vec<Rollout> {
        let rollout = |(n, (from, to, cause, outcome)): (usize, &(&str, &str, Cause, &str))| {
            let deploy = service("web", &[]).deploy;
            let mut rollout = Rollout::new(n as u64, *cause, Some(id(from)), deploy, 0);
            let outcome = match *outcome {
                "done" => Outcome::Done,
                "back" => Outcome::RolledBack { reason: "bad".into() },
                _ => Outcome::Unchanged,
            };
            rollout.to = Some(id(to));
            rollout.stage = Stage::Ended { outcome };
            rollout
        };
        rows.iter().enumerate().map(rollout).rev().collect()
    }

    #[test]
    fn going_back_goes_on_from_where_it_came_to() {
        use Cause::{Deploy, Rollback};
        let mut rows = vec![("a", "b", Deploy, "done"), ("b", "c", Deploy, "done")];
        let back = |rows: &[_], current: &str| previous(&history(rows), Some(&id(current)), |_| true);
        assert_eq!(back(&rows, "c"), Some(id("b")));
        rows.push(("c", "b", Rollback, "done"));
        assert_eq!(back(&rows, "b"), Some(id("a")), "not to what was just left");
        assert!(was_rolled_back(&history(&rows), &id("c")) && !was_rolled_back(&history(&rows), &id("b")));
        rows.push(("b", "d", Deploy, "back"));
        assert_eq!(back(&rows, "b"), Some(id("a")), "nor to what never was in charge");
        assert!(was_rolled_back(&history(&rows), &id("d")));
        rows.push(("b", "c", Deploy, "done"));
        assert!(!was_rolled_back(&history(&rows), &id("c")), "it was tried again, and went well");
        let gone = previous(&history(&rows), Some(&id("c")), |r| *r != id("b"));
        assert_eq!(gone, Some(id("a")), "what is not kept cannot be run");
        assert_eq!(back(&[], "a"), None);
        assert_eq!(latest(&history(&rows), &[], 2), [id("b"), id("c")].into());
    }
}
