//! What an answer says: taken, later, or never
//! (<https://opentelemetry.io/docs/specs/otlp/#failures>).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hyper::StatusCode;
use hyper::header::{HeaderMap, RETRY_AFTER};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;

use crate::ingest::http::error::FetchError;

/// The prefix of a message of gRPC: whether it is compressed, and its length.
pub(super) const GRPC_PREFIX_BYTES: usize = 5;

/// Longest text of a server in our log, in characters.
const TEXT_MAX: usize = 200;

/// A server that wants more has to ask again.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// Details are sent with or without padding.
const DETAILS: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The names of gRPC's codes, in order (grpc/doc/statuscodes.md).
const CODES: [&str; 17] = [
    "grpc_ok",
    "grpc_cancelled",
    "grpc_unknown",
    "grpc_invalid_argument",
    "grpc_deadline_exceeded",
    "grpc_not_found",
    "grpc_already_exists",
    "grpc_permission_denied",
    "grpc_resource_exhausted",
    "grpc_failed_precondition",
    "grpc_aborted",
    "grpc_out_of_range",
    "grpc_unimplemented",
    "grpc_internal",
    "grpc_unavailable",
    "grpc_data_loss",
    "grpc_unauthenticated",
];

const RESOURCE_EXHAUSTED: usize = 8;

/// Codes after which a request is sent again: cancelled, deadline exceeded, aborted, out of range,
/// unavailable, data loss.
const RETRYABLE: [usize; 6] = [1, 4, 10, 11, 14, 15];

/// What became of a request.
pub(super) type Answer = Result<Taken, Failure>;

/// It arrived.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// Points that were not taken, for good.
    pub(super) rejected: u64,
    /// Why, or a warning.
    pub(super) told: String,
}

/// It was not taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Failure {
    /// The label value.
    pub(super) reason: &'static str,
    /// What to do about it; empty if nobody knows.
    pub(super) advice: &'static str,
    /// For the log.
    pub(super) told: String,
    /// It is worth another try.
    pub(super) again: bool,
    /// … but not before, as the server said.
    pub(super) wait: Option<Duration>,
    /// There was a connection: it may have arrived.
    pub(super) sent: bool,
}

/// google.rpc.Status.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// google.protobuf.Any.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// google.rpc.RetryInfo.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Span>,
}

/// google.protobuf.Duration.
#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Failure {
    /// No whole answer came.
    pub(super) fn of_connection(error: &FetchError, sent: bool) -> Self {
        let reason = error.reason();
        let (reason, advice) = (reason.as_str(), reason.advice());
        Self { reason, advice, told: error.to_string(), again: true, wait: None, sent }
    }

    /// An HTTP status that is no success (for gRPC, grpc/doc/http-grpc-status-mapping.md).
    fn of_status(status: StatusCode, told: String) -> Self {
        let reason = FetchError::Status(status).reason();
        let again = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        Self {
            reason: reason.as_str(),
            advice: reason.advice(),
            told,
            again,
            wait: None,
            sent: true,
        }
    }
}

/// An answer to OTLP/HTTP.
pub(super) fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if status.is_success() {
        return Ok(taken(body));
    }
    let message = Status::decode(body).map(|status| status.message).unwrap_or_default();
    let wait = headers.get(RETRY_AFTER).and_then(|wait| retry_after(wait.to_str().ok()?));
    let told = joined(&format!("the receiver answered {status}"), &message);
    Err(Failure { wait, ..Failure::of_status(status, told) })
}

/// An answer to OTLP/gRPC.
pub(super) fn of_grpc(status: StatusCode, trailers: &HeaderMap, body: &[u8]) -> Answer {
    let text = |name| trailers.get(name).and_then(|value| value.to_str().ok());
    let Some(code) = text("grpc-status").and_then(|code| code.parse::<usize>().ok()) else {
        // A proxy, or a server that knows no gRPC.
        let told = format!("the receiver answered {status}, and not by gRPC");
        return Err(Failure::of_status(status, told));
    };
    if code == 0 {
        return Ok(taken(body.get(GRPC_PREFIX_BYTES..).unwrap_or_default()));
    }
    let details = text("grpc-status-details-bin").and_then(|text| DETAILS.decode(text).ok());
    let details = details.and_then(|bytes| Status::decode(&*bytes).ok()).unwrap_or_default();
    let info = details.details.iter().find(|any| any.type_url == RETRY_INFO);
    let wait = info.and_then(|any| RetryInfo::decode(&*any.value).ok()?.delay).map(|delay| {
        let (seconds, nanos) = (u64::try_from(delay.seconds), u32::try_from(delay.nanos));
        Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default()).min(WAIT_MAX)
    });
    let reason = CODES.get(code).copied().unwrap_or("grpc_unknown");
    Err(Failure {
        reason,
        advice: "",
        told: joined(&format!("the receiver answered {reason}"), &decoded(text("grpc-message"))),
        again: RETRYABLE.contains(&code) || code == RESOURCE_EXHAUSTED && wait.is_some(),
        wait,
        sent: true,
    })
}

