//! Following files against a pure model: whatever happens to a log, in whatever order, every byte
//! comes once and in order. What cannot be had any more is counted.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use godebug_exporter::config::StartAt;
use godebug_exporter::ingest::follow::BUFFER_BYTES;
use godebug_exporter::ingest::follow::tail::{Tail, Turn};
use godebug_exporter::model::position::{Place, Position};
use godebug_exporter::model::sink::TraceSink;
use godebug_exporter::telemetry::metrics::Metrics;
use godebug_exporter::telemetry::service::SourceTelemetry;
use proptest::prelude::*;
use tempfile::TempDir;

/// How the log is rotated; a program is set up for one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// `app.log.1`, `.2`, …: each rotation renames all.
    Count,
    /// `app.log-20261121`: each keeps its name.
    Date,
    /// A copy is made, then the file is truncated; copies are counted as in `Count`.
    CopyTruncate,
    /// The kubelet's: a link to `N.log`; rotated files have a date; a restart is another N.
    Link,
}

#[derive(Debug, Clone)]
enum Op {
    /// Whole lines.
    Write(u8),
    /// A part of a line; the next write goes on with it.
    WritePart(u8),
    /// So many looks.
    Look(u8),
    /// Looks until nothing is left to be read.
    Settle,
    /// So many rotations at once. With `true` the writer goes on in the old file for a while.
    Rotate(u8, bool),
    /// All but the newest few rotated files are deleted.
    Prune(u8),
    /// The n-th newest rotated file is compressed; its time is kept, or not.
    Compress(u8, bool),
    /// The file is deleted and made anew; the kubelet starts the container anew.
    Recreate,
    /// Truncated, without a copy.
    Truncate,
    /// The clock goes back: the times of the files no longer tell their order.
    Clock,
    /// Killed: what was done since a saved state is forgotten.
    Kill(u8),
    Start,
}

/// A file on the disk: a part of everything that was ever written.
#[derive(Debug, Clone)]
struct Piece {
    path: PathBuf,
    bytes: Range<usize>,
    inode: u64,
    packed: bool,
}

/// One call of the follower: bytes, and what it would save with them.
#[derive(Debug, Clone)]
struct Save {
    /// Which bytes of all that was written.
    bytes: Range<usize>,
    /// Where the file that they stand in begins.
    start: usize,
    position: Position,
}

/// Chunks, and where each ends.
type Calls = Arc<Mutex<Vec<(Vec<u8>, Position)>>>;

#[derive(Clone, Default)]
struct Recorder {
    calls: Calls,
    caught_up: Arc<AtomicU32>,
    saved: Option<Position>,
}

impl TraceSink for Recorder {
    fn bytes(&mut self, _: &[u8]) {
        panic!("a followed file tells its place");
    }
    fn placed_bytes(&mut self, chunk: &[u8], end: Place) {
        let Place::File(end) = end else { panic!("it is a file") };
        self.calls.lock().unwrap().push((chunk.to_vec(), end));
    }
    fn saved_place(&self) -> Option<Place> {
        self.saved.clone().map(Place::File)
    }
    fn gap(&mut self) {}
    fn caught_up(&mut self) {
        self.caught_up.fetch_add(1, Ordering::Relaxed);
    }
    fn packet(&mut self, _: &[u8], _: &mut Vec<u8>) {}
    fn break_line(&mut self) {}
    fn end(&mut self, _: &mut Vec<u8>) {}
}

/// Fewer bytes than these are too few to know a file again by its content.
const CERTAIN: usize = 32;

