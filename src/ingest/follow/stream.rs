//! One file that is read on and on: plain, or compressed after it was rotated.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use rustix::fs::OFlags;

use super::mark::{CERTAIN_BYTES, Existed, FileId, Mark, PRINT_BYTES, keep_last, print_bytes};
use crate::ingest::CHUNK_BYTES;
use crate::ingest::read::GZIP_MAGIC;
use crate::model::position::{Position, Print};

/// Room for a chunk and what stands before it.
pub const BUFFER_BYTES: usize = PRINT_BYTES + CHUNK_BYTES;

/// A file that is open, and where we are in it.
pub(super) struct Stream {
    source: Source,
    pub(super) mark: Mark,
    /// As it was when it was opened: over FUSE, a file that was renamed behind the mount's back
    /// has the number of its successor.
    pub(super) existed: Existed,
    /// Size and time of the last change when all was read; if they are the same, nothing is new.
    seen: Option<(u64, i64, i64)>,
}

enum Source {
    Plain(File),
    Gzip(File, Box<MultiGzDecoder<BufReader<File>>>),
}

/// What a read gives.
pub(super) enum Next<'b> {
    Bytes(&'b [u8]),
    /// There is no more for now.
    End,
    /// What was read stands there no more: it was truncated, or written anew.
    Changed,
}

impl Stream {
    /// A file from its first byte on; it is not empty if it is compressed.
    pub(super) fn beginning(path: &Path) -> io::Result<Self> {
        let (file, metadata) = open_regular(path)?;
        let existed = Existed::of(&metadata);
        let mark = Mark::beginning(FileId::of(&metadata));
        let source = if begins_like_gzip(&file)? { unpack(file)? } else { Source::Plain(file) };
        Ok(Self { source, mark, existed, seen: None })
    }

    /// The first bytes of what a path leads to; none if there is nothing.
    pub(super) fn first_bytes(path: &Path) -> io::Result<Vec<u8>> {
        match open_regular(path) {
            Ok((file, _)) => bytes_at(&file, 0, PRINT_BYTES),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// A plain file at its end.
    pub(super) fn end(path: &Path) -> io::Result<Self> {
        let (file, metadata) = open_regular(path)?;
        let existed = Existed::of(&metadata);
        let mark = mark_at(&file, FileId::of(&metadata), metadata.size())?;
        Ok(Self { source: Source::Plain(file), mark, existed, seen: None })
    }

    /// Looks for a place in a file, by its content.
    pub(super) fn find(path: &Path, place: &Position) -> io::Result<Option<Self>> {
        let (file, metadata) = open_regular(path)?;
        let existed = Existed::of(&metadata);
        let id = FileId::of(&metadata);
        if begins_like_gzip(&file)? {
            return find_packed(file, id, existed, place);
        }
        let start = place.offset.saturating_sub(place.before.bytes.into());
        let same = metadata.size() >= place.offset
            && holds(&file, 0, place.head)?
            && holds(&file, start, place.before)?;
        if !same {
            return Ok(None);
        }
        let mark = mark_at(&file, id, place.offset)?;
        Ok(Some(Self { source: Source::Plain(file), mark, existed, seen: None }))
    }

    /// A file that is compressed was finished before.
    pub(super) fn is_packed(&self) -> bool {
        matches!(self.source, Source::Gzip(..))
    }

    /// What the system knows of the open file now.
    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match &self.source {
            Source::Plain(file) | Source::Gzip(file, _) => file.metadata(),
        }
    }

    /// The open file, to watch it.
    pub(super) fn file(&self) -> &File {
        match &self.source {
            Source::Plain(file) | Source::Gzip(file, _) => file,
        }
    }

    /// Bytes that were there at a look and are not read yet; of a compressed file we do not know.
    pub(super) fn behind(&self, metadata: &Metadata) -> u64 {
        if self.is_packed() { 0 } else { metadata.size().saturating_sub(self.mark.offset) }
    }

    /// Whether nothing can have changed since all was read.
    pub(super) fn is_unchanged(&self, metadata: &Metadata) -> bool {
        self.seen == Some(state(metadata))
    }

    /// All was read of what `metadata` tells.
    pub(super) fn note_end(&mut self, metadata: &Metadata) {
        let all = self.is_packed() || metadata.size() == self.mark.offset;
        self.seen = all.then(|| state(metadata));
    }

    /// The first bytes that stand there now; of a compressed file, compressed ones.
    pub(super) fn peek(&self) -> io::Result<Vec<u8>> {
        bytes_at(self.file(), 0, PRINT_BYTES)
    }

    /// From the first byte on, as long as it begins like this.
    pub(super) fn expect(&mut self, head: &[u8]) {
        if !self.is_packed() {
            self.mark = Mark::beginning(self.mark.id);
            self.mark.know_head(head);
        }
    }

    /// No byte was read, and none is expected: whatever comes is believed.
    pub(super) fn is_blank(&self) -> bool {
        self.mark.offset == 0 && self.mark.head().is_empty() && !self.is_packed()
    }

    /// Whether the first bytes are still those that were read. What stands before the place is
    /// compared at every read; alone it could be what a service prints again and again.
    fn begins_as_before(&self) -> io::Result<bool> {
        let head = self.mark.head();
        let known = self.is_packed() || head.is_empty();
        Ok(known || bytes_at(self.file(), 0, head.len())? == head)
    }

    /// From the first byte on again.
    pub(super) fn restart(&mut self) {
        self.mark = Mark::beginning(self.mark.id);
        self.seen = None;
    }

    /// Reads on. What stands before the place is read with it and compared, and then the first
    /// bytes, so that no byte of another content is ever taken for the next one.
    pub(super) fn read<'b>(&mut self, buffer: &'b mut [u8]) -> io::Result<Next<'b>> {
        let (n, known) = match &mut self.source {
            Source::Plain(file) => {
                let known = self.mark.before().len();
                let end = buffer.len().min(known + CHUNK_BYTES);
                let space = buffer.get_mut(..end).unwrap_or_default();
                let n = again(|| file.read_at(space, self.mark.offset - known as u64))?;
                (n, known)
            }
            Source::Gzip(_, decoder) => {
                let space = buffer.get_mut(..CHUNK_BYTES).unwrap_or_default();
                (again(|| decoder.read(space))?, 0)
            }
        };
        let read = buffer.get(..n).unwrap_or_default();
        let Some((before, chunk)) = read.split_at_checked(known) else { return Ok(Next::Changed) };
        if known > 0 && before != self.mark.before() || !self.begins_as_before()? {
            return Ok(Next::Changed);
        }
        if chunk.is_empty() {
            return Ok(Next::End);
        }
        self.mark.advance(chunk);
        Ok(Next::Bytes(chunk))
    }
}

