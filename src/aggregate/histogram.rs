//! Counting observations in fixed buckets.

use crate::model::snapshot::Distribution;

/// Wall times of garbage collection, in seconds: from 10 µs (a good pause) to 10 s (a mark of a
/// very large heap).
pub const GC_SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

/// Time between two cycles, in seconds; the runtime forces one after 120 s.
pub const GC_INTERVAL_SECONDS: &[f64] =
    &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Time between two schedtrace samples, in seconds: X ms by schedtrace=X, usually 1,000, and a look
/// every 10 ms; longer where samples are missing or the service stood still.
pub const SAMPLE_INTERVAL_SECONDS: &[f64] =
    &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.1, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// Goroutines; a P's own queue holds at most 256.
pub const GOROUTINES: &[f64] =
    &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0];

/// Shares between 0 and 1.
pub const RATIO: &[f64] = &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// Shares of the CPU that a garbage collection takes: the pacer's goal is a quarter.
pub const GC_CPU_RATIO: &[f64] = &[0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];

/// A histogram of whole parts of a unit (nanoseconds, goroutines), so that its sum is exact.
#[derive(Debug, Clone)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Box<[u64]>,
    parts: u64,
    parts_in_unit: f64,
}

impl Histogram {
    /// An empty one over rising upper bounds; `parts_in_unit` parts are 1 in the unit of `bounds`.
    #[must_use]
    pub fn new(bounds: &'static [f64], parts_in_unit: f64) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1].into(), parts: 0, parts_in_unit }
    }

    /// Counts one observation.
    pub fn observe(&mut self, parts: u64) {
        let value = self.in_unit(parts);
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.parts = self.parts.saturating_add(parts);
    }

    /// What it holds now.
    #[must_use]
    pub fn snapshot(&self) -> Distribution {
        Distribution {
            bounds: self.bounds,
            counts: self.counts.clone(),
            sum: self.in_unit(self.parts),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the one rounding, after all sums are made")]
    fn in_unit(&self, parts: u64) -> f64 {
        parts as f64 / self.parts_in_unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upper_bound_belongs_to_its_bucket_and_the_sum_is_exact() {
        let mut histogram = Histogram::new(&[0.0, 0.1, 2.0], 1000.0);
        [0, 50, 100, 2000, 2100].into_iter().for_each(|parts| histogram.observe(parts));
        let snapshot = histogram.snapshot();
        assert_eq!(*snapshot.counts, [1, 2, 1, 1]);
        assert_eq!(format!("{}", snapshot.sum), "4.25");
    }
}
