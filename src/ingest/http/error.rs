//! Why an endpoint could not be read.

use std::error::Error;
use std::io;
use std::time::Duration;

use http_body_util::LengthLimitError;
use hyper::{StatusCode, Uri};

use crate::telemetry::reason::Reason;

/// A read that failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No connection.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// No whole answer in time.
    #[error("no whole answer within {0:?}")]
    Timeout(Duration),
    /// The connection broke, or what came is not HTTP.
    #[error("the answer broke off: {0}")]
    Broken(#[source] hyper::Error),
    /// The request cannot be made.
    #[error("cannot ask for {0}")]
    Request(Uri),
    /// An answer other than 200.
    #[error("the service answered {0}")]
    Status(StatusCode),
    /// More than we take.
    #[error("the answer is larger than {0} bytes; raise max_body")]
    TooLarge(usize),
    /// The body cannot be read.
    #[error("{0}")]
    Body(Box<dyn Error + Send + Sync>),
}

impl FetchError {
    /// The label value.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Connect { source, .. } => Reason::of_io(source),
            Self::Timeout(_) => Reason::Timeout,
            Self::Broken(error) if is_cut(error) => Reason::Truncated,
            Self::Broken(_) | Self::Request(_) | Self::Body(_) => Reason::Io,
            Self::Status(_) => Reason::HttpStatus,
            Self::TooLarge(_) => Reason::TooLarge,
        }
    }

    /// What went wrong with a body of at most `max` bytes.
    pub(super) fn of_body(error: Box<dyn Error + Send + Sync>, max: usize) -> Self {
        if error.is::<LengthLimitError>() {
            return Self::TooLarge(max);
        }
        match error.downcast::<hyper::Error>() {
            Ok(error) => Self::Broken(*error),
            Err(other) => Self::Body(other),
        }
    }
}

/// The connection was closed before the whole answer was there: in its head, or in its body.
fn is_cut(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    error.is_incomplete_message()
        || source.is_some_and(|source| source.kind() == io::ErrorKind::UnexpectedEof)
}
