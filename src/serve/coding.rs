//! A page as it is sent: compressed while it is written, so that it is never there as a whole
//! beside what it is compressed to.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::model::exposition::Coding;

/// So much is compressed at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Pages shrink to less than this.
const SHRINKS: usize = 8;

/// Higher levels take several times as long and save little (`cargo bench --bench pages`).
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;

/// What was written of a page.
pub(super) struct Body(Inner);

enum Inner {
    Plain(Vec<u8>),
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
        Self(inner.unwrap_or_else(|| Inner::Plain(Vec::with_capacity(room))))
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
            Inner::Plain(page) => {
                page.append(written);
                Ok(())
            }
            Inner::Gzip(encoder) => encoder.write_all(written),
            Inner::Zstd(encoder) => encoder.write_all(written),
        };
        written.clear();
    }

    /// The page, after the rest of it.
    #[must_use]
    pub(super) fn finish(mut self, mut rest: Vec<u8>) -> Vec<u8> {
        self.push(&mut rest);
        match self.0 {
            Inner::Plain(page) => page,
            Inner::Gzip(encoder) => encoder.finish().unwrap_or_default(),
            Inner::Zstd(encoder) => encoder.finish().unwrap_or_default(),
        }
    }
}
