//! An API server of Kubernetes, as far as it gives a node's pods to who watches them, and the logs that a kubelet
//! has: over TLS, by token, in chunks, from a history that is compacted; and with the failures that real ones have.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::certificates::Authority;

/// How often a watch looks whether it is to be broken off.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct ApiServer {
    address: SocketAddr,
    authority: Authority,
    token: tempfile::NamedTempFile,
    config: Arc<ServerConfig>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    version: u64,
    pods: BTreeMap<String, Value>,
    /// Events with the version that each made.
    history: Vec<(u64, String)>,
    /// Versions up to this one are forgotten.
    compacted: u64,
    token: String,
    forbids: bool,
    /// Rises when all connections are to break.
    breaks: u64,
    requests: Vec<String>,
    kubelet: Option<SocketAddr>,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = Authority::new();
        let pair = authority.signs(&["127.0.0.1"]);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        // A real one asks for a certificate, and a token is as good.
        let roots = Arc::new(authority.roots());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        let clients = clients.allow_unauthenticated().build().unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(clients)
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&pair.cert).unwrap()],
                PrivateKeyDer::from_pem_file(&pair.key).unwrap(),
            )
            .unwrap();
        let (config, shared) = (Arc::new(config), Arc::<Shared>::default());
        let server = Self {
            address: listener.local_addr().unwrap(),
            authority,
            token: tempfile::NamedTempFile::new().unwrap(),
            config,
            shared,
        };
        server.expects_token("first");
        server.gives_token("first");
        server.listens(listener);
        server
    }

    /// It listens here too.
    pub(crate) fn listens(&self, listener: TcpListener) {
        let (config, shared) = (Arc::clone(&self.config), Arc::clone(&self.shared));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                // Who goes away breaks a write.
                std::thread::spawn(move || {
                    drop(serve(StreamOwned::new(connection, stream), &shared))
                });
            }
        });
    }

    /// What a service account of the namespace is given, as files of a folder.
    pub(crate) fn gives_account(&self, folder: &Path, namespace: &str) {
        fs::copy(self.authority.file(), folder.join("ca.crt")).unwrap();
        fs::copy(self.token.path(), folder.join("token")).unwrap();
        fs::write(folder.join("namespace"), namespace).unwrap();
    }

    /// The keys of `kubernetes` by which an agent on `node` finds it.
    pub(crate) fn keys(&self, node: &str) -> String {
        format!(", node: {node}, {}", self.reached())
    }

    /// The keys that say how it is reached.
    pub(crate) fn reached(&self) -> String {
        format!(
            "api_server: 'https://{}', http: {{tls_config: {{ca_file: '{}'}}, authorization: {{credentials_file: '{}'}}}}",
            self.address,
            self.authority.file(),
            PathBuf::from(self.token.path()).display()
        )
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.changed.notify_all();
        self.shared.state.lock().unwrap()
    }

    /// There is a pod, or it has changed; `more` is merged into its metadata.
    pub(crate) fn put(&self, name: &str, uid: &str, container: &str, more: Value) {
        let mut state = self.state();
        let mut pod = json!({
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "shop", "uid": uid},
            "spec": {"nodeName": "node-1", "containers": [{"name": container, "image": "x"}]},
            "status": {"phase": "Running", "podIP": "127.0.0.1"},
        });
        pod["metadata"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let is_new = !state.pods.contains_key(uid);
        state.event(if is_new { "ADDED" } else { "MODIFIED" }, pod.clone());
        state.pods.insert(uid.to_owned(), pod);
    }

    pub(crate) fn remove(&self, uid: &str) {
        let mut state = self.state();
        let pod = state.pods.remove(uid).unwrap();
        state.event("DELETED", pod);
    }

    /// Logs are at this kubelet.
    pub(crate) fn asks(&self, kubelet: SocketAddr) {
        self.state().kubelet = Some(kubelet);
    }

    /// History up to now is forgotten, and all watches break off.
    pub(crate) fn compacts(&self) {
        let mut state = self.state();
        state.version += 1;
        state.compacted = state.version;
        state.history.clear();
        state.breaks += 1;
    }

    /// All connections break, in the middle of an event.
    pub(crate) fn breaks(&self) {
        self.state().breaks += 1;
    }

    pub(crate) fn forbids(&self, forbids: bool) {
        let mut state = self.state();
        state.forbids = forbids;
        state.breaks += 1;
    }

    /// From now on this token alone is good.
    pub(crate) fn expects_token(&self, token: &str) {
        let mut state = self.state();
        state.token = token.to_owned();
        state.breaks += 1;
    }

    /// The kubelet writes a new token.
    pub(crate) fn gives_token(&self, token: &str) {
        fs::write(self.token.path(), token).unwrap();
    }

    /// The first lines of all requests.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }
}

