//! Counting observations in fixed buckets, and in exponential ones beside them.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::exponential::Sparse;
use crate::model::snapshot::Distribution;

/// What a histogram counts, and in which buckets.
pub trait Buckets {
    /// Rising upper bounds, without `+Inf`, in the exported unit.
    const BOUNDS: &'static [f64];
    /// Observations are whole parts of that unit; so many are 1.
    const PARTS_IN_UNIT: f64;
}

macro_rules! buckets {
    ($($(#[$doc:meta])* $vis:vis $name:ident: $parts:literal, $bounds:expr;)*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy)]
        $vis enum $name {}

        impl Buckets for $name {
            const BOUNDS: &'static [f64] = $bounds;
            const PARTS_IN_UNIT: f64 = $parts;
        })*
    };
}

/// Wall times of garbage collection, in seconds: from 10 µs (a good pause) to 10 s (a mark of a
/// very large heap).
const GC_SECONDS: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];

buckets! {
    /// Times of garbage collection as gctrace prints them: milliseconds with three places.
    pub GcMicroseconds: 1e6, GC_SECONDS;
    /// Pauses as expvar has them.
    pub GcNanoseconds: 1e9, GC_SECONDS;
    /// Time between two cycles, as gctrace prints moments; the runtime forces one after 120 s.
    pub GcIntervalMilliseconds: 1e3,
        &[0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
    /// Time between two schedtrace samples: X ms by schedtrace=X, usually 1,000, and a look every
    /// 10 ms; longer where samples are missing or the service stood still.
    pub SampleIntervalMilliseconds: 1e3,
        &[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.1, 1.5, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
    /// Goroutines; a P's own queue holds at most 256.
    pub Goroutines: 1.0,
        &[0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0, 16384.0];
    /// Shares between 0 and 1, in billionths.
    pub RatioBillionths: 1e9, &[0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
    /// Shares of the CPU that a garbage collection takes, in billionths: the pacer's goal is a
    /// quarter.
    pub GcCpuBillionths: 1e9, &[0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0];
}

/// A histogram of whole parts of a unit (nanoseconds, goroutines), so that its sum is exact.
pub struct Histogram<B> {
    counts: Box<[u64]>,
    parts: u64,
    exponential: Sparse,
    anew: bool,
    buckets: PhantomData<B>,
}

/// As it is saved: with its bounds, because those of the next release may be others.
#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    bounds: std::borrow::Cow<'a, [f64]>,
    parts_in_unit: f64,
    counts: Box<[u64]>,
    parts: u64,
    /// Missing in states that were saved before there were any.
    #[serde(default)]
    exponential: Option<std::borrow::Cow<'a, Sparse>>,
    #[serde(default)]
    anew: bool,
}

impl<B: Buckets> Histogram<B> {
    /// Counts one observation.
    pub fn observe(&mut self, parts: u64) {
        let value = in_unit::<B>(parts);
        let bucket = B::BOUNDS.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.exponential.observe(value);
        self.parts = self.parts.saturating_add(parts);
    }

    /// What it holds now.
    #[must_use]
    pub fn snapshot(&self) -> Distribution {
        Distribution {
            bounds: B::BOUNDS,
            counts: self.counts.clone(),
            sum: in_unit::<B>(self.parts),
            exponential: self.exponential.snapshot(),
            anew: self.anew,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "the one rounding, after all sums are made")]
fn in_unit<B: Buckets>(parts: u64) -> f64 {
    parts as f64 / B::PARTS_IN_UNIT
}

impl<B: Buckets> Default for Histogram<B> {
    fn default() -> Self {
        Self {
            counts: vec![0; B::BOUNDS.len() + 1].into(),
            parts: 0,
            exponential: Sparse::default(),
            anew: false,
            buckets: PhantomData,
        }
    }
}

impl<B> std::fmt::Debug for Histogram<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram")
            .field("counts", &self.counts)
            .field("parts", &self.parts)
            .finish()
    }
}

impl<B: Buckets> Serialize for Histogram<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Saved {
            bounds: B::BOUNDS.into(),
            parts_in_unit: B::PARTS_IN_UNIT,
            counts: self.counts.clone(),
            parts: self.parts,
            exponential: Some(std::borrow::Cow::Borrowed(&self.exponential)),
            anew: self.anew,
        }
        .serialize(serializer)
    }
}

impl<'de, B: Buckets> Deserialize<'de> for Histogram<B> {
    /// One whose buckets were others, or that had no exponential ones, begins anew, which Prometheus
    /// reads as a reset: counts cannot be moved to other buckets, and both kinds are one histogram,
    /// with one count.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let saved = Saved::deserialize(deserializer)?;
        let same = *saved.bounds == *B::BOUNDS
            && saved.parts_in_unit.to_bits() == B::PARTS_IN_UNIT.to_bits()
            && saved.counts.len() == B::BOUNDS.len() + 1;
        let observations = saved.counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
        let exponential = saved.exponential.filter(|sparse| same && sparse.is_sound(observations));
        Ok(match exponential {
            Some(exponential) => Self {
                counts: saved.counts,
                parts: saved.parts,
                exponential: exponential.into_owned(),
                anew: saved.anew,
                buckets: PhantomData,
            },
            None => Self { anew: observations > 0 || saved.anew, ..Self::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    buckets! {
        Thousandths: 1e3, &[0.0, 0.1, 2.0];
        Others: 1e3, &[0.0, 0.1, 3.0];
    }

    #[test]
    fn an_upper_bound_belongs_to_its_bucket_and_the_sum_is_exact() {
        let mut histogram = Histogram::<Thousandths>::default();
        [0, 50, 100, 2000, 2100].into_iter().for_each(|parts| histogram.observe(parts));
        let snapshot = histogram.snapshot();
        assert_eq!(*snapshot.counts, [1, 2, 1, 1]);
        assert_eq!(format!("{}", snapshot.sum), "4.25");
    }

    #[test]
    fn it_is_saved_exactly_and_begins_anew_if_its_buckets_are_others() {
        let mut histogram = Histogram::<Thousandths>::default();
        [0, 50, u64::MAX / 3].into_iter().for_each(|parts| histogram.observe(parts));
        let saved = serde_json::to_string(&histogram).unwrap();
        let same: Histogram<Thousandths> = serde_json::from_str(&saved).unwrap();
        assert_eq!(same.snapshot(), histogram.snapshot());
        let other: Histogram<Others> = serde_json::from_str(&saved).unwrap();
        let anew = |bounds| Distribution {
            bounds,
            anew: true,
            ..Histogram::<Others>::default().snapshot()
        };
        assert_eq!(other.snapshot(), anew(Others::BOUNDS));
        let mut saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
        saved["exponential"]["zero"] = 7.into();
        let damaged: Histogram<Thousandths> = serde_json::from_value(saved.clone()).unwrap();
        assert_eq!(damaged.snapshot(), anew(Thousandths::BOUNDS), "both kinds have one count");
        saved.as_object_mut().unwrap().remove("exponential");
        let of_before: Histogram<Thousandths> = serde_json::from_value(saved).unwrap();
        assert_eq!(of_before.snapshot(), anew(Thousandths::BOUNDS));
    }
}
