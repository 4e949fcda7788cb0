//! One crash, from its first line on.
//!
//! # When it is one
//!
//! Services also print "panic: …" and a stack themselves, for a panic that they recovered, and go
//! on. What the runtime prints when the process dies is told from that by its form:
//!
//! - `panic: VALUE` in the first column; then a line `[signal …]`, or an empty line and the header
//!   of a goroutine that is `[running`, with a frame below. Its first frame is not
//!   `runtime/debug.Stack`, and it has no more `panic(…)` frames in the middle than panics were
//!   printed before the last one: a stack that a recovering function took of itself has one more.
//! - `fatal error: TEXT`, where only the runtime has such a text, or `[signal …]`, `runtime stack:`
//!   or a header with a frame follows; for a text that we do not know the frame is a `throw` or
//!   `fatal`.
//! - `SIGQUIT: quit`, then `PC=0x…`.
//! - Any of them, where the runtime printed a scheduler block with `dying` set beside it: nobody
//!   else does that.
//!
//! [`super::gate`] adds what only the traces around it can tell: a process whose traces go on did
//! not die. What is neither is not counted as a crash, but as lost.
//!
//! # What is kept
//!
//! A line of the message, a function, some numbers: the size of the dump does not matter. A frame
//! that was torn by a log line before the function was found, or two stacks that both claim to be
//! the running one (the text of a panic may imitate a dump, until Go 1.22 line by line), leave
//! the function unknown. If a dump lists more goroutines than the first it lists them all, unless
//! it was cut.

use serde::{Deserialize, Serialize};

use super::dump::{self, DumpLine, Header, Opening};
use crate::model::crash::{Crash, FatalKind, What};

/// Most bytes kept of what the runtime said.
const MESSAGE_MAX_BYTES: usize = 1024;

/// Lines of the service between `SIGQUIT: quit` and `PC=0x…`; a service that says the first itself
/// does not say the second.
const SIGNAL_LINES_MAX: u32 = 16;

/// How sure it is that the process died.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Proof {
    /// A line like its first.
    None,
    /// The form of what followed.
    Form,
    /// The runtime printed a block of the scheduler with `dying` set.
    Dying,
}

/// What a line was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A part of the crash.
    Taken,
    /// None, as far as one can tell.
    Foreign,
    /// The line that shows that this is no crash.
    Refuted,
    /// The first line of another.
    Next,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// Before the dump.
    Text,
    /// Stacks of a thread, before the goroutine that crashed.
    Runtime,
    /// The stack of the goroutine that crashed.
    First,
    /// The others'.
    Rest,
}

/// A crash whose end was not seen yet.
#[derive(Debug, Serialize, Deserialize)]
pub struct Case {
    crash: Crash,
    stage: Stage,
    proof: Proof,
    /// An empty line was seen: a header may follow.
    blank: bool,
    /// Panics printed, so that as many less one are in the middle of the stack.
    panics: u32,
    panic_frames: u32,
    frames: u32,
    /// The name of a frame whose position is still to come.
    frame: Option<Vec<u8>>,
    /// A frame was torn before the function was found.
    frame_torn: bool,
    first_id: u64,
    /// A header was torn, or only some goroutines are listed.
    not_all: bool,
    /// Lines between the message and the dump, which may be the message's own.
    raw: u32,
    /// The header read last says that its goroutine runs.
    running: bool,
    second_running: bool,
    other_thread: bool,
    /// Registers, which end the dump of a signal.
    registers: bool,
}

impl Case {
    /// Begins with its first line.
    #[must_use]
    pub fn new(opening: &Opening<'_>, proof: Proof) -> Self {
        let mut crash;
        let (mut panics, mut sure) = (0, false);
        match opening {
            Opening::Panic(value) => {
                crash = Crash::new(What::Panic);
                crash.message = Some(lossy(value));
                panics = 1 + u32::from(value.ends_with(b" [recovered, repanicked]"));
            }
            Opening::Fatal(text) => {
                crash = fatal(text);
                sure = dump::is_sure_text(text);
            }
            Opening::Signal(signal, text) => {
                crash = Crash::new(What::Signal);
                crash.signal = Some(*signal);
                crash.message = Some(lossy(text));
            }
        }
        Self {
            crash,
            stage: Stage::Text,
            proof: if sure { proof.max(Proof::Form) } else { proof },
            blank: false,
            panics,
            panic_frames: 0,
            frames: 0,
            frame: None,
            frame_torn: false,
            first_id: 0,
            not_all: false,
            raw: 0,
            running: false,
            second_running: false,
            other_thread: false,
            registers: false,
        }
    }

