//! A drawing of who calls whom, in columns: each to the right of everybody who calls it, so far as there is no circle.

use std::collections::HashMap;

use maud::{Markup, html};

use super::words;

const WIDTH: f64 = 170.0;
const HEIGHT: f64 = 46.0;
/// Five columns, as the shop has them, are no wider than a page.
const GAP_X: f64 = 88.0;
const GAP_Y: f64 = 26.0;
const MARGIN: f64 = 12.0;

/// A box.
pub struct Node {
    /// What is written in it.
    pub name: String,
    /// What is written below that.
    pub note: String,
    /// How it is coloured.
    pub class: &'static str,
    /// Where it leads.
    pub link: Option<String>,
}

/// An arrow.
pub struct Line {
    /// Who calls.
    pub from: String,
    /// Whom.
    pub to: String,
    /// Requests a second.
    pub rate: f64,
    /// The part of them that fails.
    pub errors: f64,
    /// The 99th percentile of their latency, in milliseconds.
    pub p99: Option<f64>,
    /// Whether the circuit breaker holds calls back.
    pub open: bool,
}

/// Column and row of each node.
fn places(nodes: &[Node], lines: &[Line]) -> Vec<(usize, usize)> {
    let index: HashMap<&str, usize> = nodes.iter().enumerate().map(|(at, n)| (n.name.as_str(), at)).collect();
    let arrows: Vec<(usize, usize)> = lines
        .iter()
        .filter_map(|line| Some((*index.get(line.from.as_str())?, *index.get(line.to.as_str())?)))
        .filter(|(from, to)| from != to)
        .collect();
    let mut column = vec![0_usize; nodes.len()];
    // Longer than any way without a circle nothing can become; a circle stops growing there.
    for _ in 0..nodes.len() {
        for (from, to) in &arrows {
            let least = column[*from] + 1;
            if column[*to] < least && least < nodes.len() {
                column[*to] = least;
            }
        }
    }
    compact(&mut column);
    let mut rows = vec![0_usize; nodes.len()];
    for at in 0..=column.iter().copied().max().unwrap_or(0) {
        let mut here: Vec<usize> = (0..nodes.len()).filter(|n| column[*n] == at).collect();
        // Beside the middle of those who call it.
        let wish = |node: usize| {
            let callers: Vec<f64> = arrows
                .iter()
                .filter(|(from, to)| *to == node && column[*from] < at)
                .map(|(from, _)| rows[*from] as f64)
                .collect();
            if callers.is_empty() { f64::MAX } else { callers.iter().sum::<f64>() / callers.len() as f64 }
        };
        let wishes: HashMap<usize, f64> = here.iter().map(|node| (*node, wish(*node))).collect();
        here.sort_by(|a, b| wishes[a].total_cmp(&wishes[b]));
        for (row, node) in here.into_iter().enumerate() {
            rows[node] = row;
        }
    }
    column.into_iter().zip(rows).collect()
}

/// Takes out columns in which nobody is, as circles leave them.
fn compact(column: &mut [usize]) {
    let mut used: Vec<usize> = column.to_vec();
    used.sort_unstable();
    used.dedup();
    for at in column {
        *at = used.binary_search(at).unwrap_or(*at);
    }
}

/// The drawing.
pub fn draw(nodes: &[Node], lines: &[Line]) -> Markup {
    let places = places(nodes, lines);
    let tallest =
        (0..nodes.len()).map(|c| places.iter().filter(|(column, _)| *column == c).count()).max().unwrap_or(0);
    let columns = places.iter().map(|(column, _)| column + 1).max().unwrap_or(0);
    let size = |count: usize, one: f64, gap: f64| 2.0 * MARGIN + count as f64 * (one + gap) - gap;
    let (width, height) = (size(columns, WIDTH, GAP_X), size(tallest, HEIGHT, GAP_Y));
    // Each column is in the middle.
    let corner = |at: usize| {
        let (column, row) = places[at];
        let count = places.iter().filter(|(c, _)| *c == column).count();
        let above = (height - size(count, HEIGHT, GAP_Y)) / 2.0;
        (MARGIN + column as f64 * (WIDTH + GAP_X), above + MARGIN + row as f64 * (HEIGHT + GAP_Y))
    };
    let find = |name: &str| nodes.iter().position(|node| node.name == name);
    html! {
        div.wide tabindex="0" {
            svg.map viewBox=(format!("0 0 {width:.0} {height:.0}")) width=(format!("{width:.0}")) height=(format!("{height:.0}"))
                role="group" aria-label="Services and the calls between them; the table below has the same as text" {
                @for line in lines {
                    @if let (Some(from), Some(to)) = (find(&line.from), find(&line.to)) { (arrow(line, corner(from), corner(to))) }
                }
                @for (at, node) in nodes.iter().enumerate() { (boxed(node, corner(at))) }
            }
        }
    }
}

