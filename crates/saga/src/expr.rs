//! The expression language of definitions: values with holes in them, and conditions.
//!
//! It is total: every expression that was read has a value for every scope. What is not there is `null`.
//!
//! - `$input.a.b`: what the saga was started with; `$step.name`: what a step kept; `$step.key`: the key that a step's
//!   calls carry; `$body.a`: the answer, in `keep` only; `$failure.a`: why it goes back, in `undo_with` only. A number as a segment is an index into an array.
//! - A text that is one reference has the reference's value, whatever its type. `${…}` inside a text is filled in as text.
//! - `when:` has comparisons (`==` `!=` `<` `<=` `>` `>=`) of references and literals, `not`, `and`, `or` (`and` binds tighter).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where the names of references are looked up.
pub trait Scope {
    /// The value that `root` stands for: `input`, `body`, or a step; `None` when there is no such thing.
    fn root(&self, root: &str, first: Option<&str>) -> Option<Found<'_>>;
}

/// What a root and perhaps its first segment are.
#[derive(Debug)]
pub enum Found<'a> {
    /// The root alone was looked at.
    Root(&'a Value),
    /// Root and first segment were looked at.
    First(&'a Value),
    /// Root and first segment together are a text, such as a step's key.
    Text(String),
}

/// `$root.a.b`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// `input`, `body`, `failure`, or a step's id.
    pub root: String,
    /// Names and indexes below it.
    pub path: Vec<String>,
}

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ExprError(pub String);

impl Reference {
    /// Reads `$root.a.b`.
    ///
    /// # Errors
    /// The text has another form.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let bad = || {
            ExprError(format!("`{text}` is not a reference; one looks like `$input.total` or `$step.key`"))
        };
        let mut segments = text.strip_prefix('$').ok_or_else(bad)?.split('.');
        let good = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        let root = segments.next().filter(|s| good(s)).ok_or_else(bad)?.to_owned();
        let path: Vec<String> =
            segments.map(|s| good(s).then(|| s.to_owned())).collect::<Option<_>>().ok_or_else(bad)?;
        Ok(Self { root, path })
    }

    /// The value in this scope; `null` for what is not there.
    pub fn value(&self, scope: &dyn Scope) -> Value {
        let (from, rest) = match scope.root(&self.root, self.path.first().map(String::as_str)) {
            None => return Value::Null,
            Some(Found::Root(value)) => (value, self.path.as_slice()),
            Some(Found::First(value)) => (value, self.path.get(1..).unwrap_or_default()),
            Some(Found::Text(text)) if self.path.len() <= 1 => return Value::String(text),
            Some(Found::Text(_)) => return Value::Null,
        };
        let mut at = from;
        for segment in rest {
            let next = match at {
                Value::Object(map) => map.get(segment),
                Value::Array(list) => segment.parse::<usize>().ok().and_then(|i| list.get(i)),
                _ => None,
            };
            let Some(next) = next else { return Value::Null };
            at = next;
        }
        at.clone()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.root)?;
        self.path.iter().try_for_each(|segment| write!(f, ".{segment}"))
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl TryFrom<String> for Reference {
    type Error = ExprError;
    fn try_from(text: String) -> Result<Self, ExprError> {
        Self::parse(&text)
    }
}

/// A value with holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// As it is.
    Literal(Value),
    /// The value of a reference.
    Ref(Reference),
    /// A text with `${…}` in it.
    Text(Vec<Part>),
    /// An array.
    List(Vec<Template>),
    /// An object, in the order of the definition.
    Map(Vec<(String, Template)>),
}

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// As it is.
    Text(String),
    /// Filled in.
    Ref(Reference),
}

impl Template {
    /// Reads a text: a reference, a text with `${…}`, or a plain text. `$$` is a dollar sign.
    ///
    /// # Errors
    /// A reference or a `${…}` that cannot be read.
    pub fn text(text: &str) -> Result<Self, ExprError> {
        if text.starts_with('$') && !text.starts_with("$$") && !text.starts_with("${") {
            return Reference::parse(text).map(Self::Ref);
        }
        let mut parts = parts(text)?;
        Ok(match parts.as_mut_slice() {
            [] => Self::Literal(Value::String(String::new())),
            [Part::Text(text)] => Self::Literal(Value::String(std::mem::take(text))),
            _ => Self::Text(parts),
        })
    }

    /// The value in this scope.
    pub fn value(&self, scope: &dyn Scope) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Ref(reference) => reference.value(scope),
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(piece) => text.push_str(piece),
                        Part::Ref(reference) => text.push_str(&as_text(&reference.value(scope))),
                    }
                }
                Value::String(text)
            }
            Self::List(list) => Value::Array(list.iter().map(|item| item.value(scope)).collect()),
            Self::Map(entries) => Value::Object(
                entries.iter().map(|(key, item)| (key.clone(), item.value(scope))).collect::<Map<_, _>>(),
            ),
        }
    }

    /// Calls `each` with every reference in it.
    pub fn references<'a>(&'a self, each: &mut dyn FnMut(&'a Reference)) {
        match self {
            Self::Literal(_) => {}
            Self::Ref(reference) => each(reference),
            Self::Text(parts) => parts.iter().for_each(|part| {
                if let Part::Ref(reference) = part {
                    each(reference);
                }
            }),
            Self::List(list) => list.iter().for_each(|item| item.references(each)),
            Self::Map(entries) => entries.iter().for_each(|(_, item)| item.references(each)),
        }
    }
}

