//! A replica that reads HTTP/1.1 to the letter of RFC 9112 and keeps what it read.
//!
//! Nothing of it is shared with what it checks: sockets and threads of the standard library, a parser of its own. Where
//! the RFC lets a recipient be lenient it is not, so that no other recipient can read the bytes in another way.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Header fields: name and value.
pub type Fields = Vec<(String, String)>;

/// A request as the replica read it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
}

impl Seen {
    /// All values of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// What arrived at the replica.
#[derive(Debug, Clone, Default)]
pub struct Record {
    pub requests: Vec<Seen>,
    /// What was no HTTP/1.1 to the letter.
    pub faults: Vec<String>,
}

/// An answer as bytes.
#[derive(Debug, Clone)]
pub struct Said {
    pub bytes: Vec<u8>,
    /// Whether the connection ends after it.
    pub closes: bool,
}

impl Said {
    pub fn well() -> Self {
        Self { bytes: b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell".to_vec(), closes: false }
    }
}

/// A replica that records.
#[derive(Debug, Clone)]
pub struct Replica {
    pub address: SocketAddr,
    record: Arc<Mutex<Record>>,
}

impl Replica {
    /// Answers each request with 200 and the text `well`.
    pub fn start() -> Self {
        Self::answering(|_| Said::well())
    }

    /// Answers each request with what `answer` makes.
    pub fn answering(answer: impl Fn(&Seen) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let record = Arc::new(Mutex::new(Record::default()));
        let (kept, answer) = (Arc::clone(&record), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || serve(&stream, &kept, answer.as_ref()));
            }
        });
        Self { address, record }
    }

    /// What has arrived since the last time, and forgets it.
    pub fn take(&self) -> Record {
        std::mem::take(&mut lock(&self.record))
    }
}

fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: &TcpStream, record: &Mutex<Record>, answer: &dyn Fn(&Seen) -> Said) {
    let mut reader = BufReader::new(stream);
    loop {
        match read_request(&mut reader) {
            Ok(Some(seen)) => {
                let said = answer(&seen);
                lock(record).requests.push(seen);
                if (&*stream).write_all(&said.bytes).is_err() || said.closes {
                    return;
                }
            }
            Ok(None) => return,
            Err(fault) => {
                lock(record).faults.push(fault);
                return;
            }
        }
    }
}

/// Reads one request. `None` where the connection ended, between two requests or within one: nobody takes that for a
/// request.
///
/// # Errors
/// What is wrong with it.
pub fn read_request(from: &mut impl BufRead) -> Result<Option<Seen>, String> {
    let Some(line) = read_line(from)? else { return Ok(None) };
    if line == "PRI * HTTP/2.0" {
        // The data plane speaks HTTP/2 where gRPC needs it, which this replica does not understand.
        return Ok(None);
    }
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return Err(format!("request line {line:?}")) };
    if !is_token(method) {
        return Err(format!("method {method:?}"));
    }
    let is_target = target.starts_with('/') || (target == "*" && method == "OPTIONS");
    if !is_target || target.bytes().any(|byte| byte <= b' ' || byte == 0x7f || byte == b'#') {
        return Err(format!("target {target:?}"));
    }
    let mut seen = Seen { method: method.to_owned(), target: target.to_owned(), ..Seen::default() };
    let Some(fields) = read_fields(from)? else { return Ok(None) };
    seen.fields = fields;
    if seen.all("host").len() != 1 {
        return Err(format!("hosts {:?}", seen.all("host")));
    }
    match (&seen.all("content-length")[..], &seen.all("transfer-encoding")[..]) {
        ([], []) => {}
        ([length], []) => match read_sized(from, length)? {
            Some(body) => seen.body = body,
            None => return Ok(None),
        },
        ([], ["chunked"]) => match read_chunks(from)? {
            Some((body, trailers)) => (seen.body, seen.trailers) = (body, trailers),
            None => return Ok(None),
        },
        (lengths, encodings) => return Err(format!("framing {lengths:?} {encodings:?}")),
    }
    Ok(Some(seen))
}

/// An answer as a client read it.
#[derive(Debug, Clone)]
pub struct Heard {
    pub status: u16,
    /// Names in lower case.
    pub fields: Fields,
    pub body: Vec<u8>,
}

