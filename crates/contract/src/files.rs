//! The files of a contract, each read once.

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::fault::{Fault, Place};
use crate::tree::{Entry, MAX_BYTES, Mark, NodeId, Tree, Value};

/// A contract has no more files than this.
const MAX_FILES: usize = 256;

/// Where the text of files comes from.
pub trait Files {
    /// The text of a file.
    ///
    /// # Errors
    /// It is not there, cannot be read, is too long, or is not UTF-8.
    fn read(&self, path: &Path) -> io::Result<String>;
}

/// The file system. Only regular files are read, and none longer than 32 MB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        let file = std::fs::File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut text = String::new();
        file.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
        Ok(text)
    }
}

/// Files in memory, for tests and for contracts kept elsewhere.
impl Files for HashMap<PathBuf, String> {
    fn read(&self, path: &Path) -> io::Result<String> {
        self.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// A node in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct At {
    pub file: u32,
    pub node: NodeId,
}

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A node.
    At(At),
    /// Nothing that can be looked at: another host, a missing file, a missing part.
    Lost(Box<str>),
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    name: Arc<str>,
    tree: Tree,
}

/// The documents of a contract.
#[derive(Debug, Default)]
pub struct Docs {
    files: Vec<File>,
}

/// All the files read so far, and what reads more.
pub struct Set<'f> {
    docs: Docs,
    source: &'f dyn Files,
    by_path: HashMap<PathBuf, Option<u32>>,
    /// References seen, by file and text.
    resolved: HashMap<(u32, Box<str>), Target>,
    /// What could not be followed, each once.
    pub lost: Vec<(Place, String)>,
}

impl Docs {
    pub fn root(&self) -> At {
        At { file: 0, node: self.files[0].tree.root() }
    }

    fn tree(&self, at: At) -> &Tree {
        &self.files[at.file as usize].tree
    }

    pub fn value(&self, at: At) -> &Value {
        self.tree(at).value(at.node)
    }

    pub fn get(&self, at: At, key: &str) -> Option<At> {
        self.tree(at).get(at.node, key).map(|node| At { node, ..at })
    }

    pub fn has(&self, at: At, key: &str) -> bool {
        self.tree(at).get(at.node, key).is_some()
    }

    pub fn entries(&self, at: At) -> &[Entry] {
        self.tree(at).entries(at.node)
    }

    pub fn items(&self, at: At) -> impl Iterator<Item = At> + '_ {
        self.tree(at).items(at.node).iter().map(move |node| At { node: *node, ..at })
    }

    pub fn text(&self, at: At) -> Option<&str> {
        self.tree(at).text(at.node)
    }

    pub fn text_of(&self, at: At, key: &str) -> Option<&str> {
        self.tree(at).text_of(at.node, key)
    }

    pub fn flag(&self, at: At, key: &str) -> bool {
        self.tree(at).flag(at.node, key)
    }

    pub fn canonical(&self, at: At) -> String {
        self.tree(at).canonical(at.node, 4096)
    }

    pub fn place(&self, at: At) -> Place {
        self.place_of(at.file, self.tree(at).mark(at.node))
    }

    /// Where the key of an entry stands; the map itself when it has no such key.
    pub fn place_of_key(&self, at: At, key: &str) -> Place {
        match self.tree(at).entry(at.node, key) {
            Some(entry) => self.place_of(at.file, entry.mark),
            None => self.place(at),
        }
    }

    pub fn place_of(&self, file: u32, mark: Mark) -> Place {
        Place { file: self.files[file as usize].name.clone(), line: mark.line, column: mark.column }
    }

    /// Where a keyword of a schema stands: in the first of its parts that has it, else where the schema begins.
    pub fn place_in(&self, parts: &[At], keys: &[&str]) -> Option<Place> {
        let found = parts.iter().find_map(|part| {
            let (last, path) = keys.split_last()?;
            let mut at = *part;
            for key in path {
                at = self.get(at, key)?;
            }
            self.has(at, last).then(|| self.place_of_key(at, last))
        });
        found.or_else(|| parts.first().map(|part| self.place(*part)))
    }
}

impl Deref for Set<'_> {
    type Target = Docs;

    fn deref(&self) -> &Docs {
        &self.docs
    }
}

impl<'f> Set<'f> {
    pub fn open(source: &'f dyn Files, path: &Path) -> Result<Self, Fault> {
        let mut set = Self {
            docs: Docs::default(),
            source,
            by_path: HashMap::new(),
            resolved: HashMap::new(),
            lost: Vec::new(),
        };
        let text = source.read(path).map_err(|error| Fault::unreadable(path, &error))?;
        set.add(path, &text)?;
        Ok(set)
    }

