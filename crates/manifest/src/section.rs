//! A table of the manifest, read key by key against the list in [`keys`](crate::keys).

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use toml::de::DeTable;

use crate::fault::{Fault, Sink};
use crate::keys::{Key, Kind, Table};
use crate::suggest::did_you_mean;
use crate::value::Value;
use crate::{code, quantity};

/// A table that is being read.
pub(crate) struct Section<'a> {
    pub(crate) sink: &'a Sink<'a>,
    spec: &'static Table,
    /// `None` for a table that was left out, of which every key has its default.
    table: Option<&'a DeTable<'a>>,
    /// Where to say that something is missing: the table's name, or all of an inline table.
    at: Range<usize>,
    /// How messages call it.
    title: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// Starts to read, and reports every key that the list does not have.
    pub(crate) fn open(
        sink: &'a Sink<'a>,
        spec: &'static Table,
        table: &'a DeTable<'a>,
        at: Range<usize>,
    ) -> Self {
        let title = match spec.title.rsplit('.').next() {
            Some("top level") => "the manifest".to_owned(),
            last => format!("`{}`", last.unwrap_or_default().trim_end_matches("[]")),
        };
        Self::open_as(title, sink, spec, table, at)
    }

    fn open_as(
        title: String,
        sink: &'a Sink<'a>,
        spec: &'static Table,
        table: &'a DeTable<'a>,
        at: Range<usize>,
    ) -> Self {
        for key in table.keys().filter(|k| spec.key(k.get_ref()).is_none()) {
            sink.push(unknown_key(&title, spec, key.get_ref(), key.span()));
        }
        Self { sink, spec, table: Some(table), at, title, asked: RefCell::default() }
    }

    /// A table that was left out: every key has its default, and nothing is reported.
    pub(crate) fn empty(sink: &'a Sink<'a>, spec: &'static Table) -> Self {
        Self { sink, spec, table: None, at: 0..0, title: String::new(), asked: RefCell::default() }
    }

    /// Where the table is named.
    pub(crate) fn at(&self) -> Range<usize> {
        self.at.clone()
    }

    /// The value of a key; reports a required key that is not there.
    pub(crate) fn get(&self, name: &'static str) -> Option<Value<'a>> {
        let key = self.ask(name)?;
        let found = self.table.and_then(|t| t.get(name));
        if found.is_none() && key.required && !self.misspelt(name) {
            let message = format!("{} needs `{name}`", self.title);
            self.sink.push(
                Fault::error(code::MISSING_KEY, self.at(), message)
                    .label(format!("`{name}` is missing"))
                    .hint(format!("add `{name} = …`, which takes {}", key.kind.expected())),
            );
        }
        found.map(|node| Value { name, kind: &key.kind, node, sink: self.sink, entry: false })
    }

    /// Where the key itself stands, if it is there.
    pub(crate) fn key_span(&self, name: &str) -> Option<Range<usize>> {
        self.table?.get_key_value(name).map(|(key, _)| key.span())
    }

    pub(crate) fn integer(&self, name: &'static str) -> u32 {
        let value = self.get(name).map(|v| v.integer());
        value.unwrap_or_else(|| self.default(name)?.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &'static str) -> f64 {
        let value = self.get(name).map(|v| v.number());
        value.unwrap_or_else(|| self.default(name)?.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn boolean(&self, name: &'static str) -> bool {
        let value = self.get(name).map(|v| v.boolean());
        value.unwrap_or_else(|| self.default(name)?.parse().ok()).unwrap_or_default()
    }

    pub(crate) fn duration(&self, name: &'static str) -> Duration {
        let value = self.get(name).map(|v| v.duration());
        value.unwrap_or_else(|| quantity::duration(self.default(name)?)).unwrap_or_default()
    }

    pub(crate) fn size(&self, name: &'static str) -> u64 {
        let value = self.get(name).map(|v| v.size());
        value.unwrap_or_else(|| quantity::size(self.default(name)?)).unwrap_or_default()
    }

    pub(crate) fn choice(&self, name: &'static str) -> &'static str {
        let value = self.get(name).map(|v| v.choice());
        value.unwrap_or_else(|| self.default(name)).unwrap_or_default()
    }

    /// The address with its place, for the check that no two are one; the place of the table for the default.
    pub(crate) fn address(&self, name: &'static str) -> Option<(SocketAddr, Range<usize>)> {
        match self.get(name) {
            Some(value) => Some((value.address()?, value.span())),
            None => Some((self.default(name)?.parse().ok()?, self.at())),
        }
    }

    /// A table inside this one, with the place of its name.
    pub(crate) fn section(&self, name: &'static str) -> Option<Section<'a>> {
        let value = self.get(name)?;
        value.section(self.key_span(name).unwrap_or_else(|| self.at()))
    }

    /// Named tables inside this one: each name with its place, and the table.
    pub(crate) fn sections(&self, name: &'static str) -> Vec<(&'a str, Range<usize>, Section<'a>)> {
        let Some(value) = self.get(name) else { return Vec::new() };
        let (Kind::Tables(spec), Some(table)) = (value.kind, value.node.get_ref().as_table()) else {
            value.wrong_type();
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (key, node) in table {
            let (own, at) = (key.get_ref().as_ref(), key.span());
            match node.get_ref().as_table() {
                Some(inner) => {
                    let title = format!("`{name}.{own}`");
                    let section = Section::open_as(title, self.sink, spec, inner, at.clone());
                    sections.push((own, at, section));
                }
                None => Value { name: own, node, ..value }.wrong_type(),
            }
        }
        sections
    }

    /// Proves, where debug assertions are on, that the reader and the list have the same keys.
    pub(crate) fn done(self) {
        let asked = self.asked.into_inner();
        for key in self.spec.keys {
            debug_assert!(asked.contains(&key.name), "nobody reads `{}` of `{}`", key.name, self.spec.title);
        }
    }

    fn ask(&self, name: &'static str) -> Option<&'static Key> {
        let key = self.spec.key(name);
        debug_assert!(key.is_some(), "`{name}` is not listed in `{}`", self.spec.title);
        self.asked.borrow_mut().push(name);
        key
    }

    /// The default as it is listed, for keys whose kinds are read by hand.
    pub(crate) fn fallback(&self, name: &'static str) -> &'static str {
        self.default(name).unwrap_or_default()
    }

    fn default(&self, name: &str) -> Option<&'static str> {
        self.spec.key(name)?.default
    }

    /// Whether an unknown key was probably meant to be this one; then that is fault enough.
    fn misspelt(&self, name: &str) -> bool {
        let keys = self.table.into_iter().flat_map(|t| t.keys());
        keys.filter(|k| self.spec.key(k.get_ref()).is_none())
            .any(|k| meant(self.spec, k.get_ref()) == Some(name))
    }
}

/// The key that was probably meant by one that is not known.
fn meant(spec: &'static Table, name: &str) -> Option<&'static str> {
    did_you_mean(name, spec.keys.iter().map(|k| k.name))
        .or_else(|| spec.keys.iter().find(|k| k.also.contains(&name)).map(|k| k.name))
}

fn unknown_key(title: &str, spec: &'static Table, name: &str, span: Range<usize>) -> Fault {
    let fault = Fault::error(code::UNKNOWN_KEY, span, format!("{title} has no key `{name}`"));
    if name == "port" && spec.key("command").is_some() {
        let hint =
            "a service has no fixed port: it is told one in `PORT`, or as `${port}` in `command` or `env`";
        return fault.label("unknown").hint(hint);
    }
    match meant(spec, name) {
        Some(meant) => fault.label("unknown").hint(format!("did you mean `{meant}`?")),
        None => {
            let all: Vec<String> = spec.keys.iter().map(|k| format!("`{}`", k.name)).collect();
            fault.label("unknown").hint(format!("it can have {}", all.join(", ")))
        }
    }
}