    /// A log line stands where the message should.
    pub fn forget_message(&mut self) {
        self.crash.message = None;
    }

    /// Its dump breaks off.
    pub fn is_cut(&mut self) {
        self.not_all = true;
    }

    /// How sure it is by now.
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// The runtime printed a block with `dying` set.
    pub fn is_dying(&mut self) {
        self.proof = Proof::Dying;
    }

    /// Whether lines may still be the message's own.
    #[must_use]
    pub fn in_text(&self) -> bool {
        self.stage == Stage::Text
    }

    /// Whether what stands between the first line and the dump may be anything: the text of a
    /// panic is the service's.
    #[must_use]
    pub fn in_own_text(&self) -> bool {
        self.in_text() && self.crash.what == What::Panic
    }

    /// Takes a line without its line feed.
    pub fn line(&mut self, line: &[u8]) -> Step {
        if let Some(opening) = dump::opening(line) {
            return self.opening(&opening);
        }
        match dump::read(line) {
            DumpLine::Position(position) if self.stage != Stage::Text => self.position(position),
            DumpLine::Position(_) => self.more_text(line),
            DumpLine::Function(name) if self.stage != Stage::Text => self.function(name),
            DumpLine::Goroutine(header) => self.goroutine(header),
            DumpLine::TornGoroutine => {
                self.not_all = true;
                Step::Foreign
            }
            DumpLine::Blank => {
                self.blank = true;
                self.end_of_stack();
                Step::Foreign
            }
            DumpLine::RuntimeStack if self.blank && !self.in_own_text() => {
                self.prove();
                self.stage = Stage::Runtime;
                Step::Taken
            }
            DumpLine::SignalDetail(signal) if self.in_text() => {
                self.crash.signal.get_or_insert(signal);
                self.prove();
                Step::Taken
            }
            DumpLine::Pc if self.crash.what == What::Signal => {
                self.prove();
                Step::Taken
            }
            DumpLine::NextThread => {
                self.other_thread = true;
                Step::Taken
            }
            DumpLine::Register if self.stage == Stage::Rest => {
                self.registers = true;
                Step::Taken
            }
            DumpLine::Other if !self.in_text() => Step::Taken,
            DumpLine::PanicDuringPanic => Step::Taken,
            _ => self.foreign(line),
        }
    }

    fn prove(&mut self) {
        self.proof = self.proof.max(Proof::Form);
    }

    fn opening(&mut self, opening: &Opening<'_>) -> Step {
        match opening {
            // With GOTRACEBACK=crash every thread is sent the signal in turn.
            Opening::Signal(..) if self.other_thread => Step::Taken,
            // Until Go 1.23 two threads may say it before one prints its dump (golang/go#69447).
            Opening::Fatal(_) if self.in_text() && self.crash.fatal_kind.is_some() => Step::Taken,
            _ => Step::Next,
        }
    }

    /// A line with a tab: the message goes on, or a panic caused the next.
    fn more_text(&mut self, line: &[u8]) -> Step {
        let text = line.get(1..).unwrap_or_default();
        if let Some(value) = text.strip_prefix(b"panic: ") {
            self.panics += 1 + u32::from(value.ends_with(b" [recovered, repanicked]"));
        }
        if let Some(message) = &mut self.crash.message
            && self.raw == 0
            && message.len() + text.len() < MESSAGE_MAX_BYTES
        {
            message.push('\n');
            message.push_str(&String::from_utf8_lossy(text));
        }
        Step::Taken
    }

    fn foreign(&mut self, line: &[u8]) -> Step {
        if self.in_text() {
            self.raw += 1;
            let is_signal = self.crash.what == What::Signal && self.proof == Proof::None;
            if is_signal && self.raw > SIGNAL_LINES_MAX {
                return Step::Refuted;
            }
            // A log line tore the text from its beginning.
            if self.crash.fatal_kind == Some(FatalKind::Other) && dump::is_sure_text(line) {
                let known = fatal(line);
                self.crash = Crash { signal: self.crash.signal, ..known };
                self.prove();
                return Step::Taken;
            }
        }
        Step::Foreign
    }

