//! `isles traces` and `isles trace`

use std::collections::HashSet;
use std::time::Duration;

use console::api::{Span, SpanQuery, Spans};
use console::trace::traces;

use super::failure::Failure;
use super::output;
use super::place::{self, FileArg, Place};
use super::show::text::parse_duration;
use super::show::{terminal, trace};

/// Spans that are looked through: the latest.
const MOST: usize = 4096;

#[derive(Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    file: FileArg,
    /// Only those in which this service calls or is called
    #[arg(value_name = "SERVICE")]
    service: Option<String>,
    /// Only those in which something failed
    #[arg(long)]
    errors: bool,
    /// Only those that took longer, such as 100ms, 2s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    slower_than: Option<Duration>,
    /// Only those with these words in names, texts, or attributes (`key=value`)
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    search: String,
    /// How many at most
    #[arg(short, long, value_name = "N", default_value_t = 20)]
    n: usize,
    /// Prints them as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    #[command(flatten)]
    file: FileArg,
    /// The trace, as `isles traces` and `traceparent` name it, or how that begins
    #[arg(value_name = "ID")]
    id: String,
    /// Prints its spans as JSON
    #[arg(long)]
    json: bool,
}

pub async fn list(args: ListArgs, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    let slower = args.slower_than.unwrap_or_default();
    let query = SpanQuery {
        trace: None,
        service: args.service,
        errors: args.errors,
        slower_than_ms: u64::try_from(slower.as_millis()).unwrap_or(u64::MAX),
        text: args.search,
        n: MOST,
    };
    let client = place.client();
    let wanted = client.spans(&query).await?;
    let all = client.spans(&SpanQuery { n: MOST, ..SpanQuery::default() }).await?;
    let spans = joined(wanted.spans, all.spans);
    let mut found = traces(&spans);
    found.truncate(args.n);
    if args.json {
        return output::json(&found);
    }
    if found.is_empty() {
        return output::note(
            "no such trace is kept: a few of each second are, and all that failed or were slow",
        );
    }
    let (width, _) = terminal::size(&std::io::stdout());
    output::lines(&trace::list(&found, place::now(), width))
}

/// What was asked for, however old, and what else of its traces is among the latest: a trace is shown as whole as it can be.
fn joined(wanted: Vec<Span>, latest: Vec<Span>) -> Vec<Span> {
    let ids: HashSet<(String, String)> = wanted.iter().map(|s| (s.trace.clone(), s.id.clone())).collect();
    let of: HashSet<String> = wanted.iter().map(|span| span.trace.clone()).collect();
    let new = |span: &Span| of.contains(&span.trace) && !ids.contains(&(span.trace.clone(), span.id.clone()));
    wanted.into_iter().chain(latest.into_iter().filter(new)).collect()
}

pub async fn show(args: ShowArgs, before: FileArg) -> Result<(), Failure> {
    let place = Place::find(args.file.or(before))?;
    place.status().await?;
    // A whole id is looked up, however old; the beginning of one is looked for among the latest.
    let query = SpanQuery { trace: args.id.parse().ok(), n: MOST, ..SpanQuery::default() };
    let Spans { mut spans, .. } = place.client().spans(&query).await?;
    spans.retain(|span| span.trace.starts_with(&args.id));
    match traces(&spans).as_slice() {
        [one] if args.json => output::json(one),
        [one] => {
            let (width, _) = terminal::size(&std::io::stdout());
            output::lines(&trace::waterfall(one, width))
        }
        [] => Err(Failure::failed(format!("no trace that begins with `{}` is kept", args.id))
            .help("`isles traces` shows those that are")),
        many => Err(Failure::failed(format!("{} traces begin with `{}`", many.len(), args.id))
            .help("give more of its id")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for_is_shown_however_old_with_the_rest_of_its_trace() {
        let span =
            |trace: &str, id: &str| Span { trace: trace.to_owned(), id: id.to_owned(), ..Span::default() };
        let wanted = vec![span("old", "a"), span("new", "b")];
        let latest = vec![span("new", "b"), span("new", "c"), span("other", "d")];
        let shown: Vec<String> =
            joined(wanted, latest).iter().map(|s| format!("{} {}", s.trace, s.id)).collect();
        assert_eq!(shown, ["old a", "new b", "new c"]);
    }
}
