//! What a metric is: its name, type and help, declared once.

/// The Prometheus type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only rises, until the exporter restarts (or the service, for values read from it).
    Counter,
    /// Counts observations in buckets.
    Histogram,
    /// Quantiles made by the service's own runtime.
    Summary,
    /// A number of which nobody knows how it behaves.
    Untyped,
}

impl Kind {
    /// The word of the `# TYPE` line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// One metric of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Desc {
    /// Full Prometheus name, with unit and, for counters, `_total`.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// The `# HELP` text: what it means and where it comes from.
    pub help: &'static str,
    /// Names of its own labels, in the order in which a series holds their values.
    pub labels: &'static [&'static str],
    /// Since when it counts.
    pub since: Since,
    /// Its name in Prometheus where the OpenTelemetry Collector's expvarreceiver has read it, if that
    /// has it.
    pub collector: Option<&'static str>,
}

impl Desc {
    /// Its name and type in a set of names.
    #[must_use]
    pub fn named(&self, names: NameSet) -> (&'static str, Kind) {
        match self.collector.filter(|_| names == NameSet::ExpvarReceiver) {
            // The Collector's sums that may fall are gauges in Prometheus.
            Some(name) if name.ends_with("_total") => (name, Kind::Counter),
            Some(name) => (name, Kind::Gauge),
            None => (self.name, self.kind),
        }
    }
}

/// Which names the metrics have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NameSet {
    /// client_golang's where it has them, and our own.
    #[default]
    Prometheus,
    /// Memstats as the OpenTelemetry Collector's expvarreceiver names them, after its translation for
    /// Prometheus: its units are kept, also the wrong ones.
    ExpvarReceiver,
}

/// Since when a metric counts, which OpenMetrics calls created and OTLP its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// It does not count.
    Nothing,
    /// Since we first watched the service: we count it.
    Watching,
    /// Since the service's process began: its runtime counts it.
    Process,
}

/// The unit that a metric's name ends with, before `_total`: a base unit.
#[must_use]
pub fn unit(name: &str) -> Option<&'static str> {
    let base = name.strip_suffix("_total").unwrap_or(name);
    let ends = |unit: &&str| base.strip_suffix(*unit).is_some_and(|rest| rest.ends_with('_'));
    ["seconds", "bytes", "ratio"].into_iter().find(ends)
}
