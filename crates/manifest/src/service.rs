//! `[services.NAME]`.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use model::{Call, Command, Protocol, ServiceName, ServiceSpec, Template};

use crate::fault::{Fault, Sink};
use crate::keys::Kind;
use crate::listeners::Listeners;
use crate::names::Names;
use crate::section::Section;
use crate::template::{Of, Scope};
use crate::value::Value;
use crate::{code, command, paths, policy};

/// What Isles sets for every service, besides `ISLES_…`.
const INJECTED: [&str; 8] = [
    "PORT",
    "HOST",
    "SAGAS_URL",
    "EVENTS_URL",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];

/// What the reader of a service needs from outside the service.
pub(crate) struct Surroundings<'s, 'a> {
    pub(crate) sink: &'a Sink<'a>,
    pub(crate) names: &'s Names<'a>,
    pub(crate) listeners: &'s Listeners<'a>,
}

/// A call with the place of its callee's name.
type PlacedCall = (Call, Range<usize>);

impl<'a> Surroundings<'_, 'a> {
    pub(crate) fn service(&self, name: ServiceName, table: Section<'a>) -> ServiceSpec {
        let dir = self.dir(&name, &table);
        let protocol = match table.choice("protocol") {
            "grpc" => Protocol::Grpc,
            "tcp" => Protocol::Tcp,
            _ => Protocol::Http,
        };
        let calls = self.calls(&name, &table);
        let declared: BTreeSet<&str> = calls.iter().map(|(call, _)| call.callee.as_str()).collect();
        let scope = Scope { sink: self.sink, calls: &declared, of: Of::Service };
        let words = Scope { of: Of::Command, ..scope };
        let run = |key| table.get(key).map(|v| command::command(v, &dir, &words));
        let files = |key| table.get(key).map(|v| paths::paths(v, &dir));
        let spec = ServiceSpec {
            build: table.get("build").map(|v| command::build(v, &dir)),
            command: run("command").unwrap_or(Command(Vec::new())),
            artifact: files("artifact").map(|found| found.into_iter().map(|(path, _)| path).collect()),
            protocol,
            contract: table.get("contract").and_then(|v| contract(&v, &dir)),
            health: policy::health(&table, protocol),
            scale: policy::scale(&table),
            deploy: policy::deploy(&table),
            limits: policy::limits(&table),
            before_start: run("before_start"),
            watch: table.get("watch").map(|v| watched(v, &dir)).unwrap_or_default(),
            stop: policy::stop(&table),
            env: environment(&table, &calls, &scope),
            calls: calls.iter().map(|(call, _)| call.clone()).collect(),
            name,
            dir,
        };
        table.done();
        spec
    }

    fn dir(&self, name: &ServiceName, table: &Section<'a>) -> PathBuf {
        let root = &self.sink.root;
        let Some(value) = table.get("dir") else {
            let own = root.join(name.as_str());
            return if own.is_dir() { own } else { root.clone() };
        };
        paths::folder(&value, root).unwrap_or_else(|| root.clone())
    }

    fn calls(&self, caller: &ServiceName, table: &Section<'a>) -> Vec<PlacedCall> {
        let mut calls: Vec<PlacedCall> = Vec::new();
        for value in table.get("calls").map(Value::items).unwrap_or_default() {
            let Some((call, span)) = self.call(caller, value) else { continue };
            if let Some((_, first)) = calls.iter().find(|(c, _)| c.callee == call.callee) {
                let message = format!("`{}` is in `calls` twice", call.callee);
                let fault = Fault::error(code::DUPLICATE_ENTRY, span, message).label("again");
                self.sink.push(fault.related(first.clone(), "first here"));
                continue;
            }
            calls.push((call, span));
        }
        calls
    }

    fn call(&self, caller: &ServiceName, value: Value<'a>) -> Option<PlacedCall> {
        if value.as_text().is_some() {
            let value = value.alternative(|k| matches!(k, Kind::Name));
            return Some((Call { callee: self.callee(caller, &value)?, listen: None }, value.span()));
        }
        if !value.is_table() {
            value.wrong_type();
            return None;
        }
        let value = value.alternative(|k| matches!(k, Kind::Table(_)));
        let table = value.section(value.span())?;
        let service = table.get("service");
        let listen = table.get("listen");
        table.done();
        let address = listen.and_then(|v| self.edge_address(caller, &v, service.and_then(|s| s.as_text())));
        let callee = self.callee(caller, &service?)?;
        Some((Call { callee, listen: address }, service?.span()))
    }

    fn callee(&self, caller: &ServiceName, value: &Value<'a>) -> Option<ServiceName> {
        if value.as_text() == Some(caller.as_str()) {
            let message = format!("`{caller}` calls itself");
            let hint = "leave it out: what a service asks of itself needs no edge";
            self.sink.push(value.fault(code::SELF_CALL, message).hint(hint));
            return None;
        }
        self.names.callee(value)
    }

    fn edge_address(
        &self,
        caller: &ServiceName,
        value: &Value<'a>,
        callee: Option<&str>,
    ) -> Option<std::net::SocketAddr> {
        let address = value.address()?;
        if !address.ip().is_loopback() {
            let message = format!("`{address}` can be reached from other machines");
            self.sink.push(value.fault(code::EDGE_NOT_LOOPBACK, message).hint(
                "whoever reaches an edge is taken for its caller, so it is on loopback: `127.0.0.2` and so on",
            ));
            return None;
        }
        if address.port() == 0 {
            let hint = "name the port that the caller's code has, or leave `listen` out";
            value.bad("an edge at a fixed address needs a port".to_owned(), Some(hint.to_owned()));
            return None;
        }
        let what = format!("the edge from `{caller}` to `{}`", callee.unwrap_or("?"));
        self.listeners.add(address, Some(value.span()), what);
        Some(address)
    }
}

