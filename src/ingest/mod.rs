//! Station 1: bytes in. Each source reads on its own; one that fails waits and tries again, and
//! the others never notice.

pub mod carry;
pub mod cgroup;
pub mod child;
pub mod command;
pub mod fifo;
pub mod follow;
pub mod http;
pub mod intake;
pub mod leaks;
pub mod pod_log;
pub mod read;
mod rest;
pub mod scrape;
pub mod spool;
pub mod stdin;

/// Bytes read at once: fits a core's cache, and bounds how long a service's lock is held.
pub const CHUNK_BYTES: usize = 64 * 1024;