/// The log, its folder, and the follower.
struct World {
    style: Style,
    folder: TempDir,
    metrics: Arc<Metrics>,
    /// Everything ever written, in order.
    written: Vec<u8>,
    lines: usize,
    /// The file that the path leads to.
    current: Option<Piece>,
    /// From the oldest to the newest.
    rotated: Vec<Piece>,
    /// The writer goes on in the newest rotated file.
    late: bool,
    /// Inodes, and where the bytes begin that were in them; the latest last.
    history: Vec<(u64, usize)>,
    dates: u32,
    link: u32,
    tail: Option<Tail>,
    calls: Calls,
    saves: Vec<Save>,
    caught_up: Arc<AtomicU32>,
    /// A deleted file that the follower has open.
    held: Option<Range<usize>>,
    clock_went_back: bool,
    /// Bytes that cannot be had any more.
    lost: Vec<Range<usize>>,
    /// Where files begin of which nothing tells whether they came before what was read: they are
    /// left out, also what is written to them later.
    doubtful: HashSet<usize>,
    /// A gap must be counted, or may be.
    must_count: bool,
    may_count: bool,
    /// At its next look it goes on in the current file, whatever was rotated meanwhile.
    gives_up: bool,
    gaps_counted: u64,
    buffer: Vec<u8>,
}

impl World {
    fn new(style: Style) -> Self {
        Self {
            style,
            folder: tempfile::tempdir().unwrap(),
            metrics: Arc::new(Metrics::new().unwrap()),
            written: Vec::new(),
            lines: 0,
            current: None,
            rotated: Vec::new(),
            late: false,
            history: Vec::new(),
            dates: 0,
            link: 0,
            tail: None,
            calls: Arc::default(),
            saves: Vec::new(),
            caught_up: Arc::default(),
            held: None,
            clock_went_back: false,
            lost: Vec::new(),
            doubtful: HashSet::new(),
            must_count: false,
            may_count: false,
            gives_up: false,
            gaps_counted: 0,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Write(lines) => (0..lines).for_each(|_| self.write(usize::MAX)),
            Op::WritePart(bytes) => self.write(bytes.into()),
            Op::Look(times) => (0..times).for_each(|_| _ = self.look()),
            Op::Settle => self.settle(),
            Op::Rotate(times, late) => {
                for _ in 0..times {
                    self.reopen();
                    self.rotate();
                    self.late = late && self.style != Style::CopyTruncate;
                    if !self.late {
                        self.write(usize::MAX);
                    }
                }
            }
            Op::Prune(keep) => self.prune(keep.into()),
            Op::Compress(nth, keep_time) => self.compress(nth.into(), keep_time),
            Op::Recreate => self.recreate(),
            Op::Truncate => self.truncate(),
            Op::Clock => self.set_clock_back(),
            Op::Kill(back) => self.kill(back.into()),
            Op::Start => self.start(),
        }
        self.note_nameless();
    }

    /// The file that the follower has open has no name any more, nor is there a compressed one: then
    /// times alone tell what is newer, and of compressed files nothing does.
    fn note_nameless(&mut self) {
        let open = self.tail.as_ref().and_then(Tail::file).map(|file| file.metadata().unwrap());
        let Some(open) = open.filter(|open| open.nlink() == 0) else { return };
        let (_, start) = self.history.iter().rev().find(|(inode, _)| *inode == open.ino()).unwrap();
        let is_known = |piece: &&Piece| piece.bytes.start == *start && piece.bytes.len() >= CERTAIN;
        if open.size() > 0 && self.rotated.iter().any(|piece| is_known(&piece)) {
            return;
        }
        self.may_count = true;
        let blurred = self.rotated.iter().filter(|piece| {
            piece.packed || self.clock_went_back || self.style == Style::CopyTruncate
        });
        self.doubtful.extend(blurred.map(|piece| piece.bytes.start));
    }

    // --- The writer, and what rotates its log ---

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    fn target(&self) -> PathBuf {
        match self.style {
            Style::Link => self.folder.path().join(format!("{}.log", self.link)),
            _ => self.path(),
        }
    }