fn parts(text: &str) -> Result<Vec<Part>, ExprError> {
    let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
    while let Some(at) = rest.find('$') {
        plain.push_str(rest.get(..at).unwrap_or_default());
        let after = rest.get(at + 1..).unwrap_or_default();
        if let Some(after) = after.strip_prefix('$') {
            plain.push('$');
            rest = after;
        } else if let Some(inner) = after.strip_prefix('{') {
            let Some((name, after)) = inner.split_once('}') else {
                return Err(ExprError(format!("`${{{inner}` has no closing `}}`")));
            };
            let name = name.trim();
            let reference = Reference::parse(&format!("${}", name.strip_prefix('$').unwrap_or(name)))?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Ref(reference));
            rest = after;
        } else {
            plain.push('$');
            rest = after;
        }
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(parts)
}

/// How a value stands inside a text or a path: a text without quotes, nothing for `null`.
pub fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What `when:` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// One of them holds.
    Any(Vec<Condition>),
    /// All of them hold.
    All(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// The value is neither `null`, `false`, 0, nor empty.
    True(Operand),
    /// A comparison.
    Compare(Operand, Op, Operand),
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// As it is.
    Literal(Value),
    /// The value of a reference.
    Ref(Reference),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Op {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ExprError> {
        let words = words(text)?;
        if words.is_empty() {
            return Err(ExprError("the condition is empty".to_owned()));
        }
        let any: Vec<Self> = words.split(|w| w == "or").map(all).collect::<Result<_, _>>()?;
        Ok(one_or(any, Self::Any))
    }

    /// Whether it holds in this scope.
    pub fn holds(&self, scope: &dyn Scope) -> bool {
        match self {
            Self::Any(list) => list.iter().any(|c| c.holds(scope)),
            Self::All(list) => list.iter().all(|c| c.holds(scope)),
            Self::Not(inner) => !inner.holds(scope),
            Self::True(operand) => match operand.value(scope) {
                Value::Null => false,
                Value::Bool(it) => it,
                Value::Number(n) => n.as_f64() != Some(0.0),
                Value::String(s) => !s.is_empty(),
                Value::Array(list) => !list.is_empty(),
                Value::Object(map) => !map.is_empty(),
            },
            Self::Compare(left, op, right) => compare(&left.value(scope), *op, &right.value(scope)),
        }
    }

    /// Calls `each` with every reference in it.
    pub fn references<'a>(&'a self, each: &mut dyn FnMut(&'a Reference)) {
        let mut operand = |operand: &'a Operand| {
            if let Operand::Ref(reference) = operand {
                each(reference);
            }
        };
        match self {
            Self::Any(list) | Self::All(list) => list.iter().for_each(|c| c.references(each)),
            Self::Not(inner) => inner.references(each),
            Self::True(one) => operand(one),
            Self::Compare(left, _, right) => {
                operand(left);
                operand(right);
            }
        }
    }
}

impl Operand {
    fn value(&self, scope: &dyn Scope) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Ref(reference) => reference.value(scope),
        }
    }
}

