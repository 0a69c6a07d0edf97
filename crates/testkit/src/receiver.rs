//! Something that others send to: it takes down what came, and answers as it is told.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its path, with its query.
    pub path: String,
    /// The lines of its head, in lower case.
    pub head: String,
    /// Its body.
    pub body: Vec<u8>,
}

/// A server of HTTP/1.1 on a free port.
#[derive(Debug, Clone)]
pub struct Receiver {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// Answers the first requests at each path with these statuses, and all others with 200.
    pub fn start(first: &'static [u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self { address: listener.local_addr().unwrap(), received: Arc::default() };
        let received = receiver.received.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let status = |path: &str| {
                    let before =
                        received.lock().unwrap().iter().filter(|request| request.path == path).count();
                    first.get(before).copied().unwrap_or(200)
                };
                // Whoever leaves in the middle has sent nothing.
                if let Ok(request) = stream.and_then(|stream| answer(stream, status)) {
                    received.lock().unwrap().push(request);
                }
            }
        });
        receiver
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that came, the refused included.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

fn answer(stream: TcpStream, status: impl Fn(&str) -> u16) -> std::io::Result<Received> {
    let mut stream = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().map_err(std::io::Error::other)?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let status = status(&path);
    let answer = format!("HTTP/1.1 {status} So\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    stream.get_mut().write_all(answer.as_bytes())?;
    Ok(Received { path, head: head.to_lowercase(), body })
}
