//! What the environment tells a service: where to listen, where its data is, whom it may call.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// Why a service cannot start. Each says what to set or to look at.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An environment variable is missing.
    #[error("{name} is not set: {hint}")]
    Missing {
        /// The variable.
        name: String,
        /// What it is for.
        hint: &'static str,
    },
    /// An environment variable cannot be understood.
    #[error("{name} cannot be used: {why}")]
    Invalid {
        /// The variable.
        name: String,
        /// What is wrong with it; never the value itself, which may be a secret.
        why: String,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Where it tried to listen.
        addr: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The database cannot be opened or brought up to date.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
    /// The service's own preparation failed.
    #[error("{0}")]
    Prepare(String),
}

impl StartError {
    /// The service's own preparation failed for this reason.
    pub fn prepare(why: impl std::fmt::Display) -> Self {
        Self::Prepare(why.to_string())
    }
}

/// The environment, read once at start-up.
#[derive(Debug, Clone)]
pub struct Config {
    /// The service's own name, as in the manifest.
    pub service: String,
    /// Where to listen.
    pub addr: SocketAddr,
    /// `sqlite://…` or `postgres://…`.
    pub database_url: String,
    /// The service's own folder, if it has one.
    pub data_dir: Option<PathBuf>,
    vars: BTreeMap<String, String>,
}

impl Config {
    /// Reads the process environment. `service` is the name used when `ISLES_SERVICE` is not set.
    ///
    /// # Errors
    /// A variable is missing or cannot be understood.
    pub fn from_env(service: &str) -> Result<Self, StartError> {
        Self::from_vars(
            service,
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        )
    }

    /// The same from given variables, for tests.
    ///
    /// # Errors
    /// A variable is missing or cannot be understood.
    pub fn from_vars(
        service: &str,
        vars: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StartError> {
        let vars: BTreeMap<String, String> =
            vars.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let get = |name: &str| vars.get(name).map(String::as_str);
        let missing = |name: &str, hint| StartError::Missing { name: name.to_owned(), hint };
        let port = get("PORT")
            .ok_or_else(|| missing("PORT", "the port to listen on, 0 to 65535 (`isles up` sets it)"))?;
        let port: u16 = port.parse().map_err(|_| StartError::Invalid {
            name: "PORT".into(),
            why: "it must be a number from 0 to 65535".into(),
        })?;
        let host = match get("HOST") {
            None | Some("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(host) => host.parse().map_err(|_| StartError::Invalid {
                name: "HOST".into(),
                why: "it must be an IP address such as 127.0.0.1".into(),
            })?,
        };
        let data_dir = get("ISLES_DATA").map(PathBuf::from);
        let service = get("ISLES_SERVICE").unwrap_or(service).to_owned();
        let database_url = match (get("DATABASE_URL"), &data_dir) {
            (Some(url), _) => url.to_owned(),
            (None, Some(dir)) => format!("sqlite://{}/{service}.db", dir.display()),
            (None, None) => {
                return Err(missing("DATABASE_URL", "sqlite://FILE or postgres://… (or set ISLES_DATA)"));
            }
        };
        Ok(Self { service, addr: SocketAddr::new(host, port), database_url, data_dir, vars })
    }

    /// Any other variable; an empty one counts as not set.
    #[must_use]
    pub fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str)
    }

    /// A variable that parses as `T`, or `default` when it is not set.
    ///
    /// # Errors
    /// The variable is set to something else.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str, default: T) -> Result<T, StartError> {
        match self.var(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| StartError::Invalid {
                name: name.to_owned(),
                why: format!("it must be a {}", std::any::type_name::<T>()),
            }),
        }
    }

    /// The base URL of a callee: `<CALLEE>_URL`, without a slash at its end.
    ///
    /// # Errors
    /// It is not set or not an http(s) URL.
    pub fn callee_url(&self, callee: &str) -> Result<String, StartError> {
        let name = format!("{}_URL", callee.to_uppercase().replace('-', "_"));
        let url = self.var(&name).ok_or(StartError::Missing {
            name: name.clone(),
            hint: "the address of a service that this one calls (`isles up` sets it for every name in `calls`)",
        })?;
        if url.starts_with("http://") || url.starts_with("https://") {
            return Ok(url.trim_end_matches('/').to_owned());
        }
        Err(StartError::Invalid { name, why: "it must start with http:// or https://".into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(vars: &[(&str, &str)]) -> Result<Config, StartError> {
        Config::from_vars("catalog", vars.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn a_missing_port_is_told() {
        let error = config(&[("DATABASE_URL", "sqlite:///tmp/x.db")]).unwrap_err().to_string();
        assert!(error.starts_with("PORT is not set"), "{error}");
        assert!(config(&[("PORT", "99999")]).unwrap_err().to_string().contains("0 to 65535"));
        assert!(config(&[("PORT", "1")]).unwrap_err().to_string().contains("DATABASE_URL"));
    }

    #[test]
    fn reads_what_is_set() {
        let config = config(&[
            ("PORT", "0"),
            ("ISLES_DATA", "/data"),
            ("PAYMENT_HUB_URL", "http://127.0.0.1:1/"),
            ("N", "7"),
            ("E", ""),
        ])
        .unwrap();
        assert_eq!(config.addr.to_string(), "127.0.0.1:0");
        assert_eq!(config.database_url, "sqlite:///data/catalog.db");
        assert_eq!(config.callee_url("payment-hub").unwrap(), "http://127.0.0.1:1");
        assert!(config.callee_url("orders").unwrap_err().to_string().starts_with("ORDERS_URL is not set"));
        assert_eq!(config.parsed("N", 3).unwrap(), 7);
        assert_eq!(config.parsed("E", 3).unwrap(), 3);
    }
}
