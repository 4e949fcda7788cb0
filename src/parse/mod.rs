//! Station 3: lines and bodies → records. Pure: no I/O, no clock, and no input makes it panic.
//!
//! `sched`, `detail` and `gc` hold one line grammar each, written with nom so that the same
//! grammar answers two questions: "what does this whole line say?" and "can these bytes be the
//! beginning of such a line?" (for packet-mode pipes). `line` tells the grammars apart,
//! `reader` joins the lines of a block, `reassemble` puts torn lines together (with `shapes`,
//! `forms` and `wait_reasons`), `expvar` reads `/debug/vars` with `json`'s help.

pub mod detail;
pub mod expvar;
pub mod forms;
pub mod gc;
pub mod json;
pub mod line;
pub mod primitive;
pub mod reader;
pub mod reassemble;
pub mod sched;
pub mod shapes;
pub mod wait_reasons;
