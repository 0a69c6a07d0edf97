//! What ACME needs of JOSE: messages signed with ES256 (RFC 7515, RFC 7518), thumbprints of keys (RFC 7638).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::Value;

/// A message as it came.
pub struct Message {
    protected: String,
    header: Value,
    payload: String,
    signature: Vec<u8>,
}

/// A message whose signature is good.
pub struct Signed {
    /// The URL of the account; empty for a new one.
    pub account: String,
    pub key: Value,
    /// Null where the message only asks.
    pub payload: Value,
}

impl Message {
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let whole: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let text = |name: &str| whole[name].as_str().map(str::to_owned).ok_or(format!("no {name}"));
        let (protected, payload) = (text("protected")?, text("payload")?);
        let header = serde_json::from_slice(&decode(&protected)?).map_err(|error| error.to_string())?;
        Ok(Self { protected, header, payload, signature: decode(&text("signature")?)? })
    }

    pub fn nonce(&self) -> &str {
        self.header["nonce"].as_str().unwrap_or_default()
    }

    pub fn account(&self) -> &str {
        self.header["kid"].as_str().unwrap_or_default()
    }

    /// Checks that it is for `url` and signed with the key of its account, or with the one that it brings.
    pub fn verify(self, url: &str, known: Option<Value>) -> Result<Signed, (&'static str, String)> {
        let refuse = |why: &str| ("malformed", why.to_owned());
        if self.header["url"] != url || self.header["alg"] != "ES256" {
            return Err(refuse("for another URL, or of another algorithm"));
        }
        let key = match (&self.header["jwk"], known) {
            (Value::Null, Some(known)) => known,
            (Value::Null, None) => {
                return Err(("accountDoesNotExist", "there is no such account".to_owned()));
            }
            (brought, _) => brought.clone(),
        };
        let coordinate = |name: &str| decode(key[name].as_str().unwrap_or_default());
        let (x, y) = (coordinate("x"), coordinate("y"));
        let (Ok(x), Ok(y)) = (x, y) else { return Err(refuse("the key cannot be read")) };
        // SEC 1, 2.3.3: an uncompressed point.
        let point = [&[4][..], &x, &y].concat();
        let signed = format!("{}.{}", self.protected, self.payload);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(signed.as_bytes(), &self.signature)
            .map_err(|_| refuse("the signature is wrong"))?;
        let payload = decode(&self.payload).unwrap_or_default();
        let payload = serde_json::from_slice(&payload).unwrap_or_default();
        Ok(Signed { account: self.account().to_owned(), key, payload })
    }
}

/// What a host has to show (RFC 8555, 8.1).
pub fn key_authorization(token: &str, key: &Value) -> String {
    let member = |name: &str| key[name].as_str().unwrap_or_default();
    let canonical = format!(
        r#"{{"crv":"{}","kty":"{}","x":"{}","y":"{}"}}"#,
        member("crv"),
        member("kty"),
        member("x"),
        member("y")
    );
    let digest = ring::digest::digest(&ring::digest::SHA256, canonical.as_bytes());
    format!("{token}.{}", URL_SAFE_NO_PAD.encode(digest))
}

/// Something nobody can guess.
pub fn nonce() -> String {
    let mut bytes = [0; 16];
    ring::rand::SystemRandom::new().fill(&mut bytes).unwrap();
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    URL_SAFE_NO_PAD.decode(text).map_err(|error| error.to_string())
}
