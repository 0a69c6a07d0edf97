//! Whom a request comes from, where users are held to one release while requests are divided among releases.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue};
use model::ServiceName;

/// What tells the users of one service apart.
#[derive(Debug)]
pub(crate) struct Sticky {
    service: ServiceName,
    by: By,
}

#[derive(Debug)]
enum By {
    Header(HeaderName),
    Cookie(String),
}

impl Sticky {
    /// None where no request can have such a field.
    pub(crate) fn new(service: &ServiceName, declared: &model::Sticky) -> Option<Self> {
        let by = match declared {
            model::Sticky::Header(name) => By::Header(name.parse().ok()?),
            model::Sticky::Cookie(name) => By::Cookie(name.clone()),
        };
        Some(Self { service: service.clone(), by })
    }

    /// A number that all requests of a user have, as [`crate::split::Turns`] gives to those that have none: any is equally
    /// likely. Another service's users get others, so that it is not always the same ones who try what is new. None for a
    /// request that does not say whose it is.
    pub(crate) fn number(&self, headers: &HeaderMap) -> Option<u64> {
        let value = match &self.by {
            By::Header(name) => headers.get(name)?.as_bytes(),
            By::Cookie(name) => headers.get_all(COOKIE).iter().find_map(|line| cookie(line, name))?,
        };
        // The same in every process of the same program: a user stays where they are when the data plane is replaced.
        let mut hasher = DefaultHasher::new();
        self.service.as_str().hash(&mut hasher);
        value.hash(&mut hasher);
        (!value.is_empty()).then(|| hasher.finish())
    }
}

/// A cookie of the field `Cookie` (RFC 6265, section 4.2.1).
fn cookie<'v>(line: &'v HeaderValue, name: &str) -> Option<&'v [u8]> {
    line.as_bytes().split(|byte| *byte == b';').find_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(value.trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(declared: &model::Sticky, fields: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        Sticky::new(&"web".parse().unwrap(), declared)?.number(&headers)
    }

    #[test]
    fn a_user_has_one_number_and_who_is_unknown_has_none() {
        let header = model::Sticky::Header("X-User".to_owned());
        let anna = number(&header, &[("x-user", "anna")]);
        assert!(anna.is_some() && anna == number(&header, &[("x-other", "1"), ("x-user", "anna")]));
        assert_ne!(anna, number(&header, &[("x-user", "ben")]));
        assert_eq!((number(&header, &[]), number(&header, &[("x-user", "")])), (None, None));
        assert!(number(&model::Sticky::Header("no name".to_owned()), &[]).is_none());

        let cookie = model::Sticky::Cookie("session".to_owned());
        let anna = number(&cookie, &[("cookie", "a=b; session=anna; c=d")]);
        assert!(anna.is_some());
        assert_eq!(anna, number(&cookie, &[("cookie", "a=session"), ("cookie", "session=anna")]));
        assert_eq!(number(&cookie, &[("cookie", "sessions=anna; my-session=anna")]), None);
    }

    #[test]
    fn other_services_have_their_own_first_users() {
        let declared = model::Sticky::Header("x-user".to_owned());
        let of = |service: &str, user: &str| {
            let headers = HeaderMap::from_iter([(HeaderName::from_static("x-user"), user.parse().unwrap())]);
            Sticky::new(&service.parse().unwrap(), &declared).unwrap().number(&headers).unwrap()
        };
        let tenth = |number: u64| number < u64::MAX / 10;
        let users: Vec<String> = (0..1000).map(|n| format!("user-{n}")).collect();
        let both = users.iter().filter(|user| tenth(of("web", user)) && tenth(of("api", user))).count();
        let web = users.iter().filter(|user| tenth(of("web", user))).count();
        assert!((60..140).contains(&web) && both < 30, "{web} {both}");
    }
}
