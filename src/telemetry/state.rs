//! Events of the state directory.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::{error, info, warn};

use super::metrics::Metrics;

/// Why state could not be saved: the closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SaveReason {
    NoSpace,
    ReadOnly,
    PermissionDenied,
    Io,
}

impl SaveReason {
    const ALL: [Self; 4] = [Self::NoSpace, Self::ReadOnly, Self::PermissionDenied, Self::Io];

    const fn as_str(self) -> &'static str {
        match self {
            Self::NoSpace => "no_space",
            Self::ReadOnly => "read_only",
            Self::PermissionDenied => "permission_denied",
            Self::Io => "io",
        }
    }

    /// The reason behind an I/O error.
    #[must_use]
    pub fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind;
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                Self::NoSpace
            }
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            _ => Self::Io,
        }
    }
}

/// Why saved state was not used: the closed set of the label `reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LoadReason {
    Foreign,
    Newer,
    Damaged,
    Unwritable,
    Io,
}

impl LoadReason {
    const ALL: [Self; 5] = [Self::Foreign, Self::Newer, Self::Damaged, Self::Unwritable, Self::Io];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Newer => "newer",
            Self::Damaged => "damaged",
            Self::Unwritable => "unwritable",
            Self::Io => "io",
        }
    }
}

/// Counts and logs what becomes of saved state.
#[derive(Debug)]
pub struct StateTelemetry {
    metrics: Arc<Metrics>,
    /// The failure at hand was told.
    told: AtomicBool,
}

impl StateTelemetry {
    /// Begins every counter at 0.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        for reason in SaveReason::ALL {
            metrics.state_save_errors.with_label_values(&[reason.as_str()]);
        }
        for reason in LoadReason::ALL {
            metrics.state_load_errors.with_label_values(&[reason.as_str()]);
        }
        Self { metrics, told: AtomicBool::new(false) }
    }

    /// A service's state was written.
    pub fn saved(&self) {
        self.metrics.state_saves.inc();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.metrics.state_last_save.set(now.as_secs_f64());
    }

    /// Every service's state could be written.
    pub fn works(&self) {
        if self.told.swap(false, Ordering::Relaxed) {
            info!("state is saved again");
        }
    }

    /// State could not be written; it is tried again. Logged once until it works.
    pub fn save_failed(&self, path: &Path, error: &io::Error) {
        let reason = SaveReason::of_io(error).as_str();
        self.metrics.state_save_errors.with_label_values(&[reason]).inc();
        if !self.told.swap(true, Ordering::Relaxed) {
            warn!(path = %path.display(), reason, %error, "cannot save state, trying again; metrics go on, but what is counted from here on may be lost if the exporter ends");
        }
    }

    /// State could not be put into words: a defect.
    pub fn encode_failed(&self, service: &str, error: &dyn Display) {
        self.metrics.state_save_errors.with_label_values(&[SaveReason::Io.as_str()]).inc();
        if !self.told.swap(true, Ordering::Relaxed) {
            error!(service, %error, "cannot save state by a defect; please report it");
        }
    }

    /// A service goes on from what was saved.
    pub fn restored(&self, service: &str, path: &Path) {
        info!(service, path = %path.display(), "counters go on from saved state");
    }

    /// A service's state is not used, and why.
    pub fn not_restored(
        &self,
        service: &str,
        path: &Path,
        reason: LoadReason,
        error: &dyn Display,
        kept_as: Option<&Path>,
    ) {
        self.metrics.state_load_errors.with_label_values(&[reason.as_str()]).inc();
        let kept_as = kept_as.unwrap_or(path).display();
        warn!(service, path = %path.display(), reason = reason.as_str(), %error, %kept_as, "cannot use saved state; counters begin at 0, and reading where the config says");
    }
}
