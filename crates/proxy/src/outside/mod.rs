//! Systems outside: what the data plane knows of them beside what it knows of every service.

pub(crate) mod resolve;
pub(crate) mod tls;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{self, HeaderMap};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use model::{ReleaseId, ReplicaId, RouteTable, ServiceName};
use tokio_rustls::rustls::RootCertStore;
use tracing::{info, warn};

use crate::headers;
use crate::link::OutsideStats;
use resolve::{Found, Host};
use tls::Tls;

/// The release that addresses of a system outside are counted under: what runs there is not ours to know.
const RELEASE: &str = "outside";

/// A system outside, as requests need it.
#[derive(Debug)]
pub(crate) struct Outside {
    /// Unique in this process: connections made with other settings are not used any more.
    pub id: u64,
    pub tls: Option<Tls>,
    pub authority: Authority,
    host: Host,
    host_field: HeaderValue,
    /// The path that everything asked of it begins with.
    base: String,
    trace: bool,
}

impl Outside {
    fn new(id: u64, declared: &model::Outside, tls: Option<Tls>) -> Result<Self, String> {
        let text = declared.url.authority();
        let wrong = |_| format!("`{text}` is not a host");
        Ok(Self {
            id,
            tls,
            authority: Authority::try_from(text.as_str()).map_err(|e| wrong(e.to_string()))?,
            host_field: HeaderValue::from_str(&text).map_err(|e| wrong(e.to_string()))?,
            host: (declared.url.host.clone(), declared.url.port),
            base: declared.url.base.clone(),
            trace: declared.trace,
        })
    }

    pub(crate) fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP }
    }

    /// What the path is there.
    pub(crate) fn path(&self, path: PathAndQuery) -> Option<PathAndQuery> {
        if self.base.is_empty() || !path.as_str().starts_with('/') {
            return Some(path);
        }
        PathAndQuery::try_from(format!("{}{path}", self.base)).ok()
    }

    /// Names the host, and takes off what is nobody's business out there.
    pub(crate) fn dress(&self, fields: &mut HeaderMap) {
        headers::keep_home(fields, self.trace);
        fields.insert(header::HOST, self.host_field.clone());
    }

    /// Makes the address of another of its resources one that leads through the edge again: a caller that follows it
    /// would go there by itself otherwise.
    pub(crate) fn localize(&self, fields: &mut HeaderMap) {
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let here = fields.get(&name).and_then(|value| self.here(value));
            if let Some(here) = here {
                fields.insert(name, here);
            }
        }
    }

    fn here(&self, location: &HeaderValue) -> Option<HeaderValue> {
        let text = location.to_str().ok()?;
        let path = if text.starts_with('/') && !text.starts_with("//") {
            text
        } else {
            let uri = Uri::try_from(text).ok()?;
            let same = uri.scheme() == Some(&self.scheme())
                && uri.authority().is_some_and(|authority| self.is(authority));
            let rest = text.split_once("://").map(|(_, rest)| rest)?;
            if !same {
                return None;
            }
            rest.find('/').map_or("/", |at| &rest[at..])
        };
        let rest = path.strip_prefix(self.base.as_str())?;
        match rest.as_bytes().first() {
            Some(b'/') => HeaderValue::from_str(rest).ok(),
            Some(b'?' | b'#') | None => HeaderValue::from_str(&format!("/{rest}")).ok(),
            // The base ends inside of a segment: this is another resource.
            Some(_) => None,
        }
    }

    fn is(&self, authority: &Authority) -> bool {
        let default = if self.tls.is_some() { 443 } else { 80 };
        authority.host().eq_ignore_ascii_case(self.authority.host())
            && authority.port_u16().unwrap_or(default) == self.host.1
    }
}

/// How a system outside can be asked at the moment.
pub(crate) struct Reach {
    /// None where its settings are unusable.
    pub outside: Option<Arc<Outside>>,
    pub endpoints: Vec<model::Endpoint>,
    /// Why it cannot be asked, or why what is known may be out of date.
    pub trouble: Option<String>,
}

/// All systems outside of the app; lives on the coordinator's thread.
#[derive(Debug, Default)]
pub(crate) struct Outsides {
    last_id: u64,
    made: HashMap<ServiceName, Made>,
    known: HashMap<Host, Known>,
    numbers: HashMap<ServiceName, BTreeMap<SocketAddr, u32>>,
    /// Read once, when the first system needs it.
    system_roots: Option<Result<Arc<RootCertStore>, String>>,
}

/// What a declaration was made into.
#[derive(Debug)]
struct Made {
    declared: model::Outside,
    /// The content of its `ca`.
    pem: Option<Vec<u8>>,
    outside: Result<Arc<Outside>, String>,
}

#[derive(Debug, Default)]
struct Known {
    addresses: Vec<SocketAddr>,
    error: Option<String>,
}

