//! When growth is a suspicion.

use std::time::Duration;

/// The parameters. The defaults are the outcome of `cargo bench --bench leaks`.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Each floor is the least number of so long a time: longer than most bursts.
    pub bucket: Duration,
    /// The beginning of a life in which pools and caches fill; it is not counted.
    pub warm_up: Duration,
    /// Growth below this many goroutines is no matter.
    pub min_growth: u32,
    /// A number below this counts as this many: growth from 3 to 60 is no twentyfold one.
    pub min_base: u32,
    /// Windows in which the floor must rise evenly, for a service of which less than a day is known.
    pub unknown: Vec<Window>,
    /// The same where at least a day before the window is known, with nothing like it.
    pub known: Vec<Window>,
    /// A straight line, where at least a day before it is known.
    pub line: Window,
    /// Growth that hardly ever went back and came in many steps.
    pub ratchet: Window,
    /// Whole days of which each has a higher floor than the one before.
    pub days: Vec<u32>,
    /// How much the floor must grow in `n` days: to `1 + days_growth / n` times.
    pub days_growth: f64,
    /// The suspicion ends when so much of the growth is gone.
    pub clear: f64,
    /// What makes growth one of the shapes.
    pub tuning: Tuning,
}

/// A length of time, and how many times the number must have grown in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Window {
    /// Its length.
    pub span: Duration,
    /// Number at its end by number at its beginning.
    pub ratio: f64,
}

impl Window {
    const fn hours(hours: u64, ratio: f64) -> Self {
        Self { span: Duration::from_secs(hours * 3600), ratio }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self {
            bucket: Duration::from_secs(600),
            warm_up: Duration::from_secs(3600),
            min_growth: 30,
            min_base: 50,
            unknown: vec![Window::hours(3, 20.0), Window::hours(8, 20.0), Window::hours(27, 1.5)],
            known: vec![Window::hours(8, 15.0), Window::hours(14, 3.0), Window::hours(25, 1.3)],
            line: Window::hours(12, 2.0),
            ratchet: Window::hours(48, 1.5),
            days: vec![4, 5, 6, 8, 10, 14],
            days_growth: 0.75,
            clear: 0.7,
            tuning: Tuning::default(),
        }
    }
}

macro_rules! tuning {
    ($($name:ident = $default:literal, $doc:literal;)*) => {
        /// What makes growth one of the shapes; shares are of the growth in the window unless said
        /// otherwise.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct Tuning {
            $(#[doc = $doc] pub $name: f64,)*
        }

        impl Default for Tuning {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Tuning {
            /// Every parameter's name, default and meaning.
            pub const ALL: &'static [(&'static str, f64, &'static str)] =
                &[$((stringify!($name), $default, $doc),)*];

            /// Sets one by its name.
            ///
            /// # Errors
            /// There is none of that name.
            pub fn set(&mut self, name: &str, value: f64) -> Result<(), String> {
                match name {
                    $(stringify!($name) => self.$name = value,)*
                    _ => {
                        let names: Vec<&str> = Self::ALL.iter().map(|(name, ..)| *name).collect();
                        return Err(format!("no parameter {name:?}; they are {}", names.join(", ")));
                    }
                }
                Ok(())
            }
        }
    };
}

tuning! {
    above_past = 0.2, "All: how far the floor must be above its highest before the window.";
    rise_even_hours = 14.0, "Rise: windows up to so many hours must rise evenly; longer ones may have a night in them.";
    rise_evenness = 0.7, "Rise, even: the least step as a share of the largest.";
    rise_least_step = 0.08, "Rise: the least step from one sixth of the window to the next.";
    rise_later_half = 0.56, "Rise: the least share that must come in the later half: growth that slows down is a pool that fills.";
    rise_last_step = 0.12, "Rise: the least last step.";
    rise_past_even = 5.0, "Rise, even: times the growth must be that of any such window in the past.";
    rise_past = 3.0, "Rise, longer windows: the same.";
    rise_fall = 3.0, "Rise: times the growth must be the deepest fall of the four-hour floor.";
    life_later_half = 0.47, "Rise over restarts: the least share of the growth within lives that must come in their later halves.";
    life_growth = 0.3, "Rise over restarts: the least growth of each life, as a share of the mean.";
    line_scatter = 0.01, "Line: the largest distance from the line.";
    line_noise = 0.5, "Line: so many square roots of the growth may be added to that distance: a random process of that rate scatters so.";
    line_past = 3.0, "Line: times the growth must be that of any such window in the past.";
    ratchet_new_top = 0.015, "Ratchet: the least step that counts as a new top.";
    ratchet_tops = 0.333, "Ratchet: the least share of the two-hour parts with a new top.";
    ratchet_fall = 0.2, "Ratchet: the most it may ever go back in the window.";
    ratchet_half_min = 0.25, "Ratchet: the least share of the growth in the first half.";
    ratchet_half_max = 0.6, "Ratchet: the largest share of the growth in the first half.";
    ratchet_one_go = 0.45, "Ratchet: the most that may come within six hours: more is a step.";
    ratchet_deepest_fall = 5.0, "Ratchet: times the growth must be the deepest fall of the four-hour floor.";
    ratchet_past = 3.0, "Ratchet: times the growth must be that of any such window in the past.";
    days_step = 0.3, "Days: a day's floor is higher if it rose by so much of the mean step.";
    days_rising = 0.667, "Days, six and more: the least share of steps that are so, and at least five; of fewer days, all.";
    days_least_few = 0.5, "Days, four or five: the least step, as a share of the mean.";
    days_least = -0.1, "Days, six and more: the same.";
    days_later_half = 0.45, "Days: the least share in the later half.";
    days_peaks_min = 0.5, "Days: the least growth of the peaks as a share of that of the floors.";
    days_peaks_max = 1.6, "Days: the largest: a leak adds to peaks and floors alike, load multiplies.";
    days_wave = 1.6, "Days, four or five: the least height of the daily wave, in mean steps: without a wave the shorter windows would have spoken.";
    days_wave_higher = 0.97, "Days, four or five: the least share of two-hour floors above those a day before.";
    days_wave_change = 0.4, "Days, four or five: the most by which the wave's shape may change from day to day, as a share of its size.";
    days_fall = 3.0, "Days: times the growth must be the deepest fall of the daily floor.";
}
