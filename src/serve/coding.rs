//! A page as it is sent: in the pieces in which it was written, or compressed while it is written, so
//! that it is never there twice.

use std::collections::VecDeque;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::model::exposition::Coding;

/// So much is compressed at once, or is a piece of its own.
const PIECE_BYTES: usize = 64 * 1024;

/// Pages shrink to less than this.
const SHRINKS: usize = 8;

/// Higher levels take several times as long and save little (`cargo bench --bench pages`).
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// What was written of a page.
pub(super) struct Body(Inner);

enum Inner {
    Plain(Pieces),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Body {
    /// For a page of about `room` bytes.
    #[must_use]
    pub(super) fn new(coding: Coding, room: usize) -> Self {
        let small = || Vec::with_capacity(room / SHRINKS);
        let inner = match coding {
            Coding::Identity => None,
            Coding::Gzip => {
                Some(Inner::Gzip(GzEncoder::new(small(), Compression::new(GZIP_LEVEL))))
            }
            // Fails only if there is no memory for it.
            Coding::Zstd => {
                zstd::stream::write::Encoder::new(small(), ZSTD_LEVEL).ok().map(Inner::Zstd)
            }
        };
        Self(inner.unwrap_or_else(|| Inner::Plain(Pieces::default())))
    }

    /// Takes what was written, if it is enough.
    pub(super) fn take(&mut self, written: &mut Vec<u8>) {
        if written.len() >= PIECE_BYTES {
            self.push(written);
        }
    }

    fn push(&mut self, written: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _never = match &mut self.0 {
            Inner::Plain(pieces) => {
                pieces.push(std::mem::take(written).into());
                Ok(())
            }
            Inner::Gzip(encoder) => encoder.write_all(written),
            Inner::Zstd(encoder) => encoder.write_all(written),
        };
        written.clear();
    }

    /// The page, after the rest of it.
    #[must_use]
    pub(super) fn finish(mut self, mut rest: Vec<u8>) -> Pieces {
        self.push(&mut rest);
        match self.0 {
            Inner::Plain(pieces) => pieces,
            Inner::Gzip(encoder) => Bytes::from(encoder.finish().unwrap_or_default()).into(),
            Inner::Zstd(encoder) => Bytes::from(encoder.finish().unwrap_or_default()).into(),
        }
    }
}

/// Bytes in pieces.
#[derive(Debug, Default)]
pub struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Pieces {
    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.extend(Some(piece).filter(|piece| !piece.is_empty()));
    }

    /// How many bytes.
    pub(super) const fn len(&self) -> usize {
        self.bytes
    }

    /// At most so many of the first bytes; none only if there are none.
    pub(super) fn split_to(&mut self, most: usize) -> Bytes {
        let Some(first) = self.pieces.front_mut() else { return Bytes::new() };
        let split = first.split_to(most.min(first.len()));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.bytes -= split.len();
        split
    }
}

impl From<Bytes> for Pieces {
    fn from(bytes: Bytes) -> Self {
        let mut pieces = Self::default();
        pieces.push(bytes);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_given_away_in_their_order_to_the_last_byte() {
        let mut body = Body::new(Coding::Identity, 0);
        let mut written = vec![1; PIECE_BYTES];
        body.take(&mut written);
        assert!(written.is_empty());
        written.push(2);
        body.take(&mut written);
        assert_eq!(written, [2], "too little for a piece");
        let mut pieces = body.finish(written);
        assert_eq!(pieces.len(), PIECE_BYTES + 1);
        assert_eq!(pieces.split_to(PIECE_BYTES - 1), vec![1; PIECE_BYTES - 1]);
        assert_eq!(pieces.split_to(PIECE_BYTES), [1][..]);
        assert_eq!(pieces.split_to(PIECE_BYTES), [2][..]);
        assert_eq!((pieces.len(), pieces.split_to(1)), (0, Bytes::new()));
    }
}
