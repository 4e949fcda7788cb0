//! A service that answers what a test tells it to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// 200 with this body.
    Body(String),
    /// The same, so much later.
    Slow(Duration, String),
    /// These bytes, then the connection is closed.
    Raw(String),
    /// 200 with this body, packed by gzip or what claims to be so.
    Packed(Vec<u8>),
    /// 200 and a body of so many bytes, whatever its head says, as fast as the client takes them.
    Flood(usize),
    /// 200 and a body without end, a byte at a time.
    Drip,
    /// Silence until the client gives up.
    Hang,
}

/// Listens until the test ends.
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = Self {
            address: listener.local_addr().unwrap(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            requests: Arc::default(),
            last: Arc::default(),
            lines: Arc::default(),
        };
        let (behaviour, requests) =
            (Arc::clone(&endpoint.behaviour), Arc::clone(&endpoint.requests));
        let last = Arc::clone(&endpoint.last);
        let lines = Arc::clone(&endpoint.lines);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let behaviour = behaviour.lock().unwrap().clone();
                let stream = stream.unwrap();
                let (requests, last) = (Arc::clone(&requests), Arc::clone(&last));
                let lines = Arc::clone(&lines);
                std::thread::spawn(move || answer(stream, &behaviour, &requests, &last, &lines));
            }
        });
        endpoint
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The head of the last request for what is not pprof.
    pub(crate) fn last_request(&self) -> String {
        self.last.lock().unwrap().clone()
    }

    /// Those of them with this in the first line.
    pub(crate) fn requests_with(&self, part: &str) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }

    /// Requests for what is not pprof.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// A client that has gone is its own business.
fn answer(
    mut stream: TcpStream,
    behaviour: &Behaviour,
    requests: &AtomicUsize,
    last: &Mutex<String>,
    lines: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(n @ 1..) => head.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    // The exporter also looks once whether there is pprof.
    if !head.starts_with(b"GET /debug/pprof") {
        requests.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(&head).into_owned();
        lines.lock().unwrap().push(text.lines().next().unwrap().to_owned());
        *last.lock().unwrap() = text;
    }
    if let Behaviour::Slow(wait, _) = behaviour {
        std::thread::sleep(*wait);
    }
    let _sent = match behaviour {
        Behaviour::Packed(body) => write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .and_then(|()| stream.write_all(body)),
        Behaviour::Flood(bytes) => {
            let head = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            let piece = vec![b' '; 1 << 20];
            (0..bytes / piece.len()).try_fold((), |(), _| stream.write_all(&piece)).and(head)
        }
        Behaviour::Drip => {
            let head = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
            let pause = Duration::from_millis(20);
            let a_drop = || stream.write_all(b" ").map(|()| std::thread::sleep(pause));
            std::iter::repeat_with(a_drop).find(Result::is_err).unwrap_or(Ok(())).and(head)
        }
        Behaviour::Body(body) | Behaviour::Slow(_, body) => write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        ),
        Behaviour::Raw(bytes) => stream.write_all(bytes.as_bytes()),
        Behaviour::Hang => stream.read(&mut buffer).map(|_gone| ()),
    };
}
