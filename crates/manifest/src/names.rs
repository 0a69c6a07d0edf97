//! Names: who is in the manifest, and whether a name may be used.

use std::collections::BTreeMap;
use std::ops::Range;

use model::{NameError, ServiceName};
use toml::de::{DeTable, DeValue};

use crate::code;
use crate::fault::{Fault, Sink};
use crate::suggest::did_you_mean;
use crate::value::Value;

/// Names that Isles itself goes by in traces, metrics and `x-isles-caller`.
const RESERVED: [&str; 4] = ["gateway", "isles", "isles-sagas", "isles-telemetry"];

/// Everybody that the manifest names, read before anything else so that references can be checked anywhere.
pub(crate) struct Names<'a> {
    services: BTreeMap<&'a str, Known>,
    externals: BTreeMap<&'a str, Range<usize>>,
}

/// What others need to know of a service before it is read.
struct Known {
    tcp: bool,
    /// Has a contract that says what requests look like: that of protobuf is its encoding.
    openapi: bool,
}

impl<'a> Names<'a> {
    pub(crate) fn collect(root: &'a DeTable<'a>) -> Self {
        let tables = |key: &str| root.get(key).and_then(|n| n.get_ref().as_table()).into_iter().flatten();
        let services = tables("services").map(|(name, node)| {
            let service = node.get_ref();
            let tcp = service.get("protocol").is_some_and(|p| p.get_ref().as_str() == Some("tcp"));
            let contract = service.get("contract").map(|c| c.get_ref().as_str().unwrap_or_default());
            let openapi = contract.is_some_and(|path| !path.ends_with(".proto"));
            (name.get_ref().as_ref(), Known { tcp, openapi })
        });
        let externals = tables("external")
            .map(|(name, _): (_, &toml::Spanned<DeValue<'_>>)| (name.get_ref().as_ref(), name.span()));
        Self { services: services.collect(), externals: externals.collect() }
    }

    /// Where the external system of this name is named.
    pub(crate) fn external(&self, name: &str) -> Option<Range<usize>> {
        self.externals.get(name).cloned()
    }

    /// A reference to a service or an external system.
    pub(crate) fn callee(&self, value: &Value<'_>) -> Option<ServiceName> {
        let text = value.text()?;
        if !self.services.contains_key(text) && !self.externals.contains_key(text) {
            let all = self.services.keys().chain(self.externals.keys()).copied();
            let message = format!("there is no service or external system `{text}`");
            let fallback = format!("add `[services.{text}]`, or `[external.{text}]` if it is outside");
            unknown(value, message, all, fallback);
            return None;
        }
        ServiceName::new(text).ok()
    }

    /// A reference to a service that is sent HTTP requests.
    pub(crate) fn http_service(&self, value: &Value<'_>) -> Option<ServiceName> {
        let text = value.text()?;
        match self.services.get(text) {
            Some(known) if known.tcp => {
                let message = format!("`{text}` speaks TCP only, and this needs HTTP");
                let hint = format!("if it speaks HTTP, set `protocol = \"http\"` in `[services.{text}]`");
                value.sink.push(value.fault(code::NEEDS_HTTP, message).hint(hint));
                None
            }
            Some(_) => ServiceName::new(text).ok(),
            None if self.externals.contains_key(text) => {
                let message =
                    format!("`{text}` is an external system; this needs a service of this manifest");
                value.sink.push(value.fault(code::UNKNOWN_SERVICE, message).label("outside"));
                None
            }
            None => {
                let message = format!("there is no service `{text}`");
                let all = self.services.keys().copied();
                unknown(value, message, all, format!("add `[services.{text}]`"));
                None
            }
        }
    }

    /// Whether it has a contract that requests can be held to.
    pub(crate) fn has_openapi(&self, service: &str) -> bool {
        self.services.get(service).is_some_and(|known| known.openapi)
    }
}

fn unknown<'n>(value: &Value<'_>, message: String, all: impl Iterator<Item = &'n str>, fallback: String) {
    let text = value.as_text().unwrap_or_default();
    let hint = match did_you_mean(text, all) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if ServiceName::new(text).is_ok() => fallback,
        None => "names are lower-case letters, digits and inner `-`".to_owned(),
    };
    value.sink.push(value.fault(code::UNKNOWN_SERVICE, message).label("unknown").hint(hint));
}

/// A name that the manifest gives to something.
pub(crate) fn new_name(sink: &Sink<'_>, text: &str, span: Range<usize>) -> Option<ServiceName> {
    match ServiceName::new(text) {
        Ok(_) if RESERVED.contains(&text) => {
            sink.push(
                Fault::error(
                    code::RESERVED_NAME,
                    span,
                    format!("the name `{text}` is taken by Isles itself"),
                )
                .hint(format!("choose another, such as `my-{text}`")),
            );
            None
        }
        Ok(name) => Some(name),
        Err(error) => {
            let hint = mended(text).map(|name| format!("`{name}` would do"));
            sink.push(bad_name(text, &error, span).maybe_hint(hint));
            None
        }
    }
}

/// The app's name: a good name, and no callers know it, so none is reserved.
pub(crate) fn app_name(value: &Value<'_>) -> Option<ServiceName> {
    let text = value.text()?;
    ServiceName::new(text)
        .map_err(|error| {
            let hint = mended(text).map(|name| format!("`{name}` would do"));
            value.sink.push(bad_name(text, &error, value.span()).maybe_hint(hint));
        })
        .ok()
}

fn bad_name(text: &str, error: &NameError, span: Range<usize>) -> Fault {
    let shown: String = text.chars().take(40).collect();
    Fault::error(code::BAD_NAME, span, format!("`{shown}` cannot be a name: {error}"))
}

/// The nearest good name, if there is one.
fn mended(text: &str) -> Option<String> {
    let dashed: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(63)
        .collect();
    let name = dashed.trim_start_matches(|c: char| !c.is_ascii_lowercase()).trim_end_matches('-');
    ServiceName::new(name).ok().map(String::from)
}
