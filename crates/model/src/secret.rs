//! What looks like a secret by its name.

/// What stands in place of a value that is nobody's business.
pub const MASKED: &str = "•••";

/// Parts of names whose values are secrets wherever they turn up.
const PARTS: [&str; 9] =
    ["authorization", "cookie", "password", "passwd", "secret", "token", "api_key", "apikey", "credential"];

/// What a variable's name ends with whose value says where a secret is, or how it is used.
const PLACES: [&str; 8] = ["_FILE", "_PATH", "_DIR", "_URL", "_HOST", "_NAME", "_TTL", "_HEADER"];

/// Whether the value of a header, an attribute or a variable of this name is likely to be a secret.
pub fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}

/// Whether the value of an environment variable of this name is likely to be a secret itself.
pub fn is_variable(name: &str) -> bool {
    let upper = name.to_ascii_uppercase();
    (is_named(name) || upper.ends_with("KEY") || upper.ends_with("_AUTH"))
        && !PLACES.iter().any(|end| upper.ends_with(end))
}

/// The password in a URL, such as `pw` in `postgres://shop:pw@db/orders`.
pub fn in_url(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_with_secrets_are_known_by_their_names() {
        for name in [
            "DB_PASSWORD",
            "STRIPE_KEY",
            "KEY",
            "apiToken",
            "BASIC_AUTH",
            "CLIENT_SECRET",
            "AWS_SECRET_ACCESS_KEY",
        ] {
            assert!(is_variable(name), "{name}");
        }
        for name in [
            "KEYSPACE",
            "PASSWORD_FILE",
            "TOKEN_URL",
            "TOKEN_TTL",
            "AUTH_URL",
            "PORT",
            "API_KEY_HEADER",
            "AUTHOR",
        ] {
            assert!(!is_variable(name), "{name}");
        }
    }

    #[test]
    fn the_password_of_a_url_is_found() {
        let cases = [
            ("postgres://shop:pw@db/orders", Some("pw")),
            ("postgres://shop:p:w@x@db", Some("p:w@x")),
            ("redis://:pw@cache:6379", Some("pw")),
            ("http://host:80/a:b@c", None),
            ("https://user@host/", None),
            ("https://user:@host/", None),
            ("user:pw@host", None),
        ];
        for (url, password) in cases {
            assert_eq!(in_url(url), password, "{url}");
        }
    }
}
