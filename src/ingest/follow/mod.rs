//! Following files: whatever rotation does to them, every byte once.
//!
//! `names` knows how rotated files are called, `siblings` lists them in order, `mark` is a place in
//! a file by number and content, `stream` reads one file, `search` finds a place again and what
//! came after it, and `tail` follows one path with all that. `followed` is that path, or the newest log of a container. `glob` finds the files of a pattern,
//! `watch` is told of changes, `watched` knows of whose files, and `slot` and `run` give every path
//! its turns.

mod followed;
mod glob;
mod mark;
mod names;
mod search;
mod siblings;
mod slot;
mod stream;
mod watch;
mod watched;

pub mod run;
pub mod tail;

pub use followed::newest_log;
pub use stream::BUFFER_BYTES;
