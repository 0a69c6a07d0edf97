//! OTLP over HTTP and over gRPC, behind the edge that each service has for it.

use std::io::Read as _;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use model::{OwnSpan, ServiceName};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;
use serde::Serialize;

use super::decode::{self, Malformed, Wire};
use super::{OwnLog, OwnPoint};

/// Who sends: the data plane sets it, and nobody else can.
pub const CALLER: &str = "x-isles-caller";

/// The longest message, in bytes, as it is sent and when it is unpacked.
const MOST_BYTES: usize = 8 << 20;
const MOST_UNPACKED: usize = 32 << 20;

/// Takes what services send. The methods that take give how many were not taken, since there were too many.
pub trait Intake: Send + Sync + 'static {
    /// What time it is, in Unix milliseconds: that of lines that have none.
    fn now(&self) -> u64;
    /// Spans of a service.
    fn spans(&self, spans: Vec<OwnSpan>) -> usize;
    /// Lines of a service.
    fn logs(&self, service: &ServiceName, lines: Vec<OwnLog>) -> usize;
    /// Numbers of a service.
    fn points(&self, service: &ServiceName, points: Vec<OwnPoint>) -> usize;
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Traces,
    Logs,
    Metrics,
}

/// Why an export is not taken: the status of HTTP, that of gRPC, and a sentence.
struct Refused(StatusCode, u8, String);

/// What `google.rpc.Status` has of use: OTLP's answer to what is not taken.
#[derive(Clone, PartialEq, Message, Serialize)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// `/v1/traces`, `/v1/logs`, `/v1/metrics`, and the same three as services of gRPC.
pub fn router(intake: Arc<dyn Intake>) -> Router {
    let mut router = Router::new();
    for (signal, path, service) in [
        (Signal::Traces, "/v1/traces", "trace.v1.TraceService"),
        (Signal::Logs, "/v1/logs", "logs.v1.LogsService"),
        (Signal::Metrics, "/v1/metrics", "metrics.v1.MetricsService"),
    ] {
        let http = move |State(intake): State<Arc<dyn Intake>>, headers: HeaderMap, body: Bytes| async move {
            over_http(&*intake, signal, &headers, &body)
        };
        let grpc = move |State(intake): State<Arc<dyn Intake>>, headers: HeaderMap, body: Bytes| async move {
            over_grpc(&*intake, signal, &headers, &body)
        };
        router = router
            .route(path, post(http))
            .route(&format!("/opentelemetry.proto.collector.{service}/Export"), post(grpc));
    }
    router.layer(DefaultBodyLimit::max(MOST_BYTES)).with_state(intake)
}

fn over_http(intake: &dyn Intake, signal: Signal, headers: &HeaderMap, body: &[u8]) -> Response {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let wire = match media.split(';').next().map(str::trim) {
        Some("application/x-protobuf") => Wire::Protobuf,
        Some("application/json") => Wire::Json,
        _ => {
            let message = "send application/x-protobuf or application/json".to_owned();
            return refuse(Wire::Json, &Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, 3, message));
        }
    };
    let packed = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    let taken = unpacked(packed, body).and_then(|body| take(intake, signal, wire, headers, &body));
    match taken {
        Ok(dropped) => match signal {
            Signal::Traces => answer(wire, StatusCode::OK, &traces_answer(dropped)),
            Signal::Logs => answer(wire, StatusCode::OK, &logs_answer(dropped)),
            Signal::Metrics => answer(wire, StatusCode::OK, &metrics_answer(dropped)),
        },
        Err(refused) => refuse(wire, &refused),
    }
}

fn refuse(wire: Wire, refused: &Refused) -> Response {
    let status = RpcStatus { code: i32::from(refused.1), message: refused.2.clone() };
    answer(wire, refused.0, &status)
}

fn answer<M: Message + Serialize>(wire: Wire, status: StatusCode, message: &M) -> Response {
    let (media, body) = match wire {
        Wire::Protobuf => ("application/x-protobuf", message.encode_to_vec()),
        Wire::Json => ("application/json", serde_json::to_vec(message).unwrap_or_default()),
    };
    (status, [(header::CONTENT_TYPE, media)], body).into_response()
}

