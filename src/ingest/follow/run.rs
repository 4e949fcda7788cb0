//! Gives every followed path its turns, in one task.
//!
//! Turns block, so they run on other threads, many paths in one go; paths of different devices
//! never in the same: a dead network file system holds up its own files and no others.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::BUFFER_BYTES;
use super::glob::{Glob, Match};
use super::slot::{Slot, Wait};
use super::tail::{Tail, Turn};
use super::watch::{self, Event, Events, Watches};
use super::watched::Watched;
use crate::config::{StartAt, Watch};
use crate::model::service::ServiceName;
use crate::model::sink::TraceSink;
use crate::runtime::health::Latch;
use crate::runtime::supervise::Supervisor;
use crate::telemetry::service::SourceTelemetry;

/// Paths in one go: bounds how long a path that is due waits for others.
const BATCH_MAX: usize = 64;

/// How often a pattern's files are looked for.
const SCAN_EVERY: Duration = Duration::from_secs(2);

/// Events are taken together that come within so long: a writer makes one at each line.
const EVENTS_EVERY: Duration = Duration::from_millis(10);

/// Files of one pattern; each has some 200 series.
pub const FILES_MAX: usize = 2000;

/// What a follower is told.
pub enum Order {
    /// Follow this too.
    Follow(Follow),
    /// Leave what is followed for this service. The sender is dropped when no more bytes of it are
    /// on their way.
    Leave(ServiceName, oneshot::Sender<()>),
}

/// What is to be followed for one service.
pub struct Follow {
    /// Whose it is.
    pub service: ServiceName,
    /// A path, or a pattern.
    pub path: PathBuf,
    /// Where a file that is there at the start is read from.
    pub from: StartAt,
    /// How changes are noticed.
    pub watch: Watch,
    /// Held until everything that was there is read.
    pub latch: Latch,
    /// Where the bytes go.
    pub to: Target,
}

/// Where the bytes of a path or a pattern go.
pub enum Target {
    /// One file.
    One(Box<dyn TraceSink>, Arc<SourceTelemetry>),
    /// A file each.
    Each(Box<dyn Instances>),
}

/// Makes what each file of a pattern needs, and takes it away again.
pub trait Instances: Send {
    /// For a new file; `log` tells it from the others of the pattern.
    fn add(&mut self, log: &str) -> (Box<dyn TraceSink>, Arc<SourceTelemetry>);
    /// The file is gone, and all of it was read.
    fn remove(&mut self, log: &str);
    /// So many files are not followed, because there are too many.
    fn passed_over(&mut self, files: usize);
}

/// Everything that is followed.
struct Follower {
    slots: HashMap<usize, Slot>,
    /// None: left.
    patterns: Vec<Option<Pattern>>,
    /// Left while their turns ran, and who waits for these to end.
    leaving: HashMap<usize, Arc<oneshot::Sender<()>>>,
    next_key: usize,
    /// Devices, or single paths, of which turns run at the moment.
    busy: HashSet<Lane>,
    jobs: JoinSet<Done>,
    watches: Option<Watches>,
    /// Slots by the watches of their files.
    files: Watched,
    /// Folders that are watched, and the paths and patterns in them.
    folders: HashMap<i32, Vec<usize>>,
    supervisor: Supervisor,
}

struct Pattern {
    service: ServiceName,
    glob: Option<Glob>,
    known: Arc<HashSet<PathBuf>>,
    from: StartAt,
    watch: Watch,
    latch: Option<Latch>,
    instances: Box<dyn Instances>,
    due: Instant,
    folder_watch: Option<i32>,
}

/// What must not wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Lane {
    Device(u64),
    Path(usize),
}

enum Done {
    Turns(Lane, Vec<Outcome>),
    Scan(usize, Glob, Option<Vec<Match>>, Option<i32>),
}

struct Outcome {
    key: usize,
    /// The tail and what it found, or what it panicked with.
    turn: Result<(Box<Tail>, Turn), Box<dyn std::any::Any + Send>>,
    /// A watch of the file that is open now, and one of the folder.
    watches: (Option<i32>, Option<i32>),
}