/// The hosts that a table speaks of.
pub(crate) fn hosts(source: &RouteTable) -> HashSet<Host> {
    let outside = source.upstreams.values().filter_map(|upstream| upstream.outside.as_ref());
    outside.map(|outside| (outside.url.host.clone(), outside.url.port)).collect()
}

impl Outsides {
    /// How this system can be asked now.
    pub(crate) fn reach(&mut self, service: &ServiceName, declared: &model::Outside) -> Reach {
        let outside = match self.make(service, declared) {
            Ok(outside) => outside,
            Err(trouble) => {
                return Reach { outside: None, endpoints: Vec::new(), trouble: Some(trouble) };
            }
        };
        let Some(known) = self.known.get(&outside.host) else {
            let trouble = Some(format!("`{}` has not been resolved yet", outside.host.0));
            return Reach { outside: Some(outside), endpoints: Vec::new(), trouble };
        };
        // An address keeps its number for as long as it is there.
        let numbers = self.numbers.entry(service.clone()).or_default();
        numbers.retain(|address, _| known.addresses.contains(address));
        for address in &known.addresses {
            if !numbers.contains_key(address) {
                let free = (1..).find(|n| numbers.values().all(|taken| taken != n)).unwrap_or(u32::MAX);
                numbers.insert(*address, free);
            }
        }
        let endpoint = |(address, number): (&SocketAddr, &u32)| model::Endpoint {
            replica: ReplicaId { service: service.clone(), index: *number },
            release: ReleaseId(RELEASE.to_owned()),
            address: *address,
        };
        let endpoints = numbers.iter().map(endpoint).collect();
        Reach { outside: Some(outside), endpoints, trouble: known.error.clone() }
    }

    /// Takes note of a look-up. Returns whether a table made now would be another one.
    pub(crate) fn learn(&mut self, host: Host, found: Found) -> bool {
        let name = host.0.clone();
        let new = !self.known.contains_key(&host);
        let known = self.known.entry(host).or_default();
        let before = (known.addresses.clone(), known.error.clone());
        match found {
            Ok(addresses) => (known.addresses, known.error) = (addresses, None),
            // What it answered last may still be right: a resolver that fails is no reason to stop calling.
            Err(error) => {
                if known.error.is_none() {
                    warn!("{error}");
                }
                known.error = Some(error);
            }
        }
        let changed = new || before != (known.addresses.clone(), known.error.clone());
        if changed && known.error.is_none() {
            info!(host = name, addresses = ?known.addresses, "resolved");
        }
        changed || self.made.values().any(|made| made.pem != read(&made.declared))
    }

    /// How each of them is found.
    pub(crate) fn stats(&self) -> Vec<OutsideStats> {
        let mut stats: Vec<_> = self.made.iter().map(|(name, made)| self.stats_of(name, made)).collect();
        stats.sort_by(|a, b| a.name.cmp(&b.name));
        stats
    }

    fn stats_of(&self, name: &ServiceName, made: &Made) -> OutsideStats {
        let known = self.known.get(&(made.declared.url.host.clone(), made.declared.url.port));
        let trouble = made.outside.as_ref().err().or_else(|| known?.error.as_ref());
        OutsideStats {
            name: name.clone(),
            addresses: known.map(|known| known.addresses.clone()).unwrap_or_default(),
            trouble: trouble.cloned(),
        }
    }

    /// Forgets what `source` does not speak of.
    pub(crate) fn retain(&mut self, source: &RouteTable) {
        let hosts = hosts(source);
        self.known.retain(|host, _| hosts.contains(host));
        self.made.retain(|service, _| source.upstreams.get(service).is_some_and(|u| u.outside.is_some()));
        self.numbers.retain(|service, _| self.made.contains_key(service));
    }

    fn make(&mut self, service: &ServiceName, declared: &model::Outside) -> Result<Arc<Outside>, String> {
        let pem = read(declared);
        if let Some(made) = self.made.get(service)
            && made.declared == *declared
            && made.pem == pem
        {
            return made.outside.clone();
        }
        self.last_id += 1;
        let tls = match declared.url.tls {
            true => {
                self.roots(declared, pem.as_deref()).and_then(|r| Tls::new(&declared.url.host, r)).map(Some)
            }
            false => Ok(None),
        };
        let outside = tls.and_then(|tls| Outside::new(self.last_id, declared, tls)).map(Arc::new);
        if let Err(error) = &outside {
            warn!(%service, "cannot be called: {error}");
        }
        let made = Made { declared: declared.clone(), pem, outside: outside.clone() };
        self.made.insert(service.clone(), made);
        outside
    }

    fn roots(&mut self, declared: &model::Outside, pem: Option<&[u8]>) -> Result<Arc<RootCertStore>, String> {
        match (&declared.ca, pem) {
            (Some(path), Some(pem)) => tls::roots_in(pem, path),
            (Some(path), None) => Err(format!("{} cannot be read", path.display())),
            (None, _) => self.system_roots.get_or_insert_with(tls::system_roots).clone(),
        }
    }
}

