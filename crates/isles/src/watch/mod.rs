//! Waits until somebody has changed the manifest or a service's files.
//!
//! What the kernel tells only says that something may have happened: what has changed is found by looking. So an event
//! that is lost in a crowd of others, or told twice, does not matter.

mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::DesiredState;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::timeout;

use tree::Tree;

/// Who saves many files, or switches to another branch, is done when nothing has come for so long.
const QUIET: Duration = Duration::from_millis(100);
/// So many times the quiet is waited for.
const PATIENCE: u32 = 30;
/// How often files are looked at where the kernel does not tell of changes.
const LOOK: Duration = Duration::from_secs(1);

/// What has changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// The manifest.
    pub manifest: bool,
    /// Services, by name.
    pub services: BTreeSet<String>,
    /// Every file.
    pub files: BTreeSet<PathBuf>,
}

impl Changed {
    /// Adds what changed after it.
    pub fn extend(&mut self, other: Self) {
        self.manifest |= other.manifest;
        self.services.extend(other.services);
        self.files.extend(other.files);
    }
}

/// Watches the files of an app.
#[derive(Debug)]
pub struct Watcher {
    manifest: PathBuf,
    services: BTreeMap<String, Vec<PathBuf>>,
    tree: Tree,
    /// None where changes cannot be told.
    events: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    told: Arc<Notify>,
    /// Whether something was told that was not looked at yet.
    due: bool,
}

impl Watcher {
    /// Changes from now on.
    pub fn new(manifest: &Path, desired: &DesiredState) -> Self {
        let told = Arc::new(Notify::new());
        let tell = told.clone();
        let events = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Reading is no change, and this reads.
            if !matches!(event, Ok(Event { kind: EventKind::Access(_), .. })) {
                tell.notify_one();
            }
        });
        let events = events.inspect_err(without).ok();
        let mut watcher = Self {
            manifest: manifest.to_owned(),
            services: BTreeMap::new(),
            tree: Tree::default(),
            events,
            watched: BTreeSet::new(),
            told,
            due: false,
        };
        watcher.follow(desired);
        watcher
    }

    /// Watches what another declaration of the app is made of. What is as it was remains known.
    pub fn follow(&mut self, desired: &DesiredState) {
        let roots = |service: &model::ServiceSpec| match service.watch.as_slice() {
            [] => service.contract.iter().cloned().chain([service.dir.clone()]).collect(),
            watch => watch.to_vec(),
        };
        self.services = desired.services.values().map(|s| (s.name.to_string(), roots(s))).collect();
        let all: BTreeSet<_> = self.services.values().flatten().chain([&self.manifest]).cloned().collect();
        self.tree.follow(all);
        self.watch_folders();
        // Something may have happened in a folder before it was watched.
        self.due = true;
    }

    /// Waits for the next change. Nothing is lost between two calls, nor where one is given up.
    pub async fn next(&mut self) -> Changed {
        loop {
            if self.events.is_some() {
                if !self.due {
                    self.told.notified().await;
                    self.due = true;
                }
                for _ in 0..PATIENCE {
                    if timeout(QUIET, self.told.notified()).await.is_err() {
                        break;
                    }
                }
            } else {
                tokio::time::sleep(LOOK).await;
            }
            self.due = false;
            let files = self.tree.refresh();
            self.watch_folders();
            let changed = self.sorted(files);
            if changed.manifest || !changed.services.is_empty() {
                return changed;
            }
        }
    }

    fn sorted(&self, files: BTreeSet<PathBuf>) -> Changed {
        let mut changed = Changed::default();
        for file in files {
            // A service whose folder the manifest is in does not consist of it.
            if file == self.manifest {
                changed.manifest = true;
            } else {
                let hit = |roots: &[PathBuf]| roots.iter().any(|root| file.starts_with(root));
                let services = self.services.iter().filter(|(_, roots)| hit(roots));
                changed.services.extend(services.map(|(name, _)| name.clone()));
            }
            changed.files.insert(file);
        }
        changed
    }

    fn watch_folders(&mut self) {
        let Some(events) = self.events.as_mut() else { return };
        let folders = self.tree.folders();
        for gone in self.watched.difference(folders) {
            // The kernel has forgotten a folder that was deleted.
            let _ = events.unwatch(gone);
        }
        let fresh = folders.difference(&self.watched);
        let failed =
            fresh.filter(|f| f.is_dir()).find_map(|f| events.watch(f, RecursiveMode::NonRecursive).err());
        self.watched = folders.iter().filter(|folder| folder.is_dir()).cloned().collect();
        // A folder that has just vanished is none to watch; anything else means that not all changes are told.
        if let Some(error) = failed.filter(|e| !matches!(e.kind, notify::ErrorKind::PathNotFound)) {
            without(&error);
            self.events = None;
        }
    }
}

fn without(error: &notify::Error) {
    tracing::warn!("changed files are not told by the system ({error}); they are looked for every second");
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn a_change_is_told_with_whom_it_concerns() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["web", "api"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let manifest = root.join("isles.toml");
        let text = "name = \"t\"\n[services.web]\ncommand = \"true\"\n[services.api]\ncommand = \"true\"\n";
        fs::write(&manifest, text).unwrap();
        let desired = manifest::load(&manifest).unwrap().desired;
        let mut watcher = Watcher::new(&manifest, &desired);

        fs::create_dir(root.join("web/src")).unwrap();
        fs::write(root.join("web/src/main.py"), "1").unwrap();
        let changed = watcher.next().await;
        assert_eq!((changed.manifest, changed.services), (false, BTreeSet::from(["web".to_owned()])));
        // In a folder that was not there at first.
        fs::write(root.join("web/src/main.py"), "2").unwrap();
        assert_eq!(watcher.next().await.files, BTreeSet::from([root.join("web/src/main.py")]));
        fs::write(&manifest, format!("{text}# new\n")).unwrap();
        let changed = watcher.next().await;
        assert_eq!((changed.manifest, changed.services.len()), (true, 0));

        // Where nothing is told, it is looked for.
        watcher.events = None;
        fs::write(root.join("api/main.py"), "1").unwrap();
        assert_eq!(watcher.next().await.services, BTreeSet::from(["api".to_owned()]));
    }
}
