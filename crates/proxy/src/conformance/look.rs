//! One request and its answer, put aside to be looked at.

use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use model::{ReleaseId, ServiceName};

use super::check::{self, Media, Seen};
use super::text::Written;
use super::{Contract, Copy, Violation};

/// A request that is under way, and will be looked at.
#[derive(Debug)]
pub(crate) struct Sampling {
    contract: Arc<Contract>,
    operation: usize,
    caller: Option<ServiceName>,
    head: bool,
    path: PathAndQuery,
    headers: HeaderMap,
    /// None where only its media type is looked at.
    request: Option<Copy>,
    answer: Option<Answered>,
}

#[derive(Debug)]
struct Answered {
    status: StatusCode,
    media: Media,
    release: ReleaseId,
    /// As that of the request.
    body: Option<Copy>,
}

/// What is handed to the thread that checks.
#[derive(Debug)]
pub(super) struct Look {
    pub contract: Arc<Contract>,
    pub operation: usize,
    pub caller: Option<ServiceName>,
    head: bool,
    path: PathAndQuery,
    headers: HeaderMap,
    request: Option<Vec<Bytes>>,
    answer: Option<(StatusCode, Media, Option<Vec<Bytes>>)>,
}

impl Sampling {
    /// Takes note of a request, if it is time to look at its operation. `path` is what the service is asked for.
    pub(crate) fn begin(
        contract: &Arc<Contract>,
        operation: Option<usize>,
        caller: Option<&ServiceName>,
        (method, path, headers): (&Method, &PathAndQuery, &HeaderMap),
        now: u64,
    ) -> Option<Self> {
        let operation = operation.filter(|operation| contract.is_due(*operation, now))?;
        Some(Self {
            contract: Arc::clone(contract),
            operation,
            caller: caller.cloned(),
            head: method == Method::HEAD,
            path: path.clone(),
            headers: headers.clone(),
            request: Some(Media::of(headers))
                .filter(|m| m.is_json() || m.essence.is_none())
                .map(|_| Copy::default()),
            answer: None,
        })
    }

    /// Where the body of the request is to be noted.
    pub(crate) fn request(&self) -> Option<&Copy> {
        self.request.as_ref()
    }

    /// The answer has begun: that of a replica of this release.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &HeaderMap, release: &ReleaseId) {
        let media = Media::of(headers);
        let body = media.is_json().then(Copy::default);
        self.answer = Some(Answered { status, media, release: release.clone(), body });
    }

    /// A piece of the answer passes by.
    pub(crate) fn passed(&self, piece: &Bytes) {
        if let Some(body) = self.answer.as_ref().and_then(|answer| answer.body.as_ref()) {
            body.take(piece);
        }
    }

    /// The answer has been passed on, to its end.
    pub(crate) fn end(self) {
        let Self { contract, operation, caller, head, path, headers, request, answer } = self;
        // The answers of another release are another contract's, which may say more.
        let answer = answer.filter(|answer| answer.release == contract.file.release).map(|answer| {
            if let Some(body) = &answer.body {
                body.ended();
            }
            (answer.status, answer.media, answer.body.and_then(|body| body.pieces()))
        });
        let request = request.and_then(|copy| copy.pieces());
        let to = Arc::clone(&contract);
        to.send(Look { contract, operation, caller, head, path, headers, request, answer });
    }
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Request,
    Answer,
}

impl Look {
    /// Everything that is not as the contract says, with the body that it was found in.
    pub fn check(&self) -> Vec<(Side, Violation, Option<Vec<u8>>)> {
        let Ok(book) = self.contract.book() else { return Vec::new() };
        let (asked, sent) = (joined(self.request.as_ref()), self.answer.as_ref());
        let template = self.contract.operations.all().get(self.operation).map_or("", |o| &o.path);
        let written = Written {
            template,
            path: self.path.path(),
            query: self.path.query().unwrap_or_default(),
            headers: &self.headers,
        };
        let of_request = check::request(book, self.operation, written, seen(asked.as_deref()));
        let mut found: Vec<_> = of_request.into_iter().map(|v| (Side::Request, v, asked.clone())).collect();
        // What a service says to a request that is wrong is its own affair.
        if let Some((status, media, body)) = sent.filter(|_| found.is_empty()) {
            let body = joined(body.as_ref());
            let without = self.head || matches!(status.as_u16(), 100..=199 | 204 | 205 | 304);
            let status = status.as_u16();
            let of_answer =
                check::response(book, self.operation, status, without, media, seen(body.as_deref()));
            found.extend(of_answer.into_iter().map(|v| (Side::Answer, v, body.clone())));
        }
        found
    }
}

fn joined(pieces: Option<&Vec<Bytes>>) -> Option<Vec<u8>> {
    pieces.map(|pieces| pieces.concat())
}

fn seen(body: Option<&[u8]>) -> Seen<'_> {
    body.map_or(Seen::Not, Seen::Whole)
}
