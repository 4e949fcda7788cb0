//! What of a pipeline is saved, and how it goes on from there.
//!
//! While state is kept, nothing is exported before it is saved: what a stream or an endpoint gave
//! cannot be read again, and a counter that comes back lower is read as a reset.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Inner, Pipeline, kind_of_cut, now_ns};
use crate::aggregate::service::Kept;
use crate::aggregate::tally::Tally;
use crate::frame::lines::Partial;
use crate::model::position::Position;
use crate::model::snapshot::ServiceSnapshot;
use crate::model::stats::{LostReason, TraceStats};
use crate::parse::reader::Reader;
use crate::state::codec::{self, DecodeError};
use crate::state::store::Outlives;

/// A state on its way to where it is kept.
#[derive(Debug)]
pub struct Saving {
    /// What [`Pipeline::restore`] takes.
    pub bytes: Vec<u8>,
    exportable: Exportable,
}

/// What may be exported: as much as was saved.
#[derive(Debug)]
pub(super) struct Exportable {
    pub(super) taken: u64,
    pub(super) snapshot: ServiceSnapshot,
    pub(super) stats: TraceStats,
    outlives: Outlives,
}

/// Why a state is not used.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It cannot be read.
    #[error(transparent)]
    Decode(DecodeError),
    /// It is another service's.
    #[error("it is the state of the service {0:?}")]
    OtherService(String),
}

/// The content of a state, borrowed to write it and owned to read it.
#[derive(Serialize, Deserialize)]
struct Content<L, R, K> {
    service: String,
    /// Where its trace came from; reading goes on only if it still does.
    source: String,
    /// Nanoseconds since 1970.
    saved_at_ns: u64,
    /// What our own clock showed then.
    clock: Duration,
    position: Option<Position>,
    line: L,
    reader: R,
    service_state: K,
    stats: TraceStats,
}

impl Pipeline {
    /// The service's name; if it reads several files, with that of this one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether everything can be read again from a saved position on.
    #[must_use]
    pub const fn replays(&self) -> bool {
        self.replays
    }

    /// From now on nothing is exported that was not saved.
    pub fn keep(&self) {
        let now = self.now();
        let mut inner = self.lock();
        inner.exportable = Some(inner.exportable(now, Outlives::Us));
    }

    /// The state at this moment, if it has changed since it was saved last.
    ///
    /// # Errors
    /// A defect of its types.
    pub fn save(&self, outlives: Outlives) -> serde_json::Result<Option<Saving>> {
        let now = self.now();
        let inner = self.lock();
        let is_saved = |saved: &Exportable| {
            saved.taken == inner.taken && (saved.outlives == outlives || outlives == Outlives::Us)
        };
        if inner.exportable.as_ref().is_some_and(is_saved) {
            return Ok(None);
        }
        let content = Content {
            service: self.name.to_string(),
            source: self.source.to_string(),
            saved_at_ns: now_ns(),
            clock: now,
            position: inner.position.clone(),
            line: inner.lines.partial(),
            reader: &inner.reader,
            service_state: inner.state.kept(),
            stats: inner.stats,
        };
        let bytes = codec::encode(&content)?;
        Ok(Some(Saving { bytes, exportable: inner.exportable(now, outlives) }))
    }

    /// A state was written: so much may be exported.
    pub fn saved(&self, saving: Saving) {
        self.lock().exportable = Some(saving.exportable);
    }

    /// States cannot be written: then what we know is exported as it is.
    pub fn save_failed(&self) {
        self.lock().exportable = None;
    }

    /// Goes on from a saved state; before anything is read.
    ///
    /// # Errors
    /// It is none of this service's; nothing has changed then.
    pub fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let content: Content<Partial, Reader<Tally>, Kept> =
            codec::decode(bytes).map_err(RestoreError::Decode)?;
        if *content.service != *self.name {
            return Err(RestoreError::OtherService(content.service));
        }
        // A clock that went back says nothing; then no time has passed.
        let away = Duration::from_nanos(now_ns().saturating_sub(content.saved_at_ns));
        let mut inner = self.lock();
        // Set once, before the first look at it.
        let _set = self.epoch.set(content.clock.saturating_add(away));
        inner.stats = content.stats;
        if self.is_one_of_many {
            // A sum over files that come and go is of this life only.
            self.telemetry.note_published(&content.stats);
        }
        inner.state.restore(content.service_state);
        inner.lines.restore(content.line);
        let same_source = *content.source == *self.source;
        if same_source {
            inner.reader = content.reader;
        }
        if same_source && self.follows_file {
            inner.position = content.position;
            inner.behind = true;
        } else {
            inner.break_off();
        }
        Ok(())
    }
}

impl Inner {
    /// What comes next does not continue what came before.
    pub(super) fn break_off(&mut self) {
        let cut = self.lines.cut();
        self.stats.note_lost(cut.as_deref().and_then(kind_of_cut), LostReason::Cut);
        self.reader.abandon(&mut self.stats);
        self.state.gap();
        self.taken += 1;
    }

    fn exportable(&self, now: Duration, outlives: Outlives) -> Exportable {
        Exportable {
            taken: self.taken,
            snapshot: self.state.snapshot(now),
            stats: self.stats,
            outlives,
        }
    }
}
