//! Frames: a length of four bytes, big end first, then that many bytes of JSON.

use std::io;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest frame taken, in bytes: a table of some ten thousand endpoints.
pub(crate) const MAX_FRAME: usize = 16 * 1024 * 1024;

/// Reads one frame; `None` where the other side closed between two frames.
///
/// Errors: what the connection reports, and `InvalidData` for a frame that is too long or is not the JSON of a `T`.
pub(crate) async fn read<T: DeserializeOwned>(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    if from.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..]).await?;
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(invalid(format!("a frame of {length} bytes is longer than {MAX_FRAME}")));
    }
    // Grown as bytes come, so that a false length alone costs no memory.
    let mut body = Vec::new();
    let read = from.take(length as u64).read_to_end(&mut body).await?;
    if read < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_slice(&body).map(Some).map_err(|error| invalid(error.to_string()))
}

/// Writes one frame.
///
/// Errors: what the connection reports, and `InvalidData` for a message that is too long.
pub(crate) async fn write(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> io::Result<()> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(header) if length <= MAX_FRAME => frame[..4].copy_from_slice(&header.to_be_bytes()),
        _ => return Err(invalid(format!("a frame of {length} bytes is longer than {MAX_FRAME}"))),
    }
    to.write_all(&frame).await
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_message_round_trips() {
        let (mut a, mut b) = tokio::io::duplex(64);
        let sent = "x".repeat(1000);
        let writer = async {
            write(&mut a, &sent).await.unwrap();
            drop(a);
        };
        let reader = async {
            assert_eq!(read::<String>(&mut b).await.unwrap().as_deref(), Some(sent.as_str()));
            assert_eq!(read::<String>(&mut b).await.unwrap(), None);
        };
        tokio::join!(writer, reader);
    }

    #[tokio::test]
    async fn what_is_too_long_cut_short_or_not_json_is_an_error() {
        let kind = async |bytes: &[u8]| read::<String>(&mut &bytes[..]).await.unwrap_err().kind();
        assert_eq!(kind(&[0xff, 0xff, 0xff, 0xff, b'"']).await, io::ErrorKind::InvalidData);
        assert_eq!(kind(&[0, 0, 0, 9, b'"']).await, io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[0, 0]).await, io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[0, 0, 0, 1, b'{']).await, io::ErrorKind::InvalidData);
    }
}
