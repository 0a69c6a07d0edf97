//! Shows rollouts on their way, and turns what they came to into an exit code.

use std::collections::BTreeMap;

use console::api::{AppStatus, RolloutStatus, ServiceStatus};
use console::client::{Client, ClientError};

use super::failure::{Exit, Failure};
use super::show::style::{self, Symbols};
use super::show::text;
use super::{output, place};

/// What was asked of rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To go on, until they have ended or wait for somebody.
    Deploy,
    /// To wait no longer. Until that is known, they still look as if they did.
    Promote,
    /// To be rolled back.
    Back,
}

/// Follows the rollouts with these numbers, by service, until what was asked is done.
pub async fn follow(client: &Client, begun: BTreeMap<String, u64>, asked: Asked) -> Result<(), Failure> {
    let from = place::now();
    let mut watch = client.watch().await?;
    let mut shown = BTreeMap::new();
    loop {
        let status = match watch.next().await {
            Ok(Some(status)) => status,
            Ok(None) | Err(ClientError::Gone) => {
                let help = "`isles up` goes on with what was under way, `isles ps` shows how far it is";
                return Err(Failure::failed("the app stopped meanwhile").help(help));
            }
            Err(error) => return Err(error.into()),
        };
        let rollouts: Vec<_> = begun.iter().filter_map(|(name, id)| find(&status, name, *id)).collect();
        for (service, rollout) in &rollouts {
            output::notes(&news(service, rollout, &mut shown))?;
        }
        if rollouts.len() == begun.len() && rollouts.iter().all(|(_, rollout)| is_over(rollout, asked)) {
            let lines: Vec<String> =
                rollouts.iter().flat_map(|(s, r)| conclusion(&s.name, r, place::now() - from)).collect();
            output::notes(&lines)?;
            return worst(rollouts.iter().map(|(_, rollout)| *rollout), asked);
        }
    }
}

fn is_over(rollout: &RolloutStatus, asked: Asked) -> bool {
    rollout.outcome.is_some() || (rollout.waits && asked == Asked::Deploy)
}

/// The service with this rollout, or the one that came after it.
fn find<'a>(status: &'a AppStatus, name: &str, id: u64) -> Option<(&'a ServiceStatus, &'a RolloutStatus)> {
    let service = status.service(name)?;
    let rollout = service.rollout.as_ref().filter(|rollout| rollout.id >= id)?;
    Some((service, rollout))
}

/// The notes that were not shown yet.
fn news(
    service: &ServiceStatus,
    rollout: &RolloutStatus,
    shown: &mut BTreeMap<String, (u64, usize)>,
) -> Vec<String> {
    // By time and place among those of the same time: notes have no numbers.
    let seen = shown.entry(service.name.clone()).or_default();
    let mut lines = Vec::new();
    for note in &rollout.notes {
        let same = rollout.notes.iter().filter(|n| n.at == note.at).position(|n| std::ptr::eq(n, note));
        let key = (note.at, same.unwrap_or(0) + 1);
        if key > *seen {
            *seen = key;
            let after = text::took(note.at.saturating_sub(rollout.began));
            lines.push(format!(
                "{}  {}  {}",
                style::dim(&format!("{after:>7}")),
                style::strong(&service.name),
                note.text
            ));
        }
    }
    lines
}

fn conclusion(name: &str, rollout: &RolloutStatus, took: u64) -> Vec<String> {
    let symbols = Symbols::of_locale();
    let release = rollout.to.as_deref().unwrap_or("the new release");
    let because = || rollout.reasons.join("; ");
    let took = text::took(took);
    let mut lines = match rollout.outcome.as_deref() {
        Some("done") => vec![format!("{} {name} runs {release}, after {took}", style::good(symbols.done))],
        Some("unchanged") => {
            vec![format!("{} {name} is unchanged: {}", style::good(symbols.done), last(rollout))]
        }
        Some("rolled_back") => {
            vec![format!("{} {name}: {release} was rolled back: {}", style::bad(symbols.failed), because())]
        }
        Some("refused") => {
            vec![format!("{} {name}: {release} was refused: {}", style::bad(symbols.failed), because())]
        }
        Some(_) => vec![format!("{} {name}: {}", style::bad(symbols.failed), because())],
        None => {
            let share = rollout.share.map_or("some".to_owned(), |s| format!("{} %", f64::from(s) / 100.0));
            let how =
                format!("`isles promote {name}` takes it into charge, `isles rollback {name}` takes it back");
            vec![format!(
                "{} {release} of {name} gets {share} of the requests: {how}",
                style::good(symbols.done)
            )]
        }
    };
    lines.extend(rollout.last_lines.iter().map(|line| format!("    {}", text::plain(line))));
    lines
}