    /// Writes a line to its end, or a part of it.
    fn write(&mut self, most: usize) {
        let mut line = format!("line {:06} of the log of a service, ", self.lines);
        for column in 0..self.lines * 7 % 50 {
            line.push_str(&format!("{}:{column};", self.lines));
        }
        line.push('\n');
        let begun = self.written.iter().rev().take_while(|b| **b != b'\n').count();
        let end = line.len().min(begun.saturating_add(most));
        let text = &line.as_bytes()[begun.min(line.len())..end];
        self.lines += usize::from(end == line.len());
        if !self.late && self.current.is_none() {
            self.create();
        }
        let at = self.written.len();
        self.written.extend_from_slice(text);
        let piece =
            if self.late { self.rotated.last_mut() } else { self.current.as_mut() }.unwrap();
        assert_eq!(piece.bytes.end, at, "the model's writer goes on where it stopped");
        piece.bytes.end += text.len();
        File::options().append(true).open(&piece.path).unwrap().write_all(text).unwrap();
    }

    fn create(&mut self) {
        let path = self.target();
        File::create_new(&path).unwrap();
        self.current = Some(self.piece(path, self.written.len()..self.written.len()));
        if self.style == Style::Link {
            let new = self.folder.path().join("new-link");
            std::os::unix::fs::symlink(self.target().file_name().unwrap(), &new).unwrap();
            fs::rename(new, self.path()).unwrap();
        }
    }

    fn piece(&mut self, path: PathBuf, bytes: Range<usize>) -> Piece {
        let inode = fs::metadata(&path).unwrap().ino();
        self.history.push((inode, bytes.start));
        Piece { path, bytes, inode, packed: false }
    }

    /// The writer is told to open its file anew.
    fn reopen(&mut self) {
        self.late = false;
        if self.current.is_none() {
            self.create();
        }
    }

    fn rotate(&mut self) {
        if self.style == Style::Count || self.style == Style::CopyTruncate {
            for (n, piece) in self.rotated.iter_mut().rev().enumerate().rev() {
                let end = if piece.packed { ".gz" } else { "" };
                let to = self.folder.path().join(format!("app.log.{}{end}", n + 2));
                fs::rename(&piece.path, &to).unwrap();
                piece.path = to;
            }
        }
        let to = match self.style {
            Style::Count | Style::CopyTruncate => self.folder.path().join("app.log.1"),
            Style::Date | Style::Link => {
                self.dates += 1;
                let base = self.target().file_name().unwrap().to_str().unwrap().to_owned();
                let dot = if self.style == Style::Date { '-' } else { '.' };
                self.folder.path().join(format!("{base}{dot}20261121-{:06}", self.dates))
            }
        };
        if self.style == Style::CopyTruncate {
            self.copy_and_truncate(to);
            return;
        }
        let mut piece = self.current.take().unwrap();
        fs::rename(&piece.path, &to).unwrap();
        piece.path = to;
        self.rotated.push(piece);
    }

    fn copy_and_truncate(&mut self, to: PathBuf) {
        let current = self.current.take().unwrap();
        fs::copy(&current.path, &to).unwrap();
        let copy = self.piece(to, current.bytes.clone());
        self.rotated.push(copy);
        self.note_uncertain(&current);
        File::options().write(true).open(&current.path).unwrap().set_len(0).unwrap();
        self.current = Some(self.piece(current.path, self.written.len()..self.written.len()));
    }

    fn truncate(&mut self) {
        self.reopen();
        let current = self.current.take().unwrap();
        if self.tail.is_some()
            && self.place().is_some_and(|place| place.start == current.bytes.start)
        {
            self.must_count = self.has_certain_place();
            self.may_count = true;
            self.gives_up = true;
        }
        self.lost.push(current.bytes.clone());
        File::options().write(true).open(&current.path).unwrap().set_len(0).unwrap();
        self.current = Some(self.piece(current.path, self.written.len()..self.written.len()));
    }

    fn recreate(&mut self) {
        self.reopen();
        let current = self.current.take().unwrap();
        if self.style == Style::Link {
            self.rotated.push(current);
            self.link += 1;
        } else {
            fs::remove_file(&current.path).unwrap();
            self.deleted(&current);
        }
        self.create();
    }

    fn prune(&mut self, keep: usize) {
        let keep = keep.max(usize::from(self.late));
        for piece in
            self.rotated.drain(..self.rotated.len().saturating_sub(keep)).collect::<Vec<_>>()
        {
            fs::remove_file(&piece.path).unwrap();
            self.deleted(&piece);
        }
    }

