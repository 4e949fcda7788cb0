//! Why a source could not be read.

use std::io::{self, ErrorKind};

/// The closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reason {
    NotFound,
    PermissionDenied,
    NotAFile,
    Ended,
    BadFile,
    Dns,
    ConnectionRefused,
    Unreachable,
    Proxy,
    Tls,
    TlsUnknownAuthority,
    TlsWrongName,
    TlsExpired,
    TlsClientCertificate,
    Timeout,
    HttpRedirect,
    Http401,
    Http403,
    Http404,
    Http405,
    Http5xx,
    HttpStatus,
    TooLarge,
    BadGzip,
    UnexpectedBody,
    Truncated,
    Io,
}

impl Reason {
    /// What a trace source fails with.
    pub(super) const OF_TRACES: [Self; 5] =
        [Self::NotFound, Self::PermissionDenied, Self::NotAFile, Self::Ended, Self::Io];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.told().0
    }

    /// What whoever reads our log can do about an endpoint that fails so; empty if nothing.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        self.told().1
    }

    /// The bit of this reason in a set of them.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }

    #[expect(clippy::too_many_lines, reason = "a table: one entry a reason")]
    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Self::NotFound => ("not_found", "is unix_socket the right path?"),
            Self::PermissionDenied => {
                ("permission_denied", "may the user that we run as write to the socket?")
            }
            Self::NotAFile => ("not_a_file", ""),
            Self::Ended => ("ended", ""),
            Self::BadFile => ("bad_file", "correct the files that the service's http names"),
            Self::Dns => ("dns", "is the host of the url right, and known to this machine's DNS?"),
            Self::ConnectionRefused => {
                ("connection_refused", "does the service run, and listen at this address and port?")
            }
            Self::Unreachable => ("unreachable", "is there a route to the service?"),
            Self::Proxy => {
                ("proxy", "are proxy_url and proxy_auth right, and may we use it for this address?")
            }
            Self::Tls => ("tls", "does this port speak TLS? if not, write http:// in the url"),
            Self::TlsUnknownAuthority => (
                "tls_unknown_authority",
                "give the authority that signed the service's certificate as tls_config.ca_file",
            ),
            Self::TlsWrongName => (
                "tls_wrong_name",
                "use a name of the certificate in the url, or give it as tls_config.server_name",
            ),
            Self::TlsExpired => {
                ("tls_expired", "renew the service's certificate; if it is new, compare the clocks")
            }
            Self::TlsClientCertificate => (
                "tls_client_certificate",
                "give tls_config.cert_file and key_file, signed by an authority that the service trusts",
            ),
            Self::Timeout => {
                ("timeout", "is the service slow, or a firewall between? timeout can be raised")
            }
            Self::HttpRedirect => (
                "http_redirect",
                "redirects are not followed; give the address that answers itself",
            ),
            Self::Http401 => {
                ("http_401", "give basic_auth or authorization under http, or renew it")
            }
            Self::Http403 => ("http_403", "allow us to read this path"),
            Self::Http404 => {
                ("http_404", "is the path right, and does the service serve it there?")
            }
            Self::Http405 => ("http_405", "the path must answer GET; is it the right one?"),
            Self::Http5xx => ("http_5xx", "the service, or a proxy before it, failed; see its log"),
            Self::HttpStatus => {
                ("http_status", "is the url right? a port that speaks TLS needs https://")
            }
            Self::TooLarge => ("too_large", "raise max_body if the answer is right"),
            Self::BadGzip => {
                ("bad_gzip", "the service's answer is damaged; does it pack it twice?")
            }
            Self::UnexpectedBody => {
                ("unexpected_body", "is the url right? another page answers, a login perhaps")
            }
            Self::Truncated => {
                ("truncated", "does the service, or a proxy before it, end answers early?")
            }
            Self::Io => ("io", "does the port speak HTTP?"),
        }
    }

    /// The reason behind an error of a trace source.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::IsADirectory | ErrorKind::InvalidInput => Self::NotAFile,
            _ => Self::Io,
        }
    }

    /// The reason behind a connection that was not made.
    #[must_use]
    pub fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Self::Unreachable,
            ErrorKind::TimedOut => Self::Timeout,
            _ => Self::Io,
        }
    }
}
