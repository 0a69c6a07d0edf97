//! Open files that go from one process to another over a Unix socket (`SCM_RIGHTS`, see unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Files in one message; the kernel takes 253 at most (`SCM_MAX_FD`).
const BATCH: usize = 64;
const SPACE: usize = rustix::cmsg_space!(ScmRights(BATCH));
/// What a message with files carries besides: a stream passes no files without a byte.
const MARK: &[u8] = b"f";

/// Sends `files` in order. They stay open here.
pub(crate) async fn send(stream: &UnixStream, files: &[BorrowedFd<'_>]) -> io::Result<()> {
    for batch in files.chunks(BATCH) {
        stream
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); SPACE];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !control.push(SendAncillaryMessage::ScmRights(batch)) {
                    return Err(io::Error::other("no room for the files of a message"));
                }
                sendmsg(stream, &[IoSlice::new(MARK)], &mut control, SendFlags::empty())?;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

/// Receives as many files, in the order in which they were sent.
///
/// Errors: what the system reports; `UnexpectedEof` if the other side closed, `InvalidData` if something else came.
pub(crate) async fn receive(stream: &UnixStream, count: usize) -> io::Result<Vec<OwnedFd>> {
    let mut files = Vec::new();
    while files.len() < count {
        let before = files.len();
        let read = stream.async_io(Interest::READABLE, || receive_some(stream, &mut files)).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if files.len() == before || files.len() > count {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "other files came than were announced"));
        }
    }
    Ok(files)
}

fn receive_some(stream: &UnixStream, files: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut mark = [0; MARK.len()];
    // A file that a child inherited would keep an address taken.
    #[cfg(target_os = "linux")]
    let flags = RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let flags = RecvFlags::empty();
    let read = recvmsg(stream, &mut [IoSliceMut::new(&mut mark)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            files.extend(received);
        }
    }
    Ok(read.bytes)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    use super::*;

    #[tokio::test]
    async fn files_arrive_in_order_however_many_there_are() {
        let (a, b) = UnixStream::pair().unwrap();
        let files: Vec<std::fs::File> = (0..150u8)
            .map(|n| {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[n]).unwrap();
                file.rewind().unwrap();
                file
            })
            .collect();
        let borrowed: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let (sent, received) = tokio::join!(send(&a, &borrowed), receive(&b, files.len()));
        sent.unwrap();
        for (n, file) in received.unwrap().into_iter().enumerate() {
            let mut content = Vec::new();
            std::fs::File::from(file).read_to_end(&mut content).unwrap();
            assert_eq!(content, [n as u8]);
        }
        drop(a);
        assert_eq!(receive(&b, 1).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
