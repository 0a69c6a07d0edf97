//! A definition as it is written: keys read, forms checked, names not yet looked up.

use std::ops::Range;

use serde_json::Value;

use super::fault::{Fault, code};
use super::quantity;
use super::section::{Section, Sink, Spanned, text};
use super::yaml::{Node, What};
use crate::expr::{Condition, Template};
use crate::plan::{On, Retry};

/// More steps than this are refused.
const MOST_STEPS: usize = 100;
const TIMEOUT: u64 = 3_000;
const ALERT_AFTER: u64 = 600_000;

/// A definition with places.
pub struct Draft {
    pub name: Spanned<String>,
    pub version: u32,
    pub input: Option<Spanned<String>>,
    pub deadline: Option<u64>,
    pub steps: Vec<DraftStep>,
    pub output: Option<Spanned<Template>>,
}

/// A step with places.
pub struct DraftStep {
    pub id: Spanned<String>,
    pub after: Option<Vec<Spanned<String>>>,
    pub when: Option<Spanned<Condition>>,
    pub action: Action,
    pub keep: Vec<(Spanned<String>, Spanned<Template>)>,
    pub undo: Option<Spanned<UndoWord>>,
    pub undo_with: With,
    pub pivot: bool,
    pub timeout: u64,
    pub retry: Retry,
    pub undo_retry: Retry,
}

/// What a step does.
pub enum Action {
    Call {
        operation: Spanned<(String, String)>,
        with: With,
    },
    Timer(u64),
    Event {
        name: String,
        timeout: u64,
    },
    Saga {
        name: Spanned<String>,
        input: Spanned<Template>,
    },
    /// It could not be read; that is a fault already.
    Unreadable,
}

/// What `undo:` says.
pub enum UndoWord {
    /// `none`
    Nothing,
    /// `service.operationId`
    Call(String, String),
}

type Named = Vec<(Spanned<String>, Spanned<Template>)>;

/// `with:` of a call.
#[derive(Default)]
pub struct With {
    pub span: Option<Range<usize>>,
    pub path: Named,
    pub query: Named,
    pub headers: Named,
    pub body: Option<Spanned<Template>>,
}

/// Reads the whole. A name that cannot be used is empty, so that the rest is looked at all the same.
pub fn read(node: &Node, sink: &Sink<'_>) -> Draft {
    let known = ["saga", "version", "input", "deadline", "defaults", "steps", "output"];
    let root = Section::new(node, "a definition", &known, sink);
    let name =
        root.need("saga").and_then(|n| text(n, "saga", sink)).filter(|name| is_name(name, "a saga", sink));
    let name = name.unwrap_or_else(|| Spanned::new(String::new(), root.span));
    let defaults = Defaults::read(root.get("defaults"), sink);
    let steps = match root.need("steps").map(|n| (&n.what, n)) {
        Some((What::List(items), _)) if !items.is_empty() && items.len() <= MOST_STEPS => {
            items.iter().filter_map(|item| step(item, &defaults, sink)).collect()
        }
        Some((_, node)) => {
            sink.error(code::BAD_VALUE, &node.span, format!("`steps` is a list of 1 to {MOST_STEPS} steps"));
            Vec::new()
        }
        None => Vec::new(),
    };
    Draft {
        name,
        version: version(&root, sink),
        input: root.text("input"),
        deadline: root.duration("deadline"),
        steps,
        output: root.template("output"),
    }
}

fn version(root: &Section<'_>, sink: &Sink<'_>) -> u32 {
    let Some(node) = root.get("version") else { return 1 };
    let version = match &node.what {
        What::Scalar(Value::Number(n)) => n.as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0),
        _ => None,
    };
    version.unwrap_or_else(|| {
        sink.error(code::BAD_VALUE, &node.span, "`version` is a whole number from 1");
        1
    })
}

fn step(node: &Node, defaults: &Defaults, sink: &Sink<'_>) -> Option<DraftStep> {
    let known = [
        "id",
        "do",
        "wait",
        "start",
        "with",
        "keep",
        "after",
        "when",
        "undo",
        "undo_with",
        "pivot",
        "timeout",
        "retry",
        "undo_retry",
    ];
    let section = Section::new(node, "a step", &known, sink);
    let id = section.need("id").and_then(|n| text(n, "id", sink)).filter(|id| is_step_id(id, sink));
    let after = section.get("after").map(|node| names(node, sink));
    let timeout = section.duration("timeout").unwrap_or(defaults.timeout);
    let undo = section.text("undo").and_then(|word| {
        let span = word.span.clone();
        if word.value == "none" {
            return Some(Spanned::new(UndoWord::Nothing, &span));
        }
        let (service, operation) = operation(&word, sink)?;
        Some(Spanned::new(UndoWord::Call(service, operation), &span))
    });
    if let (Some(span), None | Some(Spanned { value: UndoWord::Nothing, .. })) =
        (section.key_span("undo_with"), &undo)
        && section.get("undo").is_none_or(|_| undo.is_some())
    {
        sink.error(code::CONFLICT, span, "`undo_with` goes with an operation in `undo`");
    }
    Some(DraftStep {
        action: action(&section, sink),
        after,
        when: section.condition("when"),
        keep: section.named("keep"),
        undo,
        undo_with: with(section.get("undo_with"), "undo_with", sink),
        pivot: section.flag("pivot"),
        timeout,
        retry: retry(section.get("retry"), "retry", &defaults.retry, sink),
        undo_retry: retry(section.get("undo_retry"), "undo_retry", &defaults.undo_retry, sink),
        id: id?,
    })
}

