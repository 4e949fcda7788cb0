//! Station 2: bytes → lines, packets → trace lines and the service's own text. Pure.

pub mod cri;
pub mod lines;
pub mod packets;
