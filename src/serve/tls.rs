//! The beginning of a connection where TLS is spoken.

use std::io;
use std::sync::Arc;

use rustls::server::Acceptor;
use tokio::io::AsyncWriteExt;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::Ending;
use super::guard::Guard;
use super::listener::Stream;

/// What whoever forgets the s of https sees.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 22\r\n\r\nspeak TLS here: https\n\n";

/// A connection that requests may come on.
pub(super) enum Secured<S> {
    /// The web configuration file has no TLS.
    Plain(S),
    Tls {
        stream: Box<TlsStream<S>>,
        /// The client has a certificate of an authority that we believe.
        is_verified: bool,
    },
}

/// Takes the client's side of TLS, by what the certificates' files hold now.
pub(super) async fn handshake<S: Stream>(
    stream: S,
    guard: &Arc<Guard>,
) -> Result<Secured<S>, Ending> {
    let Some(_) = guard.tls().await else { return Ok(Secured::Plain(stream)) };
    let mut begin = LazyConfigAcceptor::new(Acceptor::default(), stream);
    let hello = match (&mut begin).await {
        Ok(hello) => hello,
        Err(error) => {
            if let Some(mut stream) = begin.take_io().filter(|_| is_plain(&error)) {
                // It may have gone.
                let _told = stream.write_all(PLAIN).await;
                return Err(Ending::NoHttp);
            }
            return Err(refused(&error));
        }
    };
    // It may have been a while.
    let Some(tls) = guard.tls().await else { return Err(Ending::Tls) };
    let stream = hello.into_stream(tls.config).await.map_err(|error| refused(&error))?;
    let has_certificate = stream.get_ref().1.peer_certificates().is_some();
    Ok(Secured::Tls { stream: Box::new(stream), is_verified: tls.verifies && has_certificate })
}

fn refused(error: &io::Error) -> Ending {
    debug!(%error, "no TLS with this client");
    match error.kind() {
        io::ErrorKind::InvalidData => Ending::Tls,
        io::ErrorKind::TimedOut => Ending::WriteTimeout,
        _ => Ending::Broken,
    }
}

/// Whether it was HTTP, or something else that is not TLS at all.
fn is_plain(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    matches!(cause, Some(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)))
}
