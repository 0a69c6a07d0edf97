//! From documents to operations. What is not there is left out; nothing is asked for but that it is OpenAPI at all.

use std::collections::{BTreeMap, BTreeSet};

use super::{Api, Body, Header, Media, MediaKey, Operation, Parameter, Requirement, Response, Role, Scheme};
use crate::fault::Fault;
use crate::files::{At, Set};
use crate::lifecycle::Lifecycle;
use crate::schema::{Lowering, SchemaId};
use crate::tree::Value;

const METHODS: [&str; 9] = ["delete", "get", "head", "options", "patch", "post", "put", "query", "trace"];
/// Callbacks in callbacks are followed this far.
const MAX_CALLBACKS: usize = 4;

/// Reads the document that a set was opened with.
///
/// # Errors
/// It is no OpenAPI 3 document, or too large.
pub fn read(set: Set<'_>, name: &str) -> Result<Api, Fault> {
    let root = set.root();
    let version = set.get(root, "openapi").map(|node| crate::lifecycle::text(&set, node)).unwrap_or_default();
    if set.has(root, "swagger") {
        return Err(Fault::unknown_format(name, "this is Swagger 2.0; convert it to OpenAPI 3"));
    }
    let known = ["openapi", "paths", "webhooks", "components"].iter().any(|key| set.has(root, key));
    if !known || !(version.is_empty() || version.starts_with("3.")) {
        return Err(Fault::unknown_format(name, "this is no OpenAPI 3 document"));
    }
    let lowering = Lowering::new(set, version.starts_with("3.0"), name);
    let mut reader = Reader { lowering, operations: Vec::new(), root };
    reader.paths("paths", Role::Call);
    reader.paths("webhooks", Role::Webhook);
    reader.lowering.run()?;
    let schemes = reader.schemes();
    let servers = reader.servers();
    let components = reader.component_names();
    let (graph, docs, lost) = reader.lowering.finish(components);
    Ok(Api { docs, graph, operations: reader.operations, schemes, servers, root, lost })
}

struct Reader<'f> {
    lowering: Lowering<'f>,
    operations: Vec<Operation>,
    root: At,
}

