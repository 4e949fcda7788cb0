//! Station 3: lines and bodies → records. Pure: no I/O, no clock, and no input makes it panic.
//!
//! `sched`, `detail` and `gc` hold one line grammar each, written with nom so that the same
//! grammar answers two questions: "what does this whole line say?" and "can these bytes be the
//! beginning of such a line?" (for packet-mode pipes). `line` tells the grammars apart,
//! `reader` joins the lines of a block, `reassemble` puts torn lines together (with `shapes` and
//! `forms`); `crash` reads the lines of a crash (each by `dump`; `race` a data race), and `gate` keeps
//! traces and crashes apart (`suspect` holds what may be either); `expvar` reads `/debug/vars` with `json`'s help, `pprof` the pages of `/debug/pprof`.

pub mod block;
pub mod crash;
pub mod detail;
pub mod drift;
pub mod dump;
pub mod event;
pub mod expvar;
pub mod float;
pub mod forms;
pub mod gap;
pub mod gate;
pub mod gc;
pub mod history;
pub mod init;
pub mod json;
pub mod line;
pub mod numbers;
pub mod open;
pub mod pacer;
pub mod pieces;
pub mod pprof;
pub mod primitive;
pub mod quiet;
pub mod race;
pub mod reader;
pub mod reassemble;
pub mod release_table;
pub mod releases;
pub mod samples;
pub mod scan;
pub mod scavenge;
pub mod sched;
pub mod shapes;
pub mod suspect;
