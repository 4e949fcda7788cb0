//! Why a source could not be read.

/// Why a source could not be read: the closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Reason {
    NotFound,
    PermissionDenied,
    NotAFile,
    Ended,
    ConnectionRefused,
    Timeout,
    HttpStatus,
    TooLarge,
    UnexpectedBody,
    Truncated,
    Io,
}

impl Reason {
    /// What a trace source fails with.
    pub(super) const OF_TRACES: [Self; 5] =
        [Self::NotFound, Self::PermissionDenied, Self::NotAFile, Self::Ended, Self::Io];

    /// What an endpoint fails with.
    pub(super) const OF_ENDPOINTS: [Self; 7] = [
        Self::ConnectionRefused,
        Self::Timeout,
        Self::HttpStatus,
        Self::TooLarge,
        Self::UnexpectedBody,
        Self::Truncated,
        Self::Io,
    ];

    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::NotAFile => "not_a_file",
            Self::Ended => "ended",
            Self::ConnectionRefused => "connection_refused",
            Self::Timeout => "timeout",
            Self::HttpStatus => "http_status",
            Self::TooLarge => "too_large",
            Self::UnexpectedBody => "unexpected_body",
            Self::Truncated => "truncated",
            Self::Io => "io",
        }
    }

    /// The reason behind an I/O error.
    #[must_use]
    pub fn of_io(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::ConnectionRefused => Self::ConnectionRefused,
            ErrorKind::TimedOut => Self::Timeout,
            ErrorKind::IsADirectory | ErrorKind::InvalidInput => Self::NotAFile,
            _ => Self::Io,
        }
    }
}
