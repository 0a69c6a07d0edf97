//! JSON and YAML as one tree that keeps where everything stands.
//!
//! A tree is an arena: nodes are numbers, so that YAML's aliases share what they name and nothing is copied.

mod json;
mod number;
mod yaml;

pub use number::Number;

use crate::fault::Fault;

/// Deeper documents are refused.
pub const MAX_DEPTH: usize = 200;
/// Longer documents are refused, in bytes.
pub const MAX_BYTES: usize = 32 << 20;

/// A place in a text: line and column (of characters), both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// A node of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`, or nothing at all.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Box<str>),
    /// A list.
    List(Vec<NodeId>),
    /// A map, sorted by key, each key once: the last one counts.
    Map(Vec<Entry>),
}

/// One key of a map and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key; that of a YAML scalar is its text as written.
    pub key: Box<str>,
    /// Where the key stands.
    pub mark: Mark,
    /// The value.
    pub value: NodeId,
}

#[derive(Debug, Clone, PartialEq)]
struct Node {
    mark: Mark,
    value: Value,
}

/// A document.
#[derive(Debug, Clone)]
pub struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

impl Tree {
    /// Reads JSON, or YAML for everything that does not begin as JSON does. `name` is the file's, for messages.
    ///
    /// # Errors
    /// The text is neither, too long, or too deep.
    pub fn parse(name: &str, text: &str) -> Result<Self, Fault> {
        if text.len() > MAX_BYTES {
            return Err(Fault::too_large(name, "the document is longer than 32 MB"));
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        // `{` begins a flow mapping of YAML as well: what the JSON reader refuses gets its chance there.
        if text.trim_start().starts_with('{') {
            match json::parse(name, text) {
                Ok(tree) => return Ok(tree),
                Err(fault) if name.ends_with(".json") => return Err(fault),
                Err(_) => {}
            }
        }
        yaml::parse(name, text)
    }

    /// The whole document.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// What a node is.
    pub fn value(&self, id: NodeId) -> &Value {
        &self.nodes[id.0 as usize].value
    }

    /// Where a node begins.
    pub fn mark(&self, id: NodeId) -> Mark {
        self.nodes[id.0 as usize].mark
    }

    /// The entries of a map; nothing for anything else.
    pub fn entries(&self, id: NodeId) -> &[Entry] {
        match self.value(id) {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; nothing for anything else.
    pub fn items(&self, id: NodeId) -> &[NodeId] {
        match self.value(id) {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a key in a map.
    pub fn entry(&self, id: NodeId, key: &str) -> Option<&Entry> {
        let entries = self.entries(id);
        entries.binary_search_by(|e| (*e.key).cmp(key)).ok().map(|at| &entries[at])
    }

    /// The value of a key in a map.
    pub fn get(&self, id: NodeId, key: &str) -> Option<NodeId> {
        self.entry(id, key).map(|e| e.value)
    }

    /// A text.
    pub fn text(&self, id: NodeId) -> Option<&str> {
        match self.value(id) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a key in a map.
    pub fn text_of(&self, id: NodeId, key: &str) -> Option<&str> {
        self.get(id, key).and_then(|n| self.text(n))
    }

    /// The truth value of a key in a map; `false` when it is not there.
    pub fn flag(&self, id: NodeId, key: &str) -> bool {
        matches!(self.get(id, key).map(|n| self.value(n)), Some(Value::Bool(true)))
    }

    /// The node that a JSON Pointer (RFC 6901, without its leading `#`) names.
    pub fn pointer(&self, pointer: &str) -> Option<NodeId> {
        let mut at = self.root;
        if pointer.is_empty() {
            return Some(at);
        }
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            at = match self.value(at) {
                Value::Map(_) => self.get(at, &token)?,
                Value::List(items) => *items.get(token.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(at)
    }

    /// A value as canonical JSON, for comparing: keys sorted, numbers by value. Cut off after `limit` bytes, so that
    /// shared nodes (YAML aliases) cannot make it grow without bound.
    pub fn canonical(&self, id: NodeId, limit: usize) -> String {
        let mut out = String::new();
        self.write_canonical(id, limit, &mut out);
        out
    }

    fn write_canonical(&self, id: NodeId, limit: usize, out: &mut String) {
        if out.len() > limit {
            return;
        }
        match self.value(id) {
            Value::Null => out.push_str("null"),
            Value::Bool(true) => out.push_str("true"),
            Value::Bool(false) => out.push_str("false"),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::Text(text) => out.push_str(&quoted(text)),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    self.write_canonical(*item, limit, out);
                }
                out.push(']');
            }
            Value::Map(entries) => {
                out.push('{');
                for (i, entry) in entries.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    out.push_str(&quoted(&entry.key));
                    out.push(':');
                    self.write_canonical(entry.value, limit, out);
                }
                out.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Puts nodes into a tree.
#[derive(Debug, Default)]
struct Builder {
    nodes: Vec<Node>,
}

impl Builder {
    fn push(&mut self, mark: Mark, value: Value) -> NodeId {
        let id = NodeId(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        self.nodes.push(Node { mark, value });
        id
    }

    fn map(&mut self, mark: Mark, mut entries: Vec<Entry>) -> NodeId {
        // Stable: of equal keys the last one stays last.
        entries.sort_by(|a, b| a.key.cmp(&b.key));
        let mut unique: Vec<Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            match unique.last_mut() {
                Some(last) if last.key == entry.key => *last = entry,
                _ => unique.push(entry),
            }
        }
        self.push(mark, Value::Map(unique))
    }

    fn finish(self, root: NodeId) -> Tree {
        Tree { nodes: self.nodes, root }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Tree {
        Tree::parse("a.yaml", text).unwrap()
    }

    #[test]
    fn json_and_yaml_are_the_same_tree() {
        let json = tree("{\"b\": [1, 2.50, null, true, \"x\\u00e9\"], \"a\": {}}");
        let yaml = tree("a: {}\nb:\n  - 1\n  - 2.5\n  - ~\n  - true\n  - xé\n");
        let limit = 1000;
        assert_eq!(json.canonical(json.root(), limit), yaml.canonical(yaml.root(), limit));
        assert_eq!(json.canonical(json.root(), limit), r#"{"a":{},"b":[1,2.5,null,true,"xé"]}"#);
    }

    #[test]
    fn places_are_those_of_the_keys() {
        for (text, line, column) in [
            ("a:\n  é: {x: 1}\n", 2, 6),
            ("{\"a\":\n  {\"é\": {\"x\": 1}}}", 2, 9),
            ("a:\r\n  b: {x: 1}", 2, 6),
        ] {
            let tree = tree(text);
            let inner = tree.entries(tree.get(tree.root(), "a").unwrap())[0].value;
            assert_eq!(tree.entry(inner, "x").unwrap().mark, Mark { line, column: column + 1 }, "{text:?}");
            assert_eq!(tree.mark(inner), Mark { line, column }, "{text:?}");
        }
    }

    #[test]
    fn scalars_follow_yaml_1_2() {
        let tree =
            tree("[yes, 0x10, 0o7, 1e3, .5, -3, '1', \"2\", !!str 5, True, ~, 007, 1_000, .inf, 2020-01-01]");
        assert_eq!(
            tree.canonical(tree.root(), 1000),
            r#"["yes",16,7,1000,0.5,-3,"1","2","5",true,null,7,"1_000",".inf","2020-01-01"]"#
        );
    }

    #[test]
    fn aliases_share_and_merge_keys_merge() {
        let tree = tree("a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  y: 3\n200: ok\n");
        assert_eq!(
            tree.canonical(tree.root(), 1000),
            r#"{"200":"ok","a":{"x":1,"y":2},"b":{"x":1,"y":2},"c":{"x":1,"y":3}}"#
        );
    }

    #[test]
    fn what_cannot_be_read_says_where() {
        for (name, text, line) in [
            ("a.json", "{\"a\":\n 1,}", 2),
            ("a.yaml", "a: 1\nb: [1\n", 3),
            ("a.yaml", "a: *nope\n", 1),
            ("a.yaml", "a: 1\n  b: 2\n", 2),
        ] {
            let fault = Tree::parse(name, text).unwrap_err();
            assert_eq!(fault.place.as_ref().map(|p| p.line), Some(line), "{text:?}: {fault}");
        }
        let deep = "[".repeat(250) + &"]".repeat(250);
        assert_eq!(Tree::parse("a.yaml", &deep).unwrap_err().code, "contract-too-large");
        let deep = (0..250).fold(String::new(), |text, depth| text + &" ".repeat(depth) + "a:\n");
        assert_eq!(Tree::parse("a.yaml", &deep).unwrap_err().code, "contract-too-large");
        let deep = "{\"a\":".repeat(5000) + "1" + &"}".repeat(5000);
        assert_eq!(Tree::parse("a.json", &deep).unwrap_err().code, "contract-too-large");
        let bomb = (0..40).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
            text + &format!("a{}: &a{} [*a{i}, *a{i}]\n", i + 1, i + 1)
        });
        let tree = Tree::parse("a.yaml", &bomb).unwrap();
        assert!(tree.canonical(tree.root(), 4000).len() < 100_000);
    }

    #[test]
    fn pointers_find() {
        let tree = tree("paths: {/a: {b: [1, {c: 2}]}}");
        let found = tree.pointer("/paths/~1a/b/1/c").unwrap();
        assert_eq!(tree.canonical(found, 10), "2");
        assert!(tree.pointer("/paths/b").is_none());
        assert_eq!(tree.pointer(""), Some(tree.root()));
    }
}
