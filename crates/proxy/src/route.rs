//! Which route of a gateway a request takes: pure.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::uri::PathAndQuery;

use crate::counters::Counters;
use crate::rate::Rate;

/// The routes of one gateway, ready for lookup.
#[derive(Debug, Default)]
pub(crate) struct Router {
    /// Each path with its routes, in the order in which they are tried; sorted by path.
    paths: Vec<(String, Vec<Route>)>,
    /// The length of the longest path, in bytes.
    longest: usize,
}

/// One compiled route.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Without the slash at its end, so the root is empty.
    pub path: String,
    pub host: Option<String>,
    pub methods: Vec<Method>,
    pub strip: bool,
    pub timeout: Option<Duration>,
    /// Index of the lane in the table.
    pub lane: usize,
    /// The longest body of a request, in bytes.
    pub max_body: u64,
    /// Requests of one client.
    pub rate: Option<Rate>,
    /// Only what the service's contract says is let through.
    pub enforce: bool,
    /// The requests that took it.
    pub asked: Asked,
}

/// The requests that took a route.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The route's name.
    pub name: Arc<str>,
    pub counters: Arc<Counters>,
}

/// What a lookup finds.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Route(&'a Route),
    /// There are routes for the path, but none for the method.
    OtherMethods,
    Nothing,
}

impl Router {
    /// Longest path first; among equals the more particular first (host, then methods), then as declared.
    pub(crate) fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by(|one, other| {
            let rank = |route: &Route| (route.host.is_none(), route.methods.is_empty());
            one.path.cmp(&other.path).then_with(|| rank(one).cmp(&rank(other)))
        });
        let longest = routes.iter().map(|route| route.path.len()).max().unwrap_or_default();
        let mut paths: Vec<(String, Vec<Route>)> = Vec::new();
        for route in routes {
            match paths.last_mut() {
                Some((path, same)) if *path == route.path => same.push(route),
                _ => paths.push((route.path.clone(), vec![route])),
            }
        }
        Self { paths, longest }
    }

    /// Looks up a path (no query), a host (no port) and a method: once for each segment of the path, so it costs
    /// the logarithm of the number of routes.
    pub(crate) fn find(&self, path: &str, host: &str, method: &Method) -> Found<'_> {
        let mut found = Found::Nothing;
        let mut prefix = (path.len() <= self.longest).then_some(path).or_else(|| cut(path, self.longest + 1));
        while let Some(wanted) = prefix {
            for route in self.at(wanted) {
                if route.host.as_ref().is_some_and(|wanted| !wanted.eq_ignore_ascii_case(host)) {
                    continue;
                }
                if route.methods.is_empty() || route.methods.contains(method) {
                    return Found::Route(route);
                }
                found = Found::OtherMethods;
            }
            prefix = cut(wanted, wanted.len());
        }
        found
    }

    /// All of them.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.paths.iter().flat_map(|(_, routes)| routes)
    }

    fn at(&self, path: &str) -> &[Route] {
        let index = self.paths.binary_search_by(|(known, _)| known.as_str().cmp(path));
        index.map_or(&[], |index| &self.paths[index].1)
    }
}

/// What comes before the last slash among the first `length` bytes of `path`.
fn cut(path: &str, length: usize) -> Option<&str> {
    let slash = path.as_bytes().get(..length)?.iter().rposition(|byte| *byte == b'/')?;
    // A slash is a character of its own wherever its byte is found (RFC 3629, 3).
    Some(&path[..slash])
}

/// Compiles one declared route; `max_body` is that of the gateway.
pub(crate) fn compile(
    declared: &model::Route,
    lane: usize,
    max_body: u64,
    rate: Option<Rate>,
    counters: Arc<Counters>,
) -> Route {
    Route {
        path: declared.path.trim_end_matches('/').to_owned(),
        host: declared.host.clone(),
        // A text that is no method matches no request.
        methods: declared
            .methods
            .iter()
            .filter_map(|name| Method::from_bytes(name.as_bytes()).ok())
            .collect(),
        strip: declared.strip,
        timeout: declared.timeout,
        max_body: declared.max_body.unwrap_or(max_body),
        rate,
        lane,
        enforce: declared.enforce_contract,
        asked: Asked { name: declared.name().into(), counters },
    }
}