impl Heard {
    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one answer that is not informational; `head_only` says that it answers a HEAD. `None` where the connection
/// ended before it was whole.
///
/// # Errors
/// What is wrong with it.
pub fn read_answer(from: &mut impl BufRead, head_only: bool) -> Result<Option<Heard>, String> {
    loop {
        let Some(line) = read_line(from)? else { return Ok(None) };
        let (version, rest) = line.split_once(' ').ok_or_else(|| format!("status line {line:?}"))?;
        let code = rest.get(..3).filter(|code| code.bytes().all(|b| b.is_ascii_digit()));
        let status = code.and_then(|code| code.parse().ok()).unwrap_or(0);
        if !["HTTP/1.1", "HTTP/1.0"].contains(&version) || !(100..600).contains(&status) {
            return Err(format!("status line {line:?}"));
        }
        let Some(fields) = read_fields(from)? else { return Ok(None) };
        if status < 200 && status != 101 {
            continue;
        }
        let all = |name: &str| -> Vec<&str> {
            fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
        };
        let no_body = head_only || [101, 204, 304].contains(&status);
        let body = match (&all("content-length")[..], &all("transfer-encoding")[..]) {
            ([], []) if no_body => Some(Vec::new()),
            ([_], []) | ([], ["chunked"]) if no_body => Some(Vec::new()),
            ([], []) => {
                let mut body = Vec::new();
                from.read_to_end(&mut body).ok().map(|_| body)
            }
            ([length], []) => read_sized(from, length)?,
            ([], ["chunked"]) => read_chunks(from)?.map(|(body, _)| body),
            (lengths, codings) => return Err(format!("framing {lengths:?} {codings:?}")),
        };
        return Ok(body.map(|body| Heard { status, fields, body }));
    }
}

fn read_sized(from: &mut impl BufRead, length: &str) -> Result<Option<Vec<u8>>, String> {
    let digits = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length = length.parse::<u64>().ok().filter(|_| digits);
    let length = length.ok_or("a content-length that is no number")?;
    let mut body = Vec::new();
    let whole = from.take(length).read_to_end(&mut body).is_ok() && body.len() as u64 == length;
    Ok(whole.then_some(body))
}

fn read_chunks(from: &mut impl BufRead) -> Result<Option<(Vec<u8>, Fields)>, String> {
    let mut body = Vec::new();
    loop {
        let Some(line) = read_line(from)? else { return Ok(None) };
        let is_size = (1..=16).contains(&line.len()) && line.bytes().all(|b| b.is_ascii_hexdigit());
        let size = u64::from_str_radix(&line, 16).ok().filter(|_| is_size);
        let size = size.ok_or_else(|| format!("chunk size {line:?}"))?;
        if size == 0 {
            return Ok(read_fields(from)?.map(|trailers| (body, trailers)));
        }
        let before = body.len() as u64;
        if from.take(size).read_to_end(&mut body).is_err() || body.len() as u64 - before < size {
            return Ok(None);
        }
        match read_line(from)?.as_deref() {
            Some("") => {}
            None => return Ok(None),
            Some(other) => return Err(format!("after a chunk {other:?}")),
        }
    }
}

fn read_fields(from: &mut impl BufRead) -> Result<Option<Fields>, String> {
    let mut fields = Vec::new();
    loop {
        let Some(line) = read_line(from)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some(fields));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| format!("field {line:?}"))?;
        if !is_token(name) {
            return Err(format!("field name {name:?}"));
        }
        if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err(format!("value of {name}: {value:?}"));
        }
        fields.push((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()));
    }
}

/// A line without its CRLF; none at the end of the connection. Bytes above ASCII become one character each.
fn read_line(from: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = Vec::new();
    if let Err(error) = from.take(1 << 20).read_until(b'\n', &mut line) {
        return if error.kind() == io::ErrorKind::ConnectionReset {
            Ok(None)
        } else {
            Err(error.to_string())
        };
    }
    if line.last() != Some(&b'\n') {
        return Ok(None);
    }
    let text: String = line.iter().map(|byte| char::from(*byte)).collect();
    match text.strip_suffix("\r\n") {
        Some(line) if !line.contains('\r') => Ok(Some(line.to_owned())),
        _ => Err(format!("line end {text:?}")),
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Sends bytes and reads until the other side closes.
///
/// # Errors
/// `WouldBlock` where it does not close within ten seconds.
pub fn exchange(address: SocketAddr, bytes: &[u8], half_close: bool) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    // A refusal may come before all is sent.
    let _ = stream.write_all(bytes);
    if half_close {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(error) if error.kind() != io::ErrorKind::ConnectionReset => Err(error),
        _ => Ok(answer),
    }
}

/// The status codes in an exchange's answer: one for each message whose status line begins a line.
pub fn statuses(answer: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answer);
    text.match_indices("HTTP/1.")
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .filter(|status| *status >= 200)
        .collect()
}