fn last(rollout: &RolloutStatus) -> &str {
    let text = rollout.notes.last().map_or("it runs already", |note| note.text.as_str());
    text.strip_prefix("unchanged: ").unwrap_or(text)
}

fn worst<'a>(rollouts: impl Iterator<Item = &'a RolloutStatus>, asked: Asked) -> Result<(), Failure> {
    let exit = |rollout: &RolloutStatus| match rollout.outcome.as_deref() {
        None | Some("done" | "unchanged") => None,
        Some("rolled_back") if asked == Asked::Back && rollout.cause != "rollback" => None,
        Some("rolled_back") => Some((1, Exit::RolledBack)),
        Some("refused") => Some((2, Exit::Refused)),
        Some(_) => Some((3, Exit::Failed)),
    };
    // A failure says least about what runs now, so it counts most.
    let worst = rollouts.filter_map(exit).max_by_key(|(rank, _)| *rank);
    worst.map_or(Ok(()), |(_, exit)| Err(Failure::Silent(exit)))
}

#[cfg(test)]
mod tests {
    use console::api::{RolloutNote, ServiceState};

    use super::*;
    use crate::cli::testing::{plain, service};

    fn rollout(outcome: Option<&str>) -> RolloutStatus {
        let note = |at, text: &str| RolloutNote { at, text: text.to_owned() };
        RolloutStatus {
            id: 1,
            cause: "deploy".to_owned(),
            strategy: "canary".to_owned(),
            from: Some("aaaaaaaaaaaa".to_owned()),
            to: Some("bbbbbbbbbbbb".to_owned()),
            stage: if outcome.is_some() { "ended" } else { "canary" }.to_owned(),
            step: Some(1),
            share: Some(150),
            waits: outcome.is_none(),
            began: 1_000,
            since: 2_000,
            outcome: outcome.map(str::to_owned),
            reasons: if outcome == Some("rolled_back") { vec!["web-2 crashed".to_owned()] } else { vec![] },
            last_lines: vec![],
            notes: vec![
                note(1_000, "gate: release bbbbbbbbbbbb"),
                note(1_000, "before_start"),
                note(2_500, "start"),
            ],
        }
    }

    #[test]
    fn what_it_came_to_is_an_exit_code() {
        let code = |outcomes: &[Option<&str>], back| {
            let rollouts: Vec<_> = outcomes.iter().map(|o| rollout(*o)).collect();
            match worst(rollouts.iter(), back) {
                Ok(()) => 0,
                Err(Failure::Silent(exit)) => exit as i32,
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(code(&[Some("done"), Some("unchanged"), None], Asked::Deploy), 0);
        assert_eq!(code(&[Some("done"), Some("rolled_back")], Asked::Deploy), 4);
        assert_eq!(code(&[Some("rolled_back")], Asked::Back), 0);
        assert_eq!(code(&[Some("refused"), Some("rolled_back")], Asked::Deploy), 3);
        assert_eq!(code(&[Some("failed"), Some("refused")], Asked::Deploy), 1);
    }

    #[test]
    fn each_note_is_shown_once() {
        let (web, mut shown) = (service("web", ServiceState::Ready), BTreeMap::new());
        let mut of = rollout(None);
        let lines = plain(&news(&web, &of, &mut shown));
        assert_eq!(
            lines,
            "  0.0 s  web  gate: release bbbbbbbbbbbb\n  0.0 s  web  before_start\n  1.5 s  web  start\n"
        );
        assert!(news(&web, &of, &mut shown).is_empty());
        of.notes.push(RolloutNote { at: 2_500, text: "warm".to_owned() });
        assert_eq!(plain(&news(&web, &of, &mut shown)), "  1.5 s  web  warm\n");
    }

    #[test]
    fn the_end_says_why_and_what_to_do() {
        let said = |outcome| plain(&conclusion("web", &rollout(outcome), 3_000));
        assert!(said(Some("done")).contains("web runs bbbbbbbbbbbb, after 3.0 s"), "{}", said(Some("done")));
        assert!(said(Some("rolled_back")).contains("bbbbbbbbbbbb was rolled back: web-2 crashed"));
        assert!(said(None).contains("gets 1.5 % of the requests: `isles promote web`"), "{}", said(None));
    }
}