/// The host in an authority or `Host` field: without the port; the brackets of an IPv6 address stay.
pub(crate) fn host_of(authority: &str) -> &str {
    let end = match authority.rfind(']') {
        Some(bracket) => authority[bracket..].find(':').map(|colon| bracket + colon),
        None => authority.find(':'),
    };
    end.map_or(authority, |end| &authority[..end])
}

/// A path and query without `prefix`, beginning with exactly one slash: two would make some clients of the answer
/// (a redirect, say) read a host into it. None where there is no path.
pub(crate) fn without_prefix(path: Option<PathAndQuery>, prefix: &str) -> Option<PathAndQuery> {
    let path = path?;
    if prefix.is_empty() {
        return Some(path);
    }
    let rest = path.as_str().strip_prefix(prefix)?.trim_start_matches('/');
    PathAndQuery::try_from(format!("/{rest}")).ok()
}

/// Whether a path has a segment `.` or `..`, also where its dots or slashes are percent-encoded or are backslashes.
///
/// An upstream that resolves such segments would see another path than the one that was routed.
pub(crate) fn has_dot_segment(path: &str) -> bool {
    let mut dots = 0_u8;
    let mut other = false;
    let mut rest = path.as_bytes();
    loop {
        let (byte, length) = match rest {
            [] => return !other && (dots == 1 || dots == 2),
            [b'%', b'2', b'e' | b'E', ..] => (b'.', 3),
            [b'%', b'3', b'b' | b'B', ..] => (b';', 3),
            [b'%', b'2', b'f' | b'F', ..] | [b'%', b'5', b'c' | b'C', ..] => (b'/', 3),
            [byte, ..] => (*byte, 1),
        };
        rest = &rest[length..];
        match byte {
            // Some servers take `..;x` for `..`: what follows a semicolon is a parameter to them.
            b';' if !other && (dots == 1 || dots == 2) => return true,
            b'/' | b'\\' => {
                if !other && (dots == 1 || dots == 2) {
                    return true;
                }
                (dots, other) = (0, false);
            }
            b'.' => dots = dots.saturating_add(1),
            _ => other = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn route(path: &str, host: Option<&str>, methods: &[&str], lane: usize) -> Route {
        let declared = model::Route {
            path: path.to_owned(),
            host: host.map(str::to_owned),
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            service: model::ServiceName::new("s").unwrap(),
            strip: false,
            timeout: None,
            rate_limit: None,
            max_body: None,
            enforce_contract: false,
        };
        compile(&declared, lane, u64::MAX, None, Arc::new(Counters::new(1)))
    }

    fn lane(router: &Router, method: &str, host: &str, path: &str) -> Result<usize, &'static str> {
        match router.find(path, host, &method.parse().unwrap()) {
            Found::Route(route) => Ok(route.lane),
            Found::OtherMethods => Err("method"),
            Found::Nothing => Err("nothing"),
        }
    }

    #[test]
    fn the_longest_prefix_on_a_boundary_wins_then_host_then_methods() {
        let router = Router::new(vec![
            route("/", None, &[], 0),
            route("/api", None, &[], 1),
            route("/api/orders/", None, &[], 2),
            route("/api", Some("admin.example"), &[], 3),
            route("/api", None, &["POST"], 4),
            route("/api/orders/new", None, &["POST"], 5),
        ]);
        for (method, host, path, expected) in [
            ("GET", "a.example", "/", 0),
            ("GET", "a.example", "/apis", 0),
            ("GET", "a.example", "/api", 1),
            ("GET", "a.example", "/api/", 1),
            ("GET", "a.example", "/api/order", 1),
            ("GET", "a.example", "/api/orders", 2),
            ("GET", "a.example", "/api/orders/1", 2),
            ("GET", "Admin.Example", "/api/x", 3),
            ("GET", "admin.example", "/api/orders/1", 2),
            ("POST", "a.example", "/api/x", 4),
            ("POST", "a.example", "/api/orders/new", 5),
            ("GET", "a.example", "/api/orders/new", 2),
            ("GET", "a.example", "//api", 0),
            ("GET", "a.example", "/API", 0),
        ] {
            assert_eq!(lane(&router, method, host, path), Ok(expected), "{method} {host} {path}");
        }
    }

    #[test]
    fn nothing_and_other_methods_are_told_apart() {
        let router = Router::new(vec![route("/api", Some("a.example"), &["POST"], 0)]);
        assert_eq!(lane(&router, "GET", "a.example", "/api"), Err("method"));
        assert_eq!(lane(&router, "GET", "b.example", "/api"), Err("nothing"));
        assert_eq!(lane(&router, "POST", "a.example", "/"), Err("nothing"));
        assert_eq!(lane(&router, "OPTIONS", "a.example", "*"), Err("nothing"));
    }

    #[test]
    fn a_prefix_comes_off_and_one_slash_stays() {
        for (path, prefix, rest) in [
            ("/api/a?b=/api", "", "/api/a?b=/api"),
            ("/api/a?b=/api", "/api", "/a?b=/api"),
            ("/api", "/api", "/"),
            ("/api?x", "/api", "/?x"),
            ("/api//evil.example/", "/api", "/evil.example/"),
        ] {
            let given = PathAndQuery::from_static(path);
            assert_eq!(without_prefix(Some(given), prefix).unwrap(), rest, "{path} {prefix}");
        }
        assert!(without_prefix(None, "").is_none());
    }

    #[test]
    fn hosts_lose_their_port_only() {
        for (authority, host) in [
            ("a.example", "a.example"),
            ("a.example:80", "a.example"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_of(authority), host);
        }
    }

    #[test]
    fn dot_segments_are_found_however_they_are_written() {
        for bad in [
            "/a/../b",
            "/..",
            "/.",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E/b",
            "/a%2f..%2Fb",
            "/a/..%5cb",
            "/a\\..\\b",
            "/a/%2e",
            "/a/..;/b",
            "/a/.;x=y/b",
            "/a/..%3b/b",
        ] {
            assert!(has_dot_segment(bad), "{bad}");
        }
        for good in [
            "/",
            "/a.b",
            "/...",
            "/a/..b",
            "/.well-known/x",
            "/a%2fb",
            "/a/.../b",
            "*",
            "/%252e%252e/",
            "/a;b/..c",
            "/a..;b",
            "/...;",
        ] {
            assert!(!has_dot_segment(good), "{good}");
        }
    }

    /// The rules as a person would apply them: every route by its segments, the best by its rank.
    fn naive(routes: &[Route], path: &str, host: &str, method: &Method) -> Option<usize> {
        let segments = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let matching = routes.iter().enumerate().filter(|(_, route)| {
            segments(path).starts_with(&segments(&route.path))
                && route.host.as_deref().is_none_or(|wanted| wanted == host)
                && (route.methods.is_empty() || route.methods.contains(method))
        });
        matching
            .max_by_key(|(index, route)| {
                let rank = (route.path.len(), route.host.is_some(), !route.methods.is_empty());
                (rank, std::cmp::Reverse(*index))
            })
            .map(|(_, route)| route.lane)
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_model(
            declared in proptest::collection::vec(
                ("(/[ab]{1,2}){0,3}/?", proptest::option::of("[xy]"), proptest::bool::ANY), 0..12),
            path in "(/[ab]{0,2}){1,4}",
            host in "[xyz]",
            post in proptest::bool::ANY,
        ) {
            let routes: Vec<Route> = declared.iter().enumerate().map(|(lane, (path, host, only_post))| {
                route(path, host.as_deref(), if *only_post { &["POST"] } else { &[] }, lane)
            }).collect();
            let method = if post { Method::POST } else { Method::GET };
            let expected = naive(&routes, &path, &host, &method);
            let found = lane(&Router::new(routes), method.as_str(), &host, &path).ok();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_path_makes_the_check_for_dots_fail(path in ".{0,40}") {
            has_dot_segment(&path);
        }
    }
}
