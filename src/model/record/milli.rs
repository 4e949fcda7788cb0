//! Decimals as the runtime prints times.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A decimal that the runtime printed with at most three places, kept exact as thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Milli(pub u64);

impl Milli {
    /// The value in the unit it was printed in.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "values above 2^53 thousandths are refused when parsed"
    )]
    pub fn as_f64(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl<'de> Deserialize<'de> for Milli {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be in range"
    )]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = f64::deserialize(deserializer)?;
        let thousandths = (value * 1000.0).round();
        if !(0.0..=9_007_199_254_740_992.0).contains(&thousandths) {
            return Err(D::Error::custom("not a number of thousandths"));
        }
        Ok(Self(thousandths as u64))
    }
}

impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}
