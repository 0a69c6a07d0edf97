//! Requests that a service answers and its contract does not have.

use http::{Method, StatusCode};
use model::ServiceName;

use super::unix_now;
use crate::link::Undocumented;

/// So many different ones are kept.
const KEPT: usize = 50;
/// The longest path, in bytes, and the longest segment of one that can be a name.
const PATH: usize = 256;
const NAME: usize = 24;

/// Each once.
#[derive(Debug, Default)]
pub(super) struct Unknown(Vec<Undocumented>);

impl Unknown {
    pub fn note(&mut self, method: &Method, path: &str, caller: Option<&ServiceName>, status: StatusCode) {
        let request = format!("{method} {}", without_values(path));
        let last = unix_now();
        let same = |known: &&mut Undocumented| known.request == request && known.caller.as_ref() == caller;
        if let Some(known) = self.0.iter_mut().find(same) {
            known.seen += 1;
            (known.status, known.last) = (status.as_u16(), last);
        } else if self.0.len() < KEPT {
            let (caller, status) = (caller.cloned(), status.as_u16());
            self.0.push(Undocumented { request, caller, status, seen: 1, last });
        }
    }

    pub fn told(&self) -> Vec<Undocumented> {
        self.0.clone()
    }
}

/// The path with `{}` for each segment that names one thing among many rather than a kind of things.
fn without_values(path: &str) -> String {
    let segment = |segment: &str| {
        let is_name = segment.len() <= NAME
            && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && segment.bytes().filter(u8::is_ascii_digit).count() <= 2
            && !segment.bytes().all(|b| b.is_ascii_digit());
        if segment.is_empty() || is_name { segment.to_owned() } else { "{}".to_owned() }
    };
    path[..path.floor_char_boundary(PATH)].split('/').map(segment).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_thing_is_left_out() {
        for (path, shown) in [
            ("/debug/pprof", "/debug/pprof"),
            ("/v1/orders/4711/lines", "/v1/orders/{}/lines"),
            ("/users/ada@example.com", "/users/{}"),
            ("/x/0198c0de-7000-7000-8000-000000000000", "/x/{}"),
            ("/", "/"),
        ] {
            assert_eq!(without_values(path), shown);
        }
    }

    #[test]
    fn each_is_kept_once_and_not_too_many() {
        let mut unknown = Unknown::default();
        for _ in 0..3 {
            unknown.note(&Method::GET, "/a/1", None, StatusCode::OK);
        }
        let [one] = &unknown.told()[..] else { panic!("{unknown:?}") };
        assert_eq!((one.request.as_str(), one.seen, one.status), ("GET /a/{}", 3, 200));
        for n in 0..200_u8 {
            let name = format!("/{}{}", char::from(b'a' + n / 26), char::from(b'a' + n % 26));
            unknown.note(&Method::GET, &name, None, StatusCode::OK);
        }
        assert_eq!(unknown.told().len(), KEPT);
    }
}
