//! Decimals as the runtime prints times.

use serde::{Serialize, Serializer};

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

impl Serialize for Milli {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1000) {
            serializer.serialize_u64(self.0 / 1000)
        } else {
            serializer.serialize_f64(self.as_f64())
        }
    }
}
