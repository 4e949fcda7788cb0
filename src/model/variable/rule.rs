//! What a user wants of a service's variables.

use std::sync::Arc;

use super::pattern::Pattern;
use super::template::Template;
use super::unit::Conversion;
use crate::model::metric::Kind;

/// Most series of one service's variables, unless the config has another number: a map with a key
/// for every user must not make series without end.
pub const VARIABLES_MAX: usize = 500;

/// Most series of one rule, unless it has another number.
pub const SERIES_MAX: usize = 100;

/// Maps in maps that are read, unless the config has another number.
pub const DEPTH_MAX: usize = 8;

/// What known libraries and people call the number of goroutines, best known first: tsweb, then what
/// services publish themselves, then go-metrics (`RegisterRuntimeMemStats`).
const GOROUTINES: [&str; 12] = [
    "gauge_goroutines",
    "goroutines",
    "Goroutines",
    "NumGoroutine",
    "numGoroutine",
    "num_goroutine",
    "num_goroutines",
    "runtime.NumGoroutine",
    "runtime.NumGoroutine.value",
    "runtime.goroutines",
    "runtime.Goroutines",
    "runtime.num_goroutines",
];

/// How a service's variables become series.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// The first that matches is taken.
    pub rules: Vec<Rule>,
    /// Variables of which no rule speaks are exported too.
    pub others: bool,
    /// Most series.
    pub max_variables: usize,
    /// Most maps in maps.
    pub max_depth: usize,
    /// Where the number of goroutines may be; the first that is there is taken.
    pub goroutines: Vec<Pattern>,
    /// Labels that every series of the service has already.
    pub taken_labels: Vec<Box<str>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            others: true,
            max_variables: VARIABLES_MAX,
            max_depth: DEPTH_MAX,
            goroutines: GOROUTINES.iter().filter_map(|path| Pattern::plain(path).ok()).collect(),
            taken_labels: Vec::new(),
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Which variables it speaks of.
    pub pattern: Pattern,
    /// What becomes of them; `None`: nothing.
    pub export: Option<Box<Export>>,
}

/// How a rule exports a variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// Name, without what unit and type add; `None`: made of the path.
    pub name: Option<Template>,
    /// What it becomes.
    pub to: Target,
    /// Labels: names and values.
    pub labels: Vec<(Template, Template)>,
    /// The `# HELP` text.
    pub help: Arc<str>,
    /// To the base unit.
    pub conversion: Conversion,
    /// Most series of this rule.
    pub max_series: usize,
}

impl Export {
    /// A name with its unit, and with what its type wants at the end.
    #[must_use]
    pub fn full_name(&self, stem: &str) -> String {
        let ending = match self.to {
            Target::Counter => "_total",
            Target::Info => "_info",
            _ => "",
        };
        let stem = stem.strip_suffix(ending).unwrap_or(stem).trim_end_matches('_');
        let unit = self.conversion.base().map_or("", |base| base.suffix());
        let unit = if stem.ends_with(unit) { "" } else { unit };
        format!("{}{unit}{ending}", if stem.is_empty() { "_" } else { stem })
    }

    /// Its full name and type, if the name is the same for every variable.
    #[must_use]
    pub fn fixed_name(&self) -> Option<(String, Option<Kind>)> {
        let stem = self.name.as_ref()?.as_fixed()?;
        Some((self.full_name(stem), self.to.kind()))
    }
}

/// What a variable becomes.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A number whose type is inferred.
    Inferred,
    /// A gauge.
    Gauge,
    /// A counter.
    Counter,
    /// A number whose type is not to be known.
    Untyped,
    /// A gauge of 1 with the text as a label.
    Info,
    /// A histogram, of an array of counts or a map of bounds to counts.
    Histogram {
        /// Upper bounds, without `+Inf`; of a map, the keys have them.
        bounds: Option<Arc<[f64]>>,
        /// Each count is of all observations up to its bound, not above the one before.
        cumulative: bool,
    },
}

impl Target {
    /// Its type; `None`: it is inferred.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        match self {
            Self::Inferred => None,
            Self::Gauge | Self::Info => Some(Kind::Gauge),
            Self::Counter => Some(Kind::Counter),
            Self::Untyped => Some(Kind::Untyped),
            Self::Histogram { .. } => Some(Kind::Histogram),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_as_prometheus_wants() {
        for (stem, to, unit, expected) in [
            ("requests", Target::Counter, None, "requests_total"),
            ("requests_total", Target::Counter, None, "requests_total"),
            ("wait", Target::Counter, Some("ns"), "wait_seconds_total"),
            ("wait_seconds_total", Target::Counter, Some("ns"), "wait_seconds_total"),
            ("cache", Target::Gauge, Some("MiB"), "cache_bytes"),
            ("version", Target::Info, None, "version_info"),
            ("version_info", Target::Info, None, "version_info"),
            ("a__", Target::Inferred, None, "a"),
            ("_", Target::Inferred, Some("s"), "__seconds"),
        ] {
            let export = Export {
                name: None,
                to,
                labels: Vec::new(),
                help: "".into(),
                conversion: Conversion::new(unit.map(|unit| unit.parse().unwrap()), None),
                max_series: 1,
            };
            assert_eq!(export.full_name(stem), expected);
        }
    }

    #[test]
    fn every_known_name_of_the_goroutines_is_a_path() {
        assert_eq!(Rules::default().goroutines.len(), GOROUTINES.len());
    }
}
