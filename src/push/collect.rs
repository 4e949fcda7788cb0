//! A picture of all services → requests.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write;
use std::mem;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use super::Work;
use super::transport::Transport;
use crate::export::otlp::delta::{Base, Bases};
use crate::export::otlp::pack;
use crate::model::otlp::{Shape, Temporality};
use crate::pipeline::services::{Pipelines, Source};
use crate::runtime::clock::now_ns;
use crate::telemetry::otlp::OtlpTelemetry;

/// Largest message before compression: receivers of gRPC take 4 MiB unless told otherwise.
const MESSAGE_BYTES_MAX: usize = 3 << 20;

/// Most bytes that wait to be sent: those of 1,000 services, compressed, are 4 MiB.
pub(super) const QUEUE_BYTES_MAX: usize = 64 << 20;

/// A request that waits.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Bytes,
    pub(super) points: u64,
    /// Of deltas: what is the base of the next ones once this is taken.
    bases: Vec<(Source, Bases)>,
    /// The last source in it.
    last: usize,
    /// Since when it may have arrived, and yet is not taken.
    pub(super) in_doubt: Option<Instant>,
}

/// What the receiver has of each source; by its number, which it keeps by being here.
type OfSources = HashMap<usize, (Source, Base)>;

/// Makes requests.
#[derive(Debug)]
pub(super) struct Collector {
    pipelines: Pipelines,
    shape: Arc<Shape>,
    transport: Arc<Transport>,
    began_ns: u64,
    /// There if deltas are wanted.
    bases: Option<OfSources>,
    /// The source that comes last: a request that ends with it failed.
    last: Option<usize>,
}

/// A message that is being put together.
#[derive(Debug, Default)]
struct Message {
    bytes: Vec<u8>,
    points: u64,
    bases: Vec<(Source, Bases)>,
    last: usize,
}

impl Work {
    /// Takes a picture; what waited from the last one is replaced, except deltas.
    pub(super) async fn collect(&mut self, telemetry: &OtlpTelemetry) {
        if self.collector.bases.is_none() {
            telemetry.superseded(self.queue.iter().map(|request| request.points).sum());
            self.queue.clear();
        }
        let waiting = self.queue.iter().flat_map(|request| &request.bases);
        let waiting: HashSet<usize> = waiting.map(|(source, _)| source.id()).collect();
        let room = QUEUE_BYTES_MAX - self.queue.iter().map(|one| one.body.len()).sum::<usize>();
        let bases = self.collector.bases.take();
        let mut picture = Picture {
            pipelines: self.collector.pipelines.clone(),
            shape: Arc::clone(&self.collector.shape),
            transport: Arc::clone(&self.collector.transport),
            began_ns: self.collector.began_ns,
            bases,
            last: self.collector.last,
            room,
            requests: VecDeque::new(),
            dropped: 0,
        };
        // 1,000 services take a second of CPU.
        let taken = tokio::task::spawn_blocking(move || {
            picture.take(&waiting);
            picture
        });
        match taken.await {
            Ok(picture) => {
                self.collector.bases = picture.bases;
                self.queue.extend(picture.requests);
                telemetry.dropped(picture.dropped);
            }
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_stopped) => {}
        }
    }
}

impl Collector {
    pub(super) fn new(
        pipelines: Pipelines,
        shape: Shape,
        temporality: Temporality,
        began_ns: u64,
        transport: Arc<Transport>,
    ) -> Self {
        let bases = (temporality == Temporality::Delta).then(HashMap::new);
        Self { pipelines, shape: Arc::new(shape), transport, began_ns, bases, last: None }
    }

    /// A request failed: from now on the others come before it, in every picture.
    pub(super) fn failed(&mut self, request: &Request) {
        self.last = Some(request.last);
    }

    /// Whether the receiver wants deltas.
    pub(super) fn is_delta(&self) -> bool {
        self.bases.is_some()
    }

    /// A request is settled, taken or given up: the next deltas begin where it ends.
    pub(super) fn settled(&mut self, request: Request) {
        let Some(bases) = &mut self.bases else { return };
        for (source, taken) in request.bases {
            let (_, base) = bases.entry(source.id()).or_insert((source, Base::default()));
            base.taken(taken);
        }
    }
}

/// One pass over all services; blocks.
struct Picture {
    pipelines: Pipelines,
    shape: Arc<Shape>,
    transport: Arc<Transport>,
    began_ns: u64,
    bases: Option<OfSources>,
    last: Option<usize>,
    room: usize,
    requests: VecDeque<Request>,
    dropped: u64,
}

impl Picture {
    fn take(&mut self, waiting: &HashSet<usize>) {
        let (pipelines, shape) = (self.pipelines.clone(), Arc::clone(&self.shape));
        let mut message = Message::default();
        let mut all = HashSet::new();
        for source in self.in_order(pipelines.sources()) {
            all.insert(source.id());
            if waiting.contains(&source.id()) {
                continue;
            }
            let Some(resource) = pipelines.resource(&source, &shape, now_ns()) else { continue };
            for mut piece in pack::pieces(resource, MESSAGE_BYTES_MAX) {
                if let Some(bases) = &mut self.bases {
                    // What we count of ourselves began with us.
                    let since_ns = if source.is_own() { 0 } else { self.began_ns };
                    let (_, base) = bases
                        .entry(source.id())
                        .or_insert_with(|| (source.clone(), Base::default()));
                    message.bases.push((source.clone(), base.since(&mut piece, since_ns)));
                }
                if message.bytes.len() + pack::size(&piece) > MESSAGE_BYTES_MAX
                    && !message.bytes.is_empty()
                {
                    let of_piece = message.bases.pop();
                    let full = mem::take(&mut message);
                    message.bases.extend(of_piece);
                    self.queue(full);
                }
                pack::append(&mut message.bytes, &piece);
                message.last = source.id();
                message.points += pack::points(&piece);
            }
        }
        self.queue(message);
        if let Some(bases) = &mut self.bases {
            bases.retain(|id, _| all.contains(id));
        }
    }

    fn in_order(&self, mut sources: Vec<Source>) -> Vec<Source> {
        let last = sources.iter().position(|source| Some(source.id()) == self.last);
        sources.rotate_left(last.map_or(0, |last| last + 1));
        sources
    }

    fn queue(&mut self, message: Message) {
        let Message { bytes, points, bases, last } = message;
        let body = if self.transport.gzip() { packed(&bytes) } else { bytes };
        let body = self.transport.body(body);
        // Deltas that are dropped come with the next ones.
        match self.room.checked_sub(body.len()) {
            Some(room) if points > 0 => {
                self.room = room;
                self.requests.push_back(Request { body, points, bases, last, in_doubt: None });
            }
            Some(_) => {}
            None => self.dropped += points,
        }
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    let written = encoder.write_all(bytes);
    debug_assert!(written.is_ok());
    encoder.finish().unwrap_or_default()
}