    fn goroutine(&mut self, header: Header) -> Step {
        let is_first = matches!(self.stage, Stage::Text | Stage::Runtime);
        if is_first && !self.may_begin(header) {
            return self.foreign(b"");
        }
        self.end_of_stack();
        self.running = header.running;
        self.not_all |= header.bubble;
        if is_first {
            self.stage = Stage::First;
            self.first_id = header.id;
        } else {
            self.stage = Stage::Rest;
            // Nobody prints a goroutine twice; the text of a panic may.
            self.not_all |= header.id == self.first_id && !self.other_thread;
        }
        if header.id != 0 && !self.other_thread {
            self.crash.goroutines_listed += 1;
        }
        Step::Taken
    }

    fn may_begin(&self, header: Header) -> bool {
        self.blank && (self.crash.what != What::Panic || header.running && header.id != 0)
    }

    fn end_of_stack(&mut self) {
        if self.stage == Stage::First && self.frames > 0 {
            self.stage = Stage::Rest;
        }
        self.frame = None;
    }

    fn function(&mut self, name: &[u8]) -> Step {
        match self.stage {
            Stage::Text | Stage::Runtime => return Step::Taken,
            Stage::Rest => {
                self.second_running |= self.running && !self.other_thread;
                return Step::Taken;
            }
            Stage::First => {}
        }
        if self.proof < Proof::Dying && self.is_own_stack(name) {
            return Step::Refuted;
        }
        // A function without its position: a log line stands in between.
        self.frame_torn |= self.frame.is_some();
        self.frame = Some(name.to_vec());
        Step::Taken
    }

    /// Whether a frame shows that the service printed the stack itself.
    fn is_own_stack(&mut self, name: &[u8]) -> bool {
        if name == b"panic" && self.frames > 0 {
            self.panic_frames += 1;
            return self.crash.what == What::Panic && self.panic_frames >= self.panics;
        }
        self.frames == 0 && name == b"runtime/debug.Stack"
    }

    fn position(&mut self, position: Option<(&[u8], u32)>) -> Step {
        if self.stage != Stage::First {
            return if position.is_some() { Step::Taken } else { Step::Foreign };
        }
        let Some(name) = self.frame.take() else {
            self.frame_torn = true;
            return Step::Taken;
        };
        self.frames += 1;
        // A text that nobody knows is believed only if it was thrown.
        if self.crash.fatal_kind != Some(FatalKind::Other) || dump::is_throw(&name) {
            self.prove();
        }
        if self.crash.function.is_none() && !self.frame_torn && !dump::is_runtime(&name) {
            self.crash.function = Some(lossy(&name));
            if let Some((file, line)) = position {
                self.crash.file = Some(lossy(file));
                self.crash.line = Some(line);
            }
        }
        Step::Taken
    }

    /// What is known at its end; nothing if it is not sure.
    #[must_use]
    pub fn finish(mut self) -> Option<Crash> {
        if self.proof == Proof::None {
            return None;
        }
        if self.raw > 0 && self.second_running {
            // The first of the two may be the message's.
            self.not_all = true;
            self.crash.function = None;
            self.crash.file = None;
            self.crash.line = None;
        }
        self.not_all |= self.crash.what == What::Signal && !self.registers;
        let listed = self.crash.goroutines_listed;
        self.crash.goroutines = (listed > 1 && !self.not_all).then_some(listed);
        Some(self.crash)
    }
}

fn fatal(text: &[u8]) -> Crash {
    let kind = dump::fatal_kind(text);
    let mut crash = Crash::new(match kind {
        FatalKind::Deadlock => What::Deadlock,
        FatalKind::OutOfMemory => What::OutOfMemory,
        _ => What::Fatal,
    });
    crash.fatal_kind = Some(kind);
    crash.message = Some(lossy(text));
    crash
}

fn lossy(text: &[u8]) -> String {
    let kept = text.get(..MESSAGE_MAX_BYTES.min(text.len())).unwrap_or_default();
    String::from_utf8_lossy(kept).into_owned()
}
