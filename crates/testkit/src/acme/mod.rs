//! A certificate authority that speaks ACME (RFC 8555) over HTTPS, and believes a host only after it has looked: it
//! connects to it and checks the certificate of tls-alpn-01 (RFC 8737). For tests; everything is in memory.

mod jose;
mod prove;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use jose::Signed;

/// How the authority behaves.
#[derive(Debug, Clone)]
pub struct AcmeOptions {
    /// How long its certificates are valid.
    pub lifetime: Duration,
    /// How many orders it refuses before it accepts one.
    pub refusals: usize,
}

/// A running authority; it ends with this.
pub struct AcmeServer {
    address: SocketAddr,
    root: String,
    state: Arc<Mutex<State>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for AcmeServer {
    fn drop(&mut self) {
        // Not waited for: whoever drops it may be a task of another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Authority {
    options: AcmeOptions,
    base: String,
    issuer: Issuer<'static, KeyPair>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    nonces: HashSet<String>,
    /// Public keys by the URL of the account.
    accounts: HashMap<String, Value>,
    orders: Vec<Order>,
    issued: usize,
    refused: usize,
    look_at: Option<SocketAddr>,
}

struct Order {
    account: String,
    hosts: Vec<Host>,
    certificate: Option<String>,
}

struct Host {
    name: String,
    token: String,
    proof: Proof,
}

#[derive(Clone)]
enum Proof {
    Pending,
    Processing,
    Valid,
    Invalid(String),
}

type Reply = Result<Response<Full<Bytes>>, (StatusCode, &'static str, String)>;

impl AcmeServer {
    /// Starts one on a free port of loopback.
    pub fn start(options: AcmeOptions) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&own, &issuer).unwrap();
        let key = PrivateKeyDer::from_pem_slice(own.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();

        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let base = format!("https://localhost:{}", address.port());
        let authority = Arc::new(Authority { options, base, issuer, state: Arc::clone(&state) });
        runtime.spawn(serve(listener, TlsAcceptor::from(Arc::new(tls)), authority));
        Self { address, root, state, runtime: Some(runtime) }
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/directory", self.address.port())
    }

    /// The certificate that signs all others, its own server's included; PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Where it is to look for the proof of a host, whichever that is.
    pub fn look_at(&self, address: SocketAddr) {
        self.lock().look_at = Some(address);
    }

    /// How many certificates it issued.
    pub fn issued(&self) -> usize {
        self.lock().issued
    }

    /// How many orders it refused.
    pub fn refused(&self) -> usize {
        self.lock().refused
    }

    /// How many accounts there are.
    pub fn accounts(&self) -> usize {
        self.lock().accounts.len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: std::net::TcpListener, tls: TlsAcceptor, authority: Arc<Authority>) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, authority) = (tls.clone(), Arc::clone(&authority));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let authority = Arc::clone(&authority);
                async move { Ok::<_, std::convert::Infallible>(authority.respond(request).await) }
            });
            let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Authority {
    async fn respond(self: Arc<Self>, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let nonce = jose::nonce();
        self.lock().nonces.insert(nonce.clone());
        let mut response = match self.answer(request).await {
            Ok(response) => response,
            Err((status, kind, detail)) => {
                let kind = format!("urn:ietf:params:acme:error:{kind}");
                let problem = json!({ "type": kind, "detail": detail, "status": status.as_u16() });
                reply(status, &problem)
            }
        };
        response.headers_mut().insert("replay-nonce", nonce.parse().unwrap());
        response
    }

    async fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        let url = format!("{}{path}", self.base);
        if request.method() != Method::POST {
            return match path.as_str() {
                "/directory" => Ok(reply(
                    StatusCode::OK,
                    &json!({
                        "newNonce": format!("{}/nonce", self.base),
                        "newAccount": format!("{}/account", self.base),
                        "newOrder": format!("{}/order", self.base),
                    }),
                )),
                "/nonce" => Ok(reply(StatusCode::OK, &Value::Null)),
                _ => Err((StatusCode::NOT_FOUND, "malformed", path)),
            };
        }
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let malformed = |why: String| (StatusCode::BAD_REQUEST, "malformed", why);
        let message = jose::Message::read(&body).map_err(malformed)?;
        if !self.lock().nonces.remove(message.nonce()) {
            return Err((StatusCode::BAD_REQUEST, "badNonce", "unknown or used".to_owned()));
        }
        let known = self.lock().accounts.get(message.account()).cloned();
        let signed =
            message.verify(&url, known).map_err(|(kind, why)| (StatusCode::UNAUTHORIZED, kind, why))?;
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let number = |text: &str| text.parse::<usize>().map_err(|_| malformed(path.clone()));
        match parts.as_slice() {
            ["account"] => Ok(self.new_account(&signed)),
            ["order"] => self.new_order(&signed),
            ["order", order] => self.order(number(order)?, &signed, StatusCode::OK),
            ["authorization", order, host] => self.authorization(number(order)?, number(host)?, &signed),
            ["challenge", order, host] => self.challenge(number(order)?, number(host)?, &signed),
            ["finalize", order] => self.finalize(number(order)?, &signed),
            ["certificate", order] => self.certificate(number(order)?, &signed),
            _ => Err((StatusCode::NOT_FOUND, "malformed", path)),
        }
    }

    fn new_account(&self, signed: &Signed) -> Response<Full<Bytes>> {
        let mut state = self.lock();
        let known = state.accounts.iter().find(|(_, key)| **key == signed.key).map(|(url, _)| url.clone());
        let url = known.unwrap_or_else(|| format!("{}/account/{}", self.base, state.accounts.len() + 1));
        state.accounts.insert(url.clone(), signed.key.clone());
        let mut response = reply(StatusCode::CREATED, &json!({ "status": "valid" }));
        response.headers_mut().insert("location", url.parse().unwrap());
        response
    }

    fn new_order(&self, signed: &Signed) -> Reply {
        let mut state = self.lock();
        if state.refused < self.options.refusals {
            state.refused += 1;
            return Err((StatusCode::FORBIDDEN, "rejectedIdentifier", "not today".to_owned()));
        }
        let named = signed.payload["identifiers"].as_array().cloned().unwrap_or_default();
        let hosts = named.iter().filter_map(|identifier| identifier["value"].as_str());
        let hosts =
            hosts.map(|name| Host { name: name.to_owned(), token: jose::nonce(), proof: Proof::Pending });
        let order = Order { account: signed.account.clone(), hosts: hosts.collect(), certificate: None };
        state.orders.push(order);
        let number = state.orders.len() - 1;
        drop(state);
        self.order(number, signed, StatusCode::CREATED)
    }

    fn order(&self, number: usize, signed: &Signed, status: StatusCode) -> Reply {
        let state = self.lock();
        let order = own(&state, number, signed)?;
        let is = |wanted: fn(&Proof) -> bool| order.hosts.iter().map(|host| &host.proof).any(wanted);
        let told = match &order.certificate {
            Some(_) => "valid",
            None if is(|proof| matches!(proof, Proof::Invalid(_))) => "invalid",
            None if is(|proof| !matches!(proof, Proof::Valid)) => "pending",
            None => "ready",
        };
        let base = &self.base;
        let each = (0..order.hosts.len()).map(|host| format!("{base}/authorization/{number}/{host}"));
        let hosts = order.hosts.iter().map(|host| json!({ "type": "dns", "value": host.name }));
        let mut body = json!({
            "status": told,
            "identifiers": hosts.collect::<Vec<_>>(),
            "authorizations": each.collect::<Vec<_>>(),
            "finalize": format!("{base}/finalize/{number}"),
        });
        if order.certificate.is_some() {
            body["certificate"] = format!("{base}/certificate/{number}").into();
        }
        let mut response = reply(status, &body);
        response.headers_mut().insert("location", format!("{base}/order/{number}").parse().unwrap());
        Ok(response)
    }

    fn authorization(&self, number: usize, host: usize, signed: &Signed) -> Reply {
        let state = self.lock();
        let found = own(&state, number, signed)?.hosts.get(host).ok_or_else(missing)?;
        let status = match found.proof {
            Proof::Pending | Proof::Processing => "pending",
            Proof::Valid => "valid",
            Proof::Invalid(_) => "invalid",
        };
        Ok(reply(
            StatusCode::OK,
            &json!({
                "status": status,
                "identifier": { "type": "dns", "value": found.name },
                "challenges": [self.told(number, host, found)],
            }),
        ))
    }

    fn told(&self, number: usize, index: usize, host: &Host) -> Value {
        let status = match host.proof {
            Proof::Pending => "pending",
            Proof::Processing => "processing",
            Proof::Valid => "valid",
            Proof::Invalid(_) => "invalid",
        };
        let url = format!("{}/challenge/{number}/{index}", self.base);
        let mut told = json!({ "type": "tls-alpn-01", "url": url, "token": host.token, "status": status });
        if let Proof::Invalid(why) = &host.proof {
            told["error"] = json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": why });
        }
        told
    }

    fn challenge(self: &Arc<Self>, number: usize, index: usize, signed: &Signed) -> Reply {
        let mut state = self.lock();
        own(&state, number, signed)?;
        let host = state.orders[number].hosts.get_mut(index).ok_or_else(missing)?;
        if matches!(host.proof, Proof::Pending) {
            host.proof = Proof::Processing;
            let (authority, name) = (Arc::clone(self), host.name.clone());
            let wanted = jose::key_authorization(&host.token, &signed.key);
            let address = state.look_at.ok_or_else(missing)?;
            tokio::spawn(async move {
                let proof = match prove::look(address, &name, &wanted).await {
                    Ok(()) => Proof::Valid,
                    Err(why) => Proof::Invalid(why),
                };
                authority.lock().orders[number].hosts[index].proof = proof;
            });
        }
        let told = self.told(number, index, &state.orders[number].hosts[index]);
        Ok(reply(StatusCode::OK, &told))
    }

    fn finalize(&self, number: usize, signed: &Signed) -> Reply {
        {
            let mut state = self.lock();
            let order = own(&state, number, signed)?;
            if !order.hosts.iter().all(|host| matches!(host.proof, Proof::Valid)) {
                return Err((StatusCode::FORBIDDEN, "orderNotReady", "not every host is proved".to_owned()));
            }
            let bad = |why: String| (StatusCode::BAD_REQUEST, "badCSR", why);
            let csr = signed.payload["csr"].as_str().unwrap_or_default();
            let csr = URL_SAFE_NO_PAD.decode(csr).map_err(|error| bad(error.to_string()))?;
            let mut csr =
                CertificateSigningRequestParams::from_der(&csr.into()).map_err(|e| bad(e.to_string()))?;
            let asked: HashSet<String> = csr.params.subject_alt_names.iter().map(name_of).collect();
            if asked != order.hosts.iter().map(|host| host.name.clone()).collect() {
                return Err(bad(format!("it asks for {asked:?}")));
            }
            let now = SystemTime::now();
            (csr.params.not_before, csr.params.not_after) =
                (now.into(), (now + self.options.lifetime).into());
            let chain = csr.signed_by(&self.issuer).map_err(|error| bad(error.to_string()))?.pem();
            state.orders[number].certificate = Some(chain);
            state.issued += 1;
        }
        self.order(number, signed, StatusCode::OK)
    }

    fn certificate(&self, number: usize, signed: &Signed) -> Reply {
        let state = self.lock();
        let chain = own(&state, number, signed)?.certificate.clone().ok_or_else(missing)?;
        Ok(Response::new(Full::from(chain)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An order of the account that asks.
fn own<'a>(
    state: &'a State,
    number: usize,
    signed: &Signed,
) -> Result<&'a Order, (StatusCode, &'static str, String)> {
    let order = state.orders.get(number).ok_or_else(missing)?;
    if order.account != signed.account {
        return Err((StatusCode::FORBIDDEN, "unauthorized", "somebody else's order".to_owned()));
    }
    Ok(order)
}

fn missing() -> (StatusCode, &'static str, String) {
    (StatusCode::NOT_FOUND, "malformed", "there is no such thing".to_owned())
}

fn name_of(name: &rcgen::SanType) -> String {
    match name {
        rcgen::SanType::DnsName(name) => name.as_str().to_owned(),
        other => format!("{other:?}"),
    }
}

fn reply(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))
        .unwrap()
}
