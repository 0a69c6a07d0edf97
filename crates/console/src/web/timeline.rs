//! Everything that happened on one clock: requests and failures of the whole app, and below them deploys, replicas, scaling, breakers.

use maud::{Markup, html};
use serde::Deserialize;

use super::{Fragment, Web, chart, words};
use crate::Refusal;
use crate::api::{AppEvent, EventQuery, MetricsQuery, MetricsReport};

/// Events that are listed.
const LISTED: usize = 200;
const PATH: &str = "/timeline";

/// What the address asks for.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Filter {
    #[serde(default)]
    window: Option<String>,
}

pub async fn fragment(web: &Web, filter: &Filter) -> Result<Fragment, Refusal> {
    let seconds = chart::seconds(filter.window.as_deref());
    let metrics = MetricsQuery { service: None, seconds, points: chart::POINTS };
    let metrics = web.platform.metrics(&metrics).await?;
    let events = web.platform.events(&EventQuery { seconds, service: None, n: LISTED }).await?.events;
    let now = words::now();
    let fixed = html! { h1 { "Timeline" } (chart::windows(PATH, seconds)) };
    let live = html! {
        section aria-label="Calls" { (chart::charts(&metrics)) (marks(&metrics, &events)) }
        section { h2 { "What happened" } (list(&events, now)) }
    };
    Ok(Fragment { title: "Timeline".to_owned(), fixed, live })
}

/// One line for each kind, below the drawings and as wide as all of them.
fn marks(report: &MetricsReport, events: &[AppEvent]) -> Markup {
    let mut kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let width = report.until.saturating_sub(report.from).max(1) as f64;
    let place = |at: u64| at.saturating_sub(report.from) as f64 / width * 1000.0;
    html! {
        @for kind in kinds {
            @let here = || events.iter().filter(|event| event.kind == kind);
            figure.marks {
                figcaption { (kind) span.note { ", " (here().count()) } }
                svg viewBox="0 0 1000 16" preserveAspectRatio="none" role="img" aria-label=(format!("{} of {kind}", here().count())) {
                    @for event in here() {
                        @let x = format!("{:.1}", place(event.at));
                        line.mark x1=(x) x2=(x) y1="0" y2="16" { title { (words::clock(event.at)) " " (event.text) } }
                    }
                }
            }
        }
    }
}

fn list(events: &[AppEvent], now: u64) -> Markup {
    html! {
        @if events.is_empty() { p.note { "Nothing." } } @else {
            div.wide tabindex="0" { table {
                thead { tr { th scope="col" { "When" } th scope="col" { "Kind" } th scope="col" { "Service" } th scope="col" { "What" } } }
                tbody { @for event in events {
                    tr {
                        td { time { (words::clock(event.at)) } span.note { " " (words::ago(event.at, now)) " ago" } }
                        td { (event.kind) }
                        td { @if let Some(service) = &event.service { a href=(super::service::path(service)) { (service) } } }
                        td { (event.text) }
                    }
                } }
            } }
        }
    }
}
