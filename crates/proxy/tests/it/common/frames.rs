//! HTTP/2 as bytes: frames and header blocks as a client that keeps to no rule would write them (RFC 9113, RFC 7541).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A header block of literals that are not indexed and not compressed.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let string = |text: &str, bytes: &mut Vec<u8>| {
        // A prefix of seven bits holds lengths below 127.
        bytes.push(u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("short"));
        // A character of the table is a byte on the wire.
        bytes.extend(text.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")));
    };
    for (name, value) in fields {
        bytes.push(0);
        string(name, &mut bytes);
        string(value, &mut bytes);
    }
    bytes
}

/// What became of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was answered; the status as the header block begins, in HPACK.
    Answered(u8),
    /// The stream was reset, with this code.
    Reset(u32),
    /// The connection was ended, with this code.
    Ended(u32),
}

/// HPACK's static table, indexed field: `:status` 200 and 400.
pub const OK: Fate = Fate::Answered(0x88);
pub const BAD_REQUEST: Fate = Fate::Answered(0x8c);

/// Opens a connection, sends frames, and reads until stream 1 is decided.
pub fn send(address: SocketAddr, frames: &[u8]) -> Fate {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend_from_slice(frames);
    stream.write_all(&bytes).expect("sent");
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).expect("a frame in time");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).expect("a whole frame");
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four"));
        match head[3] {
            RST_STREAM => return Fate::Reset(number(0)),
            GOAWAY => return Fate::Ended(number(4)),
            // A change of the table's size may come first.
            HEADERS => return Fate::Answered(*payload.iter().find(|b| **b & 0xe0 != 0x20).expect("a field")),
            _ => {}
        }
    }
}