/// Opens a regular file; a FIFO would keep us waiting, a folder cannot be read.
pub(super) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let what = "is not a regular file; for a named pipe use fifo";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    Ok((file, metadata))
}

/// Whether the bytes of a place are enough to tell files apart.
pub(super) fn is_certain(place: &Position) -> bool {
    place.head.bytes >= CERTAIN_BYTES
}

fn find_packed(
    file: File,
    id: FileId,
    existed: Existed,
    place: &Position,
) -> io::Result<Option<Stream>> {
    let mut stream =
        Stream { source: unpack(file)?, mark: Mark::beginning(id), existed, seen: None };
    let Source::Gzip(_, decoder) = &mut stream.source else { return Ok(None) };
    let head = take(decoder, print_bytes(place.offset))?;
    let wanted = head.get(..place.head.bytes as usize);
    if wanted.is_none_or(|wanted| Print::of(wanted) != place.head) {
        return Ok(None);
    }
    let (mut offset, mut before) = (head.len() as u64, head.clone());
    let mut buffer = vec![0; CHUNK_BYTES];
    while offset < place.offset {
        let most = usize::try_from(place.offset - offset).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let n = again(|| decoder.read(buffer.get_mut(..most).unwrap_or_default()))?;
        let chunk = buffer.get(..n).unwrap_or_default();
        if chunk.is_empty() {
            break;
        }
        keep_last(&mut before, chunk);
        offset += n as u64;
    }
    let last = before.get(before.len().saturating_sub(place.before.bytes as usize)..);
    let same = last.is_some_and(|last| Print::of(last) == place.before);
    stream.mark = Mark::at(id, offset, head, before);
    Ok((same && offset == place.offset).then_some(stream))
}

fn unpack(file: File) -> io::Result<Source> {
    let reader = BufReader::with_capacity(CHUNK_BYTES, file.try_clone()?);
    Ok(Source::Gzip(file, Box::new(MultiGzDecoder::new(reader))))
}

fn begins_like_gzip(file: &File) -> io::Result<bool> {
    Ok(bytes_at(file, 0, GZIP_MAGIC.len())? == GZIP_MAGIC)
}

fn holds(file: &File, offset: u64, print: Print) -> io::Result<bool> {
    // A print of more bytes than we ever take is of another version.
    let bytes = (print.bytes as usize).min(CHUNK_BYTES);
    Ok(Print::of(&bytes_at(file, offset, bytes)?) == print)
}

fn mark_at(file: &File, id: FileId, offset: u64) -> io::Result<Mark> {
    let bytes = print_bytes(offset);
    let head = bytes_at(file, 0, bytes)?;
    let before = bytes_at(file, offset - bytes as u64, bytes)?;
    Ok(Mark::at(id, offset, head, before))
}

/// At most `bytes` bytes: fewer at the end of the file.
fn bytes_at(file: &File, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; bytes];
    let mut filled = 0;
    while filled < bytes {
        let space = buffer.get_mut(filled..).unwrap_or_default();
        match again(|| file.read_at(space, offset + filled as u64))? {
            0 => break,
            n => filled += n,
        }
    }
    buffer.truncate(filled);
    Ok(buffer)
}

fn take(reader: &mut impl Read, bytes: usize) -> io::Result<Vec<u8>> {
    let mut taken = Vec::with_capacity(bytes);
    reader.take(bytes as u64).read_to_end(&mut taken)?;
    Ok(taken)
}

fn again(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

fn state(metadata: &Metadata) -> (u64, i64, i64) {
    (metadata.size(), metadata.mtime(), metadata.mtime_nsec())
}
