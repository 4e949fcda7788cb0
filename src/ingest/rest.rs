//! How long a service is left alone after a read, so that reads take a bounded share of its time.

use std::time::Duration;

use super::http::error::FetchError;

/// After a read that failed the service is left alone for no longer: it may be another process by then,
/// and what a read costs that one is not known.
const FAILED_MAX: Duration = Duration::from_secs(300);

/// What a read took of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cost {
    /// It answered, after so long.
    Read(Duration),
    /// It did not, or what it answered was of no use.
    Failed(Duration),
    /// It was never asked.
    Nothing,
}

impl Cost {
    /// Of a read that took so long.
    pub(super) fn of(took: Duration, failed: bool, reached: bool) -> Self {
        match (failed, reached) {
            (_, false) => Self::Nothing,
            (false, true) => Self::Read(took),
            (true, true) => Self::Failed(took),
        }
    }

    /// How long to leave the service alone, so that what it took is at most `share` of the time.
    pub(super) fn rest(self, share: f64) -> Duration {
        let after = |took: Duration| {
            if share >= 1.0 {
                return Duration::ZERO;
            }
            // From the beginning of this read to that of the next: took / share.
            let rest = took.as_secs_f64() * (1.0 / share - 1.0);
            Duration::try_from_secs_f64(rest).unwrap_or(Duration::MAX)
        };
        match self {
            Self::Read(took) => after(took),
            Self::Failed(took) => after(took).min(FAILED_MAX),
            Self::Nothing => Duration::ZERO,
        }
    }
}

/// Whether a service was asked, as far as a failed read tells.
pub(super) const fn reached(error: &FetchError) -> bool {
    !matches!(
        error,
        FetchError::File { .. }
            | FetchError::TlsConfig(_)
            | FetchError::Resolve { .. }
            | FetchError::NotAllowed(_)
            | FetchError::Connect { .. }
            | FetchError::Proxy(_)
            | FetchError::ConnectTimeout(_)
            | FetchError::Request
            | FetchError::Lost(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_rests_together_have_the_share_that_is_allowed() {
        let seconds = |cost: Cost, share: f64| cost.rest(share).as_secs_f64().round();
        let took = Duration::from_secs(3);
        assert_eq!(seconds(Cost::Read(took), 0.01), 297.0);
        assert_eq!(seconds(Cost::Read(took), 0.5), 3.0);
        assert_eq!(seconds(Cost::Read(took), 1.0), 0.0);
        assert_eq!(seconds(Cost::Failed(took * 10), 0.01), 300.0);
        assert_eq!(seconds(Cost::Failed(took), 0.5), 3.0);
        assert_eq!(seconds(Cost::Nothing, 0.01), 0.0);
        assert_eq!(Cost::Read(Duration::MAX).rest(0.0001), Duration::MAX);
    }

    #[test]
    fn a_service_that_was_never_asked_is_asked_again_soon() {
        assert!(!reached(&FetchError::ConnectTimeout(Duration::from_secs(10))));
        assert!(reached(&FetchError::Timeout(Duration::from_secs(10))));
    }
}
