//! A container's log as the kubelet gives it with `timestamps=true` (k8s.io/cri-client, pkg/logs, logWriter.write):
//! `2026-11-21T10:00:00.123456789Z text`, the pieces of a long line put together. And which of its lines are new.

use memchr::memchr;

use crate::model::position::LogPlace;
use crate::model::rfc3339;

/// Longest line; what is over it is left out. A pipeline keeps 64 KiB of one, unless it is told otherwise.
const LINE_BYTES_MAX: usize = 1024 * 1024;

/// A line of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Of the container: its time, and its text with the line feed.
    Logged(u64, &'a [u8]),
    /// Of somebody else: the kubelet says why it has no log.
    Told(&'a [u8]),
}

/// Finds the lines in what comes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    carry: Vec<u8>,
    overlong: bool,
}

impl Lines {
    /// Gives each whole line to `take`, which says whether it wants more.
    pub(super) fn push(&mut self, chunk: &[u8], mut take: impl FnMut(Line<'_>) -> bool) -> bool {
        let mut rest = chunk;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, later) = rest.split_at(end + 1);
            rest = later;
            let wants_more = if self.carry.is_empty() {
                take(read(line))
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.carry);
                take(read(&whole))
            };
            self.overlong = false;
            if !wants_more {
                return false;
            }
        }
        self.keep(rest);
        true
    }

    /// The answer ended.
    pub(super) fn end(&mut self, mut take: impl FnMut(Line<'_>) -> bool) {
        let rest = std::mem::take(&mut self.carry);
        self.overlong = false;
        // A half line comes again; what somebody else says need not end.
        if !rest.is_empty() && matches!(read(&rest), Line::Told(_)) {
            take(Line::Told(&rest));
        }
    }

    fn keep(&mut self, piece: &[u8]) {
        let room = LINE_BYTES_MAX - self.carry.len().min(LINE_BYTES_MAX);
        self.overlong |= piece.len() > room;
        self.carry.extend_from_slice(piece.get(..room).unwrap_or(piece));
        if self.overlong && piece.ends_with(b"\n") {
            self.carry.pop();
            self.carry.push(b'\n');
        }
    }
}

fn read(line: &[u8]) -> Line<'_> {
    let logged = memchr(b' ', line).and_then(|end| {
        let (time, text) = line.split_at(end);
        Some(Line::Logged(rfc3339::read(time)?, text.get(1..)?))
    });
    logged.unwrap_or(Line::Told(line))
}

/// What became of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It was read before.
    Before,
    New,
    /// It is new, and what was read last did not come before it.
    Missed,
}

/// Up to where a log was read.
///
/// A log can be asked for from a second on. So what was read of that second comes again, and its last line
/// proves that nothing is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub(super) place: LogPlace,
    /// Lines of the last time that came again; `None`: all that comes is new.
    again: Option<u32>,
    /// Nothing was read yet of what was logged since we began, whichever container it was.
    first: bool,
}

impl Cursor {
    pub(super) const fn at(place: LogPlace) -> Self {
        Self { place, again: Some(0), first: false }
    }

    /// At our own beginning: a container may have come and gone before we first read.
    pub(super) const fn since(time_ns: u64) -> Self {
        Self { place: LogPlace { time_ns, lines: 0 }, again: Some(0), first: true }
    }

    /// The log is asked for anew.
    pub(super) fn begin(&mut self) {
        self.again = Some(0);
    }

    /// What was read last is not in the log that comes.
    pub(super) fn begin_elsewhere(&mut self) {
        self.place.lines = 0;
        (self.again, self.first) = (Some(0), false);
    }

    /// Whether nothing was read yet.
    pub(super) const fn is_first(&self) -> bool {
        self.first
    }

    /// Whether what was read last has come again, or there is no such thing.
    pub(super) fn is_found(&self) -> bool {
        self.first || self.again.is_none_or(|again| again == self.place.lines)
    }