/// Numbers are compared as numbers, texts as texts; what has no order is never smaller nor larger.
fn compare(left: &Value, op: Op, right: &Value) -> bool {
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) if a == b => Some(std::cmp::Ordering::Equal),
        _ => None,
    };
    match op {
        Op::Eq => order.is_some_and(std::cmp::Ordering::is_eq),
        Op::Ne => !order.is_some_and(std::cmp::Ordering::is_eq),
        Op::Lt => order.is_some_and(std::cmp::Ordering::is_lt),
        Op::Le => order.is_some_and(std::cmp::Ordering::is_le),
        Op::Gt => order.is_some_and(std::cmp::Ordering::is_gt),
        Op::Ge => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn all(words: &[String]) -> Result<Condition, ExprError> {
    let all: Vec<Condition> = words.split(|w| w == "and").map(single).collect::<Result<_, _>>()?;
    Ok(one_or(all, Condition::All))
}

fn one_or(mut list: Vec<Condition>, many: fn(Vec<Condition>) -> Condition) -> Condition {
    match list.pop() {
        Some(one) if list.is_empty() => one,
        Some(last) => {
            list.push(last);
            many(list)
        }
        None => many(list),
    }
}

fn single(words: &[String]) -> Result<Condition, ExprError> {
    let nots = words.iter().take_while(|w| *w == "not").count();
    let condition = match words.get(nots..).unwrap_or_default() {
        [one] => Condition::True(operand(one)?),
        [left, op, right] => Condition::Compare(operand(left)?, operator(op)?, operand(right)?),
        other => {
            let text = other.join(" ");
            return Err(ExprError(format!(
                "`{text}` is not a comparison; one looks like `$input.total > 100`"
            )));
        }
    };
    Ok(if nots % 2 == 1 { Condition::Not(Box::new(condition)) } else { condition })
}

fn operator(word: &str) -> Result<Op, ExprError> {
    Ok(match word {
        "==" => Op::Eq,
        "!=" => Op::Ne,
        "<" => Op::Lt,
        "<=" => Op::Le,
        ">" => Op::Gt,
        ">=" => Op::Ge,
        _ => return Err(ExprError(format!("`{word}` is not one of == != < <= > >="))),
    })
}

fn operand(word: &str) -> Result<Operand, ExprError> {
    if word.starts_with('$') {
        return Reference::parse(word).map(Operand::Ref);
    }
    if let Some(inner) = word.strip_prefix('\'').and_then(|w| w.strip_suffix('\'')) {
        return Ok(Operand::Literal(Value::String(inner.to_owned())));
    }
    let known =
        ["true", "false", "null"].contains(&word) || word.starts_with(|c: char| "\"-0123456789".contains(c));
    match serde_json::from_str(word) {
        Ok(value) if known => Ok(Operand::Literal(value)),
        _ => Err(ExprError(format!(
            "`{word}` is neither a reference, a number, true, false, null, nor a text in quotes"
        ))),
    }
}

/// Words are parted by spaces; a text in quotes is one word, operators need no spaces around them.
fn words(text: &str) -> Result<Vec<String>, ExprError> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut chars = text.chars().peekable();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            words.push(std::mem::take(word));
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' => {
                end(&mut word);
                word.push(c);
                loop {
                    let Some(next) = chars.next() else {
                        return Err(ExprError(format!("a text that begins with {c} does not end")));
                    };
                    word.push(next);
                    if next == '\\' && c == '"' {
                        word.extend(chars.next());
                    } else if next == c {
                        break;
                    }
                }
                end(&mut word);
            }
            '=' | '!' | '<' | '>' => {
                end(&mut word);
                word.push(c);
                word.extend(chars.next_if_eq(&'='));
                end(&mut word);
            }
            c if c.is_whitespace() => end(&mut word),
            c => word.push(c),
        }
    }
    end(&mut word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Here(Value);

    impl Scope for Here {
        fn root(&self, root: &str, first: Option<&str>) -> Option<Found<'_>> {
            match (root, first) {
                ("input", _) => Some(Found::Root(&self.0)),
                ("stock", Some("key")) => Some(Found::Text("id.stock".to_owned())),
                _ => None,
            }
        }
    }

    fn here() -> Here {
        Here(json!({ "total": 120, "name": "Ada", "items": [{ "sku": "A" }], "empty": "", "no": false }))
    }

    #[test]
    fn texts_are_filled_in() {
        for (text, expected) in [
            ("$input.total", json!(120)),
            ("$input.items", json!([{ "sku": "A" }])),
            ("$input.items.0.sku", json!("A")),
            ("$input.items.7.sku", json!(null)),
            ("$input.total.of.it", json!(null)),
            ("$stock.key", json!("id.stock")),
            ("$stock.key.more", json!(null)),
            ("$nobody.x", json!(null)),
            ("plain", json!("plain")),
            ("", json!("")),
            ("for ${input.name}: ${input.total} ${$input.nothing}!", json!("for Ada: 120 !")),
            ("${input.total}", json!("120")),
            ("5 $ or $$5", json!("5 $ or $5")),
        ] {
            assert_eq!(Template::text(text).unwrap().value(&here()), expected, "{text}");
        }
        for bad in ["$", "$.a", "$input.", "$in put", "a ${b", "a ${}", "${b c}"] {
            assert!(Template::text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn conditions_hold_or_do_not() {
        for (text, expected) in [
            ("$input.total > 100", true),
            ("$input.total>100 and $input.total<=119", false),
            ("$input.total < 100 or $input.name == 'Ada'", true),
            ("$input.name == \"Ada\" and not $input.no", true),
            ("$input.items", true),
            ("$input.empty", false),
            ("not not $input.empty", false),
            ("$input.nothing == null", true),
            ("$input.nothing != null", false),
            ("$input.name > 5", false),
            ("$input.name != 5", true),
            ("1.5 < 2", true),
            ("$input.no == false", true),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(&here()), expected, "{text}");
        }
        for bad in ["", "and", "$a ==", "a == b", "$a = 1", "$a == 'x", "$a == 1 2", "not", "$a or"] {
            assert!(Condition::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[$a-c.{} 0-9'\"<>=!\\\\é]*|(and|or|not|\\$input\\.total| |==|<|1)*") {
            if let Ok(template) = Template::text(&text) {
                let _ = template.value(&here());
            }
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.holds(&here());
            }
        }

        #[test]
        fn what_is_printed_is_read_again(root in "[a-z_-]{1,5}", path in prop::collection::vec("[a-z0-9_-]{1,5}", 0..4)) {
            let reference = Reference { root, path };
            prop_assert_eq!(Reference::parse(&reference.to_string()).unwrap(), reference);
        }
    }
}
