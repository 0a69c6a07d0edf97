//! The public keys that access tokens are signed with, as accounts publishes them, kept so that accounts may be down.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// Where accounts publishes its keys.
pub const PATH: &str = "/api/accounts/.well-known/jwks.json";
/// Unknown key ids make us ask again, but not more often than this.
const REFETCH: Duration = Duration::from_secs(5);
/// After a failure we ask again sooner, so that a service that started before accounts heals quickly.
const RETRY: Duration = Duration::from_millis(500);
const TIMEOUT: Duration = Duration::from_secs(2);

/// An Ed25519 public key in the form of RFC 8037.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// Always `OKP`.
    pub kty: String,
    /// Always `Ed25519`.
    pub crv: String,
    /// The key's name, as in a token's header.
    pub kid: String,
    /// The public key, base64url.
    pub x: String,
    /// Always `EdDSA`.
    #[serde(default)]
    pub alg: String,
    /// Always `sig`.
    #[serde(default, rename = "use")]
    pub usage: String,
}

impl Jwk {
    /// A public key (base64url of its 32 bytes) by name.
    #[must_use]
    pub fn ed25519(kid: &str, x: &str) -> Self {
        let text = str::to_owned;
        Self {
            kty: text("OKP"),
            crv: text("Ed25519"),
            kid: text(kid),
            x: text(x),
            alg: text("EdDSA"),
            usage: text("sig"),
        }
    }
}

/// A published set of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl JwkSet {
    fn decode(&self) -> HashMap<String, DecodingKey> {
        let ours = self.keys.iter().filter(|key| key.kty == "OKP" && key.crv == "Ed25519");
        ours.filter_map(|key| Some((key.kid.clone(), DecodingKey::from_ed_components(&key.x).ok()?)))
            .collect()
    }
}

/// Why there is no key for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The publisher does not know it.
    Unknown,
    /// The publisher could not be asked.
    Unreachable,
}

/// The keys in memory, on disk, and at their publisher. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeyCache(Arc<Inner>);

struct Inner {
    keys: RwLock<HashMap<String, DecodingKey>>,
    source: Option<Source>,
}

struct Source {
    url: String,
    file: Option<PathBuf>,
    client: reqwest::Client,
    /// Held while asking, so that many requests with a new key ask once: when, and whether it worked.
    asked: Mutex<Option<(Instant, bool)>>,
}

impl KeyCache {
    /// Keys that are known beforehand.
    pub(crate) fn fixed(set: &JwkSet) -> Self {
        Self(Arc::new(Inner { keys: RwLock::new(set.decode()), source: None }))
    }

    /// Keys of the publisher at `base`, remembered in `file`.
    pub(crate) fn remote(base: &str, file: Option<PathBuf>) -> Self {
        let known = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let known: JwkSet = known.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let client = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build().unwrap_or_default();
        let source = Source { url: format!("{base}{PATH}"), file, client, asked: Mutex::new(None) };
        Self(Arc::new(Inner { keys: RwLock::new(known.decode()), source: Some(source) }))
    }

    pub(crate) async fn key(&self, kid: &str) -> Result<DecodingKey, NoKey> {
        if let Some(key) = self.known(kid) {
            return Ok(key);
        }
        let reachable = self.refresh().await;
        match self.known(kid) {
            Some(key) => Ok(key),
            None if reachable => Err(NoKey::Unknown),
            None => Err(NoKey::Unreachable),
        }
    }

    fn known(&self, kid: &str) -> Option<DecodingKey> {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).get(kid).cloned()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Asks the publisher unless that was done just now; answers whether it could be asked.
    pub(crate) async fn refresh(&self) -> bool {
        let Some(source) = &self.0.source else { return true };
        let mut asked = source.asked.lock().await;
        if let Some((when, worked)) = *asked
            && when.elapsed() < if worked { REFETCH } else { RETRY }
        {
            return worked;
        }
        let set = source.fetch().await;
        *asked = Some((Instant::now(), set.is_some()));
        let Some(set) = set else { return false };
        let keys = set.decode();
        if !keys.is_empty() {
            *self.0.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
            source.remember(&set);
        }
        true
    }
}

impl Source {
    async fn fetch(&self) -> Option<JwkSet> {
        let answer = self.client.get(&self.url).send().await.and_then(reqwest::Response::error_for_status);
        match answer {
            Ok(response) => response.json().await.ok(),
            Err(error) => {
                tracing::debug!(cause = %error.without_url(), "the signing keys cannot be fetched");
                None
            }
        }
    }

    /// A failure only costs the next start a request, so it is logged and no more.
    fn remember(&self, set: &JwkSet) {
        let Some(file) = &self.file else { return };
        let Ok(bytes) = serde_json::to_vec(set) else { return };
        let temporary = file.with_extension(format!("{}.tmp", std::process::id()));
        let folder = file.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = folder
            .and_then(|()| std::fs::write(&temporary, bytes))
            .and_then(|()| std::fs::rename(&temporary, file));
        if let Err(error) = written {
            tracing::warn!(cause = %error, "the signing keys cannot be remembered on disk");
        }
    }
}