fn taken(message: &[u8]) -> Taken {
    let partial = ExportMetricsServiceResponse::decode(message).ok();
    let partial = partial.and_then(|response| response.partial_success).unwrap_or_default();
    Taken {
        rejected: u64::try_from(partial.rejected_data_points).unwrap_or_default(),
        told: shortened(&partial.error_message),
    }
}

/// Seconds, or a date.
fn retry_after(text: &str) -> Option<Duration> {
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        let then = httpdate::parse_http_date(text).ok()?;
        then.duration_since(SystemTime::now()).unwrap_or_default()
    };
    Some(wait.min(WAIT_MAX))
}

/// A message of gRPC, percent-encoded (gRPC over HTTP/2, "Responses"); only for people, so that what is not
/// well encoded stays.
fn decoded(text: Option<&str>) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.unwrap_or_default().as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { more.get(2..).unwrap_or_default() } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn joined(what: &str, message: &str) -> String {
    let message = shortened(message);
    if message.is_empty() { what.to_owned() } else { format!("{what}: {message}") }
}

fn shortened(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (hyper::header::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    /// (worth another try, what the server wants to wait, the reason)
    fn failure(answer: Answer) -> (bool, Option<u64>, &'static str) {
        let failure = answer.unwrap_err();
        (failure.again, failure.wait.map(|wait| wait.as_secs()), failure.reason)
    }

    #[test]
    fn codes_of_http() {
        for (code, after, expected) in [
            (400, None, (false, None, "http_status")),
            (401, None, (false, None, "http_401")),
            (429, Some("7"), (true, Some(7), "http_status")),
            (500, None, (false, None, "http_5xx")),
            (503, Some("Fri, 31 Dec 2100 23:59:59 GMT"), (true, Some(3600), "http_5xx")),
            (503, Some("soon"), (true, None, "http_5xx")),
            (504, None, (true, None, "http_5xx")),
        ] {
            let headers = after.map(|after| headers(&[("retry-after", after)]));
            let status = StatusCode::from_u16(code).unwrap();
            let answer = of_http(status, &headers.unwrap_or_default(), b"");
            assert_eq!(failure(answer), expected, "{code}");
        }
    }

    #[test]
    fn codes_of_grpc() {
        let info = RetryInfo { delay: Some(Span { seconds: 3, nanos: 0 }) };
        let any = Any { type_url: RETRY_INFO.into(), value: info.encode_to_vec() };
        let status = Status { message: "busy".into(), details: vec![any] };
        let details = DETAILS.encode(status.encode_to_vec());
        for (code, details, expected) in [
            ("3", None, (false, None, "grpc_invalid_argument")),
            ("8", None, (false, None, "grpc_resource_exhausted")),
            ("8", Some(details.as_str()), (true, Some(3), "grpc_resource_exhausted")),
            ("14", None, (true, None, "grpc_unavailable")),
            ("16", None, (false, None, "grpc_unauthenticated")),
            ("99", None, (false, None, "grpc_unknown")),
        ] {
            let mut trailers = headers(&[("grpc-status", code), ("grpc-message", "no%20way%")]);
            if let Some(details) = details {
                trailers.insert("grpc-status-details-bin", details.parse().unwrap());
            }
            let answer = of_grpc(StatusCode::OK, &trailers, b"");
            assert!(answer.as_ref().unwrap_err().told.ends_with(": no way%"), "{answer:?}");
            assert_eq!(failure(answer), expected, "{code}");
        }
        let by_proxy = of_grpc(StatusCode::BAD_GATEWAY, &HeaderMap::new(), b"<html>");
        assert_eq!(failure(by_proxy), (true, None, "http_5xx"));
    }

    #[test]
    fn a_part_may_be_rejected() {
        let error_message = "too\nold".into();
        let partial = ExportMetricsPartialSuccess { rejected_data_points: 7, error_message };
        let response = ExportMetricsServiceResponse { partial_success: Some(partial) };
        let message = response.encode_to_vec();
        let expected = Taken { rejected: 7, told: "tooold".into() };
        assert_eq!(of_http(StatusCode::OK, &HeaderMap::new(), &message), Ok(expected));
        let framed = [&[0; GRPC_PREFIX_BYTES][..], &message].concat();
        let trailers = headers(&[("grpc-status", "0")]);
        assert_eq!(of_grpc(StatusCode::OK, &trailers, &framed).unwrap().rejected, 7);
        assert_eq!(of_http(StatusCode::OK, &HeaderMap::new(), b""), Ok(Taken::default()));
    }
}
