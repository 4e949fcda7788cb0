//! Counting observations in exponential buckets, as Prometheus' native histograms and
//! OpenTelemetry's exponential ones have them.

use serde::{Deserialize, Serialize};

use crate::model::snapshot::Exponential;

/// Buckets in which a factor of 2 is divided at first: 2^5, each 2.2 % wide. gctrace prints two or
/// three digits, so that finer ones would be made up.
const SCHEMA_MAX: i8 = 5;

/// From the first bucket to the last, as OpenTelemetry's SDKs have it (MaxSize). Past it, two become
/// one. A `u64` of nanoseconds spans 64 octaves, so that the schema never falls below 1.
const BUCKETS_MAX: usize = 160;

/// Observations up to this are 0: client_golang's default, below everything that we observe.
const ZERO_THRESHOLD: f64 = f64::from_bits((1023 - 128) << MANTISSA_BITS);

const MANTISSA_BITS: u32 = 52;
const MANTISSA: u64 = (1 << MANTISSA_BITS) - 1;

/// 2^(n/32), cut off after the 52 bits that follow the point of a float between 1 and 2.
const BOUNDS: [u64; 1 << SCHEMA_MAX] = [
    0x00000_00000000,
    0x059b0_d3158574,
    0x0b558_6cf9890f,
    0x11301_d0125b50,
    0x172b8_3c7d517a,
    0x1d487_3168b9aa,
    0x2387a_6e756238,
    0x29e9d_f51fdee1,
    0x306fe_0a31b715,
    0x371a7_373aa9ca,
    0x3dea6_4c123422,
    0x44e08_6061892d,
    0x4bfda_d5362a27,
    0x5342b_569d4f81,
    0x5ab07_dd485429,
    0x6247e_b03a5584,
    0x6a09e_667f3bcc,
    0x71f75_e8ec5f73,
    0x7a114_73eb0186,
    0x82589_994cce12,
    0x8ace5_422aa0db,
    0x93737_b0cdc5e4,
    0x9c491_82a3f090,
    0xa5503_b23e255c,
    0xae89f_995ad3ad,
    0xb7f76_f2fb5e46,
    0xc199b_dd85529c,
    0xcb720_dcef9069,
    0xd5818_dcfba487,
    0xdfc97_337b9b5e,
    0xea4af_a2a490d9,
    0xf5076_5b6e4540,
];

/// Bits of a mantissa that do not tell which of 64 equal slots it is in. Between two bounds there are
/// at least 64ths, so that no slot has two of them.
const SLOT_BITS: u32 = MANTISSA_BITS - 6;

/// How many bounds lie before each slot.
#[expect(clippy::indexing_slicing, reason = "done when it is compiled")]
const BEFORE: [usize; 64] = {
    let mut before = [0; 64];
    let mut slot = 0;
    while slot < 64 {
        let mut count = 0;
        while count < BOUNDS.len() && BOUNDS[count] >> SLOT_BITS < slot as u64 {
            count += 1;
        }
        before[slot] = count;
        slot += 1;
    }
    before
};

/// Observations by bucket: number i holds those above 2^((i-1)/2^schema), up to 2^(i/2^schema).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sparse {
    schema: i8,
    zero: u64,
    /// Number of the first of `counts`.
    first: i32,
    counts: Vec<u64>,
}

impl Default for Sparse {
    fn default() -> Self {
        Self { schema: SCHEMA_MAX, zero: 0, first: 0, counts: Vec::new() }
    }
}

impl Sparse {
    /// Counts one observation, which is not below 0.
    pub(super) fn observe(&mut self, value: f64) {
        if value <= ZERO_THRESHOLD {
            self.zero += 1;
            return;
        }
        let index = coarser(index(value), SCHEMA_MAX - self.schema);
        if let Some(count) = self.count(index) {
            *count += 1;
        } else {
            self.make_room(index);
        }
    }

    fn count(&mut self, index: i32) -> Option<&mut u64> {
        let at = usize::try_from(index - self.first).ok()?;
        self.counts.get_mut(at)
    }

    /// Counts the first observation of a bucket that is not there yet.
    fn make_room(&mut self, mut index: i32) {
        if self.counts.is_empty() {
            self.first = index;
        }
        loop {
            let (first, end) = (self.first.min(index), self.end().max(index + 1));
            let length = usize::try_from(end - first).unwrap_or(usize::MAX);
            if length <= BUCKETS_MAX {
                let before = usize::try_from(self.first - first).unwrap_or_default();
                self.counts.splice(..0, std::iter::repeat_n(0, before));
                self.counts.resize(length, 0);
                self.first = first;
                break;
            }
            self.halve();
            index = coarser(index, 1);
        }
        if let Some(count) = self.count(index) {
            *count += 1;
        }
    }

    /// Number after that of the last bucket.
    fn end(&self) -> i32 {
        self.first.saturating_add_unsigned(u32::try_from(self.counts.len()).unwrap_or(u32::MAX))
    }

    /// Two buckets become one.
    fn halve(&mut self) {
        let first = coarser(self.first, 1);
        let mut halved: Vec<u64> = Vec::with_capacity(self.counts.len() / 2 + 1);
        for (index, count) in (self.first..).zip(&self.counts) {
            let at = usize::try_from(coarser(index, 1) - first).unwrap_or_default();
            match halved.get_mut(at) {
                Some(sum) => *sum += count,
                None => halved.push(*count),
            }
        }
        (self.counts, self.first) = (halved, first);
        self.schema -= 1;
    }

