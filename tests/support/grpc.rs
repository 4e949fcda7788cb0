//! The server's side of OTLP/gRPC: a request, and an answer with the status it is told to have.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// What becomes of a request: the message of the answer, or a code and the seconds until the next try. None: no
/// answer until the client has had enough.
pub(crate) type Reply = Option<Result<Vec<u8>, (u16, Option<u64>)>>;

/// Takes a request: its head, whether it is compressed, its message.
pub(crate) type Take = dyn Fn(String, bool, &[u8]) -> Reply + Send + Sync;

/// Serves one connection after the other.
pub(crate) fn serve(listener: TcpListener, take: &Arc<Take>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    listener.set_nonblocking(true).unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let serve = service_fn(|request| answer(request, Arc::clone(take)));
            let server = http2::Builder::new(TokioExecutor::new());
            // Whoever asked may be gone.
            let _gone = server.serve_connection(TokioIo::new(stream), serve).await;
        }
    });
}

async fn answer(
    request: Request<Incoming>,
    take: Arc<Take>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, hyper::Error> {
    let (head, body) = request.into_parts();
    assert_eq!(head.uri.path(), "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export");
    let lines =
        head.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()));
    let lines: String = lines.collect();
    assert!(lines.contains("content-type: application/grpc\n") && lines.contains("te: trailers\n"));
    let body = body.collect().await?.to_bytes();
    let length = u32::from_be_bytes(body[1..5].try_into().unwrap());
    assert_eq!(body.len(), 5 + length as usize);
    let (status, message) = match take(lines, body[0] == 1, &body[5..]) {
        None => std::future::pending().await,
        Some(Ok(message)) => (trailers(0, None), Some(message)),
        Some(Err((code, wait))) => (trailers(code, wait), None),
    };
    let mut response = match message {
        Some(message) => {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            let framed = Bytes::from([&[0][..], &length, &message].concat());
            let trailers = async move { Some(Ok(status)) };
            Response::new(Full::new(framed).with_trailers(trailers).boxed_unsync())
        }
        // An error may have its status among the headers.
        None => {
            let mut response = Response::new(Full::default().boxed_unsync());
            *response.headers_mut() = status;
            response
        }
    };
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, kind);
    Ok(response)
}

fn trailers(code: u16, wait: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("grpc-status"), code.into());
    if code != 0 {
        let message = HeaderName::from_static("grpc-message");
        headers.insert(message, HeaderValue::from_static("not%20now"));
    }
    if let Some(wait) = wait {
        use base64::Engine;
        let details = base64::engine::general_purpose::STANDARD_NO_PAD.encode(details(wait));
        let name = HeaderName::from_static("grpc-status-details-bin");
        headers.insert(name, details.parse().unwrap());
    }
    headers
}

/// google.rpc.Status with a google.rpc.RetryInfo.
fn details(wait: u64) -> Vec<u8> {
    let field = |tag: u8, content: &[u8]| {
        [&[tag << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
    };
    let span = [1 << 3, u8::try_from(wait).unwrap()];
    let info = field(1, &span);
    let any = [field(1, b"type.googleapis.com/google.rpc.RetryInfo"), field(2, &info)].concat();
    field(3, &any)
}
