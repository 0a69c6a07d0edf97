//! Certificates from an authority that speaks ACME (RFC 8555), with the proof by TLS itself (tls-alpn-01, RFC 8737):
//! no other port and no other server is needed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder,
    OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use tracing::info;

use super::Certificates;
use super::certificate::{self, Pair};
use super::store::Store;

/// How long one order may take, from the first request to the certificate.
const ORDER: Duration = Duration::from_secs(180);
/// The pause after the first failure, and the longest; it grows eightfold, so that there are no more than five
/// failures within an hour, which is what Let's Encrypt allows for one host
/// (<https://letsencrypt.org/docs/rate-limits/>).
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3600));
/// How often it is looked, at least, whether the certificate has to be renewed.
const LOOK: Duration = Duration::from_secs(600);

/// What is wanted, and of whom.
#[derive(Debug)]
pub(crate) struct Order {
    pub domains: Vec<String>,
    pub email: String,
    pub directory: String,
    pub ca: Option<PathBuf>,
}

/// Keeps one certificate in time.
#[derive(Debug)]
pub(crate) struct Keeper {
    order: Order,
    store: Store,
    pair: Option<Pair>,
    failures: u32,
}

impl Keeper {
    /// Puts the certificate in force that was kept, if it is for the same hosts.
    pub(crate) fn begin(order: Order, root: PathBuf, certificates: &Certificates) -> Self {
        let store = Store::new(&root, &order.directory);
        let kept = store.certificate().and_then(|pem| certificate::read(&pem, &pem).ok());
        let pair = kept.filter(|pair| covers(pair, &order.domains));
        match &pair {
            Some(pair) => certificates.replace(pair.certified.clone()),
            None => certificates.report(Some(format!(
                "asking {} for a certificate; until it is there no client can connect",
                order.directory
            ))),
        }
        Self { order, store, pair, failures: 0 }
    }

    /// Renews until nobody needs the certificates any more.
    pub(crate) async fn run(mut self, weak: Weak<Certificates>) {
        loop {
            let Some(certificates) = weak.upgrade() else { return };
            let left = self.left(SystemTime::now());
            if !left.is_zero() {
                drop(certificates);
                // In steps: this clock and the one on the wall do not always go together.
                tokio::time::sleep(left.min(LOOK)).await;
                continue;
            }
            let pause = self.renew(&certificates).await;
            drop(certificates);
            tokio::time::sleep(pause).await;
        }
    }

    /// The time left until the certificate is to be renewed, which is when a third of its own time is left, as Let's
    /// Encrypt advises.
    fn left(&self, now: SystemTime) -> Duration {
        let Some(pair) = &self.pair else { return Duration::ZERO };
        (pair.begins + pair.lifetime() * 2 / 3).duration_since(now).unwrap_or_default()
    }

    /// Asks for a certificate. Returns how long to wait before anything else.
    async fn renew(&mut self, certificates: &Certificates) -> Duration {
        let ordered = tokio::time::timeout(ORDER, self.obtain(certificates)).await;
        certificates.show(HashMap::new());
        let why = match ordered {
            Ok(Ok(pair)) => {
                info!(hosts = self.order.domains.join(", "), "a certificate was issued");
                certificates.replace(pair.certified.clone());
                certificates.report(None);
                (self.pair, self.failures) = (Some(pair), 0);
                return Duration::ZERO;
            }
            Ok(Err(why)) => why,
            Err(_) => format!("no certificate within {} s", ORDER.as_secs()),
        };
        let pause = pause(self.failures);
        self.failures = self.failures.saturating_add(1);
        let state = match (&self.pair, certificates.is_empty()) {
            (Some(pair), false) => match pair.complaint(SystemTime::now()) {
                Some(complaint) => complaint,
                None => "the certificate before it stays in force".to_owned(),
            },
            _ => "until there is one no client can connect".to_owned(),
        };
        let directory = &self.order.directory;
        let next = pause.as_secs();
        certificates.report(Some(format!(
            "{directory} gives no certificate: {why}; asked again in {next} s; {state}"
        )));
        pause
    }

    async fn obtain(&self, certificates: &Certificates) -> Result<Pair, String> {
        let account = self.account().await?;
        let hosts: Vec<_> = self.order.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = match account.new_order(&NewOrder::new(&hosts)).await {
            Ok(order) => order,
            Err(error) => {
                if is_unknown_account(&error) {
                    self.store.forget_account();
                }
                return Err(say(error));
            }
        };
        prove(&mut order, certificates).await?;
        let status = order.poll_ready(&patience()).await.map_err(say)?;
        if status != OrderStatus::Ready {
            return Err(refusal(&mut order).await);
        }
        let key = KeyPair::generate().map_err(|error| error.to_string())?;
        let request = CertificateParams::new(self.order.domains.clone())
            .and_then(|params| params.serialize_request(&key))
            .map_err(|error| error.to_string())?;
        order.finalize_csr(request.der()).await.map_err(say)?;
        let chain = order.poll_certificate(&patience()).await.map_err(say)?;
        let key = key.serialize_pem();
        let mut pair = certificate::read(chain.as_bytes(), key.as_bytes())?;
        let now = SystemTime::now();
        if pair.ends <= now {
            return Err("the certificate that came has expired already: is the clock right?".to_owned());
        }
        // Authorities date their certificates back. Counted from then, a short one would be due at once, for ever.
        pair.begins = pair.begins.max(now);
        if !covers(&pair, &self.order.domains) {
            return Err("the certificate that came is for other hosts".to_owned());
        }
        self.store.keep_certificate(&key, &chain).map_err(|error| format!("it cannot be kept: {error}"))?;
        Ok(pair)
    }

