//! copytruncate, system call by system call: the follower looks between any two of them, and while
//! they are made. Nothing is lost, and nothing comes twice.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use godebug_exporter::config::StartAt;
use godebug_exporter::ingest::follow::BUFFER_BYTES;
use godebug_exporter::ingest::follow::tail::{Tail, Turn};
use godebug_exporter::model::position::Place;
use godebug_exporter::model::sink::TraceSink;
use godebug_exporter::telemetry::metrics::Metrics;
use godebug_exporter::telemetry::service::SourceTelemetry;
use proptest::prelude::*;
use tempfile::TempDir;

/// Looks without a byte after which there is nothing more: doubts are given up before.
const QUIET_LOOKS: u32 = 6;

/// What logrotate and the service do, one system call each.
#[derive(Debug, Clone)]
enum Call {
    Rename(u32, &'static str),
    /// The newest copy is compressed, as `delaycompress` does: begun, finished, the plain one deleted.
    PackBegin,
    PackEnd,
    PackDelete,
    CopyCreate,
    /// So many bytes, at most.
    Copy(usize),
    Truncate,
    /// So many bytes of what is still to be written of the round, at most.
    Append(usize),
}

/// How one rotation goes, and the round that is written after it.
#[derive(Debug, Clone)]
struct Rotation {
    pack: bool,
    /// Where the copying pauses.
    copy: Vec<usize>,
    /// Where the writing pauses.
    append: Vec<usize>,
}

/// The log and its copies.
struct Log {
    folder: TempDir,
    /// Everything ever written.
    written: Vec<u8>,
    round: u32,
    pending: Vec<u8>,
    copied: usize,
    copies: u32,
}

#[derive(Clone, Default)]
struct Recorder(Arc<Mutex<Vec<u8>>>);

impl TraceSink for Recorder {
    fn bytes(&mut self, _: &[u8]) {
        panic!("a followed file tells its place");
    }
    fn placed_bytes(&mut self, chunk: &[u8], _: Place) {
        self.0.lock().unwrap().extend_from_slice(chunk);
    }
    fn saved_place(&self) -> Option<Place> {
        None
    }
    fn gap(&mut self) {}
    fn caught_up(&mut self) {}
    fn packet(&mut self, _: &[u8], _: &mut Vec<u8>) {}
    fn break_line(&mut self) {}
    fn end(&mut self, _: &mut Vec<u8>) {}
}

struct Follower {
    tail: Tail,
    got: Recorder,
    metrics: Arc<Metrics>,
    buffer: Vec<u8>,
}

impl Log {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Self {
            folder,
            written: Vec::new(),
            round: 0,
            pending: Vec::new(),
            copied: 0,
            copies: 0,
        };
        File::create(log.path()).unwrap();
        log.begin_round();
        log
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    fn copy(&self, n: u32, end: &str) -> PathBuf {
        self.folder.path().join(format!("app.log.{n}{end}"))
    }

    /// All rounds end alike and are of one length: only their beginnings tell them apart.
    fn begin_round(&mut self) {
        self.round += 1;
        let head = format!("2026/11/21 10:00:{:02} INFO a round begins\n", self.round);
        self.pending = head.into_bytes();
        (0..12).for_each(|n| {
            self.pending.extend_from_slice(
                format!("SCHED {n}ms: gomaxprocs=4 idleprocs=2 threads=5\n").as_bytes(),
            )
        });
    }

    fn calls(&self, rotation: &Rotation) -> Vec<Call> {
        let mut calls = Vec::new();
        let pack = rotation.pack && self.copy(1, "").exists();
        if pack {
            calls.extend([Call::PackBegin, Call::PackEnd, Call::PackDelete]);
        }
        for n in (1..=self.copies).rev() {
            let packed = self.copy(n, ".gz").exists() || (n == 1 && pack);
            calls.push(Call::Rename(n, if packed { ".gz" } else { "" }));
        }
        calls.push(Call::CopyCreate);
        calls.extend(rotation.copy.iter().map(|bytes| Call::Copy(*bytes)));
        calls.extend([Call::Copy(usize::MAX), Call::Truncate]);
        calls.extend(rotation.append.iter().map(|bytes| Call::Append(*bytes)));
        calls.push(Call::Append(usize::MAX));
        calls
    }

