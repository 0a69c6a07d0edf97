//! The files that somebody works on, and which of them have another content than before.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ignore::WalkBuilder;

/// Never looked into.
const SKIPPED: [&str; 2] = [".git", ".isles"];
/// Of larger files only the time of the last change counts: they are hardly written by hand.
const LARGEST: u64 = 4 * 1024 * 1024;

/// Everything below some paths that git would track, without what `.gitignore` excludes.
#[derive(Debug, Default)]
pub struct Tree {
    roots: Vec<PathBuf>,
    files: HashMap<PathBuf, Stamp>,
    folders: BTreeSet<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// What tells contents apart; none where that is not looked at.
    content: Option<u64>,
}

impl Tree {
    /// Reads what is there now. A root that does not exist yet is one without files.
    pub fn read(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut tree = Self { roots: roots.into_iter().collect(), ..Self::default() };
        tree.refresh();
        tree
    }

    /// Looks at other roots. What was known of a file stays known, so that a change which was not looked at yet is still
    /// found; what was not looked at before has not changed.
    pub fn follow(&mut self, roots: impl IntoIterator<Item = PathBuf>) {
        let other = Self::read(roots);
        let Self { roots: before, files: known, .. } = std::mem::replace(self, other);
        let below = |roots: &[PathBuf], path: &Path| roots.iter().any(|root| path.starts_with(root));
        self.files.retain(|path, _| !below(&before, path));
        self.files.extend(known.into_iter().filter(|(path, _)| below(&self.roots, path)));
    }

    /// Every folder in which something may happen that counts.
    pub fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// Looks again: the files that came, went, or have another content. A file that was only saved has not changed, nor
    /// has one that a build has written as it was.
    pub fn refresh(&mut self) -> BTreeSet<PathBuf> {
        let (found, folders) = list(&self.roots);
        self.folders = folders;
        let mut changed = BTreeSet::new();
        self.files.retain(|path, _| {
            let stays = found.contains_key(path);
            if !stays {
                changed.insert(path.clone());
            }
            stays
        });
        for (path, (modified, length)) in found {
            let known = self.files.get(&path);
            if known.is_some_and(|stamp| (stamp.modified, stamp.length) == (modified, length)) {
                continue;
            }
            let content = (length <= LARGEST).then(|| hash(&path).ok()).flatten();
            let same = content.is_some() && known.is_some_and(|stamp| stamp.content == content);
            if !same {
                changed.insert(path.clone());
            }
            self.files.insert(path, Stamp { modified, length, content });
        }
        changed
    }
}

type Found = BTreeMap<PathBuf, (Option<SystemTime>, u64)>;

fn list(roots: &[PathBuf]) -> (Found, BTreeSet<PathBuf>) {
    let (mut files, mut folders) = (Found::new(), BTreeSet::new());
    for root in roots {
        // A file is mostly replaced by another one of its name, which only its folder tells.
        let above = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
        folders.insert(above.to_owned());
        let walk = WalkBuilder::new(root)
            .hidden(false)
            .require_git(false)
            .filter_entry(|e| !is_skipped(e.path()))
            .build();
        // What cannot be read or vanished meanwhile is not there.
        for entry in walk.flatten() {
            let path = entry.path().to_owned();
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_dir() {
                folders.insert(path);
            } else if metadata.is_file() {
                files.insert(path, (metadata.modified().ok(), metadata.len()));
            }
        }
    }
    (files, folders)
}

fn is_skipped(path: &Path) -> bool {
    path.file_name().is_some_and(|name| SKIPPED.iter().any(|skipped| name == *skipped))
}

fn hash(path: &Path) -> io::Result<u64> {
    let mut sum = Sum(DefaultHasher::new());
    io::copy(&mut File::open(path)?, &mut sum)?;
    Ok(sum.0.finish())
}

struct Sum(DefaultHasher);

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_another_content_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        };
        write(".gitignore", "*.log\nbuilt/\n");
        write("src/a.py", "a");
        write("src/b.py", "b");
        let mut tree = Tree::read([root.to_owned(), root.join("not-there")]);
        let mut changed = || {
            let found =
                tree.refresh().into_iter().map(|p| p.strip_prefix(root).unwrap().display().to_string());
            found.collect::<Vec<_>>()
        };
        assert!(changed().is_empty());
        write("src/a.py", "other");
        write("src/b.py", "b");
        write("run.log", "x");
        write("built/a.pyc", "x");
        write(".isles/state", "x");
        assert_eq!(changed(), ["src/a.py"]);
        write("src/new/c.py", "c");
        fs::remove_file(root.join("src/b.py")).unwrap();
        assert_eq!(changed(), ["src/b.py", "src/new/c.py"]);
        assert!(changed().is_empty());
        assert!(
            tree.folders().contains(&root.join("src/new")) && !tree.folders().contains(&root.join("built"))
        );
    }

    #[test]
    fn other_roots_lose_no_change_that_was_not_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        for root in [&a, &b, &c] {
            fs::create_dir(root).unwrap();
            fs::write(root.join("x"), "1").unwrap();
        }
        let mut tree = Tree::read([a.clone(), b.clone()]);
        fs::write(b.join("x"), "other").unwrap();
        fs::write(b.join("y"), "new").unwrap();
        tree.follow([b.clone(), c.clone()]);
        assert_eq!(tree.refresh(), BTreeSet::from([b.join("x"), b.join("y")]));
        fs::write(c.join("x"), "other").unwrap();
        assert_eq!(tree.refresh(), BTreeSet::from([c.join("x")]));
    }

    #[test]
    fn a_root_may_be_a_file_and_come_later() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("main.py");
        let mut tree = Tree::read([file.clone()]);
        assert!(tree.folders().contains(folder.path()));
        fs::write(&file, "a").unwrap();
        assert_eq!(tree.refresh(), BTreeSet::from([file]));
    }
}