    async fn account(&self) -> Result<Account, String> {
        let builder = match &self.order.ca {
            Some(path) => Account::builder_with_root(path),
            None => Account::builder(),
        };
        let builder = builder.map_err(say)?;
        let kept =
            self.store.account().and_then(|kept| serde_json::from_slice::<AccountCredentials>(&kept).ok());
        if let Some(credentials) = kept {
            return builder.from_credentials(credentials).await.map_err(say);
        }
        let contact = format!("mailto:{}", self.order.email);
        let wanted =
            NewAccount { contact: &[&contact], terms_of_service_agreed: true, only_return_existing: false };
        let made = builder.create(&wanted, self.order.directory.clone(), None).await;
        let (account, credentials) = made.map_err(say)?;
        let kept = serde_json::to_vec(&credentials).map_err(|error| error.to_string())?;
        self.store.keep_account(&kept).map_err(|error| format!("the account cannot be kept: {error}"))?;
        Ok(account)
    }
}

/// Shows the proof for each host that has not been proved yet, and tells the authority to look.
async fn prove(order: &mut instant_acme::Order, certificates: &Certificates) -> Result<(), String> {
    let mut proofs = HashMap::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(say)?;
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            other => return Err(format!("the authorization is {other:?}")),
        }
        let mut challenge = authorization
            .challenge(ChallengeType::TlsAlpn01)
            .ok_or("the authority does not offer tls-alpn-01 for this host")?;
        let host = challenge.identifier().to_string();
        let certified = proof(&host, challenge.key_authorization().digest().as_ref())?;
        proofs.insert(host.to_ascii_lowercase(), Arc::new(certified));
        certificates.show(proofs.clone());
        challenge.set_ready().await.map_err(say)?;
    }
    Ok(())
}

/// A certificate for `host` that carries the digest of a key authorization (RFC 8737, 3).
fn proof(host: &str, digest: &[u8]) -> Result<CertifiedKey, String> {
    if digest.len() != 32 {
        return Err("a digest has 32 bytes".to_owned());
    }
    let said = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(said)?;
    let mut params = CertificateParams::new([host.to_owned()]).map_err(said)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let leaf = params.self_signed(&key).map_err(said)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    let key = ring::sign::any_supported_type(&key).map_err(|error| error.to_string())?;
    // Not `from_der`, which proves that both belong together: the extension has to be critical, and webpki reads no
    // certificate with a critical extension that it does not know.
    Ok(CertifiedKey::new(vec![leaf.der().clone()], key))
}

/// Why an order was refused, in the authority's words.
async fn refusal(order: &mut instant_acme::Order) -> String {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let problem = state.challenges.iter().find_map(|challenge| challenge.error.as_ref());
        if let Some(problem) = problem {
            return format!("{}: {problem}", state.identifier());
        }
    }
    "it refused the order".to_owned()
}

fn covers(pair: &Pair, domains: &[String]) -> bool {
    let Some(leaf) = pair.certified.cert.first() else { return false };
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else { return false };
    domains.iter().all(|domain| {
        let name = rustls::pki_types::ServerName::try_from(domain.as_str());
        name.is_ok_and(|name| rustls::client::verify_server_name(&leaf, &name).is_ok())
    })
}

fn is_unknown_account(error: &Error) -> bool {
    let Error::Api(problem) = error else { return false };
    problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:accountDoesNotExist")
}

/// An error with what caused it: the outermost one often says no more than that something failed.
fn say(error: Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().timeout(Duration::from_secs(90))
}

/// How long to wait after so many failures before the last one; up to a tenth more, at random.
fn pause(failures: u32) -> Duration {
    let grown = RETRY.0 * 8_u32.saturating_pow(failures.min(6));
    grown.min(RETRY.1).mul_f64(1.0 + fastrand::f64() / 10.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_is_a_certificate_for_the_host_with_the_digest() {
        let certified = proof("a.example", &[7; 32]).unwrap();
        let leaf = &certified.cert[0];
        assert!(leaf.windows(34).any(|window| window[..2] == [4, 32] && window[2..] == [7; 32]));
        assert!(proof("a.example", &[7; 31]).is_err());
    }

    #[test]
    fn no_more_than_five_failures_fall_into_an_hour() {
        let mut at = Duration::ZERO;
        let mut within = 0;
        for failures in 0.. {
            if at >= Duration::from_secs(3600) {
                break;
            }
            within += 1;
            at += pause(failures);
        }
        assert_eq!(within, 5);
        assert!(pause(u32::MAX) >= RETRY.1);
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_time_is_left() {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 4, 1);
        let chain = params.self_signed(&key).unwrap().pem();
        let pair = certificate::read(chain.as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        assert!(covers(&pair, &["A.example".to_owned()]) && !covers(&pair, &["b.example".to_owned()]));
        let (begins, day) = (pair.begins, Duration::from_secs(86_400));
        let folder = tempfile::tempdir().unwrap();
        let order = Order {
            domains: vec![],
            email: String::new(),
            directory: "https://ca.example".to_owned(),
            ca: None,
        };
        let mut keeper = Keeper::begin(order, folder.path().to_owned(), &Certificates::default());
        assert_eq!(keeper.left(begins), Duration::ZERO, "there is none");
        keeper.pair = Some(pair);
        assert_eq!(keeper.left(begins + day * 59), day);
        assert_eq!(keeper.left(begins + day * 61), Duration::ZERO);
    }
}
