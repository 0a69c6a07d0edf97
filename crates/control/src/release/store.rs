//! Keeping releases: made whole or not at all, shared content kept once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use model::shapes::Shapes;
use model::{DesiredState, ReleaseId, ServiceName, ServiceSpec};

use super::content::{self, Content, Part};
use super::id::{self, Read};
use super::{Release, ReleaseError};

const ABOUT: &str = "release.json";
const TREE: &str = "tree";
/// What its contract says of requests and answers, for the data plane.
const SHAPES: &str = "shapes.json";

impl Release {
    /// Writes down what its contract says of requests and answers, and gives the file's path. Blocks.
    pub(crate) fn write_shapes(&self, shapes: &Shapes) -> io::Result<PathBuf> {
        let path = self.tree.with_file_name(SHAPES);
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec(shapes).map_err(io::Error::other)?)?;
        fs::rename(&new, &path)?;
        Ok(path)
    }
}

/// The store. Every method reads and writes files: call it where blocking is allowed.
#[derive(Debug, Clone)]
pub struct Releases {
    root: PathBuf,
}

impl Releases {
    /// The store in this folder, which is made when it is needed.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Keeps what the service would run now, and gives it; what is kept already is not written again.
    pub fn snapshot(
        &self,
        service: &ServiceSpec,
        desired: &DesiredState,
        now: u64,
    ) -> Result<Release, ReleaseError> {
        let content = content::content(service, desired)?;
        let (id, files) = id::identify(service, desired, &content)?;
        if let Ok(kept) = self.open(&service.name, &id) {
            return self.declared(kept, service);
        }
        let release = Release {
            made_at: now,
            spec: service.clone(),
            base: content.base.clone(),
            files: files.len() as u64,
            bytes: files.iter().map(|f| f.bytes).sum(),
            tree: self.folder(&service.name, &id).join(TREE),
            id,
        };
        self.write(&release, &content, &files)?;
        Ok(release)
    }

    /// What changes no release, such as how its health is asked, is as declared last.
    fn declared(&self, kept: Release, service: &ServiceSpec) -> Result<Release, ReleaseError> {
        if kept.spec == *service {
            return Ok(kept);
        }
        let kept = Release { spec: service.clone(), ..kept };
        let about = self.folder(&service.name, &kept.id).join(ABOUT);
        let new = about.with_extension("new");
        write_about(&kept, &new)?;
        fs::rename(&new, &about).map_err(unwritable(&about))?;
        Ok(kept)
    }

