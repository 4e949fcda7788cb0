//! The text bodies of `/debug/pprof` (src/net/http/pprof/pprof.go, src/runtime/pprof/pprof.go).
//!
//! `stacks` reads the profiles that count stacks (goroutine, threadcreate, goroutineleak), `heap`
//! the memstats at the end of the heap profile, `index` which profiles there are. All take the form
//! of `debug=1`; the forms of every release since Go 1.5 are the same but for what is noted there.

pub mod heap;
pub mod index;
pub mod stacks;

use thiserror::Error;

/// Why a body is not used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PprofError {
    /// It does not begin as it should.
    #[error("the body is no {0}; is the path right? net/http/pprof serves /debug/pprof/")]
    Other(&'static str),
    /// It ends too early.
    #[error("the body ends in the middle")]
    Truncated,
    /// A line is in no known form.
    #[error("line {0} of the body is in no known form")]
    Malformed(usize),
    /// The stacks are more than the head says.
    #[error("the head says {total}, and there are {sum}")]
    Disagrees {
        /// What the head says.
        total: u64,
        /// What the stacks make.
        sum: u64,
    },
}
