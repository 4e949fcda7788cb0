//! A service's trace, from ingest into its stations.

use std::sync::Arc;

use super::{Inner, Pipeline};
use crate::model::position::Place;
use crate::model::sink::TraceSink;
use crate::model::stats::LostReason;

/// A service's pipeline as ingest sees it.
#[derive(Debug)]
pub struct Sink(pub(super) Arc<Pipeline>);

impl Sink {
    /// Appends what of the packets is begun and not finished: the trace line at hand.
    pub fn begun(&self, begun: &mut Vec<u8>) {
        self.0.lock().packets.begun(begun);
    }

    /// Goes on with the trace line that another process had begun.
    pub fn resume(&mut self, begun: &[u8]) {
        self.0.lock().packets.resume(begun);
    }
}

impl TraceSink for Sink {
    fn bytes(&mut self, chunk: &[u8]) {
        let now = self.0.now();
        let mut inner = self.0.lock();
        let before = inner.stats.bytes;
        let too_long = inner.bytes(chunk, now);
        self.0.tell(&mut inner);
        self.0.tell_too_long(too_long, before);
    }

    fn placed_bytes(&mut self, chunk: &[u8], end: Place) {
        let now = self.0.now();
        let mut inner = self.0.lock();
        let before = match &end {
            Place::File(position) => position.offset.saturating_sub(chunk.len() as u64),
            Place::Log(_) => inner.stats.bytes,
        };
        let too_long = inner.bytes(chunk, now);
        inner.place = Some(end);
        self.0.tell(&mut inner);
        self.0.tell_too_long(too_long, before);
    }

    fn saved_place(&self) -> Option<Place> {
        self.0.lock().place.clone()
    }

    fn gap(&mut self) {
        self.0.lock().break_off();
    }

    fn caught_up(&mut self) {
        self.0.lock().behind = false;
    }

    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>) {
        let inner = &mut *self.0.lock();
        let Inner { packets, reader, state, stats, .. } = inner;
        inner.taken += 1;
        stats.bytes += packet.len() as u64;
        let mut lines = 0;
        let given_up = packets.push(packet, passed, |line| {
            lines += 1;
            reader.line(line, stats, &mut |record| state.observe(record, self.0.now()));
        });
        stats.lines += lines;
        if let Some(alone) = packets.take_percent_alone() {
            reader.note_percent(alone);
        }
        for kind in given_up {
            stats.note_lost(Some(kind), LostReason::Cut);
        }
        if reader.crash_progress().is_some() {
            inner.look_at_crash(self.0.now());
        }
        if lines > 0 {
            self.0.tell(inner);
        }
    }

    fn break_line(&mut self) {
        let now = self.0.now();
        let mut inner = self.0.lock();
        let before = inner.stats.bytes;
        let too_long = inner.break_line(now);
        self.0.tell_too_long(too_long, before);
    }

    fn end(&mut self, passed: &mut Vec<u8>) {
        self.break_line();
        let now = self.0.now();
        let Inner { packets, reader, stdout, state, stats, .. } = &mut *self.0.lock();
        for kind in packets.end(passed) {
            stats.note_lost(Some(kind), LostReason::Cut);
        }
        for reader in [reader, &mut stdout.1] {
            reader.end(stats, &mut |record| state.observe(record, now));
            reader.reset();
        }
        state.gap();
    }
}
