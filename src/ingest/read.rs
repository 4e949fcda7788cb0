//! Reading something to its end; what is compressed by gzip is unpacked on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::CHUNK_BYTES;
use crate::model::sink::TraceSink;

/// What gzip begins with (RFC 1952).
pub const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Opens a file; gzip is told by its first bytes. Memory is bounded, however much it unpacks to.
///
/// # Errors
/// It cannot be opened or read.
pub fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    unpacked(File::open(path)?)
}

/// The text of a stream that may be compressed.
///
/// # Errors
/// It cannot be read.
pub fn unpacked(stream: impl Read + 'static) -> io::Result<Box<dyn Read>> {
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, stream);
    if reader.fill_buf()?.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(Gzip(MultiGzDecoder::new(reader))));
    }
    Ok(Box::new(reader))
}

/// Says what is wrong with a damaged file in its own words.
struct Gzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(
                error.kind(),
                "the gzip data ends in the middle: it is cut, or still being written",
            ),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
                io::Error::new(error.kind(), format!("the gzip data is damaged ({error})"))
            }
            _ => error,
        })
    }
}

/// Reads a file from its beginning to its end, for `run --once`.
///
/// # Errors
/// It cannot be opened or read.
pub fn read_whole(path: &Path, sink: &mut dyn TraceSink) -> io::Result<()> {
    read_to_end(&mut open(path)?, sink)
}

/// Reads to the end of a stream.
///
/// # Errors
/// It cannot be read.
pub fn read_to_end(stream: &mut impl Read, sink: &mut dyn TraceSink) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => sink.bytes(buffer.get(..n).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    sink.end(&mut Vec::new());
    Ok(())
}
