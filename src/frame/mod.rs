//! Station 2: bytes → lines, packets → trace lines and the service's own text. Pure.

pub mod lines;
pub mod packets;