fn arrow(line: &Line, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Markup {
    let class = match line {
        line if line.open => "line open",
        line if line.rate <= 0.0 => "line idle",
        line if line.errors >= 0.05 => "line bad",
        line if line.errors > 0.0 => "line some",
        _ => "line good",
    };
    let (y1, y2) = (y1 + HEIGHT / 2.0, y2 + HEIGHT / 2.0);
    // Backwards, and within a column, an arrow goes around.
    let (x1, bend) = if x2 > x1 { (x1 + WIDTH, GAP_X * 0.6) } else { (x1 + WIDTH / 2.0, -GAP_X * 0.6) };
    let x2 = if bend < 0.0 { x2 + WIDTH / 2.0 } else { x2 };
    let path = format!("M{x1:.0} {y1:.0} C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}", x1 + bend, x2 - bend);
    let thick = 1.2 + (1.0 + line.rate).ln().min(6.0) * 0.7;
    let told = format!(
        "{} to {}: {}, {} fail, p99 {}{}",
        line.from,
        line.to,
        words::rate(line.rate),
        words::share(Some(line.errors)),
        words::maybe_millis(line.p99),
        if line.open { ", circuit open" } else { "" }
    );
    html! {
        g class=(class) {
            title { (told) }
            path d=(path) stroke-width=(format!("{thick:.1}")) fill="none" {}
        }
    }
}

fn boxed(node: &Node, (x, y): (f64, f64)) -> Markup {
    let at = |number: f64| format!("{number:.0}");
    let inside = html! {
        rect x=(at(x)) y=(at(y)) width=(at(WIDTH)) height=(at(HEIGHT)) rx="8" {}
        circle cx=(at(x + 15.0)) cy=(at(y + 16.0)) r="4.5" {}
        text.name x=(at(x + 27.0)) y=(at(y + 20.0)) { (words::cut(&node.name, 17)) }
        text.below x=(at(x + 27.0)) y=(at(y + 36.0)) { (node.note) }
    };
    html! {
        g class=(format!("node {}", node.class)) {
            @match &node.link {
                Some(link) => a href=(link) { (inside) },
                None => (inside),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str) -> Node {
        Node { name: name.to_owned(), note: String::new(), class: "ready", link: None }
    }

    fn line(from: &str, to: &str) -> Line {
        Line { from: from.to_owned(), to: to.to_owned(), rate: 1.0, errors: 0.0, p99: None, open: false }
    }

    #[test]
    fn everybody_is_to_the_right_of_their_callers() {
        let nodes = ["stock", "web", "gateway", "orders"].map(node);
        let lines = [("gateway", "web"), ("web", "orders"), ("orders", "stock"), ("web", "stock")];
        let places = places(&nodes, &lines.map(|(from, to)| line(from, to)));
        assert_eq!(places.iter().map(|(column, _)| *column).collect::<Vec<_>>(), [3, 1, 0, 2]);
    }

    #[test]
    fn circles_end_and_leave_no_empty_column() {
        let nodes = ["a", "b", "c", "alone"].map(node);
        let lines = [("a", "b"), ("b", "a"), ("b", "c"), ("c", "c"), ("c", "nobody")];
        let places = places(&nodes, &lines.map(|(from, to)| line(from, to)));
        let mut columns: Vec<usize> = places.iter().map(|(column, _)| *column).collect();
        columns.sort_unstable();
        columns.dedup();
        assert_eq!(columns, (0..columns.len()).collect::<Vec<_>>());
        let mut all = places.clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), nodes.len(), "no two at one place: {places:?}");
    }

    #[test]
    fn names_are_text_and_nothing_else() {
        let drawn = draw(&[node("<script>")], &[line("<script>", "<script>")]).into_string();
        assert!(!drawn.contains("<script>") && drawn.contains("&lt;script&gt;"), "{drawn}");
    }
}