fn action(section: &Section<'_>, sink: &Sink<'_>) -> Action {
    let kinds = ["do", "wait", "start"];
    let given: Vec<&str> = kinds.into_iter().filter(|key| section.get(key).is_some()).collect();
    let [kind] = given.as_slice() else {
        let message = if given.is_empty() {
            "a step has one of `do`, `wait` and `start`".to_owned()
        } else {
            format!("a step has one of `do`, `wait` and `start`, and this one has {}", given.join(" and "))
        };
        let code = if given.is_empty() { code::MISSING_KEY } else { code::CONFLICT };
        sink.error(code, section.span, message);
        return Action::Unreadable;
    };
    let read = match *kind {
        "do" => section.text("do").and_then(|word| {
            let with = with(section.get("with"), "with", sink);
            Some(Action::Call { operation: Spanned::new(operation(&word, sink)?, &word.span), with })
        }),
        "start" => section.text("start").map(|name| {
            let with =
                section.get("with").map(|node| Section::new(node, "`with` of `start`", &["input"], sink));
            let nothing = Spanned::new(Template::Map(Vec::new()), &name.span);
            Action::Saga { input: with.and_then(|w| w.template("input")).unwrap_or(nothing), name }
        }),
        _ => wait(section, sink),
    };
    if *kind == "wait"
        && let Some(span) = section.key_span("with")
    {
        sink.error(code::CONFLICT, span, "a step that waits calls nothing: it has no `with`");
    }
    read.unwrap_or(Action::Unreadable)
}

fn wait(section: &Section<'_>, sink: &Sink<'_>) -> Option<Action> {
    let node = section.get("wait")?;
    if matches!(node.what, What::Scalar(_)) {
        return section.duration("wait").map(Action::Timer);
    }
    let wait = Section::new(node, "`wait`", &["event", "timeout"], sink);
    let name = wait.need("event").and_then(|n| text(n, "event", sink));
    let timeout = wait.need("timeout").and_then(|_| wait.duration("timeout"));
    let name = name?;
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.value.is_empty() || name.value.len() > 100 || !name.value.chars().all(good) {
        sink.error(
            code::BAD_VALUE,
            &name.span,
            "an event's name is up to 100 letters, digits, `.`, `_` and `-`",
        );
        return None;
    }
    Some(Action::Event { name: name.value, timeout: timeout? })
}

fn with(node: Option<&Node>, what: &str, sink: &Sink<'_>) -> With {
    let Some(node) = node else { return With::default() };
    let what = format!("`{what}`");
    let section = Section::new(node, &what, &["path", "query", "headers", "body"], sink);
    With {
        span: Some(node.span.clone()),
        path: section.named("path"),
        query: section.named("query"),
        headers: section.named("headers"),
        body: section.template("body"),
    }
}

fn names(node: &Node, sink: &Sink<'_>) -> Vec<Spanned<String>> {
    match &node.what {
        What::List(items) => items.iter().filter_map(|item| text(item, "after", sink)).collect(),
        _ => text(node, "after", sink).into_iter().collect(),
    }
}

/// `service.operationId`
fn operation(word: &Spanned<String>, sink: &Sink<'_>) -> Option<(String, String)> {
    let parts = word.value.split_once('.').filter(|(service, id)| !service.is_empty() && !id.is_empty());
    if parts.is_none() {
        let message = format!("`{}` is not `service.operationId`", word.value);
        sink.push(
            Fault::error(code::BAD_VALUE, word.span.clone(), message)
                .hint("an operation looks like `inventory.reserve`"),
        );
    }
    parts.map(|(service, id)| (service.to_owned(), id.to_owned()))
}

fn is_name(name: &Spanned<String>, what: &str, sink: &Sink<'_>) -> bool {
    let good = model::ServiceName::new(name.value.as_str());
    if let Err(error) = &good {
        sink.error(code::BAD_VALUE, &name.span, format!("{what} cannot be named `{}`: {error}", name.value));
    }
    good.is_ok()
}

