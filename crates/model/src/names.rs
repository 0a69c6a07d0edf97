//! Names, valid by construction.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameError {
    /// The text is empty.
    Empty,
    /// The text is longer than 63 bytes, the limit of a DNS label (RFC 1035).
    TooLong,
    /// The text has a character other than `a-z`, `0-9` and `-`, or starts or ends with `-`, or starts with a digit.
    BadCharacter(char),
    /// A replica id is `<service>-<index>`; this text is not.
    NotAReplica,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a name may not be empty"),
            Self::TooLong => write!(f, "a name has at most 63 characters"),
            Self::BadCharacter(c) => {
                write!(
                    f,
                    "a name is lower-case letters, digits and inner `-`, starting with a letter; `{c}` is not allowed there"
                )
            }
            Self::NotAReplica => write!(f, "a replica is named `<service>-<number>`"),
        }
    }
}

impl std::error::Error for NameError {}

/// The name of a service (or an app, or an external system): an RFC 1035 label, so that it can be a host name anywhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// Checks `name` and wraps it.
    pub fn new(name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        let Some(first) = name.chars().next() else { return Err(NameError::Empty) };
        if name.len() > 63 {
            return Err(NameError::TooLong);
        }
        if !first.is_ascii_lowercase() {
            return Err(NameError::BadCharacter(first));
        }
        if let Some(bad) = name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
        {
            return Err(NameError::BadCharacter(bad));
        }
        if name.ends_with('-') {
            return Err(NameError::BadCharacter('-'));
        }
        Ok(Self(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The stem of the environment variable for a callee of this name: upper case, `-` becomes `_` (`a-b` gives `A_B`).
    pub fn env_stem(&self) -> String {
        self.0.to_ascii_uppercase().replace('-', "_")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ServiceName {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl TryFrom<String> for ServiceName {
    type Error = NameError;
    fn try_from(s: String) -> Result<Self, NameError> {
        Self::new(s)
    }
}

impl From<ServiceName> for String {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

impl std::borrow::Borrow<str> for ServiceName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One release of a service: the hex digest of what it is made of, shortened to 12 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReleaseId(pub String);

impl fmt::Display for ReleaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One replica slot of a service: the service and a number from 1. A slot that is started again keeps its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReplicaId {
    /// Whose replica it is.
    pub service: ServiceName,
    /// From 1.
    pub index: u32,
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.service, self.index))
    }
}

impl From<ReplicaId> for String {
    fn from(id: ReplicaId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ReplicaId {
    type Error = NameError;
    fn try_from(s: String) -> Result<Self, NameError> {
        let (service, index) = s.rsplit_once('-').ok_or(NameError::NotAReplica)?;
        let index = index.parse().ok().filter(|i| *i > 0).ok_or(NameError::NotAReplica)?;
        Ok(Self { service: ServiceName::new(service)?, index })
    }
}

impl FromStr for ReplicaId {
    type Err = NameError;
    fn from_str(s: &str) -> Result<Self, NameError> {
        Self::try_from(s.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "orders", "order-service2", &"a".repeat(63)] {
            assert_eq!(ServiceName::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a-", "A", "a_b", "1a", "é", "a b", "a/b", &"a".repeat(64)] {
            assert!(ServiceName::new(bad).is_err(), "{bad:?} should be refused");
        }
        assert_eq!(ServiceName::new("user-db").unwrap().env_stem(), "USER_DB");
    }

    #[test]
    fn replica_ids_round_trip() {
        let id: ReplicaId = "order-service-12".parse().unwrap();
        assert_eq!((id.service.as_str(), id.index), ("order-service", 12));
        assert_eq!(id.to_string(), "order-service-12");
        for bad in ["orders", "orders-0", "orders-x", "-1", "orders-"] {
            assert!(bad.parse::<ReplicaId>().is_err(), "{bad:?} should be refused");
        }
    }
}
