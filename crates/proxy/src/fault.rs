//! What the data plane itself answers, and why: stable codes.

use http::StatusCode;

use crate::conformance::Violation;

/// Why a request is not answered by a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NoRoute,
    MethodNotAllowed,
    ConnectRefused,
    BadPath,
    BadHost,
    CallerUnverified,
    NoReplica,
    Unresolved,
    Overloaded,
    CircuitOpen,
    ConnectFailed,
    UpstreamClosed,
    BadResponse,
    BadUpgrade,
    BadBody,
    ContractViolation,
    NotInContract,
    ContractUnknown,
    BadEncoding,
    LongBody,
    SlowBody,
    RateLimited,
    Misdirected,
    NotHttp,
    Timeout,
}

/// A [`Code`] and what a person should know about this case.
#[derive(Debug)]
pub(crate) struct Fault {
    pub code: Code,
    pub detail: String,
    /// Seconds after which it is worth asking again, said where the status is 503 or 429.
    pub retry_after: u64,
    /// What is not as a contract says, one by one.
    pub violations: Vec<Violation>,
}

impl Fault {
    pub(crate) fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), retry_after: 1, violations: Vec::new() }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: seconds.max(1), ..self }
    }
}

impl Code {
    /// Every code, in the order of their declaration: the place of one is its number.
    pub(crate) const ALL: [Self; 25] = [
        Self::NoRoute,
        Self::MethodNotAllowed,
        Self::ConnectRefused,
        Self::BadPath,
        Self::BadHost,
        Self::CallerUnverified,
        Self::NoReplica,
        Self::Unresolved,
        Self::Overloaded,
        Self::CircuitOpen,
        Self::ConnectFailed,
        Self::UpstreamClosed,
        Self::BadResponse,
        Self::BadUpgrade,
        Self::BadBody,
        Self::ContractViolation,
        Self::NotInContract,
        Self::ContractUnknown,
        Self::BadEncoding,
        Self::LongBody,
        Self::SlowBody,
        Self::RateLimited,
        Self::Misdirected,
        Self::NotHttp,
        Self::Timeout,
    ];

    /// The stable name, in the body and in the header `x-isles-error`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ConnectRefused => "connect_method",
            Self::BadPath => "bad_path",
            Self::BadHost => "bad_host",
            Self::CallerUnverified => "caller_unverified",
            Self::NoReplica => "no_replica",
            Self::Unresolved => "unresolved",
            Self::Overloaded => "overloaded",
            Self::CircuitOpen => "circuit_open",
            Self::ConnectFailed => "connect_failed",
            Self::UpstreamClosed => "upstream_closed",
            Self::BadResponse => "bad_response",
            Self::BadUpgrade => "bad_upgrade",
            Self::BadBody => "bad_body",
            Self::ContractViolation => "contract_violation",
            Self::NotInContract => "not_in_contract",
            Self::ContractUnknown => "contract_unknown",
            Self::BadEncoding => "bad_encoding",
            Self::LongBody => "body_too_long",
            Self::SlowBody => "request_timeout",
            Self::RateLimited => "rate_limited",
            Self::Misdirected => "misdirected",
            Self::NotHttp => "not_http",
            Self::Timeout => "timeout",
        }
    }

    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::NoRoute | Self::NotInContract => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed | Self::ConnectRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::BadPath | Self::BadHost | Self::BadBody | Self::ContractViolation => {
                StatusCode::BAD_REQUEST
            }
            Self::BadEncoding => StatusCode::NOT_IMPLEMENTED,
            Self::CallerUnverified => StatusCode::FORBIDDEN,
            Self::LongBody => StatusCode::PAYLOAD_TOO_LARGE,
            Self::SlowBody => StatusCode::REQUEST_TIMEOUT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoReplica
            | Self::Unresolved
            | Self::Overloaded
            | Self::CircuitOpen
            | Self::ContractUnknown => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed
            | Self::UpstreamClosed
            | Self::BadResponse
            | Self::BadUpgrade
            | Self::NotHttp => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::NoRoute => "No route for this path",
            Self::MethodNotAllowed => "No route for this method",
            Self::ConnectRefused => "CONNECT is not served",
            Self::BadPath => "The path is ambiguous",
            Self::BadHost => "The host is missing or ambiguous",
            Self::CallerUnverified => "This address is another service's",
            Self::NoReplica => "No replica is ready",
            Self::Unresolved => "The system outside cannot be found",
            Self::Overloaded => "The service has as many requests as it may have",
            Self::CircuitOpen => "The service fails and is not asked for a while",
            Self::ConnectFailed => "The replica could not be reached",
            Self::UpstreamClosed => "The replica closed the connection before it answered",
            Self::BadResponse => "The replica's answer is not HTTP",
            Self::BadBody => "The request's body is broken",
            Self::ContractViolation => "The request is not as the contract says",
            Self::NotInContract => "The contract has no such operation",
            Self::ContractUnknown => "The contract is not known yet",
            Self::BadEncoding => "The body has a transfer coding other than chunked",
            Self::LongBody => "The request's body is too long",
            Self::SlowBody => "The request came too slowly",
            Self::RateLimited => "More requests than this client may send",
            Self::Misdirected => "There is no certificate for this host",
            Self::BadUpgrade => "The replica switched to a protocol nobody asked for",
            Self::NotHttp => "The service does not speak HTTP",
            Self::Timeout => "The time for this request is over",
        }
    }

    /// Whether a connection of HTTP/1 ends with it: what follows a request that is not clear may not be clear either.
    pub(crate) fn ends_connection(self) -> bool {
        matches!(
            self,
            Self::BadPath | Self::BadHost | Self::BadBody | Self::BadEncoding | Self::ConnectRefused
        )
    }

    /// The gRPC status code that says the same.
    pub(crate) fn grpc_status(self) -> u8 {
        match self {
            Self::NoRoute
            | Self::MethodNotAllowed
            | Self::ConnectRefused
            | Self::BadEncoding
            | Self::NotInContract
            | Self::Misdirected => 12, // UNIMPLEMENTED
            Self::BadPath | Self::BadHost | Self::BadBody | Self::ContractViolation => 3, // INVALID_ARGUMENT
            Self::CallerUnverified => 7,                                                  // PERMISSION_DENIED
            Self::BadResponse | Self::BadUpgrade | Self::NotHttp => 13,                   // INTERNAL
            Self::ContractUnknown => 14,                                                  // UNAVAILABLE
            Self::NoReplica | Self::Unresolved | Self::Overloaded | Self::CircuitOpen => 14, // UNAVAILABLE
            Self::ConnectFailed | Self::UpstreamClosed => 14,                             // UNAVAILABLE
            Self::LongBody | Self::RateLimited => 8, // RESOURCE_EXHAUSTED
            Self::Timeout | Self::SlowBody => 4,     // DEADLINE_EXCEEDED
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_code_is_its_place() {
        assert!(Code::ALL.iter().enumerate().all(|(place, code)| *code as usize == place));
    }
}
