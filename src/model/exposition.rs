//! How a page of metrics is asked for and written.

use super::metric::NameSet;

/// How series are exposed, whoever asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exposition {
    /// Which names the services' metrics have.
    pub names: NameSet,
    /// `_created` lines in OpenMetrics, which Prometheus takes for series of their own unless it runs
    /// with created-timestamp-zero-ingestion.
    pub created: bool,
    /// Classic buckets beside native ones in protobuf, for a Prometheus that keeps no native
    /// histograms, or both (always_scrape_classic_histograms).
    pub classic_histograms: bool,
}

impl Default for Exposition {
    fn default() -> Self {
        Self { names: NameSet::Prometheus, created: true, classic_histograms: true }
    }
}

/// A form of the page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text 0.0.4, what anybody gets who asks for nothing else.
    #[default]
    Text,
    /// Prometheus text 1.0.0: the same, and it may have UTF-8 names.
    Text1,
    /// OpenMetrics 0.0.1, an early draft that Prometheus 2 asks for beside 1.0.0; written as that.
    OpenMetrics0,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// io.prometheus.client.MetricFamily, each behind its length.
    Protobuf,
}

/// What becomes of names that are not letters, digits and `_`
/// (<https://prometheus.io/docs/instrumenting/escaping_schemes/>).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Each other letter becomes `_`.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, each other letter `__`.
    Dots,
    /// `U__`, and each other letter as its number.
    Values,
    /// They stay, quoted where the format has to.
    AllowUtf8,
}

impl Escaping {
    /// The word in `escaping=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
            Self::AllowUtf8 => "allow-utf-8",
        }
    }
}

/// How a page is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Coding {
    /// Not at all.
    #[default]
    Identity,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// What a client wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The form.
    pub format: Format,
    /// What becomes of names, if it said so.
    pub escaping: Option<Escaping>,
    /// How it is compressed.
    pub coding: Coding,
    /// Only these families, if any is named.
    pub names: Vec<String>,
    /// Only what these services have, if any is named.
    pub services: Vec<String>,
}
