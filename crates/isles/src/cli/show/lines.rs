//! Lines of output of many services in one stream: a colour each, names aligned.

use std::collections::HashMap;

use console::api::{LogEntry, LogItem, LogStream};

use super::style::{self, Symbols};
use super::text;

/// Turns log entries into lines for people.
#[derive(Debug)]
pub struct LogPrinter {
    colors: HashMap<String, usize>,
    width: usize,
    symbols: Symbols,
}

impl LogPrinter {
    /// A printer for these services; a service with several replicas is told apart by their numbers.
    pub fn new<'a>(services: impl IntoIterator<Item = (&'a str, u32)>, symbols: Symbols) -> Self {
        let mut printer = Self { colors: HashMap::new(), width: "isles".len(), symbols };
        for (index, (name, replicas)) in services.into_iter().enumerate() {
            printer.colors.insert(name.to_owned(), index);
            let suffix = if replicas > 1 { replicas.to_string().len() + 1 } else { 0 };
            printer.width = printer.width.max(name.len() + suffix);
        }
        printer
    }

    /// The line for one item of the stream.
    pub fn line(&mut self, item: &LogItem) -> String {
        match item {
            LogItem::Entry(entry) => self.entry(entry),
            LogItem::Dropped { dropped } => {
                let text =
                    format!("{} not shown: written faster than read", text::count(*dropped as usize, "line"));
                style::dim(&format!("{} {} {text}", text::pad("isles", self.width), self.symbols.bar))
            }
        }
    }

    fn entry(&mut self, entry: &LogEntry) -> String {
        let label = self.label(entry);
        self.width = self.width.max(label.len());
        let label = text::pad(&label, self.width);
        let bar = self.symbols.bar;
        if entry.stream == LogStream::Isles {
            return style::dim(&format!("{label} {bar} {}", text::plain(&entry.text)));
        }
        let next = self.colors.len();
        let color = *self.colors.entry(entry.service.clone()).or_insert(next);
        format!("{} {}", style::service(color, &format!("{label} {bar}")), text::tame(&entry.text))
    }

    /// The service's name; the replica's when it is not the first.
    fn label(&self, entry: &LogEntry) -> String {
        let replica = entry.replica.as_deref().unwrap_or(&entry.service);
        let first = replica.strip_prefix(entry.service.as_str()) == Some("-1");
        if first { entry.service.clone() } else { replica.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::show::style::UNICODE;

    fn entry(service: &str, replica: Option<&str>, stream: LogStream, text: &str) -> LogItem {
        LogItem::Entry(LogEntry {
            at: 1,
            service: service.to_owned(),
            replica: replica.map(str::to_owned),
            stream,
            text: text.to_owned(),
        })
    }

    #[test]
    fn names_are_aligned_and_replicas_told_apart() {
        let mut printer = LogPrinter::new([("orders", 2), ("payments", 1)], UNICODE);
        let items = [
            entry("orders", Some("orders-1"), LogStream::Out, "listening"),
            entry("orders", Some("orders-2"), LogStream::Err, "\u{1b}[2Jcleared?"),
            entry("payments", Some("payments-1"), LogStream::Out, ""),
            entry("payments", None, LogStream::Isles, "is ready again"),
            LogItem::Dropped { dropped: 1 },
        ];
        let lines: Vec<String> = items.iter().map(|item| printer.line(item)).collect();
        insta::assert_snapshot!(crate::cli::testing::plain(&lines), @r"
        orders   │ listening
        orders-2 │ cleared?
        payments │
        payments │ is ready again
        isles    │ 1 line not shown: written faster than read
        ");
        let colors: Vec<&str> = lines.iter().take(3).filter_map(|l| l.split('m').next()).collect();
        assert_eq!(colors[0], colors[1], "one service, one colour");
        assert_ne!(colors[0], colors[2]);
    }
}
