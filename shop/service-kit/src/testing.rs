//! What tests of services need: the real app on a port of its own, a database in a folder of its own, signed-in people.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::auth::{AUDIENCE, Auth, Claims, ISSUER, Role};
use crate::clock::{new_id, now_ms};
use crate::config::StartError;
use crate::db::Db;
use crate::jwks::{Jwk, JwkSet};
use crate::start::{App, listen};

/// An app that is being served on a free loopback port. It is stopped at once when this is dropped.
#[derive(Debug)]
pub struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    served: Option<JoinHandle<std::io::Result<()>>>,
}

impl Running {
    /// Serves the app.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(app: App) -> Result<Self, StartError> {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let addr = listener.local_addr().map_err(StartError::prepare)?;
        let stop = CancellationToken::new();
        let served = tokio::spawn(app.serve(listener, stop.clone()));
        Ok(Self { addr, stop, served: Some(served) })
    }

    /// The full URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Stops as SIGTERM does: what is in flight is finished first.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Some(served) = self.served.take() {
            let _ = served.await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(served) = &self.served {
            served.abort();
        }
    }
}

/// Signs access tokens as accounts does, with a key of its own.
pub struct Signer {
    key: EncodingKey,
    public: Jwk,
}

impl Signer {
    /// A signer with a new key.
    ///
    /// # Errors
    /// The system has no randomness.
    pub fn new() -> Result<Self, StartError> {
        let refused = |_| StartError::prepare("no Ed25519 key could be made");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).map_err(refused)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref())
            .map_err(|_| StartError::prepare("the key is not readable"))?;
        use base64::Engine as _;
        let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Ok(Self { key: EncodingKey::from_ed_der(pkcs8.as_ref()), public: Jwk::ed25519(&new_id(), &x) })
    }

    /// The published keys.
    #[must_use]
    pub fn jwks(&self) -> JwkSet {
        JwkSet { keys: vec![self.public.clone()] }
    }

    /// What an app needs to accept these tokens.
    #[must_use]
    pub fn auth(&self) -> Auth {
        Auth::fixed(&self.jwks())
    }

    /// Valid claims for a customer, to be altered by tests of refusal.
    #[must_use]
    pub fn claims(&self, customer: &str, role: Role) -> Claims {
        let now = now_ms() / 1000;
        Claims {
            iss: ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: customer.into(),
            sid: new_id(),
            email: format!("{customer}@example.com"),
            name: customer.into(),
            role,
            iat: now,
            exp: now + 900,
            jti: new_id(),
        }
    }

    /// A token with these claims.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn sign(&self, claims: &Claims) -> Result<String, StartError> {
        let header = Header { kid: Some(self.public.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(StartError::prepare)
    }

    /// A token for a customer.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn customer(&self, customer: &str) -> Result<String, StartError> {
        self.sign(&self.claims(customer, Role::Customer))
    }

    /// A token for an admin.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn admin(&self, customer: &str) -> Result<String, StartError> {
        self.sign(&self.claims(customer, Role::Admin))
    }
}

/// Every operation that a router serves, as `GET /api/things/{id}`: the paths as its `Debug` form lists them, the methods
/// as the `Allow` header of each path tells.
pub async fn served_operations(routes: Router) -> BTreeSet<String> {
    let shown = format!("{routes:?}");
    let mut operations = BTreeSet::new();
    let paths: BTreeSet<&str> =
        shown.split('"').skip(1).step_by(2).filter(|text| text.starts_with('/')).collect();
    for path in paths {
        // A path template is itself a path that matches it.
        let uri = path.replace(['{', '}'], "");
        let request = Request::builder().method(Method::TRACE).uri(uri).body(Body::empty());
        let Ok(response) = routes.clone().oneshot(request.unwrap_or_default()).await;
        let allowed =
            response.headers().get(header::ALLOW).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let methods =
            allowed.split(',').map(str::trim).filter(|method| !method.is_empty() && *method != "HEAD");
        operations.extend(methods.map(|method| format!("{method} {path}")));
    }
    operations
}

/// Every operation of an OpenAPI document, in the form of [`served_operations`].
#[must_use]
pub fn documented_operations(contract: &Value) -> BTreeSet<String> {
    const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];
    let paths = contract["paths"].as_object().into_iter().flatten();
    let operations = paths.flat_map(|(path, item)| {
        let methods = METHODS.into_iter().filter(|method| item[*method]["operationId"].is_string());
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    operations.filter(|operation| !operation.contains(" /health/")).collect()
}

/// A database for the test that owns this folder: an SQLite file in it, or a database of its own on the PostgreSQL server
/// that `TEST_POSTGRES_URL` names. The same folder gives the same database, as replicas share theirs.
///
/// # Errors
/// The server cannot be used.
pub async fn database_url(folder: &Path) -> Result<String, StartError> {
    let Ok(server) = std::env::var("TEST_POSTGRES_URL") else {
        return Ok(format!("sqlite://{}/service.db", folder.display()));
    };
    let digest = Sha256::digest(folder.as_os_str().as_encoded_bytes());
    let name = digest.iter().take(12).fold(String::from("test_"), |name, byte| format!("{name}{byte:02x}"));
    let admin = Db::open(&server, &[]).await?;
    let made =
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(admin.pool()).await;
    admin.close().await;
    let exists = |error: &sqlx::Error| {
        let code = error.as_database_error().and_then(|error| error.code());
        matches!(code.as_deref(), Some("42P04" | "23505"))
    };
    match made {
        Err(error) if !exists(&error) => Err(StartError::prepare(error)),
        _ => {
            let base = server.rsplit_once('/').map_or(server.as_str(), |(base, _)| base);
            Ok(format!("{base}/{name}"))
        }
    }
}
