//! The commands, each on the same stations.

pub mod check;
pub mod daemon;
pub mod demo;
pub mod detect;
pub mod exec;
pub mod install;
pub mod once;
pub mod parse;

use std::io;

use tokio::runtime::{Builder, Runtime};

/// Threads for reads that block: files of a dead file system each hold one.
const BLOCKING_THREADS_MAX: usize = 64;

/// One thread serves everything that does not block.
fn tokio_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()
}
