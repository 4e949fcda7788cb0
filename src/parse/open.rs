//! A trace line that is not whole yet, and how a line goes on with it. The rules stand at
//! [`super::reassemble`].

use serde::{Deserialize, Serialize};

use super::gap::Gap;
use super::numbers;
use super::pieces::{Splits, ends, splits};
use super::reassemble::{WAYS_MAX, begins_anew};
use super::shapes::{self, Shapes};
use crate::model::stats::RecordKind;

/// Lines of the service inside one trace line: the widest gap seen was 3,278.
pub(super) const GAP_MAX_LINES: u32 = 20_000;

/// Longest trace line put together: a SCHED line of 1,024 Ps has 15 KiB.
const TEXT_MAX_BYTES: usize = 32 * 1024;

/// `  G7`: hardly more than the first write of a line.
const SHORT_BYTES: usize = 4;

/// A trace line that is not whole yet.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Open {
    pub(super) kind: RecordKind,
    pub(super) ways: Vec<Vec<u8>>,
    /// The physical line it began with, as long as that may be words of the service: nothing was
    /// added, nor does a line of the service stand behind more than the first write.
    pub(super) first: Option<Vec<u8>>,
    /// Its last piece is known only by another trace line behind it, and that one has no end yet.
    #[serde(default)]
    pub(super) leans: bool,
    /// It is the one that another leans on.
    #[serde(default)]
    pub(super) proves: bool,
    /// It began while pieces of another of its printer, which was lost, could still come.
    #[serde(default)]
    pub(super) doubted: bool,
    pub(super) gap: Gap,
}

/// A trace line that a line may begin.
pub(super) struct Begun {
    pub(super) open: Open,
    pub(super) inner: Option<usize>,
}

pub(super) enum Step {
    Whole(Vec<Vec<u8>>),
    Stays { piece: bool },
    Around(usize),
    GivenUp,
}

impl Begun {
    /// Whether there is hardly more than its first write: rather words of the service.
    pub(super) fn is_short(&self) -> bool {
        self.open.kind != RecordKind::Gc
            && self.inner.is_none()
            && self.open.ways.iter().all(|way| way.len() <= SHORT_BYTES)
    }

    /// Whether words that only the runtime says stand in it, and a line of the service behind them.
    pub(super) fn is_the_runtimes(&self) -> bool {
        self.open.first.is_none() && self.open.ways.iter().all(|way| shapes::has_runtime_word(way))
    }
}

impl Open {
    /// Whether it is a gctrace line and not words of the service. The runtime begins no other line
    /// before its end (`printlock`).
    pub(super) fn is_sure_gc(&self) -> bool {
        self.kind == RecordKind::Gc && self.first.is_none()
    }

    pub(super) fn go_on(&mut self, line: &[u8], shapes: &Shapes) -> Step {
        let Some(next) = self.follow(line, shapes) else { return Step::GivenUp };
        let Next { whole, ways, inner, known, piece, hides, ends_at_cut, .. } = next;
        // With the runtime's words up to the end of the line, no other way is left.
        let two = known && piece && !whole.is_empty() && !ends_at_cut;
        let leans = self.leans && (piece || !whole.is_empty());
        if two || leans || hides || piece && begins_anew(self.kind, line) {
            return Step::GivenUp;
        }
        if !whole.is_empty() {
            return Step::Whole(whole);
        }
        let too_long = ways.iter().any(|way| way.len() > TEXT_MAX_BYTES);
        if ways.is_empty() || ways.len() > WAYS_MAX || too_long {
            return Step::GivenUp;
        }
        self.leans |= inner.is_some();
        if piece {
            self.first = None;
            // A way that did not go on may still miss what is hidden.
            if !ways.iter().any(|way| self.ways.contains(way)) {
                self.gap = Gap::default();
            }
        }
        self.gap.add(line, known);
        self.ways = ways;
        match inner {
            Some(at) => Step::Around(at),
            None if self.gap.lines > GAP_MAX_LINES => Step::GivenUp,
            None => Step::Stays { piece },
        }
    }

    /// What a line makes of all ways; none if the right one may be among none of them.
    fn follow(&self, line: &[u8], shapes: &Shapes) -> Option<Next> {
        let mut next = Next::default();
        for way in &self.ways {
            if let Some(all) = ends(way, line) {
                if shapes.knows(line) && !line.is_empty() {
                    // The service's own line could end it as well.
                    return None;
                }
                next.hides |= self.gap.may_hide(way, line);
                next.whole.push(all);
                continue;
            }
            let splits = splits(way, line, 0, shapes);
            next.piece |= splits.texts.iter().any(|text| !self.ways.contains(text));
            next.add(way, splits, &self.gap)?;
        }
        if !next.stays && !next.sure.is_empty() {
            // These pieces are the runtime's: a way that does not go on with them is none.
            let sure = &next.sure;
            next.ways.retain(|way| sure.contains(way));
        }
        next.whole.dedup();
        Some(next)
    }
}

/// What a line makes of the ways.
#[derive(Default)]
struct Next {
    whole: Vec<Vec<u8>>,
    ways: Vec<Vec<u8>>,
    /// Those of `ways` that went on, with a line of the service behind.
    sure: Vec<Vec<u8>>,
    inner: Option<usize>,
    known: bool,
    /// A way went on, though it may have ended there: then the line is not sure to be the service's.
    piece: bool,
    /// What stood before the pieces may hide one that belongs before them.
    hides: bool,
    /// The line as a whole begins as the service's do.
    stays: bool,
    /// A whole one ends with the line, behind a cut, with the runtime's words.
    ends_at_cut: bool,
}

impl Next {
    fn add(&mut self, way: &Vec<u8>, splits: Splits, gap: &Gap) -> Option<()> {
        if splits.unsure {
            return None;
        }
        self.inner = self.inner.or(splits.inner);
        self.known |= splits.known;
        if splits.known && splits.texts.contains(way) {
            self.stays = true;
        } else if splits.known {
            self.sure.extend(splits.texts.iter().cloned());
        }
        self.ends_at_cut |=
            splits.whole.iter().any(|all| shapes::has_runtime_word(added(way, all)));
        let mut pieces = splits.texts.iter().chain(&splits.whole).map(|text| added(way, text));
        self.hides |= pieces.any(|pieces| !pieces.is_empty() && gap.may_hide(way, pieces));
        self.whole.extend(splits.whole);
        for text in splits.texts {
            if !self.ways.contains(&text) && numbers::may_fit(&text) {
                self.ways.push(text);
            }
        }
        Some(())
    }
}

fn added<'a>(way: &[u8], text: &'a [u8]) -> &'a [u8] {
    text.get(way.len()..).unwrap_or_default()
}