    fn compress(&mut self, nth: usize, keep_time: bool) {
        let oldest_writable = usize::from(self.late);
        let Some(at) = self.rotated.len().checked_sub(1 + nth.max(oldest_writable)) else { return };
        let piece = self.rotated[at].clone();
        let too_hard = self.clock_went_back && piece.bytes.len() < CERTAIN;
        if piece.packed || piece.bytes.is_empty() || too_hard {
            return;
        }
        let mut path = piece.path.clone().into_os_string();
        path.push(".gz");
        let path = PathBuf::from(path);
        let mut out = GzEncoder::new(File::create_new(&path).unwrap(), Compression::fast());
        out.write_all(&self.written[piece.bytes.clone()]).unwrap();
        let out = out.finish().unwrap();
        if keep_time {
            out.set_modified(fs::metadata(&piece.path).unwrap().modified().unwrap()).unwrap();
        }
        fs::remove_file(&piece.path).unwrap();
        self.note_uncertain(&piece);
        if self.tail.is_some() && self.style == Style::CopyTruncate {
            // It may have come and been compressed while the file was empty to us.
            self.lost.push(piece.bytes.clone());
            self.may_count = true;
        }
        self.rotated[at] = Piece { packed: true, ..self.piece(path, piece.bytes) };
    }

    fn set_clock_back(&mut self) {
        self.clock_went_back = true;
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (n, piece) in self.rotated.iter().enumerate() {
            let file = File::open(&piece.path).unwrap();
            file.set_modified(long_ago - Duration::from_secs(n as u64)).unwrap();
        }
    }

    fn deleted(&mut self, piece: &Piece) {
        let open = self.tail.as_ref().and_then(Tail::file);
        let has_it_open = open.is_some_and(|file| file.metadata().unwrap().ino() == piece.inode);
        if has_it_open {
            self.held = Some(piece.bytes.clone());
            if self.style == Style::CopyTruncate {
                self.lost.push(piece.bytes.clone());
            }
        } else {
            self.lost.push(piece.bytes.clone());
            if self.style == Style::CopyTruncate && self.tail.is_some() {
                // What was not read of it may have stood in that copy only.
                self.may_count = true;
                self.gives_up |= self.place().is_some_and(|place| place.start == piece.bytes.start);
            }
        }
    }

    /// The bytes of a file go to another inode.
    fn note_uncertain(&mut self, piece: &Piece) {
        let place = self.place().filter(|place| place.start == piece.bytes.start);
        let few = place.map_or(piece.bytes.len(), |place| place.bytes.end - place.start);
        if self.tail.is_some() && few < CERTAIN {
            self.may_count = true;
            self.gives_up = true;
        }
    }

    // --- The follower ---

    fn place(&self) -> Option<&Save> {
        self.saves.last()
    }

    fn start(&mut self) {
        if self.tail.is_some() {
            return;
        }
        self.reopen();
        let saved = self.place().map(|place| place.position.clone());
        let until = self.current.as_ref().unwrap().bytes.start;
        match self.place().cloned() {
            None => self.lost.push(0..until),
            Some(place) => {
                let mut on_disk = self.rotated.iter().chain(&self.current);
                let is_there = on_disk.any(|piece| {
                    let certain = piece.inode == place.position.inode
                        || place.position.offset >= CERTAIN as u64;
                    piece.bytes.start == place.start && !piece.bytes.is_empty() && certain
                });
                if !is_there {
                    self.lost.push(place.bytes.end..until);
                    self.must_count = true;
                }
            }
        }
        if self.style == Style::CopyTruncate {
            // Of so few bytes nobody can tell that they are not those of the current file.
            let few = self.rotated.iter().filter(|piece| piece.bytes.len() < CERTAIN);
            self.lost.extend(few.map(|piece| piece.bytes.clone()));
        }
        self.caught_up.store(0, Ordering::Relaxed);
        let caught_up = Arc::clone(&self.caught_up);
        let sink = Recorder { calls: Arc::clone(&self.calls), caught_up, saved };
        let telemetry = SourceTelemetry::trace(Arc::clone(&self.metrics), "s", "file");
        self.tail = Some(Tail::new(self.path(), StartAt::Beginning, Box::new(sink), telemetry));
        // The first look is the beginning: what is there then was there before.
        self.look();
    }

