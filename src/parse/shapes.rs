//! How a service's own lines begin: learned from lines that are surely its own, so that a log
//! line can be told from the piece of a trace line that stands before it.

use serde::{Deserialize, Serialize};

/// Bytes of a beginning that are compared: a date, or `{"time":"202`.
const SHAPE_BYTES: usize = 12;

/// Most beginnings remembered; the one seen least goes.
const SHAPES_MAX: usize = 64;

/// Lines looked at in the beginning, and again after each torn line: while nothing is torn
/// nothing has to be learned, and a line costs nothing.
const FIRST_LINES: u32 = 1024;
const MORE_LINES: u32 = 64;

/// Words in the rest of a trace line whose beginning was lost; that is no line of the service.
const TAILS: [&[u8]; 25] = [
    b"gomaxprocs=",
    b"idleprocs=",
    b"spinningthreads=",
    b"needspinning=",
    b"idlethreads=",
    b"runqueue=",
    b"schedticks=",
    b"gcwaiting=",
    b"nmidlelocked=",
    b"stopwait=",
    b"sysmonwait=",
    b" ms clock, ",
    b" ms cpu, ",
    b" MB goal",
    b" MB stacks",
    b" MB globals",
    b"schedtick=",
    b" curg=",
    b" mallocing=",
    b" throwing=",
    b" preemptoff=",
    b" spinning=",
    b" lockedm=",
    b" lockedg=",
    b" dying=",
];

type Shape = [u8; SHAPE_BYTES];

/// The beginnings seen, the last seen first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Shapes {
    known: Vec<(Shape, u32)>,
    to_look_at: u32,
}

impl Default for Shapes {
    fn default() -> Self {
        Self { known: Vec::new(), to_look_at: FIRST_LINES }
    }
}

impl Shapes {
    /// Learns from a line of the service, if there is something to learn.
    #[inline]
    pub fn learn(&mut self, line: &[u8]) {
        if self.to_look_at > 0 {
            self.to_look_at -= 1;
            self.learn_now(line);
        }
    }

    /// Whether enough lines were looked at for now.
    #[must_use]
    pub const fn has_learned(&self) -> bool {
        self.to_look_at == 0
    }

    /// A line was torn: looks at some more of the service's.
    pub fn look_again(&mut self) {
        self.to_look_at = self.to_look_at.max(MORE_LINES);
    }

    /// Learns from a line of the service.
    pub fn learn_now(&mut self, line: &[u8]) {
        if has_runtime_word(line) {
            return;
        }
        let shape = shape(line);
        if let Some((_, seen)) = self.known.iter_mut().find(|(known, _)| *known == shape) {
            *seen = seen.saturating_add(1);
            return;
        }
        if self.known.len() >= SHAPES_MAX {
            let rarest =
                (0..self.known.len()).min_by_key(|at| self.known.get(*at).map(|(_, n)| *n));
            self.known.remove(rarest.unwrap_or_default());
        }
        self.known.push((shape, 1));
    }

    /// Whether a line of the service has begun so before.
    #[must_use]
    pub fn knows(&self, line: &[u8]) -> bool {
        let shape = shape(line);
        self.known.iter().any(|(known, _)| *known == shape)
    }
}

/// Whether there are words in it that hardly any service says.
#[must_use]
pub fn has_runtime_word(text: &[u8]) -> bool {
    TAILS.iter().any(|tail| memchr::memmem::find(text, tail).is_some())
}

/// Whether a line begins with a number whose width does not change: a date (2026/…), a clock
/// (10:00), seconds since 1970. A counter's does, and an address's.
#[must_use]
pub fn has_fixed_number(line: &[u8]) -> bool {
    let width = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    match line.get(width) {
        Some(b':') => width >= 2,
        Some(b'/' | b'-' | b'.' | b'T') => width >= 4,
        _ => width >= 8,
    }
}

/// The first bytes, with every digit as 0.
fn shape(line: &[u8]) -> Shape {
    let mut shape = [b'\n'; SHAPE_BYTES];
    for (slot, byte) in shape.iter_mut().zip(line) {
        *slot = if byte.is_ascii_digit() { b'0' } else { *byte };
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_known_whatever_its_digits() {
        let mut shapes = Shapes::default();
        shapes.learn(b"2026/11/21 10:00:00 INFO x");
        assert!(shapes.knows(b"2027/01/02 23:59:59 WARN y"));
        assert!(!shapes.knows(b"26/11/21 10:00:00") && !shapes.knows(b"12026/11/21 10:00:00"));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut shapes = Shapes::default();
        for a in b'a'..=b'z' {
            for b in b'a'..=b'z' {
                shapes.learn_now(&[a, b]);
            }
        }
        assert!(shapes.known.len() <= SHAPES_MAX && shapes.knows(b"zz") && !shapes.knows(b"aa"));
    }
}
