//! Spans put together as traces, for whoever shows them.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use crate::api::Span;

/// The spans of one trace, by when they began; there is at least one.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Trace<'s> {
    /// Of those that began in one microsecond the longer one, which is around the others, comes first.
    pub spans: Vec<&'s Span>,
}

/// The spans as traces, the one that began last first.
pub fn traces(spans: &[Span]) -> Vec<Trace<'_>> {
    let mut by_id = BTreeMap::<&str, Vec<&Span>>::new();
    for span in spans {
        by_id.entry(&span.trace).or_default().push(span);
    }
    let mut traces: Vec<Trace<'_>> = by_id
        .into_values()
        .map(|mut spans| {
            spans.sort_by(|a, b| a.start_us.cmp(&b.start_us).then(b.duration_ms.total_cmp(&a.duration_ms)));
            Trace { spans }
        })
        .collect();
    traces.sort_by_key(|trace| std::cmp::Reverse(trace.start()));
    traces
}

impl<'s> Trace<'s> {
    /// When it began, in Unix milliseconds.
    pub fn start(&self) -> u64 {
        self.spans.first().map_or(0, |span| span.start)
    }

    /// How long after the beginning of the trace a span began, in milliseconds.
    pub fn offset(&self, span: &Span) -> f64 {
        let begin = self.spans.first().map_or(0, |first| first.start_us);
        span.start_us.saturating_sub(begin) as f64 / 1000.0
    }

    /// From the first beginning to the last end, in milliseconds; never quite nothing, so that it can be divided by.
    pub fn took(&self) -> f64 {
        self.spans.iter().map(|span| self.offset(span) + span.duration_ms).fold(0.001, f64::max)
    }

    /// Whether something in it failed.
    pub fn failed(&self) -> bool {
        self.spans.iter().any(|span| span.kept == "failed")
    }

    /// Every span with its depth, parents before what belongs to them.
    pub fn tree(&self) -> Vec<(usize, &'s Span)> {
        let ids: HashSet<&str> = self.spans.iter().map(|span| span.id.as_str()).collect();
        // A service that makes spans of its own is the parent of its calls, and not known here: then the call that made it act is.
        let parent = |span: &Span| -> Option<&'s str> {
            if let Some(known) = span.parent.as_deref().filter(|id| ids.contains(id) && *id != span.id) {
                return self.spans.iter().find(|other| other.id == known).map(|other| other.id.as_str());
            }
            let worker = if span.name.is_some() { &span.callee } else { span.caller.as_ref()? };
            let acted = |other: &&&'s Span| {
                other.name.is_none()
                    && other.callee == *worker
                    && other.start_us <= span.start_us
                    && other.id != span.id
            };
            self.spans.iter().rev().find(acted).map(|other| other.id.as_str())
        };
        let mut children = BTreeMap::<Option<&str>, Vec<&'s Span>>::new();
        for span in &self.spans {
            children.entry(parent(span)).or_default().push(span);
        }
        let mut out: Vec<(usize, &'s Span)> = Vec::new();
        let mut stack: Vec<(usize, &'s Span)> = Vec::new();
        let push = |stack: &mut Vec<_>, of: Option<&str>, depth| {
            stack.extend(children.get(&of).into_iter().flatten().rev().map(|span| (depth, *span)));
        };
        push(&mut stack, None, 0);
        while let Some((depth, span)) = stack.pop() {
            out.push((depth, span));
            push(&mut stack, Some(&span.id), depth + 1);
        }
        // Whoever is their own ancestor has no place above.
        let shown: HashSet<&str> = out.iter().map(|(_, span)| span.id.as_str()).collect();
        out.extend(self.spans.iter().filter(|span| !shown.contains(span.id.as_str())).map(|span| (0, *span)));
        out
    }
}

/// Who calls whom; of a service's own work, whose it is.
pub fn who(span: &Span) -> (Option<&str>, &str) {
    let caller = span.caller.as_deref().unwrap_or("gateway");
    (Some(caller).filter(|_| span.name.is_none()), &span.callee)
}

/// Method and path; what a service calls its own work.
pub fn request(span: &Span) -> String {
    if let Some(name) = &span.name {
        return name.clone();
    }
    let text = |name| attribute(span, name).unwrap_or_default();
    format!("{} {}", text("http.request.method"), text("url.path"))
}

/// The status of HTTP, or why there is none.
pub fn status(span: &Span) -> String {
    let code = attribute(span, "http.response.status_code");
    if span.name.is_some() {
        return if span.kept == "failed" { "failed".to_owned() } else { code.unwrap_or_default() };
    }
    match attribute(span, "isles.cancelled") {
        Some(_) => "left".to_owned(),
        None => code.or_else(|| attribute(span, "error.type")).unwrap_or_else(|| "-".to_owned()),
    }
}

/// An attribute as text.
pub fn attribute(span: &Span, name: &str) -> Option<String> {
    span.attributes.get(name).map(ToString::to_string)
}