impl State {
    fn event(&mut self, kind: &str, mut pod: Value) {
        self.version += 1;
        pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let line = json!({"type": kind, "object": pod}).to_string() + "\n";
        self.history.push((self.version, line));
    }

    /// What a watch from `since` begins with, and the version that it is at then.
    fn beginning(&self, since: u64) -> (String, u64) {
        let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": self.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}, "spec": {"containers": null}, "status": {}}});
        let added = |pod: &Value| {
            let mut pod = pod.clone();
            pod["metadata"]["resourceVersion"] = json!(self.version.to_string());
            json!({"type": "ADDED", "object": pod}).to_string() + "\n"
        };
        match since {
            0 => {
                let pods: String = self.pods.values().map(added).collect();
                (format!("{pods}{bookmark}\n"), self.version)
            }
            since if since < self.compacted => {
                let gone = json!({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}});
                (format!("{gone}\n"), u64::MAX)
            }
            since => (String::new(), since),
        }
    }
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

fn serve(mut stream: Stream, shared: &Shared) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut reader = BufReader::new(&mut stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        head.push(std::mem::take(&mut line));
    }
    let first = head.first().cloned().unwrap_or_default();
    let mut state = shared.state.lock().unwrap();
    state.requests.push(first.clone());
    let bearer = format!("authorization: bearer {}", state.token);
    let has_token = head.iter().any(|line| line.trim().eq_ignore_ascii_case(&bearer));
    let (breaks, forbids) = (state.breaks, state.forbids);
    let refusal = match (has_token, forbids) {
        (false, _) => Some("401 Unauthorized"),
        (_, true) => Some("403 Forbidden"),
        _ => None,
    };
    if let Some(refusal) = refusal {
        drop(state);
        return write!(stream, "HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n");
    }
    if first.contains("/log?") {
        let kubelet = state.kubelet.unwrap();
        drop(state);
        return pass_on(&mut stream, &head, kubelet, || {
            shared.state.lock().unwrap().breaks != breaks
        });
    }
    let since = first.split_once("&resourceVersion=").unwrap().1;
    let since = since.split(['&', ' ']).next().unwrap().parse().unwrap();
    let (text, mut version) = state.beginning(since);
    drop(state);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )?;
    chunks(&mut stream, &text)?;
    loop {
        let state = shared.state.lock().unwrap();
        let (state, _) = shared.changed.wait_timeout(state, LOOK_EVERY).unwrap();
        if state.breaks != breaks {
            drop(state);
            // A chunk that is announced and does not come.
            write!(stream, "ff\r\n{{\"type\":\"ADD")?;
            return stream.flush();
        }
        let new = state.history.iter().filter(|(its, _)| *its > version);
        let text: String = new.map(|(_, line)| line.as_str()).collect();
        version = version.max(state.version);
        drop(state);
        chunks(&mut stream, &text)?;
    }
}

/// What a kubelet answers, until it is broken off.
fn pass_on(
    stream: &mut Stream,
    head: &[String],
    kubelet: SocketAddr,
    is_broken_off: impl Fn() -> bool,
) -> std::io::Result<()> {
    let mut from = TcpStream::connect(kubelet)?;
    from.set_read_timeout(Some(LOOK_EVERY))?;
    let head: String =
        head.iter().filter(|line| !line.starts_with("authorization")).cloned().collect();
    write!(from, "{head}connection: close\r\n\r\n")?;
    let mut buffer = vec![0; 1000];
    while !is_broken_off() {
        match from.read(&mut buffer) {
            Ok(0) => {
                stream.conn.send_close_notify();
                return stream.flush();
            }
            Ok(n) => {
                // In pieces that end anywhere.
                for piece in buffer[..n].chunks(77) {
                    stream.write_all(piece)?;
                    stream.flush()?;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// In chunks that end anywhere.
fn chunks(stream: &mut Stream, text: &str) -> std::io::Result<()> {
    for chunk in text.as_bytes().chunks(100) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.flush()
}
