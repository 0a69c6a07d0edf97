//! What is declared in another way than it was, a line for each part.

use console::api::ChangeInfo;

use super::style;

/// The lines, in the order of the report.
pub fn render(changes: &[ChangeInfo]) -> Vec<String> {
    let widest = changes.iter().map(|change| title(change).chars().count()).max().unwrap_or(0);
    changes.iter().map(|change| line(change, widest)).collect()
}

fn line(change: &ChangeInfo, width: usize) -> String {
    let mark = match change.kind.as_str() {
        "added" => style::good("+"),
        "removed" => style::bad("-"),
        _ => style::busy("~"),
    };
    let title = title(change);
    let padding = " ".repeat(width.saturating_sub(title.chars().count()));
    let keys = if change.keys.is_empty() { String::new() } else { format!("{}: ", change.keys.join(", ")) };
    format!("{mark} {}{padding}  {keys}{}", style::strong(&title), effect(&change.effect))
}

fn title(change: &ChangeInfo) -> String {
    match (change.part.as_str(), &change.name) {
        ("app", Some(name)) => name.clone(),
        (part, Some(name)) => format!("{part} {name}"),
        (part, None) => part.to_owned(),
    }
}

fn effect(effect: &str) -> &str {
    match effect {
        "start" => "built and started",
        "stop" => "its replicas finish what they have, and end",
        "rollout" => "built, and rolled out if that makes a new release",
        "at_once" => "in force at once, no process is touched",
        "next_start" => "in force for each replica from its next start",
        "next_up" => "in force when the app is started anew",
        "refused" => "not possible while the app runs",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::testing::plain;

    #[test]
    fn each_part_has_a_line_with_what_follows() {
        let change = |part: &str, name: Option<&str>, kind: &str, keys: &[&str], effect: &str| ChangeInfo {
            part: part.to_owned(),
            name: name.map(str::to_owned),
            kind: kind.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            effect: effect.to_owned(),
        };
        let changes = [
            change("gateway", None, "changed", &["routes"], "at_once"),
            change("service", Some("reviews"), "added", &[], "start"),
            change("app", Some("sagas"), "changed", &[], "next_up"),
        ];
        insta::assert_snapshot!(plain(&render(&changes)), @r"
        ~ gateway          routes: in force at once, no process is touched
        + service reviews  built and started
        ~ sagas            in force when the app is started anew
        ");
    }
}
