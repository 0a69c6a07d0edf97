//! What a service measures itself: the latest of each number, and one of them over time.

use std::collections::BTreeMap;

use maud::{Markup, html};
use model::{Measured, PointKind};
use serde::Deserialize;

use super::chart::{self, Axis};
use super::{Fragment, Web, service, words};
use crate::Refusal;
use crate::api::{MeasuredPoint, MeasuredQuery, MeasuredReport, MeasuredSeries};

/// Rows of the list; all are at `/metrics`.
const NUMBERS: usize = 100;
/// Drawings of a page: the page stays small however many there are.
const DRAWN: usize = 24;
/// Points of a drawing.
const POINTS: u64 = 120;
/// Between two values that are further apart than this (milliseconds) there is no line. SDKs send every minute.
const GAP: u64 = 150_000;

/// Which number.
#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    /// What the service calls it.
    #[serde(default)]
    name: String,
    /// How far back.
    #[serde(default)]
    window: Option<String>,
}

/// The list of a service's page.
pub fn section(name: &str, measured: &[Measured]) -> Markup {
    html! {
        @if !measured.is_empty() { section { h2 { "What it measures" } (numbers(name, measured)) } }
    }
}

fn numbers(service: &str, measured: &[Measured]) -> Markup {
    html! {
        @if measured.len() > NUMBERS { p.note { (NUMBERS) " of " (measured.len()) ": all are at " a href="/metrics" { "/metrics" } "." } }
        div.wide tabindex="0" { table {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Of" } th scope="col" { "Replica" } th.number scope="col" { "Now" } } }
            tbody { @for number in measured.iter().take(NUMBERS) { tr {
                th scope="row" { a href=(path(service, &number.name)) { (number.name) } }
                td { @for (key, value) in &number.attributes { (key) "=" (words::cut(value, 40)) " " } }
                td { (number.replica.as_deref().unwrap_or("–")) }
                td.number { (words::measure(number.value, &number.unit)) }
            } } }
        } }
    }
}

fn path(service: &str, name: &str) -> String {
    format!("{}/measured?name={}", service::path(service), words::segment(name))
}

/// One of a name for each replica and set of attributes, over time.
pub async fn fragment(web: &Web, service: &str, wanted: &Wanted) -> Result<Fragment, Refusal> {
    service::find(&web.status(), service)?;
    let (name, seconds) = (wanted.name.as_str(), chart::seconds(wanted.window.as_deref()));
    let ask = async |name: String| {
        let query = MeasuredQuery { service: service.to_owned(), name, seconds, points: POINTS };
        web.platform.series(&query).await
    };
    let kind = web.platform.measured(service).iter().find(|one| one.name == name).map(|one| one.kind);
    // A distribution is two numbers, and says most as how much one thing took.
    let base = name.strip_suffix("_count").or_else(|| name.strip_suffix("_sum"));
    let base = base.filter(|_| kind == Some(PointKind::Distribution));
    let live = match base {
        Some(base) => {
            let (counts, sums) = (ask(format!("{base}_count")).await?, ask(format!("{base}_sum")).await?);
            html! {
                section { h2 { "How much each was, on average" } (drawings(&means(&counts, &sums))) }
                section { h2 { "How many a second" } (drawings(&rates(&counts))) }
            }
        }
        None => {
            let report = ask(name.to_owned()).await?;
            let grows = report.series.iter().any(|series| series.kind != PointKind::Gauge);
            html! {
                @if grows { section { h2 { "A second" } (drawings(&rates(&report))) } } @else { (drawings(&report)) }
            }
        }
    };
    let fixed = html! {
        h1 { (base.unwrap_or(name)) }
        p.links { "Measured by " a href=(service::path(service)) { (service) } ". " }
        (chart::windows(&path(service, name), seconds))
    };
    Ok(Fragment { title: format!("{name} of {service}"), fixed, live })
}

/// A drawing for each, those with the highest values first.
fn drawings(report: &MeasuredReport) -> Markup {
    let axis = Axis { from: report.from, until: report.until, step: report.step, gap: report.step.max(GAP) };
    let highest =
        |series: &MeasuredSeries| series.points.iter().map(|point| point.value).fold(f64::MIN, f64::max);
    let mut all: Vec<&MeasuredSeries> =
        report.series.iter().filter(|series| !series.points.is_empty()).collect();
    all.sort_by(|a, b| highest(b).total_cmp(&highest(a)));
    html! {
        @if all.is_empty() { p.note { "Nothing came within this time." } }
        @if all.len() > DRAWN { p.note { "The " (DRAWN) " highest of " (all.len()) "." } }
        div.charts { @for series in all.into_iter().take(DRAWN) {
            @let values: BTreeMap<u64, f64> = series.points.iter().map(|point| (point.at, point.value)).collect();
            (chart::drawing(&axis, &title(series), &[("all", values)], |value| words::measure(value, &series.unit)))
        } }
    }
}

