//! Many services' `/debug/vars` on loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::outcome::Outcome;

/// Each is a destination of its own, so that connections that linger do not use up its ports.
const LISTENERS: usize = 64;

/// What services of these releases answered.
const RECORDED: [&str; 4] = [
    include_str!("../../tests/fixtures/samples/go1.22-debug-vars.json"),
    include_str!("../../tests/fixtures/samples/go1.24-debug-vars.json"),
    include_str!("../../tests/fixtures/samples/go1.26-debug-vars.json"),
    include_str!("../../tests/fixtures/samples/go1.27-debug-vars.json"),
];

/// A request's head is not longer.
const HEAD_BYTES: usize = 2048;

/// Services that answer until this is dropped.
pub(crate) struct Endpoints {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
}

struct Shared {
    answered: AtomicU64,
    /// They hang up from now on.
    mute: AtomicBool,
    stop: AtomicBool,
    /// Of each service: when it was read last, and the longest time between two reads.
    reads: Mutex<Vec<(Option<Instant>, Duration)>>,
}

impl Endpoints {
    /// So many services.
    pub(crate) fn new(services: usize) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners: Result<Vec<_>, _> = runtime.block_on(async {
            (0..LISTENERS).map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect()
        });
        let listeners: Vec<std::net::TcpListener> = listeners?;
        let addresses: Result<Vec<_>, _> = listeners.iter().map(|one| one.local_addr()).collect();
        let shared = Arc::new(Shared {
            answered: AtomicU64::new(0),
            mute: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            reads: Mutex::new(vec![(None, Duration::ZERO); services]),
        });
        let theirs = Arc::clone(&shared);
        let server = std::thread::spawn(move || {
            let served = runtime.block_on(serve(listeners, theirs));
            if let Err(error) = served {
                eprintln!("the services ended: {error}");
            }
        });
        Ok(Self { addresses: addresses?, shared, server: Some(server) })
    }

    /// A list of targets: of each its address, and the label `app`, which is the first part of its path.
    pub(crate) fn targets(&self, services: usize) -> String {
        let one = |n: usize| {
            let address = self.addresses.get(n % self.addresses.len());
            let address = address.map(ToString::to_string).unwrap_or_default();
            format!("{{\"targets\": [\"{address}\"], \"labels\": {{\"app\": \"service-{n}\"}}}}")
        };
        format!("[{}]", (0..services).map(one).collect::<Vec<_>>().join(",\n"))
    }

    /// How often they have answered.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// They hang up from now on instead of an answer.
    pub(crate) fn mute(&self) {
        self.shared.mute.store(true, Ordering::Relaxed);
    }

    /// Forgets the times between reads.
    pub(crate) fn begin(&self) {
        self.reads(|reads| reads.iter_mut().for_each(|(_, longest)| *longest = Duration::ZERO));
    }

    /// The longest time between two reads of one service.
    pub(crate) fn longest(&self) -> Duration {
        self.reads(|reads| reads.iter().map(|(_, longest)| *longest).max().unwrap_or_default())
    }

    fn reads<T>(&self, look: impl FnOnce(&mut Vec<(Option<Instant>, Duration)>) -> T) -> T {
        look(&mut self.shared.reads.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(server) = self.server.take() {
            // It has said why it ended.
            let _ended = server.join();
        }
    }
}

async fn serve(listeners: Vec<std::net::TcpListener>, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut tasks = JoinSet::new();
    for listener in listeners {
        listener.set_nonblocking(true)?;
        let (listener, shared) = (TcpListener::from_std(listener)?, Arc::clone(&shared));
        tasks.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                answers.spawn(answer(stream, Arc::clone(&shared)));
                while answers.try_join_next().is_some() {}
            }
        });
    }
    while !shared.stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// One answer; a connection that breaks is counted by who reads.
async fn answer(mut stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    if shared.mute.load(Ordering::Relaxed) {
        return None;
    }
    let head = String::from_utf8(head).ok()?;
    let (app, path) = head.strip_prefix("GET /service-")?.split_once('/')?;
    let n: usize = app.parse().ok()?;
    if !path.starts_with("debug/vars ") {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok();
    }
    shared.note(n);
    let body = RECORDED.get(n % RECORDED.len())?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await.ok()?;
    shared.answered.fetch_add(1, Ordering::Relaxed);
    Some(())
}

impl Shared {
    fn note(&self, n: usize) {
        let now = Instant::now();
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, longest)) = reads.get_mut(n)
            && let Some(last) = last.replace(now)
        {
            *longest = (*longest).max(now - last);
        }
    }
}
