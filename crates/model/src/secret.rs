//! What looks like a secret by its name.

/// What stands in place of a value that is nobody's business.
pub const MASKED: &str = "•••";

/// Parts of names whose values are secrets wherever they turn up.
const PARTS: [&str; 9] =
    ["authorization", "cookie", "password", "passwd", "secret", "token", "api_key", "apikey", "credential"];

/// Whether the value of a header, an attribute or a variable of this name is likely to be a secret.
pub fn is_named(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    PARTS.iter().any(|part| name.contains(part))
}
