//! The admin socket's file: made so that only its owner can ever open it, and reachable however deep its folder is.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use tokio::net::{UnixListener, UnixStream};

/// The longest path that fits into a `sockaddr_un` of every system: 104 bytes on the BSDs, 108 on Linux, with the
/// NUL at the end.
const LONGEST: usize = 103;

/// Listens at `path`, mode 0600 from the first moment, in place of a socket file that nobody listens on any more.
///
/// Must be called in a tokio runtime.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] when somebody listens there; else what the system says.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if is_listening(path)? {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // A socket file gets its mode from the umask, so it is born in a folder that nobody else can enter, and moves
    // to its place only when its mode is right. The move also replaces a dead socket without a moment of absence.
    let cradle = Cradle::new(path)?;
    let born = cradle.0.join("s");
    let listener = std::os::unix::net::UnixListener::bind(Reachable::new(&born)?.path())?;
    fs::set_permissions(&born, fs::Permissions::from_mode(0o600))?;
    fs::rename(&born, path)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Connects to the socket at `path`.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] or [`io::ErrorKind::ConnectionRefused`] when nobody listens there; else what the
/// system says.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let reachable = Reachable::new(path)?;
    UnixStream::connect(reachable.path()).await
}

/// Whether somebody accepts connections at `path`.
///
/// # Errors
/// What the system says when that cannot be found out, for example for want of permission.
pub fn is_listening(path: &Path) -> io::Result<bool> {
    let attempt = Reachable::new(path).and_then(|r| std::os::unix::net::UnixStream::connect(r.path()));
    match attempt {
        Ok(_) => Ok(true),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => Ok(false),
        Err(e) => Err(e),
    }
}

/// A private folder beside the socket, gone when dropped.
struct Cradle(PathBuf);

impl Cradle {
    fn new(socket: &Path) -> io::Result<Self> {
        let folder = socket.with_extension(format!("{}.tmp", std::process::id()));
        // Left by a process of the same number that was killed in the middle of this.
        let _ = fs::remove_dir_all(&folder);
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        // The umask may have taken the owner's own bits away.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700))?;
        Ok(Self(folder))
    }
}

impl Drop for Cradle {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A path short enough for a socket address, valid while this lives.
struct Reachable {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl Reachable {
    fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(parent, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(root: &Path) -> PathBuf {
        let folder = root.join("d".repeat(90)).join("e".repeat(90));
        fs::create_dir_all(&folder).unwrap();
        folder.join("control.sock")
    }

    #[tokio::test]
    async fn it_is_private_and_reachable_in_short_and_long_paths() {
        let root = tempfile::tempdir().unwrap();
        for path in [root.path().join("control.sock"), deep(root.path())] {
            let listener = bind(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            let (connected, accepted) = tokio::join!(connect(&path), listener.accept());
            assert!(connected.is_ok() && accepted.is_ok(), "{}", path.display());
            let left: Vec<_> =
                fs::read_dir(path.parent().unwrap()).unwrap().flatten().map(|e| e.file_name()).collect();
            assert!(!left.iter().any(|n| n.to_string_lossy().ends_with(".tmp")), "{left:?}");
        }
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("control.sock");
        drop(bind(&path).unwrap());
        assert!(path.exists() && !is_listening(&path).unwrap());
        let _alive = bind(&path).unwrap();
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert!(connect(&path).await.is_ok());
    }
}