/// One message of gRPC (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>): a byte that says whether it is
/// packed, its length in four, and the message.
fn over_grpc(intake: &dyn Intake, signal: Signal, headers: &HeaderMap, body: &[u8]) -> Response {
    let taken = message(headers, body).and_then(|body| take(intake, signal, Wire::Protobuf, headers, &body));
    let media = [(header::CONTENT_TYPE, "application/grpc")];
    match taken {
        Ok(dropped) => {
            let message = match signal {
                Signal::Traces => traces_answer(dropped).encode_to_vec(),
                Signal::Logs => logs_answer(dropped).encode_to_vec(),
                Signal::Metrics => metrics_answer(dropped).encode_to_vec(),
            };
            let mut framed = vec![0];
            framed.extend(u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
            framed.extend(message);
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            )]);
            let frames = [Frame::data(Bytes::from(framed)), Frame::trailers(trailers)];
            let frames = frames.map(Ok::<_, std::convert::Infallible>);
            (media, Body::new(StreamBody::new(futures_util::stream::iter(frames)))).into_response()
        }
        Err(Refused(_, code, why)) => {
            let why: String = why.chars().filter(|c| (' '..='~').contains(c) && *c != '%').collect();
            let mut response = (media, Body::empty()).into_response();
            response.headers_mut().insert("grpc-status", HeaderValue::from(u16::from(code)));
            if let Ok(why) = HeaderValue::from_str(&why) {
                response.headers_mut().insert("grpc-message", why);
            }
            response
        }
    }
}

fn message(headers: &HeaderMap, body: &[u8]) -> Result<Vec<u8>, Refused> {
    let broken = || Refused(StatusCode::BAD_REQUEST, 3, "this is no message of gRPC".to_owned());
    let (head, rest) = body.split_first_chunk::<5>().ok_or_else(broken)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if usize::try_from(length) != Ok(rest.len()) {
        return Err(broken());
    }
    let packed = headers.get("grpc-encoding").and_then(|value| value.to_str().ok());
    unpacked(packed.filter(|_| head[0] == 1), rest)
}

fn unpacked(encoding: Option<&str>, body: &[u8]) -> Result<Vec<u8>, Refused> {
    match encoding {
        None | Some("identity") => Ok(body.to_vec()),
        Some("gzip") => {
            let mut out = Vec::new();
            let read =
                flate2::read::GzDecoder::new(body).take(MOST_UNPACKED as u64 + 1).read_to_end(&mut out);
            match read {
                Ok(_) if out.len() <= MOST_UNPACKED => Ok(out),
                Ok(_) => {
                    let message = format!("the message is longer than {} MB", MOST_UNPACKED >> 20);
                    Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, 8, message))
                }
                Err(error) => Err(Refused(StatusCode::BAD_REQUEST, 3, format!("this is no gzip: {error}"))),
            }
        }
        Some(other) => {
            let message = format!("`{other}` is not known here: send it plain, or as gzip");
            Err(Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, 12, message))
        }
    }
}

/// Gives how many were not taken.
fn take(
    intake: &dyn Intake,
    signal: Signal,
    wire: Wire,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<usize, Refused> {
    let caller = headers.get(CALLER).and_then(|value| value.to_str().ok()).and_then(|name| name.parse().ok());
    let caller: ServiceName = caller.ok_or_else(|| {
        let message = "send it where OTEL_EXPORTER_OTLP_ENDPOINT says: who sends is known by that".to_owned();
        Refused(StatusCode::FORBIDDEN, 7, message)
    })?;
    let malformed = |e: Malformed| Refused(StatusCode::BAD_REQUEST, 3, e.to_string());
    Ok(match signal {
        Signal::Traces => {
            let (spans, refused) = decode::spans(&caller, wire, body).map_err(malformed)?;
            refused + intake.spans(spans)
        }
        Signal::Logs => intake.logs(&caller, decode::logs(wire, body, intake.now()).map_err(malformed)?),
        Signal::Metrics => intake.points(&caller, decode::points(wire, body).map_err(malformed)?),
    })
}

const TOO_MANY: &str = "there were too many at once, or they have no ids";

fn count(dropped: usize) -> i64 {
    i64::try_from(dropped).unwrap_or(i64::MAX)
}

fn traces_answer(dropped: usize) -> ExportTraceServiceResponse {
    let partial =
        ExportTracePartialSuccess { rejected_spans: count(dropped), error_message: TOO_MANY.to_owned() };
    ExportTraceServiceResponse { partial_success: (dropped > 0).then_some(partial) }
}

fn logs_answer(dropped: usize) -> ExportLogsServiceResponse {
    let partial =
        ExportLogsPartialSuccess { rejected_log_records: count(dropped), error_message: TOO_MANY.to_owned() };
    ExportLogsServiceResponse { partial_success: (dropped > 0).then_some(partial) }
}

fn metrics_answer(dropped: usize) -> ExportMetricsServiceResponse {
    let partial = ExportMetricsPartialSuccess {
        rejected_data_points: count(dropped),
        error_message: TOO_MANY.to_owned(),
    };
    ExportMetricsServiceResponse { partial_success: (dropped > 0).then_some(partial) }
}