    /// Whether it may have been saved by us, with so many observations.
    pub(super) fn is_sound(&self, observations: u64) -> bool {
        let sum = self.counts.iter().try_fold(self.zero, |sum, count| sum.checked_add(*count));
        (0..=SCHEMA_MAX).contains(&self.schema)
            && self.counts.len() <= BUCKETS_MAX
            && (-OCTAVES_MAX..=OCTAVES_MAX).contains(&self.first)
            && sum == Some(observations)
    }

    /// What it holds now.
    pub(super) fn snapshot(&self) -> Exponential {
        Exponential {
            schema: self.schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: self.zero,
            first: self.first,
            counts: self.counts.as_slice().into(),
        }
    }
}

/// Beyond every number of a bucket.
const OCTAVES_MAX: i32 = 1 << 16;

/// The bucket of a normal float above 0, at [`SCHEMA_MAX`]: by its bits alone, so that no logarithm
/// is rounded where a bucket ends.
fn index(value: f64) -> i32 {
    let bits = value.to_bits();
    let mantissa = bits & MANTISSA;
    let slot = (mantissa >> SLOT_BITS) as usize;
    let before = BEFORE.get(slot).copied().unwrap_or_default();
    let below = before + usize::from(BOUNDS.get(before).is_some_and(|bound| *bound < mantissa));
    #[expect(clippy::cast_possible_truncation, reason = "11 bits, and at most 32")]
    let (exponent, below) = ((bits >> MANTISSA_BITS) as i32 - 1023, below as i32);
    (exponent << SCHEMA_MAX) + below
}

/// The bucket that holds this one at a schema that is lower by `steps`.
const fn coarser(index: i32, steps: i8) -> i32 {
    ((index - 1) >> steps) + 1
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use proptest::prelude::*;

    use super::*;

    /// base^32 as a whole number of any size, lowest digit first.
    fn power_of_32(base: u64) -> Vec<u32> {
        let mut power = vec![(base & 0xffff_ffff) as u32, (base >> 32) as u32];
        for _ in 0..5 {
            let mut square = vec![0u32; 2 * power.len()];
            for (i, a) in power.iter().enumerate() {
                let mut carry = 0;
                for (j, b) in power.iter().chain(&[0]).enumerate() {
                    let Some(digit) = square.get_mut(i + j) else { continue };
                    let sum = u64::from(*a) * u64::from(*b) + u64::from(*digit) + carry;
                    *digit = (sum & 0xffff_ffff) as u32;
                    carry = sum >> 32;
                }
            }
            square.truncate(square.iter().rposition(|digit| *digit > 0).map_or(0, |at| at + 1));
            power = square;
        }
        power
    }

    fn two_to(exponent: u32) -> Vec<u32> {
        let mut power = vec![0; (exponent / 32) as usize];
        power.push(1 << (exponent % 32));
        power
    }

    fn compare(a: &[u32], b: &[u32]) -> Ordering {
        a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
    }

    /// How `value` compares with 2^(index/32), without rounding.
    fn against_bound(value: f64, index: i32) -> Ordering {
        let bits = value.to_bits();
        let significand = (bits & MANTISSA) | (1 << MANTISSA_BITS);
        let exponent = (bits >> MANTISSA_BITS) as i32 - 1023 - 52;
        let bound = u32::try_from(index - 32 * exponent).unwrap();
        compare(&power_of_32(significand), &two_to(bound))
    }

    fn is_in(value: f64, index: i32) -> bool {
        against_bound(value, index - 1) == Ordering::Greater
            && against_bound(value, index) != Ordering::Greater
    }

    #[test]
    fn every_bound_of_the_table_is_the_last_float_of_its_bucket() {
        for (n, mantissa) in BOUNDS.iter().enumerate() {
            let bound = f64::from_bits((1023 << MANTISSA_BITS) | mantissa);
            let n = i32::try_from(n).unwrap();
            assert_eq!(index(bound), n);
            assert!(is_in(bound, n), "{n}");
            assert!(is_in(bound.next_up(), n + 1), "{n}");
            assert_eq!(index(bound.next_up()), n + 1);
        }
    }

    #[test]
    fn powers_of_two_end_their_bucket() {
        for exponent in -30..64 {
            let value = 2f64.powi(exponent);
            assert_eq!(index(value), 32 * exponent);
            assert_eq!(index(value.next_up()), 32 * exponent + 1);
            assert_eq!(index(value.next_down()), 32 * exponent);
        }
    }

    proptest! {
        #[test]
        fn a_bucket_is_that_of_the_definition(parts in 1u64.., unit in 0usize..4) {
            let value = parts as f64 / [1.0, 1e3, 1e6, 1e9][unit];
            prop_assert!(is_in(value, index(value)), "{value} {}", index(value));
        }

        /// Whatever the order, the range is bounded and every observation is where it belongs.
        #[test]
        fn nothing_is_lost_when_buckets_are_joined(
            values in prop::collection::vec((0u64..1 << 40, 0u32..40), 1..300),
        ) {
            let mut sparse = Sparse::default();
            let values: Vec<f64> =
                values.into_iter().map(|(parts, shift)| (parts >> shift) as f64 / 1e9).collect();
            values.iter().for_each(|value| sparse.observe(*value));
            prop_assert!(sparse.is_sound(values.len() as u64));
            prop_assert!(sparse.schema >= 1);
            let mut expected = std::collections::BTreeMap::new();
            for value in values.iter().filter(|value| **value > 0.0) {
                let index = coarser(index(*value), SCHEMA_MAX - sparse.schema);
                *expected.entry(index).or_insert(0u64) += 1;
            }
            let found: std::collections::BTreeMap<i32, u64> =
                sparse.snapshot().buckets().collect();
            prop_assert_eq!(found, expected);
            let zeros = values.iter().filter(|value| **value == 0.0).count();
            prop_assert_eq!(sparse.zero, zeros as u64);
        }
    }
}