    fn make(&mut self, call: &Call) {
        match *call {
            Call::Rename(n, end) => fs::rename(self.copy(n, end), self.copy(n + 1, end)).unwrap(),
            Call::PackBegin => fs::write(self.copy(1, ".gz"), &self.packed()[..20]).unwrap(),
            Call::PackEnd => {
                let rest = &self.packed()[20..];
                append(self.copy(1, ".gz"), rest);
            }
            Call::PackDelete => fs::remove_file(self.copy(1, "")).unwrap(),
            Call::CopyCreate => {
                self.copied = 0;
                self.copies += 1;
                File::create_new(self.copy(1, "")).unwrap();
            }
            Call::Copy(most) => {
                let rest = &fs::read(self.path()).unwrap()[self.copied..];
                let rest = &rest[..rest.len().min(most)];
                append(self.copy(1, ""), rest);
                self.copied += rest.len();
            }
            Call::Truncate => {
                File::options().write(true).open(self.path()).unwrap().set_len(0).unwrap();
                self.begin_round();
            }
            Call::Append(most) => {
                let rest = self.pending.split_off(most.min(self.pending.len()));
                append(self.path(), &self.pending);
                self.written.append(&mut self.pending);
                self.pending = rest;
            }
        }
    }

    fn packed(&self) -> Vec<u8> {
        let mut out = GzEncoder::new(Vec::new(), Compression::fast());
        out.write_all(&fs::read(self.copy(1, "")).unwrap()).unwrap();
        out.finish().unwrap()
    }
}

fn append(path: PathBuf, bytes: &[u8]) {
    File::options().append(true).open(path).unwrap().write_all(bytes).unwrap();
}

impl Follower {
    fn new(log: &Log) -> Self {
        let metrics = Arc::new(Metrics::new().unwrap());
        let telemetry = SourceTelemetry::trace(Arc::clone(&metrics), "s", "file");
        let got = Recorder::default();
        let sink = Box::new(got.clone());
        let tail = Tail::new(log.path(), StartAt::Beginning, sink, telemetry);
        Self { tail, got, metrics, buffer: vec![0; BUFFER_BYTES] }
    }

    fn look(&mut self, times: u8) {
        (0..times).for_each(|_| _ = self.tail.turn(&mut self.buffer));
    }

    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            let before = self.got.0.lock().unwrap().len();
            let turn = self.tail.turn(&mut self.buffer);
            let more = turn == Turn::More || self.got.0.lock().unwrap().len() > before;
            quiet = if more { 0 } else { quiet + 1 };
        }
    }

    fn gaps(&self) -> u64 {
        ["truncated", "gone", "unreadable", "late"]
            .iter()
            .map(|reason| self.metrics.gaps.with_label_values(&["s", reason]).get())
            .sum()
    }

    fn check_all(&self, log: &Log, what: &dyn std::fmt::Debug) {
        let got = self.got.0.lock().unwrap();
        let rounds = |bytes: &[u8]| -> Vec<String> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines()
                .filter(|line| line.contains("INFO"))
                .map(|line| line[17..19].to_owned())
                .collect()
        };
        assert!(
            *got == log.written,
            "rounds {:?} of {}, {} of {} bytes, {what:?}",
            rounds(&got),
            log.round,
            got.len(),
            log.written.len()
        );
        assert_eq!(self.gaps(), 0, "nothing was lost: {what:?}");
    }
}

