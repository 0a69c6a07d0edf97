//! Aligned columns that drop the least important ones when the terminal is narrow.

use super::{style, text};

/// Blanks between two columns.
const GAP: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its heading.
    pub title: &'static str,
    /// Numbers are aligned to the right.
    pub right: bool,
    /// The columns with the highest number go first when there is no room; those with 0 stay.
    pub expendable: u8,
}

/// A cell: its text, and how that looks.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    paint: Option<String>,
}

impl Cell {
    /// A cell without a style.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), paint: None }
    }

    /// A cell whose text is shown as `paint` makes it.
    pub fn painted(text: impl Into<String>, paint: impl FnOnce(&str) -> String) -> Self {
        let text = text.into();
        let painted = paint(&text);
        Self { text, paint: Some(painted) }
    }
}

/// A row of cells, and lines that stand below it.
#[derive(Debug, Clone)]
pub struct Row {
    /// One for each column.
    pub cells: Vec<Cell>,
    /// Shown as they are.
    pub below: Vec<String>,
}

/// The lines of a table that is at most `width` columns wide, if it can be.
pub fn render(columns: &[Column], rows: &[Row], width: usize) -> Vec<String> {
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| {
            let cells = rows.iter().filter_map(|r| r.cells.get(i)).map(|c| text::width(&c.text));
            cells.max().unwrap_or(0).max(column.title.len())
        })
        .collect();
    let shown = fitting(columns, &widths, width);
    let header: Vec<Cell> = columns.iter().map(|c| Cell::painted(c.title, style::strong)).collect();
    let mut lines = vec![line(columns, &widths, &shown, &header)];
    for row in rows {
        lines.push(line(columns, &widths, &shown, &row.cells));
        lines.extend(row.below.iter().cloned());
    }
    lines
}

/// The indices of the columns that fit.
fn fitting(columns: &[Column], widths: &[usize], width: usize) -> Vec<usize> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    loop {
        let needed: usize =
            shown.iter().map(|i| widths[*i]).sum::<usize>() + GAP * shown.len().saturating_sub(1);
        let next = shown
            .iter()
            .copied()
            .filter(|i| columns[*i].expendable > 0)
            .max_by_key(|i| columns[*i].expendable);
        match next {
            Some(dropped) if needed > width => shown.retain(|i| *i != dropped),
            _ => return shown,
        }
    }
}

fn line(columns: &[Column], widths: &[usize], shown: &[usize], cells: &[Cell]) -> String {
    let mut out = String::new();
    for (position, i) in shown.iter().copied().enumerate() {
        let Some(cell) = cells.get(i) else { continue };
        let blanks = " ".repeat(widths[i].saturating_sub(text::width(&cell.text)));
        let painted = cell.paint.as_ref().unwrap_or(&cell.text);
        let last = position + 1 == shown.len();
        match (columns[i].right, last) {
            (true, _) => out.push_str(&(blanks + painted)),
            (false, true) => out.push_str(painted),
            (false, false) => out.push_str(&(painted.clone() + &blanks)),
        }
        if !last {
            out.push_str(&" ".repeat(GAP));
        }
    }
    out.truncate(out.trim_end().len());
    out
}
