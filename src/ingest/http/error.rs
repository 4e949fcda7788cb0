//! Why an endpoint could not be read.

use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http_body_util::LengthLimitError;
use hyper::header::{HeaderMap, LOCATION};
use hyper::{StatusCode, Uri};
use rustls::{AlertDescription, CertificateError, OtherError};

use crate::config::endpoint::shown;
use crate::telemetry::reason::Reason;

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// A file that the config names under `http`.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files do not go together.
    #[error("cannot use tls_config: {0}")]
    TlsConfig(String),
    /// The name has no address.
    #[error("cannot find the address of {host}: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// Not in the networks that we may connect to.
    #[error("probe.networks does not allow {0}, the target's address")]
    NotAllowed(IpAddr),
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port, or the path of a socket.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The proxy gives none.
    #[error("no connection through the proxy: {0}")]
    Proxy(String),
    /// TLS failed.
    #[error("TLS failed: {0}")]
    Tls(#[source] rustls::Error),
    /// The server asked for a certificate that we do not have, and broke off.
    #[error("the service wants a client certificate")]
    NoCertificate,
    /// No connection in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// No whole answer in time.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke, or what came is not HTTP.
    #[error("the answer broke off: {0}")]
    Broken(#[source] Box<dyn Error + Send + Sync>),
    /// The request cannot be made.
    #[error("the address cannot be asked for")]
    Request,
    /// An answer other than 200.
    #[error("the service answered {0}")]
    Status(StatusCode),
    /// Another address is to be asked.
    #[error("the service answered {0} and sends us to {1}")]
    Redirect(StatusCode, String),
    /// More than we take.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// Not gzip, although the answer says so; or only a part of it.
    #[error("the answer cannot be unpacked: {0}")]
    Gzip(#[source] io::Error),
    /// Packed in another way than we asked for.
    #[error("the answer is neither plain nor gzip")]
    Encoding,
    /// A defect of ours.
    #[error("the read was lost: {0}")]
    Lost(#[source] tokio::task::JoinError),
}

impl FetchError {
    /// The label value.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::File { .. } | Self::TlsConfig(_) => Reason::BadFile,
            Self::Resolve { .. } => Reason::Dns,
            Self::NotAllowed(_) => Reason::PermissionDenied,
            Self::Connect { source, .. } => Reason::of_connect(source),
            Self::Proxy(_) => Reason::Proxy,
            Self::Tls(error) => of_tls(error),
            Self::NoCertificate => Reason::TlsClientCertificate,
            Self::Timeout(_) | Self::ConnectTimeout(_) => Reason::Timeout,
            Self::Broken(error) if is_cut(&**error) => Reason::Truncated,
            Self::Gzip(error) if error.kind() == io::ErrorKind::UnexpectedEof => Reason::Truncated,
            Self::Broken(_) | Self::Request | Self::Lost(_) => Reason::Io,
            Self::Status(status) => of_status(*status),
            Self::Redirect(..) => Reason::HttpRedirect,
            Self::TooLarge(_) => Reason::TooLarge,
            Self::Gzip(_) => Reason::BadGzip,
            Self::Encoding => Reason::UnexpectedBody,
        }
    }

    /// For an answer that a proxy may have given itself.
    pub(super) fn of_proxy(self) -> Self {
        match self {
            Self::Status(status @ StatusCode::PROXY_AUTHENTICATION_REQUIRED) => {
                Self::Proxy(format!("it answered {status}: it wants proxy_auth, or another one"))
            }
            other => other,
        }
    }

    /// For an answer that is not 200. What stands in the query of a redirect may be a secret.
    pub(super) fn of_answer(status: StatusCode, headers: &HeaderMap) -> Self {
        if !status.is_redirection() {
            return Self::Status(status);
        }
        let to = headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let to = to.and_then(|to| to.parse::<Uri>().ok());
        Self::Redirect(status, to.map_or_else(|| "nowhere".into(), |to| shown(&to)))
    }

    /// What went wrong with a body of at most `max` bytes.
    pub(super) fn of_body(error: Box<dyn Error + Send + Sync>, max: usize) -> Self {
        if error.is::<LengthLimitError>() { Self::TooLarge(max) } else { Self::of_exchange(error) }
    }

    /// What went wrong once the connection was there.
    pub(super) fn of_exchange(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let error = error.into();
        match tls_error(&*error) {
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::Broken(error),
        }
    }
}

/// The TLS error that is somewhere in a chain. An io::Error gives not what it wraps as its source,
/// but that one's source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// The connection was closed before the whole answer was there: in its head, or in its body.
fn is_cut(error: &(dyn Error + 'static)) -> bool {
    let is_eof = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
    };
    let Some(http) = error.downcast_ref::<hyper::Error>() else {
        return error.downcast_ref().is_some_and(is_eof);
    };
    let source = http.source().and_then(|source| source.downcast_ref());
    http.is_incomplete_message() || source.is_some_and(is_eof)
}

fn of_status(status: StatusCode) -> Reason {
    match status.as_u16() {
        401 => Reason::Http401,
        403 => Reason::Http403,
        404 => Reason::Http404,
        405 => Reason::Http405,
        500..=599 => Reason::Http5xx,
        _ => Reason::HttpStatus,
    }
}

/// A server's certificate is an authority's: it signed itself, or is not meant for a server.
pub(super) fn is_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(OtherError(cause)) = error else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn of_tls(error: &rustls::Error) -> Reason {
    use AlertDescription as Alert;
    use CertificateError as Certificate;
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            // The last: another authority of the same name.
            Certificate::UnknownIssuer | Certificate::BadSignature => Reason::TlsUnknownAuthority,
            error if is_authority(error) => Reason::TlsUnknownAuthority,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                Reason::TlsWrongName
            }
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => Reason::TlsExpired,
            _ => Reason::Tls,
        },
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => Reason::TlsClientCertificate,
        _ => Reason::Tls,
    }
}
