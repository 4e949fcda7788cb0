//! The rules people use today, as Prometheus evaluates them.

use super::workloads::{HOUR, MINUTE, Sample};

/// How often Prometheus would evaluate them.
const EVERY: f64 = 5.0 * MINUTE;

/// What a rule compares with its threshold.
#[derive(Clone, Copy)]
pub(crate) enum Expression {
    /// `go_goroutines`
    Value,
    /// `deriv(go_goroutines[W])`, W in seconds
    Deriv(f64),
    /// `predict_linear(go_goroutines[W], H)`, in seconds
    PredictLinear(f64, f64),
}

/// An expression and how long it must hold (`for:`), in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) expression: Expression,
    pub(crate) holds: f64,
}

impl Rule {
    /// Its text.
    pub(crate) fn text(&self) -> String {
        let hours = |seconds: f64| format!("{}h", seconds / HOUR);
        let expression = match self.expression {
            Expression::Value => "go_goroutines".to_owned(),
            Expression::Deriv(window) => format!("deriv(go_goroutines[{}])", hours(window)),
            Expression::PredictLinear(window, horizon) => {
                format!("predict_linear(go_goroutines[{}], {})", hours(window), hours(horizon))
            }
        };
        if self.holds > 0.0 {
            format!("{expression}, for {}", hours(self.holds))
        } else {
            expression
        }
    }

    /// At each evaluation: the time, and the threshold below which the rule would fire.
    pub(crate) fn scores(&self, samples: &[Sample]) -> Vec<(f64, f64)> {
        let values = self.values(samples);
        let held = (self.holds / EVERY) as usize;
        let least = |window: &[(f64, f64)]| window.iter().map(|v| v.1).fold(f64::MAX, f64::min);
        values.windows(held + 1).map(|window| (window[held].0, least(window))).collect()
    }

    fn values(&self, samples: &[Sample]) -> Vec<(f64, f64)> {
        let began = samples[0].t;
        let (mut from, mut to, mut values) = (0, 0, Vec::new());
        let window = match self.expression {
            Expression::Value => 5.0 * MINUTE,
            Expression::Deriv(window) | Expression::PredictLinear(window, _) => window,
        };
        let mut at = began + EVERY;
        while to < samples.len() {
            while samples.get(to).is_some_and(|sample| sample.t <= at) {
                to += 1;
            }
            while samples[from].t <= at - window && from + 1 < to {
                from += 1;
            }
            if to > from + 1 {
                values.push((at - began, self.value(&samples[from..to], at)));
            }
            at += EVERY;
        }
        values
    }

    fn value(&self, window: &[Sample], at: f64) -> f64 {
        match self.expression {
            Expression::Value => window[window.len() - 1].goroutines as f64,
            Expression::Deriv(_) => line(window, at).0,
            Expression::PredictLinear(_, horizon) => {
                let (slope, now) = line(window, at);
                now + slope * horizon
            }
        }
    }
}

/// Slope and value at `at` of the line of least squares (promql/functions.go, linearRegression).
fn line(window: &[Sample], at: f64) -> (f64, f64) {
    let (mut n, mut sx, mut sy, mut sxy, mut sxx) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for sample in window {
        let (x, y) = (sample.t - at, sample.goroutines as f64);
        (n, sx, sy, sxy, sxx) = (n + 1.0, sx + x, sy + y, sxy + x * y, sxx + x * x);
    }
    let slope = (sxy - sx * sy / n) / (sxx - sx * sx / n);
    (slope, sy / n - slope * sx / n)
}