    /// The next line. One that is missed is to be asked about again.
    pub(super) fn line(&mut self, time_ns: u64) -> Seen {
        let place = &mut self.place;
        if let Some(again) = &mut self.again {
            if time_ns < place.time_ns {
                return Seen::Before;
            }
            if time_ns == place.time_ns && *again < place.lines {
                *again += 1;
                return Seen::Before;
            }
            if *again < place.lines || self.first {
                return Seen::Missed;
            }
            self.again = None;
        }
        if time_ns != place.time_ns {
            *place = LogPlace { time_ns, lines: 0 };
        }
        place.lines += 1;
        Seen::New
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOG: &str = "2026-11-21T10:00:00.000000001Z SCHED 5ms\n\
        2026-11-21T10:00:00.000000002Z \n\
        failed to try resolving symlinks\n\
        2026-11-21T12:00:00.000000003+02:00 gc 1 @0.1s\n";

    fn lines(log: &str, cut: usize) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let (first, second) = log.as_bytes().split_at(cut);
        for chunk in [first, second] {
            lines.push(chunk, |line| {
                found.push(match line {
                    Line::Logged(time, text) => {
                        format!("{} {}", time % 1_000_000_000, String::from_utf8_lossy(text))
                    }
                    Line::Told(text) => format!("? {}", String::from_utf8_lossy(text)),
                });
                true
            });
        }
        found
    }

    #[test]
    fn lines_may_be_cut_anywhere() {
        for cut in 0..=LOG.len() {
            let expected =
                ["1 SCHED 5ms\n", "2 \n", "? failed to try resolving symlinks\n", "3 gc 1 @0.1s\n"];
            assert_eq!(lines(LOG, cut), expected);
        }
    }

    #[test]
    fn a_line_without_end_is_kept_up_to_a_bound_and_the_next_one_is_whole() {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        let begin = b"2026-11-21T10:00:00Z ".to_vec();
        let middle = vec![b'x'; LINE_BYTES_MAX / 2];
        for piece in [&begin[..], &middle, &middle, &middle, b"end\n", &begin, b"next\n"] {
            lines.push(piece, |line| {
                let Line::Logged(_, text) = line else { panic!() };
                found.push(text.to_vec());
                true
            });
            assert!(lines.carry.len() <= LINE_BYTES_MAX);
        }
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].len(), LINE_BYTES_MAX - begin.len());
        assert!(found[0].ends_with(b"x\n"));
        assert_eq!(found[1], b"next\n");
    }

    #[test]
    fn what_somebody_says_instead_of_a_log_is_given_without_a_line_feed_too() {
        let mut told = Vec::new();
        let mut lines = Lines::default();
        lines.push(b"unable to retrieve container logs", |_| true);
        lines.end(|line| {
            told.push(line == Line::Told(b"unable to retrieve container logs"));
            true
        });
        lines.push(b"2026-11-21T10:00:00Z half a li", |_| true);
        lines.end(|_| panic!("it comes again"));
        assert_eq!(told, [true]);
    }

    proptest! {
        /// However often the log is asked for anew, each line is new once.
        #[test]
        fn lines_of_one_time_are_told_apart_by_their_number(
            steps in prop::collection::vec(0_u64..2, 1..60),
            breaks in prop::collection::vec(1_usize..60, 0..8),
        ) {
            let mut now = 1_000_000_000_u64;
            let log: Vec<u64> = steps.iter().map(|step| { now += step * 400_000_000; now }).collect();
            let mut cursor = Cursor::at(LogPlace::default());
            let mut read = Vec::new();
            for most in breaks.into_iter().chain([log.len()]) {
                cursor.begin();
                let since = cursor.place.time_ns / 1_000_000_000 * 1_000_000_000;
                let answer = log.iter().enumerate().filter(|(_, time)| **time >= since);
                for (n, time) in answer.take(most) {
                    match cursor.line(*time) {
                        Seen::New => read.push(n),
                        Seen::Before => {}
                        Seen::Missed => prop_assert!(false, "nothing is missing"),
                    }
                }
            }
            prop_assert_eq!(read, (0..log.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn at_the_beginning_the_container_before_is_looked_at_first() {
        let mut cursor = Cursor::since(5);
        assert_eq!([cursor.line(4), cursor.line(6)], [Seen::Before, Seen::Missed]);
        assert!(cursor.is_found());
        cursor.begin_elsewhere();
        assert_eq!([cursor.line(4), cursor.line(6)], [Seen::Before, Seen::New]);
    }

    #[test]
    fn it_is_seen_when_the_last_line_is_not_there_any_more() {
        let mut cursor = Cursor::at(LogPlace { time_ns: 5, lines: 2 });
        assert_eq!([cursor.line(4), cursor.line(5)], [Seen::Before; 2]);
        assert!(!cursor.is_found());
        assert_eq!(cursor.line(6), Seen::Missed);
        cursor.begin_elsewhere();
        assert!(cursor.is_found());
        assert_eq!([cursor.line(4), cursor.line(6)], [Seen::Before, Seen::New]);
        assert_eq!(cursor.place, LogPlace { time_ns: 6, lines: 1 });
    }
}