    fn add(&mut self, path: &Path, text: &str) -> Result<u32, Fault> {
        let name = path.display().to_string();
        let tree = Tree::parse(&name, text)?;
        let id = u32::try_from(self.docs.files.len()).unwrap_or(u32::MAX);
        self.docs.files.push(File { path: path.to_owned(), name: name.into(), tree });
        self.by_path.insert(normal(path), Some(id));
        Ok(id)
    }

    /// The documents alone.
    pub fn into_docs(self) -> Docs {
        self.docs
    }

    /// Follows `$ref`s until something else is reached. `None` for what is lost, or a chain that ends in itself.
    pub fn follow(&mut self, mut at: At) -> Option<At> {
        for _ in 0..64 {
            let Some(reference) = self.text_of(at, "$ref") else { return Some(at) };
            let reference = reference.to_owned();
            match self.resolve(at, &reference) {
                Target::At(next) => at = next,
                Target::Lost(_) => return None,
            }
        }
        None
    }

    /// What a reference that stands at `at` leads to.
    pub fn resolve(&mut self, at: At, reference: &str) -> Target {
        let key = (at.file, Box::from(reference));
        if let Some(target) = self.resolved.get(&key) {
            return target.clone();
        }
        let target = match self.look_up(at.file, reference) {
            Ok(found) => Target::At(found),
            Err(why) => {
                self.lost.push((
                    self.place_of_key(at, "$ref"),
                    format!("`{reference}` cannot be followed: {why}"),
                ));
                Target::Lost(reference.into())
            }
        };
        self.resolved.insert(key, target.clone());
        target
    }

    fn look_up(&mut self, file: u32, reference: &str) -> Result<At, String> {
        let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let file = if path.is_empty() { file } else { self.other(file, path)? };
        let pointer = percent_decoded(fragment);
        let tree = &self.files[file as usize].tree;
        let node = tree.pointer(&pointer).ok_or_else(|| "there is no such part".to_owned())?;
        Ok(At { file, node })
    }

    fn other(&mut self, from: u32, relative: &str) -> Result<u32, String> {
        if relative.contains("://") {
            return Err("it is not in a file".to_owned());
        }
        let folder = self.files[from as usize].path.parent().unwrap_or(Path::new(""));
        let path = normal(&folder.join(percent_decoded(relative)));
        if let Some(known) = self.by_path.get(&path) {
            return known.ok_or_else(|| format!("{} cannot be read", path.display()));
        }
        if self.files.len() >= MAX_FILES {
            return Err(format!("more than {MAX_FILES} files"));
        }
        let text = self.source.read(&path).map_err(|error| error.to_string());
        let added = text.and_then(|text| self.add(&path, &text).map_err(|fault| fault.to_string()));
        if added.is_err() {
            self.by_path.insert(path, None);
        }
        added
    }
}

/// Without `.` and, where it can be told from the text alone, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// RFC 3986, 2.1; what is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_lead_across_files() {
        let files: HashMap<PathBuf, String> = [
            ("api/a.yaml", "x: {$ref: 'parts/b.yaml#/s'}\ny: {$ref: '#/y'}\nz: {$ref: 'http://h/x'}\n'a b': 1\nw: {$ref: '#/a%20b'}"),
            ("api/parts/b.yaml", "s: {$ref: '../a.yaml#/deep'}"),
        ]
        .map(|(path, text)| (PathBuf::from(path), text.to_owned()))
        .into();
        let mut set = Set::open(&files, Path::new("api/a.yaml")).unwrap();
        let root = set.root();
        let to = |set: &mut Set<'_>, key: &str| {
            let at = set.get(root, key).unwrap();
            set.follow(at)
        };
        assert_eq!(to(&mut set, "x"), None);
        assert_eq!(to(&mut set, "y"), None);
        assert_eq!(to(&mut set, "z"), None);
        let space = to(&mut set, "w").unwrap();
        assert_eq!(set.canonical(space), "1");
        let lost: Vec<_> = set.lost.iter().map(|(place, what)| format!("{place} {what}")).collect();
        assert_eq!(
            lost,
            [
                "api/parts/b.yaml:1:5 `../a.yaml#/deep` cannot be followed: there is no such part",
                "api/a.yaml:3:5 `http://h/x` cannot be followed: it is not in a file",
            ]
        );
    }
}
