//! Station 3: lines and bodies → records. Pure: no I/O, no clock, and no input makes it panic.
//!
//! `sched`, `detail` and `gc` hold one line grammar each, written with nom so that the same
//! grammar answers two questions: "what does this whole line say?" and "can these bytes be the
//! beginning of such a line?" (for packet-mode pipes). `line` tells the grammars apart,
//! `reader` joins the lines of a block, `reassemble` puts torn lines together (with `shapes` and
//! `forms`), `expvar` reads `/debug/vars` with `json`'s help.

pub mod detail;
pub mod drift;
pub mod event;
pub mod expvar;
pub mod float;
pub mod forms;
pub mod gc;
pub mod init;
pub mod json;
pub mod line;
pub mod pacer;
pub mod primitive;
pub mod reader;
pub mod reassemble;
pub mod release_table;
pub mod releases;
pub mod samples;
pub mod scan;
pub mod scavenge;
pub mod sched;
pub mod shapes;
