//! A service's own expvar variables.

use super::snapshot::Number;

/// One number among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// The variable's name, and the keys below it where it is a map.
    pub path: Vec<String>,
    /// Its value; true is 1 and false is 0.
    pub value: Number,
}