/// Follows what it is told to, until the end.
pub async fn run(mut orders: mpsc::Receiver<Order>, supervisor: Supervisor) {
    let stop = supervisor.stop().clone();
    // Without inotify there is polling.
    let (watches, events) = watch::start().ok().unzip();
    let mut follower = Follower {
        slots: HashMap::new(),
        patterns: Vec::new(),
        leaving: HashMap::new(),
        next_key: 0,
        busy: HashSet::new(),
        jobs: JoinSet::new(),
        watches,
        files: Watched::default(),
        folders: HashMap::new(),
        supervisor,
    };
    let mut events_from = Instant::now();
    loop {
        let due = follower.start_due(Instant::now());
        tokio::select! {
            () = stop.cancelled() => break,
            Some(order) = orders.recv() => match order {
                Order::Follow(follow) => follower.add(follow),
                Order::Leave(service, ack) => follower.leave(&service, ack),
            },
            Some(done) = follower.jobs.join_next(), if !follower.jobs.is_empty() => {
                match done {
                    Ok(done) => follower.done(done),
                    // A scan that panicked: nothing catches it before.
                    Err(error) => if let Ok(panic) = error.try_into_panic() { resume_unwind(panic) },
                }
            }
            seen = next_events(events.as_ref(), events_from) => {
                events_from = Instant::now() + EVENTS_EVERY;
                follower.seen(seen);
            }
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

async fn next_events(events: Option<&Events>, from: Instant) -> Vec<Event> {
    match events {
        Some(events) => {
            tokio::time::sleep_until(from).await;
            events.next().await
        }
        None => std::future::pending().await,
    }
}

impl Follower {
    fn add(&mut self, follow: Follow) {
        let Follow { service, path, from, watch, latch, to } = follow;
        match to {
            Target::One(sink, telemetry) => {
                let tail = Tail::new(path, from, sink, telemetry);
                self.add_slot(Slot::new(service, tail, watch, Some(latch), None));
            }
            Target::Each(instances) => self.patterns.push(Some(Pattern {
                service,
                glob: Some(Glob::new(path)),
                known: Arc::default(),
                from,
                watch,
                latch: Some(latch),
                instances,
                due: Instant::now(),
                folder_watch: None,
            })),
        }
    }

    fn leave(&mut self, service: &ServiceName, ack: oneshot::Sender<()>) {
        let ack = Arc::new(ack);
        for pattern in &mut self.patterns {
            pattern.take_if(|pattern| pattern.service == *service);
        }
        let keys = self.slots.iter().filter(|(_, slot)| slot.service() == service);
        for key in keys.map(|(key, _)| *key).collect::<Vec<_>>() {
            if let Some(mut slot) = self.forget(key)
                && slot.take().is_none()
            {
                self.leaving.insert(key, Arc::clone(&ack));
            }
        }
    }

    fn add_slot(&mut self, slot: Slot) {
        self.slots.insert(self.next_key, slot);
        self.next_key += 1;
    }

    /// Starts what is due, and gives when the next will be.
    fn start_due(&mut self, now: Instant) -> Instant {
        let mut batches: HashMap<Lane, Vec<(usize, Box<Tail>, Wait)>> = HashMap::new();
        let mut next = now + SCAN_EVERY;
        for (key, slot) in &mut self.slots {
            // First, since of many few are due.
            if slot.due() > now {
                next = next.min(slot.due());
                continue;
            }
            let lane = slot.device().map_or(Lane::Path(*key), Lane::Device);
            let batch = batches.entry(lane).or_default();
            if !self.busy.contains(&lane)
                && batch.len() < BATCH_MAX
                && let Some(tail) = slot.take()
            {
                batch.push((*key, tail, slot.wait_for()));
            }
        }
        for (lane, batch) in batches {
            if !batch.is_empty() {
                self.busy.insert(lane);
                let watches = self.watches.clone();
                self.jobs.spawn_blocking(move || Done::Turns(lane, turns(batch, watches.as_ref())));
            }
        }
        for (n, pattern) in self.patterns.iter_mut().enumerate() {
            let Some(pattern) = pattern else { continue };
            if pattern.due <= now
                && let Some(mut glob) = pattern.glob.take()
            {
                let known = Arc::clone(&pattern.known);
                let watches = self
                    .watches
                    .clone()
                    .filter(|_| pattern.watch == Watch::Auto && pattern.folder_watch.is_none());
                self.jobs.spawn_blocking(move || {
                    let watch = watches.and_then(|watches| watches.folder(glob.folder()));
                    let found = glob.scan(&known);
                    Done::Scan(n, glob, found, watch)
                });
            }
            next = next.min(if pattern.glob.is_some() { pattern.due } else { next });
        }
        next
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Turns(lane, outcomes) => {
                self.busy.remove(&lane);
                outcomes.into_iter().for_each(|outcome| self.turned(outcome));
            }
            Done::Scan(n, glob, found, watch) => self.scanned(n, glob, found, watch),
        }
    }

    fn turned(&mut self, outcome: Outcome) {
        if let Some(ack) = self.leaving.remove(&outcome.key) {
            drop(outcome);
            return drop(ack);
        }
        let Outcome { key, turn, watches: (file, folder) } = outcome;
        if let Some(folder) = folder {
            let keys = self.folders.entry(folder).or_default();
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        let (tail, turn) = match turn {
            Ok(turn) => turn,
            Err(panic) => {
                // It is lost, which the supervisor is to see; the others go on.
                self.slots.remove(&key);
                return self.supervisor.spawn("tail", async move { resume_unwind(panic) });
            }
        };
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let before = slot.watch();
        let old = slot.give_back(tail, turn, file, folder.is_some(), Instant::now());
        self.files.changed(key, before, slot.watch());
        self.remove_unused(old);
        self.drop_if_gone(key);
    }

    /// A file of a pattern that is gone is not waited for: another may come any time.
    fn drop_if_gone(&mut self, key: usize) {
        let Some((n, log)) = self.slots.get(&key).and_then(Slot::gone) else { return };
        let Some(slot) = self.forget(key) else { return };
        if let Some(Some(pattern)) = self.patterns.get_mut(n) {
            Arc::make_mut(&mut pattern.known).remove(slot.path());
            pattern.instances.remove(&log);
        }
        slot.finish();
    }

    fn forget(&mut self, key: usize) -> Option<Slot> {
        let slot = self.slots.remove(&key)?;
        self.files.changed(key, slot.watch(), None);
        self.remove_unused(slot.watch());
        self.leave_folder(key);
        Some(slot)
    }

    fn remove_unused(&self, watch: Option<i32>) {
        let unused = watch.filter(|watch| self.files.of(*watch).is_empty());
        if let (Some(watch), Some(watches)) = (unused, &self.watches) {
            watches.remove(watch);
        }
    }

    /// A folder that nobody follows a file of any more need not be watched; pods come and go with theirs.
    fn leave_folder(&mut self, key: usize) {
        let Self { folders, patterns, watches, .. } = self;
        folders.retain(|watch, keys| {
            keys.retain(|other| *other != key);
            let of_pattern = || patterns.iter().flatten().any(|it| it.folder_watch == Some(*watch));
            if let Some(watches) = watches.as_ref().filter(|_| keys.is_empty() && !of_pattern()) {
                watches.remove(*watch);
            }
            !keys.is_empty()
        });
    }

    fn scanned(&mut self, n: usize, glob: Glob, found: Option<Vec<Match>>, watch: Option<i32>) {
        let taken: HashSet<_> = self
            .slots
            .values()
            .filter(|slot| slot.pattern() == Some(n))
            .flat_map(Slot::ids)
            .collect();
        let Some(Some(pattern)) = self.patterns.get_mut(n) else { return };
        pattern.glob = Some(glob);
        pattern.due = Instant::now() + SCAN_EVERY;
        pattern.folder_watch = pattern.folder_watch.or(watch);
        let mut new: Vec<Match> = found.unwrap_or_default();
        // One that was only renamed is followed already.
        new.retain(|found| !taken.contains(&found.id));
        let room = FILES_MAX.saturating_sub(pattern.known.len());
        pattern.instances.passed_over(new.len().saturating_sub(room));
        new.truncate(room);
        let mut slots = Vec::new();
        for found in new {
            Arc::make_mut(&mut pattern.known).insert(found.path.clone());
            let (sink, telemetry) = pattern.instances.add(&found.log);
            let tail = Tail::new(found.path, pattern.from, sink, telemetry);
            let (service, latch) = (pattern.service.clone(), pattern.latch.clone());
            slots.push(Slot::new(service, tail, pattern.watch, latch, Some((n, found.log))));
        }
        // What comes later is new.
        pattern.from = StartAt::Beginning;
        pattern.latch = None;
        slots.into_iter().for_each(|slot| self.add_slot(slot));
    }

    fn seen(&mut self, events: Vec<Event>) {
        let now = Instant::now();
        for event in events {
            match event {
                Event::Overflow => self.slots.values_mut().for_each(|slot| slot.wake(now)),
                Event::Of(watch, name) => self.wake(watch, name.as_deref(), now),
            }
        }
    }

    fn wake(&mut self, watch: i32, name: Option<&[u8]>, now: Instant) {
        let Some(name) = name else {
            for key in self.files.of(watch) {
                if let Some(slot) = self.slots.get_mut(key) {
                    slot.wake(now);
                }
            }
            return;
        };
        let patterns = self.patterns.iter_mut().flatten();
        for pattern in patterns.filter(|pattern| pattern.folder_watch == Some(watch)) {
            pattern.due = now;
        }
        for key in self.folders.get(&watch).into_iter().flatten() {
            if let Some(slot) = self.slots.get_mut(key).filter(|slot| slot.is_called(name)) {
                slot.wake(now);
            }
        }
    }
}

/// One turn each, on a thread that may block.
fn turns(batch: Vec<(usize, Box<Tail>, Wait)>, watches: Option<&Watches>) -> Vec<Outcome> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let one = |(key, mut tail, wait): (usize, Box<Tail>, Wait)| {
        let watches = watches.filter(|_| wait.wants_events);
        let folder = watches.filter(|_| wait.folder).zip(tail.path().parent());
        let folder = folder.and_then(|(watches, folder)| watches.folder(folder));
        let turn = catch_unwind(AssertUnwindSafe(|| tail.turn(&mut buffer)));
        let is_new = tail.id().is_some() && tail.id() != wait.file;
        let file = watches.filter(|_| is_new).zip(tail.file());
        let file = file.and_then(|(watches, file)| watches.file(file));
        // What came before the watch was there gives no event.
        let turn =
            turn.map(|turn| if file.is_some() && turn == Turn::Idle { Turn::More } else { turn });
        Outcome { key, turn: turn.map(|turn| (tail, turn)), watches: (file, folder) }
    };
    batch.into_iter().map(one).collect()
}
