//! Unix sockets at paths of any length.
//!
//! The kernel's address holds 107 bytes of path, less than many project folders are deep. A longer one is
//! reached through an open descriptor of its folder: `/proc/self/fd/<n>/<name>`.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixStream;

const LONGEST: usize = 107;

/// A bound socket. Holds the lock that keeps a second process off, and removes the socket's file when dropped.
#[derive(Debug)]
pub struct Bound {
    listener: UnixListener,
    path: PathBuf,
    /// None where the path is this process's alone.
    lock: Option<File>,
    /// Somebody else has the path now.
    left: bool,
}

impl Deref for Bound {
    type Target = UnixListener;
    fn deref(&self) -> &UnixListener {
        &self.listener
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if !self.left {
            // Where it is gone already, all is well.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Bound {
    /// The socket and its lock as they came from another process: the lock goes with the file, not with who opened it.
    pub(crate) fn inherited(path: PathBuf, listener: UnixListener, lock: File) -> Self {
        Self { listener, path, lock: Some(lock), left: false }
    }

    /// What another process needs to be in this one's place: the socket, and the lock.
    pub(crate) fn files(&self) -> Option<[BorrowedFd<'_>; 2]> {
        Some([self.listener.as_fd(), self.lock.as_ref()?.as_fd()])
    }

    /// Gives the path up to whom the files were passed.
    pub(crate) fn leave(mut self) {
        self.left = true;
    }
}

/// Listens at `path`, for this user alone (mode 0600), in place of a socket that a dead process left.
///
/// A lock on the file `<path>.lock` decides whose the path is; it ends with the process. The listener does not block.
///
/// # Errors
/// `AddrInUse` if a living process has the path; else what the system reports.
pub fn bind(path: &Path) -> io::Result<Bound> {
    let lock = lock(path)?;
    Ok(Bound { listener: listen(path)?, path: path.to_owned(), lock: Some(lock), left: false })
}

/// Listens at [`own`]`(path, this process)`. No lock: nobody else has this process's id.
pub(crate) fn bind_own(path: &Path) -> io::Result<Bound> {
    let path = own(path, std::process::id());
    Ok(Bound { listener: listen(&path)?, path, lock: None, left: false })
}

/// Where the data plane `pid` is asked while another one has `path`: before it leads, and once it is retired.
pub fn own(path: &Path, pid: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{pid}"));
    name.into()
}

/// Every socket beside `path` that [`own`] gives, those of dead processes included.
pub fn others(path: &Path) -> Vec<PathBuf> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return vec![] };
    let is_own = |entry: &Path| {
        let number = entry.file_name().and_then(|n| n.as_bytes().strip_prefix(name.as_bytes()));
        number.and_then(|n| n.strip_prefix(b".")).is_some_and(|n| n.iter().all(u8::is_ascii_digit))
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| is_own(path)).collect()
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let address = Address::of(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before the bind: on Linux the file is created with this mode, so there is no moment at which others may connect.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(&address.path)?)?;
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    socket.listen(16)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects to the socket at `path`.
///
/// # Errors
/// What the system reports: `NotFound` or `ConnectionRefused` where nobody listens.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = Address::of(path)?;
    UnixStream::connect(&address.path).await
}

fn lock(path: &Path) -> io::Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(name)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another process listens at {}", path.display()),
        )),
        Err(error) => Err(error.into()),
    }
}

/// A path that fits, and the descriptor it may lean on.
struct Address {
    path: PathBuf,
    _folder: Option<OwnedFd>,
}

impl Address {
    fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _folder: None });
        }
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a socket's path needs a file name"));
        };
        let folder =
            rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
        Ok(Self { path, _folder: Some(folder) })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn long_paths_work_are_private_and_exclusive() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a".repeat(100)).join("b".repeat(100));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("control.sock");
        assert!(path.as_os_str().len() > 200);

        let bound = bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        connect(&path).await.unwrap();
        bound.accept().unwrap();

        drop(bound);
        assert!(!path.exists());
        assert_eq!(connect(&path).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn a_dead_process_socket_is_replaced() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("control.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _bound = bind(&path).unwrap();
        connect(&path).await.unwrap();
    }

    #[test]
    fn the_sockets_of_others_are_found_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("proxy.sock");
        let main = bind(&path).unwrap();
        assert_eq!(others(&path), Vec::<PathBuf>::new());
        let mine = bind_own(&path).unwrap();
        assert_eq!(others(&path), [own(&path, std::process::id())]);
        drop(mine);
        assert_eq!(others(&path), Vec::<PathBuf>::new());
        let (listener, lock) =
            (main.listener.try_clone().unwrap(), main.lock.as_ref().unwrap().try_clone().unwrap());
        let successor = Bound::inherited(path.clone(), listener, lock);
        main.leave();
        assert!(path.exists());
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse, "the lock has gone over");
        drop(successor);
        assert!(!path.exists());
        bind(&path).unwrap();
    }
}