/// What tells it apart from the others.
fn title(series: &MeasuredSeries) -> String {
    let attributes = series.attributes.iter().map(|(key, value)| format!("{key}={}", words::cut(value, 40)));
    let all: Vec<String> = series.replica.iter().cloned().chain(attributes).collect();
    if all.is_empty() { "all".to_owned() } else { all.join(", ") }
}

/// What only grows, by the second. After a process began anew it has grown from nothing.
fn rates(report: &MeasuredReport) -> MeasuredReport {
    let rate = |pair: &[MeasuredPoint]| {
        let seconds = pair[1].at.saturating_sub(pair[0].at) as f64 / 1000.0;
        (seconds > 0.0)
            .then(|| MeasuredPoint { at: pair[1].at, value: grown(pair[0].value, pair[1].value) / seconds })
    };
    each(report, |series| series.points.windows(2).filter_map(rate).collect())
}

/// By how much a sum grew for each that was counted meanwhile.
fn means(counts: &MeasuredReport, sums: &MeasuredReport) -> MeasuredReport {
    each(sums, |sum| {
        let same =
            |count: &&MeasuredSeries| count.replica == sum.replica && count.attributes == sum.attributes;
        let Some(count) = counts.series.iter().find(same) else { return Vec::new() };
        let counted: BTreeMap<u64, f64> = count.points.iter().map(|point| (point.at, point.value)).collect();
        let mean = |pair: &[MeasuredPoint]| {
            let (before, now) = (*counted.get(&pair[0].at)?, *counted.get(&pair[1].at)?);
            let more = grown(before, now);
            // The count says whether the process began anew: a sum may be larger than the old one all the same.
            let sum = if now < before { pair[1].value } else { pair[1].value - pair[0].value };
            let value = sum / more;
            (more > 0.0).then_some(MeasuredPoint { at: pair[1].at, value })
        };
        sum.points.windows(2).filter_map(mean).collect()
    })
}

fn grown(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

fn each(report: &MeasuredReport, points: impl Fn(&MeasuredSeries) -> Vec<MeasuredPoint>) -> MeasuredReport {
    let series =
        report.series.iter().map(|series| MeasuredSeries { points: points(series), ..series.clone() });
    MeasuredReport { series: series.collect(), ..report.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(kind: PointKind, lines: &[(&str, &[(u64, f64)])]) -> MeasuredReport {
        let series = lines.iter().map(|(replica, points)| MeasuredSeries {
            replica: Some((*replica).to_owned()),
            attributes: BTreeMap::new(),
            unit: "s".to_owned(),
            kind,
            points: points.iter().map(|(at, value)| MeasuredPoint { at: at * 1000, value: *value }).collect(),
        });
        MeasuredReport { from: 0, until: 100_000, step: 10_000, series: series.collect() }
    }

    fn values(report: &MeasuredReport) -> Vec<Vec<(u64, f64)>> {
        report.series.iter().map(|s| s.points.iter().map(|p| (p.at / 1000, p.value)).collect()).collect()
    }

    #[test]
    fn what_grows_is_drawn_by_the_second_and_survives_a_new_process() {
        let counter = report(
            PointKind::Counter,
            &[("a-1", &[(0, 10.0), (10, 30.0), (40, 30.0), (50, 5.0)]), ("a-2", &[(0, 1.0)])],
        );
        assert_eq!(values(&rates(&counter)), [vec![(10, 2.0), (40, 0.0), (50, 0.5)], vec![]]);
    }

    #[test]
    fn a_distribution_is_drawn_as_the_mean_of_what_came_meanwhile() {
        let counts =
            report(PointKind::Distribution, &[("a-1", &[(0, 10.0), (10, 14.0), (20, 14.0), (30, 2.0)])]);
        let sums = report(
            PointKind::Distribution,
            &[("a-1", &[(0, 1.0), (10, 3.0), (20, 3.0), (30, 8.0)]), ("a-2", &[(0, 1.0), (9, 2.0)])],
        );
        assert_eq!(values(&means(&counts, &sums)), [vec![(10, 0.5), (30, 4.0)], vec![]]);
    }

    #[test]
    fn a_page_has_so_many_drawings_the_highest_first() {
        let lines: Vec<(String, [(u64, f64); 2])> =
            (0..30).map(|n| (format!("a-{n}"), [(0, 1.0), (10, f64::from(n))])).collect();
        let lines: Vec<(&str, &[(u64, f64)])> =
            lines.iter().map(|(name, points)| (name.as_str(), points.as_slice())).collect();
        let drawn = drawings(&report(PointKind::Gauge, &lines)).into_string();
        assert_eq!(drawn.matches("<figure>").count(), DRAWN);
        assert!(
            drawn.contains("The 24 highest of 30.")
                && drawn.contains("a-29: at most 29.0 s")
                && !drawn.contains("a-5:")
        );
        assert!(drawings(&report(PointKind::Gauge, &[("a", &[])])).into_string().contains("Nothing came"));
    }
}
