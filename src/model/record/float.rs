//! Floating-point numbers as the runtime prints them.

use serde::{Serialize, Serializer};

/// A floating-point number; NaN and the infinities do occur (division by an idle program's zero).
#[derive(Debug, Clone, Copy, Default)]
pub struct Float(pub f64);

impl Float {
    /// The value, if it is a number.
    #[must_use]
    pub fn finite(self) -> Option<f64> {
        self.0.is_finite().then_some(self.0)
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Float {}

/// A JSON number, or the runtime's own word for what JSON has no number for.
impl Serialize for Float {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_nan() {
            serializer.serialize_str("NaN")
        } else if self.0.is_infinite() {
            serializer.serialize_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}