/// Rotates, with so many looks before each call; those that are not told are none.
fn rotate(
    rotations: &[Rotation],
    read_first: bool,
    looks: &mut dyn Iterator<Item = u8>,
) -> (Log, Follower, usize) {
    let mut log = Log::new();
    let mut follower = Follower::new(&log);
    follower.look(1);
    log.make(&Call::Append(usize::MAX));
    if read_first {
        follower.look(2);
    }
    let mut made = 0;
    for rotation in rotations {
        for call in log.calls(rotation) {
            follower.look(looks.next().unwrap_or(0));
            log.make(&call);
            made += 1;
        }
    }
    follower.settle();
    (log, follower, made)
}

/// Looks at any three moments of three rotations.
fn check_any_moments(rotation: &Rotation, read_first: bool, many: u8) {
    let rotations = vec![rotation.clone(); 3];
    let (.., calls) = rotate(&rotations, read_first, &mut std::iter::empty());
    for a in 0..calls {
        for b in a..calls {
            for c in b..calls {
                let mut looks = (0..calls).map(|n| if [a, b, c].contains(&n) { many } else { 0 });
                let (log, follower, _) = rotate(&rotations, read_first, &mut looks);
                follower.check_all(&log, &(a, b, c));
            }
        }
    }
}

#[test]
fn looks_at_any_moments_see_every_round_once() {
    let rotation = Rotation { pack: false, copy: vec![100], append: vec![] };
    check_any_moments(&rotation, true, 1);
    check_any_moments(&rotation, false, 1);
}

#[test]
fn many_looks_at_any_moments_see_every_round_once() {
    let rotation = Rotation { pack: false, copy: vec![], append: vec![] };
    check_any_moments(&rotation, true, 5);
}

/// `least`: bytes that are copied at once. What is written at once tells files apart.
fn rotations(pack: bool, least: usize) -> impl Strategy<Value = Vec<Rotation>> {
    let pieces = |least| prop::collection::vec(least..300usize, 0..3);
    let rotation =
        (pieces(least), pieces(32)).prop_map(move |(copy, append)| Rotation { pack, copy, append });
    prop::collection::vec(rotation, 2..5)
}

fn looks() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => Just(1u8), 1 => 2..6u8], 80)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_comes_once(rotations in rotations(false, 32), read_first: bool, looks in looks()) {
        let (log, follower, _) = rotate(&rotations, read_first, &mut looks.into_iter());
        follower.check_all(&log, &());
    }

    /// While copies are compressed, or have fewer bytes than tell two files apart.
    #[test]
    fn nothing_comes_twice_and_a_loss_is_counted(
        rotations in prop_oneof![rotations(true, 32), rotations(false, 1), rotations(true, 1)],
        read_first: bool,
        looks in looks(),
    ) {
        let (log, follower, _) = rotate(&rotations, read_first, &mut looks.into_iter());
        let got = follower.got.0.lock().unwrap();
        let mut rest = &log.written[..];
        for line in got.split_inclusive(|byte| *byte == b'\n') {
            let head = line.windows(4).any(|word| word == b"INFO");
            let at = head.then(|| rest.windows(line.len()).position(|there| there == line));
            if let Some(at) = at {
                prop_assert!(at.is_some(), "twice, or out of order: {}", String::from_utf8_lossy(line));
                rest = &rest[at.unwrap() + 1..];
            }
        }
        prop_assert!(got.len() <= log.written.len(), "{} of {}", got.len(), log.written.len());
        prop_assert!(*got == log.written || follower.gaps() > 0, "lost, and not counted");
    }
}

/// Both at once: the follower looks all the time while the log is rotated as fast as can be.
#[test]
fn looks_during_the_calls_see_every_round_once() {
    const TIMES: u32 = 40;
    for _ in 0..TIMES {
        let mut log = Log::new();
        let mut follower = Follower::new(&log);
        follower.look(1);
        let rotation = Rotation { pack: false, copy: vec![], append: vec![] };
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                log.make(&Call::Append(usize::MAX));
                for _ in 0..8 {
                    for call in log.calls(&rotation) {
                        log.make(&call);
                    }
                }
            });
            while !writer.is_finished() {
                follower.look(1);
            }
        });
        follower.settle();
        follower.check_all(&log, &());
    }
}
