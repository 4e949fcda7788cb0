//! What decides how a snapshot looks in OTLP.

use super::snapshot::MetricId;

/// What a point of a counter or histogram covers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Everything since the start.
    #[default]
    Cumulative,
    /// What came since the last point that was taken.
    Delta,
}

/// In which buckets histograms are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Histograms {
    /// Exponential ones.
    #[default]
    Exponential,
    /// Those of the page.
    Explicit,
}

/// How everything that is pushed looks.
#[derive(Debug, Clone, Default)]
pub struct Shape {
    /// In which buckets histograms are.
    pub histograms: Histograms,
    /// Attributes of every resource: names and values.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// What tells our services from those of the same name elsewhere: the host's name, unless the user
    /// gave another `service.instance.id`.
    pub instance: Box<str>,
    /// Our own `service.name`.
    pub own_name: Box<str>,
}

/// A metric that OpenTelemetry's semantic conventions name, and what it is made of: always one that means
/// exactly what they say.
#[derive(Debug, Clone, Copy)]
pub struct Semantic {
    /// Its name there.
    pub name: &'static str,
    /// Its unit, in UCUM.
    pub unit: &'static str,
    /// What it is, in the conventions' words.
    pub description: &'static str,
    /// Whether it only rises; else it goes up and down.
    pub monotonic: bool,
    /// Attributes of this series of it.
    pub attributes: &'static [(&'static str, &'static str)],
    /// The metric whose value it is, which is not pushed under another name.
    pub of: MetricId,
    /// Metrics whose values are taken away from it.
    pub less: &'static [MetricId],
    /// Metrics that have no other name are not pushed twice: false where `of` is only a part.
    pub replaces: bool,
}