    fn kill(&mut self, back: usize) {
        if self.tail.take().is_none() {
            return;
        }
        self.saves.truncate(self.saves.len().saturating_sub(back));
        // Fewer bytes may be those of another file that has the same inode now.
        while !self.saves.is_empty() && !self.has_certain_place() {
            self.saves.pop();
        }
        self.lost.extend(self.held.take());
        self.must_count = false;
        self.gives_up = false;
        self.may_count = true;
    }

    fn has_certain_place(&self) -> bool {
        self.place().is_some_and(|place| place.position.offset >= CERTAIN as u64)
    }

    fn look(&mut self) -> Option<Turn> {
        let certain = self.has_certain_place();
        let turn = self.tail.as_mut()?.turn(&mut self.buffer);
        if std::mem::take(&mut self.gives_up) {
            let start = self.current.as_ref().map_or(self.written.len(), |piece| piece.bytes.start);
            // With too few bytes behind it, it may go on behind as many of another file.
            self.lost.push(0..if certain { start } else { start + CERTAIN });
            self.doubtful.extend(self.rotated.iter().map(|piece| piece.bytes.start));
        }
        let calls = std::mem::take(&mut *self.calls.lock().unwrap());
        for (chunk, position) in calls {
            let (_, start) =
                self.history.iter().rev().find(|(inode, _)| *inode == position.inode).unwrap();
            let end = start + usize::try_from(position.offset).unwrap();
            let bytes = end - chunk.len()..end;
            assert!(
                self.written.get(bytes.clone()) == Some(&chunk[..]),
                "not what was written at {bytes:?}"
            );
            let before = self.place().map_or(0, |save| save.bytes.end);
            assert!(before <= bytes.start, "{bytes:?} comes after {before} was delivered");
            self.saves.push(Save { bytes, start: *start, position });
        }
        Some(turn)
    }

    /// Looks until there is nothing more, and compares.
    fn settle(&mut self) {
        if self.tail.is_none() {
            return;
        }
        if self.current.as_ref().is_some_and(|piece| piece.bytes.is_empty()) && !self.late {
            // Copies are looked for when a truncated file has its first bytes again.
            self.write(usize::MAX);
        }
        let mut quiet = 0;
        for _ in 0..1000 {
            let turn = self.look().unwrap();
            quiet = if matches!(turn, Turn::Idle | Turn::Failed) { quiet + 1 } else { 0 };
            if quiet == 2 {
                return self.compare();
            }
        }
        panic!("it never comes to an end");
    }

    fn compare(&mut self) {
        let doubtful =
            self.rotated.iter().filter(|piece| self.doubtful.contains(&piece.bytes.start));
        self.lost.extend(doubtful.map(|piece| piece.bytes.clone()));
        let mut at = 0;
        for bytes in self.saves.iter().map(|save| &save.bytes).chain([&(self.written.len()..0)]) {
            let missing = at..bytes.start;
            let unexcused =
                missing.clone().find(|byte| !self.lost.iter().any(|lost| lost.contains(byte)));
            assert_eq!(unexcused, None, "missing {missing:?}");
            at = bytes.end;
        }
        assert_eq!(self.caught_up.load(Ordering::Relaxed), 1, "caught up once");
        let gaps = self.gaps();
        assert!(!self.must_count || gaps > self.gaps_counted, "a loss was not counted");
        assert!(self.must_count || self.may_count || gaps == self.gaps_counted, "nothing was lost");
        self.gaps_counted = gaps;
        (self.must_count, self.may_count) = (false, false);
        self.lost.extend(self.held.take());
    }

