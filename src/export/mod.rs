//! Station 5: a snapshot → bytes. Pure.

pub mod text;
pub mod variables;
