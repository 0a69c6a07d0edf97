//! What services write.

use maud::{Markup, html};
use serde::Deserialize;

use super::{Fragment, Web, line, words};
use crate::Refusal;
use crate::api::{LogEntry, LogQuery};

/// Lines that are shown.
const SHOWN: usize = 300;
/// The longest line that is shown whole.
const LONGEST: usize = 2_000;
/// Fields of a line that are shown.
const FIELDS: usize = 8;

/// Which lines.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    service: String,
    /// What has to be in them, whatever the case.
    #[serde(default)]
    q: String,
}

pub async fn fragment(web: &Web, filter: &Filter) -> Result<Fragment, Refusal> {
    let status = web.status();
    let services: Vec<String> = Some(filter.service.clone()).filter(|s| !s.is_empty()).into_iter().collect();
    if let Some(name) = services.first() {
        super::service::find(&status, name)?;
    }
    let query = LogQuery { services, text: filter.q.clone(), n: SHOWN };
    let found = web.platform.recent_logs(&query).await?;
    let live = html! {
        p.note { @if found.len() < SHOWN { (found.len()) " lines: all there are" } @else { "The latest " (SHOWN) " lines" } }
        (lines(&found, true))
    };
    let fixed = html! {
        h1 { "Logs" }
        form.filter method="get" action="/logs" role="search" {
            label { "Service " select name="service" {
                option value="" { "all" }
                @for service in &status.services {
                    option value=(service.name) selected[service.name == filter.service] { (service.name) }
                }
            } }
            label { "Text " input type="search" name="q" value=(filter.q); }
            button { "Search" }
        }
    };
    Ok(Fragment { title: "Logs".to_owned(), fixed, live })
}

/// Lines, the latest last; with the service in front of each where there are several.
pub fn lines(entries: &[LogEntry], named: bool) -> Markup {
    html! {
        @if entries.is_empty() { p.note { "Nothing was written." } } @else {
            div.log tabindex="0" role="log" aria-label="Output" {
                @for entry in entries {
                    div {
                        time { (words::clock(entry.at)) } " "
                        @if named { b { (entry.replica.as_deref().unwrap_or(&entry.service)) } " " }
                        (text(&entry.text))
                    }
                }
            }
        }
    }
}

/// A line; of one that is JSON or logfmt, as most services write it, what people read first comes first.
fn text(text: &str) -> Markup {
    let line = line::read(text);
    let class = match line.level.as_str() {
        "error" | "fatal" | "critical" => "bad",
        "warn" | "warning" => "some",
        _ => "",
    };
    html! {
        span class=(class) title=(words::cut(text, LONGEST)) {
            @if !line.level.is_empty() { (line.level) " " } (words::cut(&line.message, LONGEST))
        }
        @for (name, value) in line.fields.iter().take(FIELDS) {
            " "
            @if line::TRACE.contains(&name.as_str()) && line::is_trace(value) {
                a href=(format!("/traces/{value}")) { (name) "=" (value) }
            } @else {
                span.note { (name) "=" (words::cut(value, 120)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_json_or_taken_as_they_are_and_never_as_html() {
        let shown = |line: &str| text(line).into_string();
        let json = shown(r#"{"level":"ERROR","message":"<b>no","order":"o-1","timestamp":"t"}"#);
        assert!(
            json.contains("error &lt;b&gt;no") && json.contains("order=o-1") && json.contains("bad"),
            "{json}"
        );
        let traced = shown(r#"{"msg":"m","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#);
        assert!(traced.contains("href=\"/traces/0af7651916cd43dd8448eb211c80319c\""), "{traced}");
        assert!(!shown(r#"{"msg":"m","trace_id":"javascript:alert(1)"}"#).contains("href"));
        let logfmt = shown(r#"level=warn msg="<i>late" trace_id=0af7651916cd43dd8448eb211c80319c"#);
        assert!(logfmt.contains("warn &lt;i&gt;late") && logfmt.contains("href=\"/traces/0af7"), "{logfmt}");
        for line in ["plain <i>", "{not json", "[1]", "{\"a\":1}"] {
            assert!(
                shown(line).contains(&line.replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"))
            );
        }
    }
}