fn read(declared: &model::Outside) -> Option<Vec<u8>> {
    std::fs::read(declared.ca.as_ref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(tls: bool, port: u16, base: &str) -> model::Outside {
        let url = model::ExternalUrl { tls, host: "api.example".to_owned(), port, base: base.to_owned() };
        model::Outside { url, ca: None, trace: true }
    }

    fn outside(tls: bool, port: u16, base: &str) -> Outside {
        let roots = Arc::new(RootCertStore::empty());
        let tls_of = tls.then(|| Tls::new("api.example", roots).unwrap());
        Outside::new(1, &declared(tls, port, base), tls_of).unwrap()
    }

    #[test]
    fn paths_begin_with_the_base() {
        let there = |base: &str, path: &str| {
            outside(true, 443, base).path(path.parse().unwrap()).unwrap().to_string()
        };
        assert_eq!(there("", "/a?b"), "/a?b");
        assert_eq!(there("/v1", "/"), "/v1/");
        assert_eq!(there("/v1", "/a/?b=/c"), "/v1/a/?b=/c");
        assert_eq!(there("/v1", "*"), "*");
    }

    #[test]
    fn locations_inside_lead_through_the_edge_and_others_stay() {
        for (tls, port, base, location, expected) in [
            (true, 443, "", "https://api.example/a?b#c", "/a?b#c"),
            (true, 443, "", "https://API.example:443/a", "/a"),
            (true, 443, "", "https://api.example", "/"),
            (true, 443, "", "http://api.example/a", "http://api.example/a"),
            (true, 443, "", "https://api.example:8443/a", "https://api.example:8443/a"),
            (true, 443, "", "https://other.example/a", "https://other.example/a"),
            (true, 443, "", "//api.example/a", "//api.example/a"),
            (true, 443, "", "/a", "/a"),
            (true, 443, "", "a/b", "a/b"),
            (false, 8080, "/v1", "http://api.example:8080/v1/a", "/a"),
            (false, 8080, "/v1", "http://api.example:8080/v1", "/"),
            (false, 8080, "/v1", "http://api.example:8080/v1?a", "/?a"),
            (false, 8080, "/v1", "http://api.example:8080/v12", "http://api.example:8080/v12"),
            (false, 8080, "/v1", "/v1/a", "/a"),
            (false, 8080, "/v1", "/login", "/login"),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert(header::LOCATION, HeaderValue::from_static(location));
            outside(tls, port, base).localize(&mut fields);
            assert_eq!(fields[header::LOCATION], expected, "{location}");
        }
    }

    #[test]
    fn addresses_keep_their_numbers_and_a_failed_look_up_keeps_the_addresses() {
        let mut all = Outsides::default();
        let (service, declared) = ("api".parse().unwrap(), declared(false, 80, ""));
        let host = ("api.example".to_owned(), 80);
        let at = |n: u8| SocketAddr::from(([127, 0, 0, n], 80));
        let now = |all: &mut Outsides| {
            let reach = all.reach(&service, &declared);
            let listed =
                reach.endpoints.iter().map(|e| (e.replica.to_string(), e.address)).collect::<Vec<_>>();
            (listed, reach.trouble)
        };
        assert_eq!(now(&mut all).1.unwrap(), "`api.example` has not been resolved yet");
        assert!(all.learn(host.clone(), Ok(vec![at(1), at(2)])));
        assert!(!all.learn(host.clone(), Ok(vec![at(1), at(2)])));
        assert_eq!(now(&mut all), (vec![("api-1".to_owned(), at(1)), ("api-2".to_owned(), at(2))], None));
        assert!(all.learn(host.clone(), Ok(vec![at(2), at(3)])));
        assert_eq!(now(&mut all), (vec![("api-2".to_owned(), at(2)), ("api-1".to_owned(), at(3))], None));
        assert!(all.learn(host.clone(), Err("no".to_owned())));
        assert!(!all.learn(host.clone(), Err("no".to_owned())));
        let (listed, trouble) = now(&mut all);
        assert_eq!((listed.len(), trouble.as_deref()), (2, Some("no")));
    }

    #[test]
    fn a_ca_that_cannot_be_used_is_said_and_a_new_one_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        let declared = model::Outside { ca: Some(path.clone()), ..declared(true, 443, "") };
        let mut all = Outsides::default();
        let service: ServiceName = "api".parse().unwrap();
        assert!(all.reach(&service, &declared).trouble.unwrap().ends_with("ca.pem cannot be read"));
        std::fs::write(&path, "nothing").unwrap();
        assert!(all.learn(("api.example".to_owned(), 443), Err("no".to_owned())));
        assert!(all.reach(&service, &declared).trouble.unwrap().ends_with("ca.pem holds no certificate"));
        std::fs::write(&path, "else").unwrap();
        assert!(all.learn(("api.example".to_owned(), 443), Err("no".to_owned())), "read again");
    }
}
