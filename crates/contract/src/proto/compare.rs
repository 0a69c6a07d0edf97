//! What differs between the services and the messages of two sets of `.proto` files.

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{EnumDescriptor, FileDescriptor, Kind, MessageDescriptor, MethodDescriptor, Syntax};

use super::{Protos, is_deprecated, operation};
use crate::report::{Change, OperationRef, Place};
use crate::rules::{Rule, proto};

/// A message that more methods than this carry is told of once, and not for each of them.
const MAX_CARRIERS: usize = 32;

/// Compares `.proto` files.
pub fn compare(old: &Protos, new: &Protos) -> Vec<Change> {
    let mut comparer = Comparer { old, new, carriers: carriers(old), changes: Vec::new() };
    comparer.packages();
    comparer.services();
    comparer.messages();
    comparer.enums();
    comparer.changes
}

pub(super) struct Comparer<'a> {
    pub old: &'a Protos,
    pub new: &'a Protos,
    /// The methods that a message or an enum is part of, by its name.
    carriers: BTreeMap<String, BTreeSet<OperationRef>>,
    changes: Vec<Change>,
}

impl Comparer<'_> {
    fn push(
        &mut self,
        rule: &'static Rule,
        operation: Option<OperationRef>,
        location: &str,
        places: Places,
        text: String,
    ) {
        self.changes.push(Change {
            rule: rule.id.to_owned(),
            severity: rule.severity,
            kind: rule.kind,
            operation,
            location: location.to_owned(),
            place_old: places.0,
            place_new: places.1,
            sentence: text,
            hint: rule.fix.to_owned(),
        });
    }

    /// Notes a change of a message or an enum, for every method that carries it.
    pub(super) fn of_type(&mut self, rule: &'static Rule, name: &str, places: Places, text: String) {
        let carriers = self.carriers.get(name).cloned().unwrap_or_default();
        if carriers.is_empty() || carriers.len() > MAX_CARRIERS {
            return self.push(rule, None, name, places, text);
        }
        for operation in carriers {
            self.push(rule, Some(operation), name, places.clone(), text.clone());
        }
    }

    pub(super) fn places(&self, old: (&FileDescriptor, &[i32]), new: (&FileDescriptor, &[i32])) -> Places {
        (self.old.place(old.0, old.1), self.new.place(new.0, new.1))
    }

    fn packages(&mut self) {
        for before in self.old.pool.files().filter(|f| self.old.names.contains_key(f.name())) {
            let Some(after) = self.new.pool.get_file_by_name(before.name()) else { continue };
            if before.package_name() != after.package_name() {
                // The number of `package` in `google.protobuf.FileDescriptorProto`.
                let places = self.places((&before, &[2]), (&after, &[2]));
                let text = format!(
                    "the package is `{}` instead of `{}`",
                    after.package_name(),
                    before.package_name()
                );
                self.push(&proto::PACKAGE, None, before.name(), places, text);
            }
        }
    }

    fn services(&mut self) {
        for before in self.old.pool.services().filter(|s| self.old.names.contains_key(s.parent_file().name()))
        {
            let place = self.old.place(&before.parent_file(), before.path());
            let Some(after) = self.new.pool.get_service_by_name(before.full_name()) else {
                let text = format!("the service `{}` is gone", before.full_name());
                self.push(&proto::SERVICE_REMOVED, None, before.full_name(), (place.clone(), None), text);
                for method in before.methods() {
                    self.method_removed(&method);
                }
                continue;
            };
            for method in before.methods() {
                match after.methods().find(|m| m.name() == method.name()) {
                    Some(other) => self.method(&method, &other),
                    None => self.method_removed(&method),
                }
            }
        }
        for after in self.new.methods() {
            let service = self.old.pool.get_service_by_name(after.parent_service().full_name());
            if service.is_none_or(|s| s.methods().all(|m| m.name() != after.name())) {
                let place = self.new.place(&after.parent_file(), after.path());
                self.push(
                    &proto::METHOD_ADDED,
                    Some(operation(&after)),
                    "",
                    (None, place),
                    "the method is new".to_owned(),
                );
            }
        }
    }

    fn method_removed(&mut self, old: &MethodDescriptor) {
        let place = self.old.place(&old.parent_file(), old.path());
        let (rule, text) = match is_deprecated(old) {
            true => (&proto::METHOD_REMOVED_DEPRECATED, "the deprecated method is gone"),
            false => (&proto::METHOD_REMOVED, "the method is gone"),
        };
        self.push(rule, Some(operation(old)), "", (place, None), text.to_owned());
    }

    fn method(&mut self, old: &MethodDescriptor, new: &MethodDescriptor) {
        let places = self.places((&old.parent_file(), old.path()), (&new.parent_file(), new.path()));
        let mut found: Vec<(&'static Rule, String)> = Vec::new();
        let names =
            |a: MessageDescriptor, b: MessageDescriptor| (a.full_name().to_owned(), b.full_name().to_owned());
        for ((before, after), rule, verb) in [
            (names(old.input(), new.input()), &proto::REQUEST_TYPE, "takes"),
            (names(old.output(), new.output()), &proto::RESPONSE_TYPE, "returns"),
        ] {
            if before != after {
                found.push((rule, format!("the method {verb} `{after}` instead of `{before}`")));
            }
        }
        for (before, after, rule, verb) in [
            (old.is_client_streaming(), new.is_client_streaming(), &proto::CLIENT_STREAMING, "takes"),
            (old.is_server_streaming(), new.is_server_streaming(), &proto::SERVER_STREAMING, "returns"),
        ] {
            if before != after {
                let what =
                    if after { "a stream instead of one message" } else { "one message instead of a stream" };
                found.push((rule, format!("the method {verb} {what}")));
            }
        }
        let level = |m: &MethodDescriptor| {
            m.method_descriptor_proto().options.as_ref().map_or(0, |o| o.idempotency_level() as i32)
        };
        if level(old) != level(new) {
            found.push((&proto::IDEMPOTENCY, "the method has another `idempotency_level`".to_owned()));
        }
        if !is_deprecated(old) && is_deprecated(new) {
            found.push((&proto::METHOD_DEPRECATED, "the method is deprecated".to_owned()));
        }
        for (rule, text) in found {
            self.push(rule, Some(operation(old)), "", places.clone(), text);
        }
    }

    fn messages(&mut self) {
        let all: Vec<MessageDescriptor> = self.old.pool.all_messages().collect();
        for before in all {
            let ours = self.old.names.contains_key(before.parent_file().name());
            if let Some(after) = self.new.pool.get_message_by_name(before.full_name()).filter(|_| ours) {
                self.message(&before, &after);
            }
        }
    }

    fn enums(&mut self) {
        let all: Vec<EnumDescriptor> = self.old.pool.all_enums().collect();
        for before in all {
            let ours = self.old.names.contains_key(before.parent_file().name());
            if let Some(after) = self.new.pool.get_enum_by_name(before.full_name()).filter(|_| ours) {
                self.enumeration(&before, &after);
            }
        }
    }

    pub(super) fn json_format(
        &mut self,
        name: &str,
        files: (FileDescriptor, FileDescriptor),
        places: Places,
    ) {
        if files.0.syntax() == Syntax::Proto3 && files.1.syntax() == Syntax::Proto2 {
            let text = format!("`{name}` is one of proto2 now: its JSON is only tried");
            self.of_type(&proto::JSON_FORMAT, name, places, text);
        }
    }
}

/// Where something stands in the old and in the new files.
pub(super) type Places = (Option<Place>, Option<Place>);

/// Which methods carry a message or an enum, however deep inside.
fn carriers(protos: &Protos) -> BTreeMap<String, BTreeSet<OperationRef>> {
    let mut out: BTreeMap<String, BTreeSet<OperationRef>> = BTreeMap::new();
    for method in protos.methods() {
        let operation = operation(&method);
        let mut seen = BTreeSet::new();
        let mut todo = vec![method.input(), method.output()];
        while let Some(message) = todo.pop() {
            if !seen.insert(message.full_name().to_owned()) {
                continue;
            }
            for field in message.fields() {
                match field.kind() {
                    Kind::Message(inner) => todo.push(inner),
                    Kind::Enum(inner) => {
                        seen.insert(inner.full_name().to_owned());
                    }
                    _ => {}
                }
            }
        }
        for name in seen {
            out.entry(name).or_default().insert(operation.clone());
        }
    }
    out
}
