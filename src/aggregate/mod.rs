//! Station 4: records → the state of each service → an immutable snapshot.
//!
//! Pure: `now` is an argument. One [`service::ServiceState`] a service owns everything; `sched`,
//! `gc`, `memstats` and `variables` each keep what one source says, `events` what the seldom
//! lines say (with `pacer`, `scavenge`, `init`), `crash` crashes, `container` its cgroup, `goroutines` what pprof says (`blame`,
//! `places`, `ranking`, `growth`); `catalog` declares every metric once.

pub mod blame;
pub mod catalog;
pub mod container;
pub mod crash;
pub mod dump;
pub mod events;
mod exponential;
pub mod gc;
pub mod goroutines;
pub mod growth;
pub mod histogram;
pub mod init;
pub mod leak;
pub mod memstats;
pub mod pacer;
pub mod places;
mod process;
pub mod ranking;
pub mod scavenge;
pub mod sched;
pub mod semantic;
pub mod service;
pub mod tally;
pub mod ticks;
pub mod variables;