impl<'f> Reader<'f> {
    fn set(&self) -> &Set<'f> {
        &self.lowering.set
    }

    /// The keys of a map and what they lead to, references followed.
    fn children(&mut self, at: Option<At>) -> Vec<(String, At)> {
        let Some(at) = at.and_then(|at| self.lowering.set.follow(at)) else { return Vec::new() };
        let entries = self.set().entries(at).iter();
        let found: Vec<(String, At)> =
            entries.map(|e| (e.key.to_string(), At { node: e.value, ..at })).collect();
        found.into_iter().filter_map(|(key, at)| Some((key, self.lowering.set.follow(at)?))).collect()
    }

    fn get(&mut self, at: At, key: &str) -> Option<At> {
        let found = self.set().get(at, key)?;
        self.lowering.set.follow(found)
    }

    fn paths(&mut self, key: &str, role: Role) {
        let all = self.set().get(self.root, key);
        for (path, item) in self.children(all) {
            if !path.starts_with("x-") {
                self.path_item(&path, item, role, 0);
            }
        }
    }

    fn path_item(&mut self, path: &str, item: At, role: Role, depth: usize) {
        let shared = self.parameters(item);
        for method in METHODS {
            let Some(at) = self.get(item, method) else { continue };
            if matches!(self.set().value(at), Value::Map(_)) {
                self.operation(path, (item, method), at, &shared, role, depth);
            }
        }
        // OpenAPI 3.2: methods by any other name.
        let more = self.set().get(item, "additionalOperations");
        for (method, at) in self.children(more) {
            self.operation(path, (item, &method), at, &shared, role, depth);
        }
    }

    fn operation(&mut self, path: &str, key: (At, &str), at: At, shared: &[At], role: Role, depth: usize) {
        let (item, method) = key;
        let mut parameters = Vec::new();
        let mut seen = BTreeSet::new();
        // What an operation says of a parameter counts more than what its path says.
        for parameter in self.parameters(at).into_iter().chain(shared.iter().copied()) {
            let Some(parameter) = self.parameter(parameter) else { continue };
            if seen.insert((parameter.location.clone(), header_key(&parameter.location, &parameter.name))) {
                parameters.push(parameter);
            }
        }
        let body = self.get(at, "requestBody").map(|body| self.body(body));
        let responses = self.set().get(at, "responses");
        let responses: BTreeMap<String, Response> = self
            .children(responses)
            .into_iter()
            .filter(|(status, _)| !status.starts_with("x-"))
            .map(|(status, at)| {
                (status.to_ascii_uppercase().replace("DEFAULT", "default"), self.response(at))
            })
            .collect();
        let operation = Operation {
            role,
            method: method.to_ascii_uppercase(),
            path: path.to_owned(),
            operation_id: self.set().text_of(at, "operationId").map(str::to_owned),
            parameters,
            body,
            responses,
            security: self.security(at),
            lifecycle: Lifecycle::read(self.set(), at),
            at,
            place: self.set().place_of_key(item, method),
        };
        let key = operation.key();
        self.operations.push(operation);
        if depth < MAX_CALLBACKS {
            self.callbacks(&key, at, depth);
        }
    }

    fn callbacks(&mut self, key: &str, at: At, depth: usize) {
        let callbacks = self.set().get(at, "callbacks");
        for (name, callback) in self.children(callbacks) {
            for (expression, item) in self.children(Some(callback)) {
                if !expression.starts_with("x-") {
                    self.path_item(&format!("{key} {name} {expression}"), item, Role::Callback, depth + 1);
                }
            }
        }
    }

    fn parameters(&mut self, at: At) -> Vec<At> {
        let Some(list) = self.get(at, "parameters") else { return Vec::new() };
        let items: Vec<At> = self.set().items(list).collect();
        items.into_iter().filter_map(|item| self.lowering.set.follow(item)).collect()
    }

    fn parameter(&mut self, at: At) -> Option<Parameter> {
        let set = self.set();
        let name = set.text_of(at, "name")?.to_owned();
        let location = set.text_of(at, "in")?.to_ascii_lowercase();
        // The specification says that these are described elsewhere.
        let reserved = ["accept", "content-type", "authorization"];
        if location == "header" && reserved.contains(&&*name.to_ascii_lowercase()) {
            return None;
        }
        let usual = if matches!(&*location, "query" | "cookie") { "form" } else { "simple" };
        let style = set.text_of(at, "style").unwrap_or(usual).to_owned();
        let explode = match set.get(at, "explode").map(|n| set.value(n)) {
            Some(Value::Bool(explode)) => *explode,
            _ => style == "form",
        };
        let required = set.flag(at, "required") || location == "path";
        let lifecycle = Lifecycle::read(set, at);
        let (schema, content) = self.schema_or_content(at);
        Some(Parameter { name, location, required, style, explode, schema, content, lifecycle, at })
    }

    fn schema_or_content(&mut self, at: At) -> (Option<SchemaId>, Option<MediaKey>) {
        if let Some(schema) = self.set().get(at, "schema") {
            return (Some(self.lowering.schema(schema)), None);
        }
        let content = self.set().get(at, "content");
        let Some((media, entry)) = self.children(content).into_iter().next() else { return (None, None) };
        let schema = self.set().get(entry, "schema");
        (schema.map(|schema| self.lowering.schema(schema)), Some(MediaKey::parse(&media)))
    }

    fn body(&mut self, at: At) -> Body {
        Body { required: self.set().flag(at, "required"), content: self.content(at), at }
    }

    fn content(&mut self, at: At) -> BTreeMap<MediaKey, Media> {
        let content = self.set().get(at, "content");
        let medias = self.children(content).into_iter();
        medias
            .map(|(media, at)| {
                let mut schema = |key: &str| {
                    let node = self.lowering.set.get(at, key)?;
                    Some(self.lowering.schema(node))
                };
                let found = Media { schema: schema("schema"), item_schema: schema("itemSchema"), at };
                (MediaKey::parse(&media), found)
            })
            .collect()
    }

    fn response(&mut self, at: At) -> Response {
        let headers = self.set().get(at, "headers");
        let headers = self.children(headers).into_iter().map(|(name, at)| {
            let (schema, _) = self.schema_or_content(at);
            (
                name.to_ascii_lowercase(),
                Header { name, required: self.set().flag(at, "required"), schema, at },
            )
        });
        Response { headers: headers.collect(), content: self.content(at), at }
    }

    /// The operation's own requirements, or else those of the document.
    fn security(&mut self, at: At) -> Vec<Requirement> {
        let root = self.root;
        let set = self.set();
        let Some(list) = set.get(at, "security").or_else(|| set.get(root, "security")) else {
            return Vec::new();
        };
        let one = |item: At| {
            let schemes = set.entries(item).iter();
            schemes
                .map(|e| {
                    let scopes = set.items(At { node: e.value, ..item });
                    (e.key.to_string(), scopes.filter_map(|s| set.text(s).map(str::to_owned)).collect())
                })
                .collect::<Requirement>()
        };
        set.items(list).map(one).collect()
    }

    fn schemes(&mut self) -> BTreeMap<String, Scheme> {
        let components = self.get(self.root, "components");
        let schemes = components.and_then(|at| self.set().get(at, "securitySchemes"));
        let schemes = self.children(schemes).into_iter();
        schemes.map(|(name, at)| (name, self.scheme(at))).collect()
    }

    fn scheme(&mut self, at: At) -> Scheme {
        let set = self.set();
        let wire = ["type", "in", "name", "scheme", "openIdConnectUrl"];
        let wire = wire.into_iter().filter_map(|key| Some((key, set.text_of(at, key)?.to_owned()))).collect();
        let mut addresses = BTreeMap::new();
        if let Some(flows) = set.get(at, "flows") {
            for flow in set.entries(flows) {
                let node = At { node: flow.value, ..flows };
                for key in ["authorizationUrl", "tokenUrl", "refreshUrl"] {
                    if let Some(url) = set.text_of(node, key) {
                        addresses.insert(format!("{} {key}", flow.key), url.to_owned());
                    }
                }
            }
        }
        Scheme { wire, addresses, at }
    }

    fn servers(&mut self) -> BTreeSet<String> {
        let root = self.root;
        let set = self.set();
        let list = set.get(root, "servers");
        let servers = list.into_iter().flat_map(|list| set.items(list));
        servers.filter_map(|s| set.text_of(s, "url").map(str::to_owned)).collect()
    }

    fn component_names(&mut self) -> BTreeSet<String> {
        let components = self.get(self.root, "components");
        let schemas = components.and_then(|at| self.set().get(at, "schemas"));
        let set = self.set();
        schemas.map(|at| set.entries(at).iter().map(|e| e.key.to_string()).collect()).unwrap_or_default()
    }
}

/// Names of headers do not care for case.
pub fn header_key(location: &str, name: &str) -> String {
    if location == "header" { name.to_ascii_lowercase() } else { name.to_owned() }
}
