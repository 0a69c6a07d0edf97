//! `gateway.tls`: files or an authority, and whether certificate and key can be used together.

use std::path::{Path, PathBuf};

use model::GatewayTls;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::fault::Fault;
use crate::gateway::host;
use crate::outside::url;
use crate::section::Section;
use crate::value::Value;
use crate::{code, paths};

/// What may stand in it, as it was read; the outer option is whether the key is there.
struct Read {
    cert: Option<Option<PathBuf>>,
    key: Option<Option<PathBuf>>,
    acme: Option<Vec<String>>,
    email: Option<Option<String>>,
    directory: Option<Option<String>>,
    ca: Option<Option<PathBuf>>,
}

pub(crate) fn tls(table: Section<'_>, root: &Path) -> Option<GatewayTls> {
    let pem =
        |key| table.get(key).map(|v: Value<'_>| paths::expected_file(&v, root, "the folder of the manifest"));
    let read = Read {
        cert: pem("cert"),
        key: pem("key"),
        acme: table.get("acme").map(|v| domains(&v)),
        email: table.get("email").map(|v| email(&v)),
        directory: table.get("directory").map(|v| url(&v).map(|url| url.to_string())),
        ca: pem("ca"),
    };
    if let (Some(Some(cert)), Some(Some(key))) = (&read.cert, &read.key) {
        check_pair(&table, cert, key);
    }
    if let Some(Some(ca)) = &read.ca {
        check_chain(&table, "ca", ca);
    }
    let at = table.at();
    let sink = table.sink;
    table.done();
    let (code, message) = match read {
        Read { cert: Some(cert), key: Some(key), acme: None, email: None, directory: None, ca: None } => {
            return Some(GatewayTls::Files { cert: cert?, key: key? });
        }
        Read { cert: None, key: None, acme: Some(domains), email: Some(email), directory, ca } => {
            let (directory, ca) = (settled(directory)?, settled(ca)?);
            return Some(GatewayTls::Acme { domains, email: email?, directory, ca });
        }
        Read { cert: Some(_), key: None, acme: None, .. } => (code::MISSING_KEY, "`cert` needs `key`"),
        Read { cert: None, key: Some(_), acme: None, .. } => (code::MISSING_KEY, "`key` needs `cert`"),
        Read { cert: None, key: None, acme: Some(_), email: None, .. } => {
            (code::MISSING_KEY, "`acme` needs `email`")
        }
        Read { cert: None, key: None, acme: None, email: None, directory: None, ca: None } => {
            (code::MISSING_KEY, "`tls` says nothing")
        }
        Read { cert: None, key: None, acme: None, .. } => {
            (code::MISSING_KEY, "`email`, `directory` and `ca` need `acme`")
        }
        _ => (code::CONFLICT, "`cert` and `key` do not go together with `acme` and what belongs to it"),
    };
    let hint = "either `{ cert = \"…\", key = \"…\" }` or `{ acme = [\"shop.example\"], email = \"ops@shop.example\" }`";
    sink.push(Fault::error(code, at, message).hint(hint));
    None
}

/// What was read of a key that may be left out; `None` where it is there and cannot be used.
fn settled<T>(read: Option<Option<T>>) -> Option<Option<T>> {
    match read {
        Some(None) => None,
        Some(value) => Some(value),
        None => Some(None),
    }
}

fn domains(value: &Value<'_>) -> Vec<String> {
    let domains: Vec<String> = value.items().iter().filter_map(host).collect();
    if domains.is_empty() && value.node.get_ref().as_array().is_some_and(|a| a.is_empty()) {
        let hint = "write `acme = [\"shop.example\"]`".to_owned();
        value.bad("`acme` names no host".to_owned(), Some(hint));
    }
    domains
}

fn email(value: &Value<'_>) -> Option<String> {
    let text = value.some_text()?;
    if !text.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && domain.contains('.')) {
        value.bad(format!("`{text}` is not an e-mail address"), None);
    }
    Some(text.to_owned())
}

/// Reports a certificate and a key that cannot be used, as far as they are there.
fn check_pair(table: &Section<'_>, cert: &Path, key: &Path) {
    let chain = check_chain(table, "cert", cert);
    let secret = key.exists().then(|| PrivateKeyDer::from_pem_file(key));
    let secret = match secret {
        Some(Ok(secret)) => Some(secret),
        Some(Err(error)) => {
            complain(table, "key", key, &said(&error, "private key"));
            None
        }
        None => None,
    };
    let (Some(chain), Some(secret)) = (chain, secret) else { return };
    let ring = rustls::crypto::ring::default_provider();
    if let Err(error) = CertifiedKey::from_der(chain, secret, &ring) {
        let why = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("it does not belong to the certificate `{}`", cert.display())
            }
            other => format!("it cannot be used with the certificate: {other}"),
        };
        complain(table, "key", key, &why);
    }
}

fn check_chain(table: &Section<'_>, name: &'static str, path: &Path) -> Option<Vec<CertificateDer<'static>>> {
    if !path.exists() {
        // Warned of already.
        return None;
    }
    let chain = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let why = match chain {
        Ok(chain) if chain.is_empty() => said(&PemError::NoItemsFound, "certificate"),
        Ok(chain) => return Some(chain),
        Err(error) => said(&error, "certificate"),
    };
    complain(table, name, path, &why);
    None
}

fn said(error: &PemError, what: &str) -> String {
    match error {
        PemError::NoItemsFound => format!("there is no {what} in PEM form in it"),
        PemError::Io(error) => format!("it cannot be read: {error}"),
        other => format!("it is not PEM: {other}"),
    }
}

fn complain(table: &Section<'_>, name: &'static str, path: &Path, why: &str) {
    let at = table.get(name).map_or_else(|| table.at(), |value| value.span());
    let fault = Fault::error(code::CERTIFICATE, at, format!("`{}` cannot be used: {why}", path.display()));
    table.sink.push(
        fault.hint(
            "a PEM file begins with `-----BEGIN …-----`; the key is the one the certificate was made for",
        ),
    );
}
