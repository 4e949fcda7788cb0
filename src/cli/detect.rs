//! The flags of `detect`: every parameter of the leak detector.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::config::leak_detector::{positive, tuned, window};
use crate::config::units;
use crate::model::leak::{Params, Window};

#[derive(Debug, Args)]
pub(super) struct DetectArgs {
    /// Histories; none, or -, is stdin.
    pub(super) files: Vec<PathBuf>,
    /// Least number of so long a time makes one floor [default: 10m].
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    bucket: Option<Duration>,
    /// Time after a start that is not counted: pools and caches fill [default: 1h].
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    warm_up: Option<Duration>,
    /// Growth below this is no matter [default: 30].
    #[arg(long, value_name = "GOROUTINES")]
    min_growth: Option<u32>,
    /// A number below this counts as this many [default: 50].
    #[arg(long, value_name = "GOROUTINES")]
    min_base: Option<u32>,
    /// Windows that must rise evenly while less than a day is known, and by how many times
    /// [default: 3h:20,8h:20,27h:1.5].
    #[arg(long, value_name = "DURATION:TIMES,…", value_delimiter = ',', value_parser = window)]
    unknown: Option<Vec<Window>>,
    /// The same where at least a day before the window is known [default: 8h:15,14h:3,25h:1.3].
    #[arg(long, value_name = "DURATION:TIMES,…", value_delimiter = ',', value_parser = window)]
    known: Option<Vec<Window>>,
    /// Window that must be a straight line, where a day before is known [default: 12h:2].
    #[arg(long, value_name = "DURATION:TIMES", value_parser = window)]
    line: Option<Window>,
    /// Window in which the number goes up in many steps and hardly ever down [default: 48h:1.5].
    #[arg(long, value_name = "DURATION:TIMES", value_parser = window)]
    ratchet: Option<Window>,
    /// Numbers of whole days that are compared [default: 4,5,6,8,10,14].
    #[arg(long, value_name = "DAYS,…", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(2..=14))]
    days: Option<Vec<u32>>,
    /// In n days the floor must grow to 1 + this / n times [default: 0.75].
    #[arg(long, value_name = "SHARE", value_parser = positive)]
    days_growth: Option<f64>,
    /// Share of the growth that must be gone for the suspicion to end [default: 0.7].
    #[arg(long, value_name = "SHARE", value_parser = positive)]
    clear: Option<f64>,
    /// A parameter of a shape, by its name in docs/LEAKS.md: rise_later_half=0.5. May be given
    /// several times.
    #[arg(long, value_name = "NAME=NUMBER", value_parser = tuned)]
    tune: Vec<(String, f64)>,
}

impl DetectArgs {
    pub(super) fn params(&self) -> Params {
        let default = Params::default();
        let mut tuning = default.tuning;
        for (name, value) in &self.tune {
            // The parser has tried it.
            let _known = tuning.set(name, *value);
        }
        Params {
            bucket: self.bucket.unwrap_or(default.bucket),
            warm_up: self.warm_up.unwrap_or(default.warm_up),
            min_growth: self.min_growth.unwrap_or(default.min_growth),
            min_base: self.min_base.unwrap_or(default.min_base),
            unknown: self.unknown.clone().unwrap_or(default.unknown),
            known: self.known.clone().unwrap_or(default.known),
            line: self.line.unwrap_or(default.line),
            ratchet: self.ratchet.unwrap_or(default.ratchet),
            days: self.days.clone().unwrap_or(default.days),
            days_growth: self.days_growth.unwrap_or(default.days_growth),
            clear: self.clear.unwrap_or(default.clear),
            tuning,
        }
    }
}
