//! A node's /var/log/pods, written as containerd and the kubelet write it; and a kubelet that serves it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use godebug_exporter::model::rfc3339;
use tempfile::TempDir;

use super::go;
use super::process::Process;
use super::service::Service;

/// UIDs are told apart by their first digits.
const UID: &str = "3a0b-4f6e-9a55-0f0f6f1f2f3f";

/// Longest text of an entry; containerd's own bound.
const ENTRY_MAX_BYTES: usize = 16 * 1024;

/// The folder of logs.
pub(crate) struct Node(TempDir);

impl Node {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn logs(&self) -> &Path {
        self.0.path()
    }

    /// A container that is to start; `uid` tells its pod from others of the same name.
    pub(crate) fn container(&self, namespace: &str, pod: &str, uid: u32, name: &str) -> Container {
        let pod = self.0.path().join(format!("{namespace}_{pod}_{uid:08x}-{UID}"));
        let folder = pod.join(name);
        fs::create_dir_all(&folder).unwrap();
        Container { pod, log: Arc::new(Mutex::new(Log::new(folder))), running: None }
    }
}

/// A container and its log.
pub(crate) struct Container {
    pod: PathBuf,
    log: Arc<Mutex<Log>>,
    running: Option<(Service, JoinHandle<()>)>,
}

struct Log {
    folder: PathBuf,
    starts: u32,
    rotations: u32,
    file: File,
}

impl Container {
    /// The folder of its pod's logs.
    pub(crate) fn pod(&self) -> &Path {
        &self.pod
    }

    /// It prints a line on its stdout.
    pub(crate) fn prints(&self, line: &str) {
        self.log.lock().unwrap().line("stdout", line.as_bytes());
    }

    /// It runs a service, whose stderr goes to the log.
    pub(crate) fn runs(&mut self, godebug: &str) -> &Service {
        let (reader, writer) = std::io::pipe().unwrap();
        let service = Service::start(&[], godebug, writer);
        let log = Arc::clone(&self.log);
        let copy = std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).unwrap() > 0 {
                log.lock().unwrap().line("stderr", line.strip_suffix(b"\n").unwrap_or(&line));
                line.clear();
            }
        });
        let (service, _) = self.running.insert((service, copy));
        service
    }

    /// What it runs.
    pub(crate) fn running(&self) -> &Service {
        &self.running.as_ref().unwrap().0
    }

    /// Its process ends, and all that it wrote is in the log.
    pub(crate) fn ends(&mut self) {
        let (service, copy) = self.running.take().unwrap();
        drop(service);
        copy.join().unwrap();
    }

    /// The kubelet has it started again, with a new log.
    pub(crate) fn starts_again(&self) {
        let mut log = self.log.lock().unwrap();
        log.starts += 1;
        log.file = log.open();
    }

    /// The kubelet rotates its log (pkg/kubelet/logs/container_log_manager.go, rotateLog): the older
    /// ones are compressed, the current one is renamed, and the runtime reopens it.
    pub(crate) fn rotates(&self) {
        let mut log = self.log.lock().unwrap();
        let name = log.path();
        for older in fs::read_dir(&log.folder).unwrap() {
            let older = older.unwrap().path();
            let is_plain = older.extension().is_some_and(|end| end != "gz" && end != "log");
            if is_plain && older.to_str().unwrap().starts_with(name.to_str().unwrap()) {
                compress(&older);
            }
        }
        log.rotations += 1;
        let time = format!("20261121-{:06}", 100_000 + log.rotations);
        fs::rename(&name, format!("{}.{time}", name.display())).unwrap();
        // The runtime has not reopened it yet.
        log.line("stderr", b"between two files");
        log.file = log.open();
    }

    /// The kubelet removes the pod.
    pub(crate) fn removed(self) {
        drop(self.running);
        fs::remove_dir_all(&self.pod).unwrap();
    }
}

/// Serves the logs of a pod's containers, by the code of real kubelets.
pub(crate) struct Kubelet {
    pub(crate) address: SocketAddr,
    _process: Process,
}

impl Kubelet {
    /// `pod` has a folder for each container.
    pub(crate) fn of(pod: &Path) -> Self {
        let mut command = Command::new(go::kubelet());
        command.arg("-containers").arg(pod).stdout(Stdio::piped());
        let mut process = Process(command.spawn().unwrap());
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { address: line.trim().parse().unwrap(), _process: process }
    }
}

impl Log {
    fn new(folder: PathBuf) -> Self {
        let file = File::create(folder.join("0.log")).unwrap();
        Self { folder, starts: 0, rotations: 0, file }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.starts))
    }

    fn open(&self) -> File {
        File::options().create(true).append(true).open(self.path()).unwrap()
    }

    /// Each entry by one write.
    fn line(&mut self, stream: &str, line: &[u8]) {
        let mut pieces = line.chunks(ENTRY_MAX_BYTES).peekable();
        let mut entry = |tag: &str, text: &[u8]| {
            let mut entry = format!("{} {stream} {tag} ", now()).into_bytes();
            entry.extend_from_slice(text);
            entry.push(b'\n');
            self.file.write_all(&entry).unwrap();
        };
        if line.is_empty() {
            entry("F", b"");
        }
        while let Some(piece) = pieces.next() {
            entry(if pieces.peek().is_some() { "P" } else { "F" }, piece);
        }
    }
}

/// As containerd writes it.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let second = rfc3339::second(u64::try_from(since.as_nanos()).unwrap());
    format!("{}.{:09}Z", second.trim_end_matches('Z'), since.subsec_nanos())
}

fn compress(file: &Path) {
    let being_made = PathBuf::from(format!("{}.tmp", file.display()));
    let mut out = GzEncoder::new(File::create(&being_made).unwrap(), Compression::fast());
    out.write_all(&fs::read(file).unwrap()).unwrap();
    out.finish().unwrap();
    fs::rename(&being_made, format!("{}.gz", file.display())).unwrap();
    fs::remove_file(file).unwrap();
}
