//! A line of output as people read it: JSON and logfmt as level, message and fields, everything else as it is.

/// What a line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// In lower case; empty where it has none.
    pub level: String,
    /// What people read first.
    pub message: String,
    /// The other fields, in their order.
    pub fields: Vec<(String, String)>,
}

/// Fields that name the trace that a line belongs to.
pub const TRACE: [&str; 3] = ["trace_id", "traceId", "trace"];

const MESSAGE: [&str; 3] = ["message", "msg", "body"];
const LEVEL: [&str; 3] = ["level", "severity", "lvl"];
/// What is shown in another way: the time of a line is when it was captured, and its service is named in front.
const ELSEWHERE: [&str; 5] = ["timestamp", "time", "ts", "service", "target"];

/// Reads a line. One that is neither JSON nor logfmt is its own message; a trace that it names is a field of it.
pub fn read(line: &str) -> Line {
    let known = json(line).or_else(|| logfmt(line)).and_then(structured);
    known.unwrap_or_else(|| {
        let named = line.split_whitespace().filter_map(|word| word.split_once('='));
        let trace = named.filter(|(key, value)| TRACE.contains(key) && is_trace(value));
        Line {
            level: String::new(),
            message: line.to_owned(),
            fields: trace.take(1).map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        }
    })
}

/// Whether a text is the id of a trace.
pub fn is_trace(text: &str) -> bool {
    text.parse::<model::TraceId>().is_ok()
}

/// Only what has a message is a line of a log, and not some other data.
fn structured(pairs: Vec<(String, String)>) -> Option<Line> {
    let first = |names: &[&str]| {
        names.iter().find_map(|name| Some(pairs.iter().find(|(key, _)| key == name)?.1.clone()))
    };
    let message = first(&MESSAGE)?;
    let level = first(&LEVEL).unwrap_or_default().to_lowercase();
    let shown = |key: &str| [&MESSAGE[..], &LEVEL, &ELSEWHERE].iter().any(|names| names.contains(&key));
    let fields = pairs.into_iter().filter(|(key, _)| !shown(key)).collect();
    Some(Line { level, message, fields })
}

fn json(line: &str) -> Option<Vec<(String, String)>> {
    let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line).ok()?;
    let text = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Some(object.into_iter().map(|(key, value)| (key, text(value))).collect())
}

/// `key=value key="a value"`, and nothing else (<https://brandur.org/logfmt>).
fn logfmt(line: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=')?;
        if key.is_empty() || key.contains(|c: char| c.is_whitespace() || c == '"') {
            return None;
        }
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find(char::is_whitespace).unwrap_or(after.len());
                (after[..end].to_owned(), &after[end..])
            }
        };
        pairs.push((key.to_owned(), value));
        rest = left.trim_start();
    }
    Some(pairs)
}

/// The text up to the closing quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other => out.push(other),
            },
            other => out.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_logfmt_are_taken_apart_and_all_else_is_left() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for (line, level, message, fields) in [
            (r#"{"level":"WARN","msg":"late","n":3,"ok":true,"ts":"t"}"#, "warn", "late", "n=3 ok=true"),
            (
                r#"level=error msg="it \"broke\" here" order=o-1 time=t n=3"#,
                "error",
                r#"it "broke" here"#,
                "order=o-1 n=3",
            ),
            (r#"msg=short lvl=Info empty="#, "info", "short", "empty="),
            (r#"{"a":1}"#, "", r#"{"a":1}"#, ""),
            ("a=1 b=2", "", "a=1 b=2", ""),
            (r#"msg="never closed"#, "", r#"msg="never closed"#, ""),
            ("GET /x?msg=1 took 3 ms", "", "GET /x?msg=1 took 3 ms", ""),
            ("=x", "", "=x", ""),
            ("", "", "", ""),
        ] {
            let read = read(line);
            let shown: Vec<String> =
                read.fields.iter().map(|(key, value)| format!("{key}={value}")).collect();
            assert_eq!((read.level.as_str(), read.message.as_str()), (level, message), "{line}");
            assert_eq!(shown.join(" "), fields, "{line}");
        }
        let plain = format!("WARN half way there trace_id={id} span_id=1");
        let read = read(&plain);
        assert_eq!((read.message, read.fields), (plain, vec![("trace_id".to_owned(), id.to_owned())]));
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_too_odd(line in r#"([a-z]{0,3}[= "\\{}:]{0,2}[é\t]?){0,12}"#) {
            let read = read(&line);
            proptest::prop_assert!(read.message.len() <= line.len() || line.contains("\\u"));
        }
    }
}
