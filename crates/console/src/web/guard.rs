//! Who may look: whoever has the token, from a page of ours, at an address and not at a name.

use std::io::{Read as _, Write as _};
use std::net::IpAddr;
use std::path::Path;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use subtle::ConstantTimeEq as _;

use super::{is_page, page};
use crate::Refusal;

/// Bytes of a token, of which each is two hexadecimal digits.
const BYTES: usize = 24;

/// What lets in.
#[derive(Clone)]
pub struct Guard {
    token: String,
    /// The cookie's name: cookies do not tell ports apart, and an app beside this one has its own.
    cookie: String,
}

impl Guard {
    /// With the token in `file`, which is made, for its owner alone, where there is none. `port` is where the dashboard listens.
    ///
    /// # Errors
    /// The file can be neither read nor written.
    pub fn of_file(file: &Path, port: u16) -> std::io::Result<Self> {
        let cookie = format!("isles_{port}");
        if let Ok(text) = std::fs::read_to_string(file) {
            let token = text.trim();
            if token.len() == 2 * BYTES && token.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Ok(Self { token: token.to_owned(), cookie });
            }
        }
        let mut bytes = [0_u8; BYTES];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write(file, &token)?;
        Ok(Self { token, cookie })
    }

    fn lets_in(&self, given: &str) -> bool {
        given.as_bytes().ct_eq(self.token.as_bytes()).into()
    }
}

/// A new file, so that one with looser rights is not written into.
fn write(file: &Path, token: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let new = file.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    opened.write_all(token.as_bytes())?;
    std::fs::rename(new, file)
}

/// Lets a request through, or says why not.
pub async fn check(guard: Guard, request: Request, next: Next) -> Response {
    let (headers, uri) = (request.headers(), request.uri());
    if !by_address(headers) {
        let detail = "open this page at an address such as 127.0.0.1, not at a name: a name may belong to somebody else";
        return refuse(uri, StatusCode::FORBIDDEN, "host", detail);
    }
    if !from_here(request.method(), headers) {
        let detail = "this was asked for by a page of somebody else";
        return refuse(uri, StatusCode::FORBIDDEN, "origin", detail);
    }
    if let Some(token) = token_in(uri) {
        if guard.lets_in(&token) {
            return remember(&guard, uri);
        }
    } else if shown(headers, &guard.cookie).is_some_and(|token| guard.lets_in(token)) {
        return next.run(request).await;
    }
    let detail = "the token is missing or wrong: `isles console` prints the address with it";
    refuse(uri, StatusCode::UNAUTHORIZED, "token", detail)
}

/// Whether the host is an address or `localhost`: whoever makes a browser take a name of theirs for this machine (DNS rebinding) comes by a name.
fn by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, _)) => name,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

/// Whether a page of ours asks, a person who opens an address, or a program. Other ports of this machine are other pages.
fn from_here(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let (Some(origin), Some(host)) = (text("origin"), text("host"))
        && origin != format!("http://{host}")
    {
        return false;
    }
    let opened = *method == Method::GET && text("sec-fetch-mode") == Some("navigate");
    opened || text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
}

fn token_in(uri: &Uri) -> Option<String> {
    uri.query()?.split('&').find_map(|pair| pair.strip_prefix("token=")).map(str::to_owned)
}

/// What a program or a browser shows.
fn shown<'a>(headers: &'a HeaderMap, cookie: &str) -> Option<&'a str> {
    let text = |value: &'a HeaderValue| value.to_str().ok();
    let bearer = headers.get(header::AUTHORIZATION).and_then(text).and_then(|v| v.strip_prefix("Bearer "));
    bearer.or_else(|| {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(text).flat_map(|v| v.split(';'));
        let mut ours = cookies.filter_map(|pair| pair.trim().split_once('='));
        ours.find(|(name, _)| *name == cookie).map(|(_, value)| value)
    })
}

/// The first visit: from now on the browser shows it by itself, and the address is without it.
fn remember(guard: &Guard, uri: &Uri) -> Response {
    let rest: Vec<&str> =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.starts_with("token=")).collect();
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    // One slash: two would be another host.
    let path = format!("/{}{query}", uri.path().trim_start_matches('/'));
    let cookie = format!("{}={}; HttpOnly; SameSite=Strict; Path=/", guard.cookie, guard.token);
    ([(header::SET_COOKIE, cookie)], Redirect::to(&path)).into_response()
}

fn refuse(uri: &Uri, status: StatusCode, code: &'static str, detail: &str) -> Response {
    if is_page(uri) {
        return (status, page::closed(detail)).into_response();
    }
    Refusal { code, detail: detail.to_owned(), status: status.as_u16() }.into_response()
}
