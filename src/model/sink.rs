//! How ingest hands on what it read, without knowing what becomes of it.

use super::position::Place;

/// Takes the bytes of one service's stderr, in order.
pub trait TraceSink: Send {
    /// Bytes of a file, pipe or stream, cut anywhere.
    fn bytes(&mut self, chunk: &[u8]);

    /// Bytes that can be read again. What they make is saved together with `end`, where the byte after
    /// them stands: never one without the other.
    fn placed_bytes(&mut self, chunk: &[u8], end: Place);

    /// Where to read on, if what was read before is still known.
    fn saved_place(&self) -> Option<Place>;

    /// Bytes may be missing here: what comes next does not continue what came before.
    fn gap(&mut self);

    /// Everything that was written before we began is read now: from here on nothing exported is
    /// behind what was exported before.
    fn caught_up(&mut self);

    /// One packet of a packet-mode pipe: exactly one write(2) of the service.
    /// What is to be passed on is appended to `passed`.
    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>);

    /// The line at hand does not go on: what follows stands in another file or begins anew.
    fn break_line(&mut self);

    /// The stream ends: what follows, if anything, is another process's.
    fn end(&mut self, passed: &mut Vec<u8>);
}

/// Takes lines, in order, each without its line feed.
pub trait LineSink {
    /// One line.
    fn line(&mut self, line: &[u8]);

    /// How many bytes at the front of `text`, which begins where a line does, are whole lines of at
    /// most `longest` bytes that need not be given at all.
    fn passes_over(&self, text: &[u8], longest: usize) -> usize {
        let _none = (text, longest);
        0
    }
}

impl<F: FnMut(&[u8])> LineSink for F {
    fn line(&mut self, line: &[u8]) {
        self(line);
    }
}
