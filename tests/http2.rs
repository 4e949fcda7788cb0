//! Clients of HTTP/2 that mean harm, or are slow.

use std::fs;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::support::certificates::Authority;
use crate::support::curl;
use crate::support::exporter::Exporter;

/// An exporter that speaks HTTP/2, and cuts clients off that take nothing for a second.
struct Server {
    authority: Authority,
    exporter: Exporter,
    _folder: TempDir,
}

type Sender = SendRequest<Empty<Bytes>>;

/// A window that no page fits into.
const WINDOW: u32 = 1000;

/// Longer than the exporter waits for a request (10 s).
const PATIENCE: Duration = Duration::from_secs(40);

impl Server {
    fn start() -> Self {
        let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
        let pair = authority.signs(&["127.0.0.1"]);
        let (config, web) = (folder.path().join("config.yaml"), folder.path().join("web.yml"));
        let text =
            format!("tls_server_config: {{cert_file: {}, key_file: {}}}", pair.cert, pair.key);
        fs::write(&web, text).unwrap();
        let text = format!(
            "web: {{config_file: {}, write_timeout: 1s}}\n\
             services: [{{name: s, trace: {{stdin: true}}}}]\n",
            web.display()
        );
        fs::write(&config, text).unwrap();
        let exporter = Exporter::run(&["--config", config.to_str().unwrap()]);
        Self { authority, exporter, _folder: folder }
    }

    /// Has `client` speak to it, until one of both ends the connection. Gives how that ended.
    fn with<F: Future<Output = ()>>(
        &self,
        client: impl FnOnce(Sender) -> F,
    ) -> Option<hyper::Result<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = TcpStream::connect(self.exporter.address()).await.unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let connector = TlsConnector::from(self.authority.client(&[b"h2"]));
            let stream = connector.connect(name, stream).await.unwrap();
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            let (sender, connection) = Builder::new(TokioExecutor::new())
                .initial_stream_window_size(WINDOW)
                .handshake(TokioIo::new(stream))
                .await
                .unwrap();
            let both = async {
                tokio::select! {
                    ended = connection => Some(ended),
                    () = client(sender) => None,
                }
            };
            timeout(PATIENCE, both).await.expect("the exporter ends the connection")
        })
    }

    fn wait_for(&self, reason: &str, value: f64) {
        let series =
            format!(r#"godebug_exporter_http_connections_ended_early_total{{reason="{reason}"}}"#);
        curl::wait_for(&self.exporter, "https", &["--insecure"], &series, value);
        self.wait_until_alone();
    }

    fn wait_until_alone(&self) {
        let series = "godebug_exporter_http_connections";
        curl::wait_for(&self.exporter, "https", &["--insecure"], series, 1.0);
    }
}

async fn get(sender: &mut Sender, path: &str) -> hyper::Result<Response<Incoming>> {
    let request = Request::get(format!("https://127.0.0.1{path}")).body(Empty::new()).unwrap();
    sender.ready().await?;
    sender.send_request(request).await
}

#[test]
fn an_answer_that_is_not_taken_ends_the_connection_whatever_else_is_asked() {
    let server = Server::start();
    let ended = server.with(|mut sender| async move {
        let stuck = get(&mut sender, "/metrics").await.unwrap();
        assert_eq!(stuck.status(), 200);
        // Others of its answers are taken.
        while let Ok(answer) = get(&mut sender, "/-/healthy").await {
            let Ok(body) = answer.into_body().collect().await else { break };
            assert_eq!(body.to_bytes(), "healthy\n");
        }
        std::future::pending::<()>().await;
        drop(stuck);
    });
    assert!(ended.is_some(), "the exporter ends it");
    server.wait_for("write_timeout", 1.0);
}

#[test]
fn a_connection_without_requests_ends() {
    let server = Server::start();
    let ended = server.with(|sender| async move {
        std::future::pending::<()>().await;
        drop(sender);
    });
    assert!(matches!(ended, Some(Ok(()))), "{ended:?}");
    server.wait_for("head_timeout", 1.0);
}

#[test]
fn headers_without_end_are_refused_and_more_streams_than_allowed_wait() {
    let server = Server::start();
    let ended = server.with(|mut sender| async move {
        let request = Request::get("https://127.0.0.1/-/healthy").header("x-a", "y".repeat(30_000));
        let answer = sender.send_request(request.body(Empty::new()).unwrap()).await;
        assert!(answer.as_ref().map_or(true, |answer| answer.status() == 431), "{answer:?}");
        // Far more than may run at once, all begun before one is taken.
        let mut answers = Vec::new();
        for _ in 0..200 {
            let request = Request::get("https://127.0.0.1/-/healthy").body(Empty::new()).unwrap();
            answers.push(sender.send_request(request));
        }
        for answer in answers {
            let answer = pin!(answer).await.unwrap();
            assert_eq!(answer.status(), 200);
        }
    });
    assert!(ended.is_none(), "{ended:?}");
    server.wait_until_alone();
}

#[test]
fn a_connection_that_is_open_does_not_hold_up_the_end() {
    let mut server = Server::start();
    let pid = server.exporter.process.0.id();
    let ended = server.with(|mut sender| async move {
        assert_eq!(get(&mut sender, "/-/healthy").await.unwrap().status(), 200);
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        std::future::pending::<()>().await;
        drop(sender);
    });
    assert!(ended.is_some());
    assert_eq!(server.exporter.process.end("the exporter").code(), Some(0));
    let log = server.exporter.stderr.text();
    assert!(!log.contains("have not ended"), "{log}");
}