/// What a step may be named: it stands in references and keys.
fn is_step_id(id: &Spanned<String>, sink: &Sink<'_>) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let form = id.value.len() <= 63
        && id.value.starts_with(|c: char| c.is_ascii_lowercase())
        && id.value.chars().all(good);
    if !form || ["input", "body", "failure"].contains(&id.value.as_str()) {
        let message = format!("a step cannot be named `{}`", id.value);
        let hint = "lower-case letters, digits, `_` and `-`, beginning with a letter; `input`, `body` and `failure` are taken";
        sink.push(Fault::error(code::BAD_VALUE, id.span.clone(), message).hint(hint));
        return false;
    }
    true
}

/// `defaults:`
struct Defaults {
    timeout: u64,
    retry: Retry,
    undo_retry: Retry,
}

impl Defaults {
    fn read(node: Option<&Node>, sink: &Sink<'_>) -> Self {
        let on = [429, 502, 503, 504].map(On::Status);
        let on: Vec<On> = [On::Connect, On::Timeout].into_iter().chain(on).collect();
        let base = Retry { max: Some(5), first: 200, longest: 5_000, on, alert_after: ALERT_AFTER };
        let undo = Retry { max: None, first: 1_000, longest: 300_000, ..base.clone() };
        let Some(node) = node else { return Self { timeout: TIMEOUT, retry: base, undo_retry: undo } };
        let section = Section::new(node, "`defaults`", &["timeout", "retry", "undo_retry"], sink);
        Self {
            timeout: section.duration("timeout").unwrap_or(TIMEOUT),
            retry: retry(section.get("retry"), "retry", &base, sink),
            undo_retry: retry(section.get("undo_retry"), "undo_retry", &undo, sink),
        }
    }
}

fn retry(node: Option<&Node>, what: &str, base: &Retry, sink: &Sink<'_>) -> Retry {
    let mut retry = base.clone();
    let Some(node) = node else { return retry };
    let name = format!("`{what}`");
    let undo = what == "undo_retry";
    let known: &[&str] =
        if undo { &["max", "backoff", "alert_after"] } else { &["max", "backoff", "on", "alert_after"] };
    let section = Section::new(node, &name, known, sink);
    if let Some(node) = section.get("max") {
        match &node.what {
            What::Scalar(Value::String(word)) if word == "forever" => retry.max = None,
            What::Scalar(Value::Number(n)) if !undo => match n.as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(max) => retry.max = Some(max),
                None => sink.error(code::BAD_VALUE, &node.span, "`max` is a whole number, or `forever`"),
            },
            _ if undo => {
                let fault =
                    Fault::error(code::BAD_VALUE, node.span.clone(), "an undo is tried until it works");
                sink.push(fault.hint("leave `max` out, or write `max: forever`"));
            }
            _ => sink.error(code::BAD_VALUE, &node.span, "`max` is a whole number, or `forever`"),
        }
    }
    if let Some(text) = section.text("backoff") {
        match quantity::backoff(&text.value) {
            Some((first, longest)) => (retry.first, retry.longest) = (first, longest),
            None => sink.error(
                code::BAD_VALUE,
                &text.span,
                "`backoff` is the first and the longest pause, as in `200ms..5s`",
            ),
        }
    }
    if let Some(after) = section.duration("alert_after") {
        retry.alert_after = after;
    }
    if let Some(node) = section.get("on") {
        retry.on = on(node, sink);
    }
    retry
}

fn on(node: &Node, sink: &Sink<'_>) -> Vec<On> {
    let What::List(items) = &node.what else {
        sink.error(code::BAD_VALUE, &node.span, format!("`on` is a list, and this is {}", node.kind()));
        return Vec::new();
    };
    let mut on = Vec::new();
    for item in items {
        match &item.what {
            What::Scalar(Value::String(word)) if word == "connect" => on.push(On::Connect),
            What::Scalar(Value::String(word)) if word == "timeout" => on.push(On::Timeout),
            What::Scalar(Value::Number(n)) => match n.as_u64().and_then(|n| u16::try_from(n).ok()) {
                Some(status @ (408 | 425 | 429 | 500..=599)) => on.push(On::Status(status)),
                _ => {
                    let message = format!("{n} is not a status whose outcome is open");
                    let hint =
                        "408, 425, 429 and 500 to 599 are; any other 4xx is a refusal and starts the undo";
                    sink.push(Fault::error(code::BAD_VALUE, item.span.clone(), message).hint(hint));
                }
            },
            _ => sink.error(code::BAD_VALUE, &item.span, "`on` lists `connect`, `timeout` and statuses"),
        }
    }
    on
}