    fn gaps(&self) -> u64 {
        ["truncated", "gone", "unreadable", "late"]
            .iter()
            .map(|reason| self.metrics.gaps.with_label_values(&["s", reason]).get())
            .sum()
    }
}

fn ops(style: Style) -> impl Strategy<Value = Vec<Op>> {
    let no_link = style != Style::Link;
    let op = prop_oneof![
        8 => (1..6u8).prop_map(Op::Write),
        3 => (1..60u8).prop_map(Op::WritePart),
        6 => (1..4u8).prop_map(Op::Look),
        3 => Just(Op::Settle),
        5 => (1..4u8, any::<bool>()).prop_map(|(n, late)| Op::Rotate(n, late)),
        1 => (0..4u8).prop_map(Op::Prune),
        3 => (0..3u8, any::<bool>()).prop_map(|(n, keep)| Op::Compress(n, keep)),
        1 => Just(Op::Recreate),
        1 => Just(if no_link { Op::Truncate } else { Op::Recreate }),
        1 => Just(Op::Clock),
        3 => (0..4u8).prop_map(Op::Kill),
        4 => Just(Op::Start),
    ];
    prop::collection::vec(op, 1..40)
}

fn check(style: Style, ops: &[Op]) {
    let mut world = World::new(style);
    world.start();
    for op in ops {
        world.apply(op);
    }
    world.start();
    world.settle();
}

fn cases() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn rename_and_count(ops in ops(Style::Count)) {
        check(Style::Count, &ops);
    }

    #[test]
    fn rename_and_date(ops in ops(Style::Date)) {
        check(Style::Date, &ops);
    }

    #[test]
    fn copytruncate(ops in ops(Style::CopyTruncate)) {
        check(Style::CopyTruncate, &ops);
    }

    #[test]
    fn kubelet(ops in ops(Style::Link)) {
        check(Style::Link, &ops);
    }
}

/// Few bytes in a file that was renamed: the next one begins alike, and is no copy.
#[test]
fn a_renamed_file_of_few_bytes_is_read_though_the_next_begins_alike() {
    for style in [Style::Count, Style::Date] {
        check(style, &[Op::Rotate(2, true), Op::WritePart(1), Op::Rotate(2, false)]);
    }
}

/// A first file of few bytes, which was copied and truncated before we saw one of them.
#[test]
fn a_copy_of_few_bytes_does_not_keep_us_from_what_comes_after_it() {
    check(Style::CopyTruncate, &[Op::WritePart(1), Op::Rotate(2, false), Op::Settle]);
}

/// Killed after a first line, rotated, and a compressed form of the rotated file beside it, or in
/// its place.
fn rotated_while_dead(damage: impl Fn(&PathBuf, &[u8])) -> World {
    let mut world = World::new(Style::Count);
    world.start();
    world.write(usize::MAX);
    world.settle();
    world.kill(0);
    world.write(usize::MAX);
    world.rotate();
    world.write(usize::MAX);
    let rotated = world.rotated[0].path.clone();
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(&fs::read(&rotated).unwrap()).unwrap();
    damage(&rotated, &packed.finish().unwrap());
    world
}

#[test]
fn a_compressed_file_that_is_still_being_written_is_not_trusted() {
    let mut world = rotated_while_dead(|rotated, packed| {
        fs::write(rotated.with_extension("1.gz"), &packed[..packed.len() / 2]).unwrap();
        fs::write(rotated.with_extension("1.gz.tmp"), packed).unwrap();
    });
    world.start();
    world.settle();
    assert_eq!(world.gaps(), 0);
}

#[test]
fn a_damaged_compressed_file_is_a_gap_and_the_current_one_is_read() {
    let mut world = rotated_while_dead(|rotated, packed| {
        fs::write(rotated.with_extension("1.gz"), &packed[..packed.len() / 2]).unwrap();
        fs::remove_file(rotated).unwrap();
    });
    world.lost.push(world.rotated[0].bytes.clone());
    world.must_count = true;
    world.start();
    world.settle();
}
