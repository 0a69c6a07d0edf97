//! Customers and what may be written about them.

use serde::Serialize;
use service_kit::auth::Role;
use service_kit::problem::Checks;

/// An e-mail address in the one form in which it is stored and compared: trimmed and lower case.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// Reads an address; `None` if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let email = text.trim().to_lowercase();
        let (local, domain) = email.rsplit_once('@')?;
        let labels = || domain.split('.');
        let plain =
            !email.chars().any(|c| c.is_whitespace() || c.is_control() || "<>()[],;:\\\"".contains(c));
        let good = plain
            && !local.contains('@')
            && (1..=64).contains(&local.len())
            && email.len() <= 254
            && labels().count() >= 2
            && labels().all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'));
        good.then_some(Self(email))
    }

    /// The normalized address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// So that no derived `Debug` of something around it can bring an address into a log.
impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Email(…)")
    }
}

/// A customer who is about to be added.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// Not yet taken, as far as we know.
    pub email: Email,
    /// How the customer wants to be called.
    pub name: String,
    /// What the customer may do.
    pub role: Role,
}

/// A customer as stored.
#[derive(Clone)]
pub struct Customer {
    /// `UUIDv7`.
    pub id: String,
    /// Normalized.
    pub email: String,
    /// How the customer wants to be called.
    pub name: String,
    /// What the customer may do.
    pub role: Role,
    /// argon2id, as a PHC string.
    pub password_hash: String,
    /// Goes up with every change that others see.
    pub version: i64,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// A customer as shown to that customer.
#[derive(Debug, Clone, Serialize)]
pub struct Profile {
    id: String,
    email: String,
    name: String,
    role: Role,
    created_at: String,
}

impl From<&Customer> for Profile {
    fn from(customer: &Customer) -> Self {
        Self {
            id: customer.id.clone(),
            email: customer.email.clone(),
            name: customer.name.clone(),
            role: customer.role,
            created_at: service_kit::clock::rfc3339(customer.created_at),
        }
    }
}

/// Notes what is wrong with a name.
pub fn check_name(checks: &mut Checks, name: &str) {
    checks.text(name, "name", 1, 200);
    checks.require(name.is_empty() || !name.trim().is_empty(), "name", "blank", "Must not be blank.");
}

/// Notes what is wrong with a new password.
pub fn check_password(checks: &mut Checks, field: &str, password: &str) {
    let characters = password.chars().count();
    checks.require(characters >= 8, field, "too_short", "Must have at least 8 characters.");
    checks.require(characters <= 256, field, "too_long", "Must have at most 256 characters.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalizes_addresses() {
        let email = |text: &str| Email::parse(text).map(|email| email.0);
        assert_eq!(email("  Ada@Example.COM "), Some("ada@example.com".into()));
        assert_eq!(email("ÄDA+tag@bücher.example"), Some("äda+tag@bücher.example".into()));
        let long = format!("{}@example.com", "x".repeat(65));
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@example",
            "a b@example.com",
            "a@b@example.com",
            "a@example..com",
            "a@-x.com",
            "a@x.com\n.y",
            &long,
        ] {
            assert_eq!(email(bad), None, "{bad:?}");
        }
        assert_eq!(format!("{:?}", Email::parse("ada@example.com")), "Some(Email(…))");
    }
}
