//! One request's passage through the data plane, as a span of a distributed trace.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::names::{ReleaseId, ReplicaId, ServiceName};

/// The id of a trace, as W3C trace context and OTLP have it: 16 bytes, not all of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(pub u128);

/// The id of a span: 8 bytes, not all of them zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanId(pub u64);

/// Why a span was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// It was chosen before anything was known of it.
    Sampled,
    /// It was slower than nearly all others of its edge.
    Slow,
    /// It failed.
    Failed,
}

/// An attempt that failed and was followed by another, or by the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// Nanoseconds from the beginning of the span to the end of the attempt.
    pub at: u64,
    /// Which replica was asked.
    pub replica: ReplicaId,
    /// Of which release.
    pub release: ReleaseId,
    /// What came of it: a code of the data plane, or the status of the answer.
    pub outcome: String,
}

/// The time that one request spent in the data plane and behind it: a span of kind server, with all attempts in it. The
/// spans of the called service hang below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// The trace.
    pub trace: TraceId,
    /// This span.
    pub id: SpanId,
    /// The span of the caller, if it sent one.
    pub parent: Option<SpanId>,
    /// Whether the trace is sampled, as the `traceparent` says that was passed on.
    pub sampled: bool,
    /// Why it was kept.
    pub kept: Kept,
    /// When the request arrived: Unix nanoseconds.
    pub start: u64,
    /// Nanoseconds until the last byte of the answer was passed on.
    pub duration: u64,
    /// Nanoseconds until the head of the answer was there, if it ever was.
    pub head: Option<u64>,
    /// The calling service; none at the gateway.
    pub caller: Option<ServiceName>,
    /// The called service.
    pub callee: ServiceName,
    /// Who answered, or was asked last.
    pub replica: Option<ReplicaId>,
    /// Its release.
    pub release: Option<ReleaseId>,
    /// The address that the request came to.
    pub listener: std::net::SocketAddr,
    /// The method.
    pub method: String,
    /// The path, without its query, which may hold what is nobody's business.
    pub path: String,
    /// The status of the answer; none if the caller left before there was one.
    pub status: Option<u16>,
    /// The status of gRPC, if it was a call of gRPC that got one.
    pub grpc_status: Option<u8>,
    /// The code of the data plane, if it answered itself, or saw the answer break off.
    pub error: Option<String>,
    /// The caller left before the last byte.
    pub cancelled: bool,
    /// The failure was not the callee's own: a call that it made for this trace had failed.
    pub passed_on: bool,
    /// The `x-request-id`.
    pub request_id: Option<String>,
    /// How often it was sent.
    pub attempts: u32,
    /// The attempts that failed.
    pub failed_attempts: Vec<FailedAttempt>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A number.
    Int(i64),
    /// A text.
    Text(String),
    /// Yes or no.
    Bool(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
            Self::Bool(yes) => yes.fmt(f),
        }
    }
}

impl Span {
    /// Whether the request failed.
    pub fn failed(&self) -> bool {
        self.error.is_some()
            || self.status.is_some_and(|status| status >= 500)
            || self.grpc_status.is_some_and(crate::signals::grpc_failed)
    }

    /// The span's name: the method, as there is no route of low cardinality to add.
    pub fn name(&self) -> &str {
        &self.method
    }

    /// What OpenTelemetry's conventions say about it
    /// (<https://opentelemetry.io/docs/specs/semconv/http/http-spans/>), and what only this system knows under `isles.`.
    pub fn attributes(&self) -> Vec<(&'static str, Value)> {
        let text = |text: &dyn fmt::Display| Some(Value::Text(text.to_string()));
        let int = |number: u64| Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)));
        let error = match (&self.error, self.status) {
            (Some(code), _) => Some(Value::Text(code.clone())),
            (None, Some(status)) if status >= 500 => text(&status),
            _ => self.grpc_status.filter(|s| crate::signals::grpc_failed(*s)).and_then(|s| text(&s)),
        };
        let all = [
            ("http.request.method", text(&self.method)),
            ("url.path", text(&self.path)),
            ("server.address", text(&self.listener.ip())),
            ("server.port", int(self.listener.port().into())),
            ("http.response.status_code", self.status.and_then(|status| int(status.into()))),
            ("rpc.grpc.status_code", self.grpc_status.and_then(|status| int(status.into()))),
            ("error.type", error),
            ("isles.caller", text(&self.caller.as_ref().map_or("gateway", ServiceName::as_str))),
            ("isles.callee", text(&self.callee)),
            ("isles.replica", self.replica.as_ref().and_then(|replica| text(replica))),
            ("isles.release", self.release.as_ref().and_then(|release| text(release))),
            ("isles.attempts", int(self.attempts.into())),
            ("isles.request_id", self.request_id.as_ref().and_then(|id| text(id))),
            ("isles.passed_on", self.passed_on.then_some(Value::Bool(true))),
            ("isles.cancelled", self.cancelled.then_some(Value::Bool(true))),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }
}

/// An id is not hexadecimal, of the wrong length, or nothing but zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadId;

impl fmt::Display for BadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not the id of a trace or span: lower-case hexadecimal, 32 or 16 digits, not all zero")
    }
}

impl std::error::Error for BadId {}

macro_rules! hex_id {
    ($name:ident, $number:ty, $digits:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{:0", $digits, "x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                let digits = text.len() == $digits
                    && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                let number = <$number>::from_str_radix(text, 16).ok().filter(|number| digits && *number != 0);
                number.map(Self).ok_or(BadId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

hex_id!(TraceId, u128, 32);
hex_id!(SpanId, u64, 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        for (text, good) in [
            ("0af7651916cd43dd8448eb211c80319c", true),
            ("00000000000000000000000000000001", true),
            ("00000000000000000000000000000000", false),
            ("0AF7651916CD43DD8448EB211C80319C", false),
            ("+af7651916cd43dd8448eb211c80319c", false),
            ("0af7651916cd43dd8448eb211c80319", false),
            ("", false),
        ] {
            let read = text.parse::<TraceId>();
            assert_eq!(read.is_ok(), good, "{text}");
            assert!(read.is_err() || read.unwrap().to_string() == text);
        }
        assert_eq!("00f067aa0ba902b7".parse(), Ok(SpanId(0x00f0_67aa_0ba9_02b7)));
    }
}