fn contract(value: &Value<'_>, dir: &Path) -> Option<PathBuf> {
    let path = paths::file(value, dir, "the service's `dir`")?;
    let known = path.extension().is_some_and(|e| ["yaml", "yml", "json", "proto"].iter().any(|k| e == *k));
    if !known {
        let text = value.as_text().unwrap_or_default();
        let hint = "an OpenAPI document ends in `.yaml`, `.yml` or `.json`, a protobuf file in `.proto`";
        value.bad(format!("`{text}` is no kind of contract that Isles knows"), Some(hint.to_owned()));
    }
    Some(path)
}

fn watched(value: Value<'_>, dir: &Path) -> Vec<PathBuf> {
    let found = paths::paths(value, dir);
    found
        .into_iter()
        .filter_map(|(_, value)| paths::expected_file(&value, dir, "the service's `dir`"))
        .collect()
}

fn environment(service: &Section<'_>, calls: &[PlacedCall], scope: &Scope<'_>) -> BTreeMap<String, Template> {
    let callees: BTreeMap<String, &PlacedCall> =
        calls.iter().map(|call| (format!("{}_URL", call.0.callee.env_stem()), call)).collect();
    for (variable, (call, span)) in &callees {
        if INJECTED.contains(&variable.as_str()) {
            let message =
                format!("the address of `{}` would be in `{variable}`, which Isles sets itself", call.callee);
            scope.sink.push(
                Fault::error(code::ENV_COLLISION, span.clone(), message).hint("give the callee another name"),
            );
        }
    }
    let Some(value) = service.get("env") else { return BTreeMap::new() };
    let mut env = BTreeMap::new();
    for (name, span, value) in value.map() {
        if let Some(fault) = variable_fault(name, span, &callees) {
            scope.sink.push(fault);
        }
        if let Some(text) = value.text() {
            env.insert(name.to_owned(), scope.template(text, &value.span()));
        }
    }
    env
}

/// What is wrong with the name of a variable, if anything.
fn variable_fault(name: &str, span: Range<usize>, callees: &BTreeMap<String, &PlacedCall>) -> Option<Fault> {
    if name.is_empty() || name.contains(['=', '\0']) || name.contains(char::is_whitespace) {
        let message = "the name of a variable has no `=`, space or NUL, and is not empty";
        return Some(Fault::error(code::BAD_VALUE, span, message));
    }
    if INJECTED.contains(&name) || name.starts_with("ISLES_") {
        let message = format!("`{name}` is set by Isles");
        let hint = match name {
            "PORT" | "HOST" => format!(
                "the service has to listen where Isles tells it; for another name write `MY_{name} = \"${{{}}}\"`",
                name.to_ascii_lowercase()
            ),
            _ => "leave it out, or choose another name".to_owned(),
        };
        return Some(Fault::error(code::RESERVED_ENV, span, message).hint(hint));
    }
    let (call, at) = callees.get(name)?;
    let message = format!("`{name}` is set by Isles: the address at which `{}` is called", call.callee);
    Some(
        Fault::error(code::ENV_COLLISION, span, message)
            .related(at.clone(), "because of this call")
            .hint(format!("leave it out, or write `${{calls.{}.url}}` under another name", call.callee)),
    )
}
