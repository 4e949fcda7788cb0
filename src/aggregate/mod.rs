//! Station 4: records → the state of each service → an immutable snapshot.
//!
//! Pure: `now` is an argument. One [`service::ServiceState`] a service owns everything; `sched`,
//! `gc`, `memstats` and `variables` each keep what one source says; `catalog` declares every metric once.

pub mod catalog;
pub mod gc;
pub mod histogram;
pub mod leak;
pub mod memstats;
pub mod sched;
pub mod service;
pub mod tally;
pub mod variables;
