//! Reads and compiles `.proto` files.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use super::Protos;
use crate::fault::{Fault, Place};
use crate::files::Files;
use crate::tree::MAX_BYTES;

/// A contract has no more files than this, and imports are looked for no further up than this.
const MAX_FILES: usize = 256;
const MAX_UP: usize = 8;

/// Whether a path is one of `.proto` files: one, or a folder of them.
pub fn is_proto(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("proto")) || path.is_dir()
}

/// Reads a file and what it imports, or all files of a folder.
pub fn read(files: &dyn Files, path: &Path) -> Result<Protos, Fault> {
    if path.is_dir() {
        let mut found = Vec::new();
        gather(path, path, 0, &mut found).map_err(|error| Fault::unreadable(path, &error))?;
        if found.is_empty() {
            let name = path.display().to_string();
            return Err(Fault::unknown_format(&name, "there is no .proto file in this folder"));
        }
        return match texts(files, path, &found)? {
            Ok(texts) => compile(path, &found, texts),
            Err(missing) => Err(Fault::proto(missing, None)),
        };
    }
    // Imports are written from a root that nobody names: the nearest folder above from which all of them are found.
    let mut first = None;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut root = folder.to_owned();
    for _ in 0..MAX_UP {
        let name = path.strip_prefix(&root).unwrap_or(path).to_string_lossy().replace('\\', "/");
        match texts(files, &root, std::slice::from_ref(&name))? {
            Ok(texts) => return compile(&root, &[name], texts),
            Err(missing) => first = first.or(Some(missing)),
        }
        if !root.pop() {
            break;
        }
    }
    Err(Fault::proto(first.unwrap_or_default(), None))
}

/// All `.proto` files below a folder, as they are imported.
fn gather(root: &Path, folder: &Path, depth: usize, found: &mut Vec<String>) -> std::io::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() && depth < 16 && !path.is_symlink() {
            gather(root, &path, depth + 1, found)?;
        } else if path.extension().is_some_and(|e| e == "proto") {
            let name = path.strip_prefix(root).unwrap_or(&path);
            found.push(name.to_string_lossy().replace('\\', "/"));
        }
        if found.len() > MAX_FILES {
            return Err(std::io::Error::other(format!("there are more than {MAX_FILES} .proto files")));
        }
    }
    Ok(())
}

/// The texts of files and of all that they import; or which import is not there.
fn texts(
    files: &dyn Files,
    root: &Path,
    names: &[String],
) -> Result<Result<BTreeMap<String, String>, String>, Fault> {
    let mut texts = BTreeMap::new();
    let mut todo: Vec<(String, Option<String>)> = names.iter().map(|name| (name.clone(), None)).collect();
    while let Some((name, importer)) = todo.pop() {
        if texts.contains_key(&name) {
            continue;
        }
        let path = root.join(&name);
        let text = match files.read(&path) {
            Ok(text) => text,
            Err(_) if GoogleFileResolver::new().open_file(&name).is_ok() => continue,
            Err(error) => match importer {
                Some(importer) => {
                    return Ok(Err(format!("{importer} imports {name}, which is not found: {error}")));
                }
                None => return Err(Fault::unreadable(&path, &error)),
            },
        };
        if text.len() > MAX_BYTES || texts.len() >= MAX_FILES {
            return Err(Fault::too_large(&name, "too many imports, or too long a file"));
        }
        let file = File::from_source(&name, &text).map_err(|error| fault(&error, root, &text))?;
        let imports = &file.file_descriptor_proto().dependency;
        todo.extend(imports.iter().map(|import| (import.clone(), Some(name.clone()))));
        texts.insert(name, text);
    }
    Ok(Ok(texts))
}

/// Files in memory, by how they are imported.
struct Texts(BTreeMap<String, String>);

impl FileResolver for Texts {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.get(name) {
            Some(text) => File::from_source(name, text),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

fn compile(root: &Path, names: &[String], texts: BTreeMap<String, String>) -> Result<Protos, Fault> {
    let shown: HashMap<String, String> =
        texts.keys().map(|name| (name.clone(), root.join(name).display().to_string())).collect();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Texts(texts.clone()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_source_info(true).include_imports(true);
    for name in names {
        compiler.open_file(name).map_err(|error| {
            let text = error.file().and_then(|file| texts.get(file)).map_or("", String::as_str);
            fault(&error, root, text)
        })?;
    }
    Ok(Protos { pool: compiler.descriptor_pool(), names: shown })
}

fn fault(error: &protox::Error, root: &Path, text: &str) -> Fault {
    let file = error.file().map(|file| root.join(file).display().to_string());
    let offset = offset(error);
    let place = file.map(|file| {
        let before = offset.and_then(|offset| text.get(..offset)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file: file.as_str().into(), line: number(line), column: number(column) }
    });
    Fault::proto(format!("this cannot be compiled: {error}"), place)
}

/// Where in its file an error is.
fn offset(error: &protox::Error) -> Option<usize> {
    use miette::Diagnostic;
    error.labels()?.next().map(|label| label.offset())
}