    /// Removes what was half made when a control plane was killed. Nothing may be made meanwhile.
    pub fn sweep(&self) {
        for service in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let entries = fs::read_dir(service.path()).into_iter().flatten().flatten();
            for half in entries.filter(|e| e.file_name().as_encoded_bytes().starts_with(b".")) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_dir_all(half.path());
            }
        }
    }

    /// A release that is kept.
    pub fn open(&self, service: &ServiceName, id: &ReleaseId) -> Result<Release, ReleaseError> {
        let folder = self.folder(service, id);
        let missing =
            |reason: String| ReleaseError::Missing { id: id.clone(), service: service.clone(), reason };
        let text = fs::read(folder.join(ABOUT)).map_err(|e| missing(e.to_string()))?;
        let release: Release = serde_json::from_slice(&text).map_err(|e| missing(e.to_string()))?;
        Ok(Release { tree: folder.join(TREE), ..release })
    }

    /// Every release of a service, the latest made first.
    pub fn list(&self, service: &ServiceName) -> Vec<Release> {
        let folders = fs::read_dir(self.root.join(service.as_str())).into_iter().flatten().flatten();
        let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
        let mut all: Vec<_> = names.filter_map(|id| self.open(service, &ReleaseId(id)).ok()).collect();
        all.sort_by_key(|release| std::cmp::Reverse(release.made_at));
        all
    }

    /// Removes the releases of a service that are not in `keep`, and content that nobody has any more. Gives how many
    /// releases went.
    pub fn prune(&self, service: &ServiceName, keep: &BTreeSet<ReleaseId>) -> io::Result<usize> {
        let mut gone = 0;
        for entry in fs::read_dir(self.root.join(service.as_str()))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && !keep.contains(&ReleaseId(name)) {
                fs::remove_dir_all(entry.path())?;
                gone += 1;
            }
        }
        if gone > 0 {
            for entry in fs::read_dir(self.objects())?.flatten() {
                // The last link is this one.
                if entry.metadata().is_ok_and(|m| m.nlink() == 1) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(gone)
    }

    fn folder(&self, service: &ServiceName, id: &ReleaseId) -> PathBuf {
        self.root.join(service.as_str()).join(&id.0)
    }

    fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Beside the others under a name that is nobody's, and in its place once it is whole and on the disk.
    fn write(&self, release: &Release, content: &Content, files: &[Read]) -> Result<(), ReleaseError> {
        let folder = self.folder(&release.spec.name, &release.id);
        let half = folder.with_file_name(format!(".{}-{:08x}", release.id, fastrand::u32(..)));
        let made = self.fill(&half, release, content, files).and_then(|new| {
            // What is there under this name was found to be no release.
            let _ = fs::remove_dir_all(&folder);
            fs::rename(&half, &folder).map_err(unwritable(&folder))?;
            Ok(new)
        });
        match made {
            Ok(new) => {
                for (object, place) in new {
                    // Only now, so that no object is there that a power cut has left half-written. It may be there already.
                    let _ = fs::hard_link(folder.join(TREE).join(place), self.objects().join(object));
                }
                Ok(())
            }
            Err(error) => {
                let _ = fs::remove_dir_all(&half);
                Err(error)
            }
        }
    }

    /// Gives the contents that the store did not have, each with a place where it is now.
    fn fill(
        &self,
        half: &Path,
        release: &Release,
        content: &Content,
        files: &[Read],
    ) -> Result<Vec<(String, PathBuf)>, ReleaseError> {
        let tree = half.join(TREE);
        let place = |path: &Path| path.strip_prefix(&content.base).unwrap_or(path).to_owned();
        for folder in [tree.join(place(&content::normal(&release.spec.dir))), self.objects()] {
            fs::create_dir_all(&folder).map_err(unwritable(&folder))?;
        }
        let mut new = Vec::new();
        for file in files {
            let to = tree.join(place(&file.path));
            make_room(&to)?;
            let object = self.objects().join(&file.object);
            if fs::hard_link(&object, &to).is_err() {
                copy(file, &to)?;
                new.push((file.object.clone(), place(&file.path)));
            }
        }
        for (path, part) in &content.parts {
            let Part::Link(target) = part else { continue };
            let to = tree.join(place(path));
            make_room(&to)?;
            symlink(leads_to(content, path, target), &to).map_err(unwritable(&to))?;
        }
        let about = half.join(ABOUT);
        write_about(release, &about)?;
        let disk = File::open(&about).and_then(|file| Ok(rustix::fs::syncfs(&file)?));
        disk.map_err(unwritable(&about))?;
        Ok(new)
    }
}

fn write_about(release: &Release, path: &Path) -> Result<(), ReleaseError> {
    let text = serde_json::to_vec_pretty(release).map_err(io::Error::other);
    text.and_then(|text| fs::write(path, text)).map_err(unwritable(path))
}

fn make_room(path: &Path) -> Result<(), ReleaseError> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(unwritable(folder))
}

/// A copy of its own, by reference where the file system can do that: a link to the source would change with it.
/// Nobody writes to it from then on: other releases may share it.
fn copy(file: &Read, to: &Path) -> Result<(), ReleaseError> {
    let unreadable = |source| ReleaseError::Unreadable { path: file.path.clone(), source };
    fs::copy(&file.path, to).map_err(unreadable)?;
    let modified = fs::metadata(&file.path).and_then(|m| m.modified()).map_err(unreadable)?;
    let copied = id::read(to).map_err(unwritable(to))?;
    if copied.object != file.object {
        return Err(ReleaseError::Changed(file.path.clone()));
    }
    let finish = || {
        // Compiled Python names the time of its source.
        File::options().write(true).open(to)?.set_modified(modified)?;
        let mode = if file.object.ends_with('x') { 0o555 } else { 0o444 };
        fs::set_permissions(to, fs::Permissions::from_mode(mode))
    };
    // A copy of what is read-only cannot be opened for writing: then its time stays that of the copy.
    match finish() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other.map_err(unwritable(to)),
    }
}

/// What the copy of a link leads to: the copy of its target where there is one, else the target itself.
fn leads_to(content: &Content, link: &Path, target: &Path) -> PathBuf {
    if !content.has(target) {
        return target.to_owned();
    }
    let folder = link.parent().unwrap_or(link);
    let shared = folder.components().zip(target.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| Path::new(".."));
    let down = target.components().skip(shared).map(|c| Path::new(c.as_os_str()));
    up.chain(down).collect()
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> ReleaseError + use<> {
    let path = path.to_owned();
    move |source| ReleaseError::Unwritable { path: path.clone(), source }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
