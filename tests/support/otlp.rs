//! What came by OTLP, and who takes it: a real Collector, or a receiver that does as it is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, MetricsData, NumberDataPoint, ResourceMetrics, number_data_point,
};
use prost::Message;
use rustix::process::Signal;
use tempfile::TempDir;

use super::captured::Captured;
use super::process::Process;
use super::wait::wait_until_or;
use super::{grpc, ports};

/// One point, with all that it belongs to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) resource: Arc<BTreeMap<String, String>>,
    pub(crate) name: String,
    pub(crate) unit: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) start_ns: u64,
    pub(crate) time_ns: u64,
    /// Of a histogram or summary: its sum.
    pub(crate) value: f64,
    /// Of a histogram or summary.
    pub(crate) count: Option<u64>,
    pub(crate) monotonic: bool,
    pub(crate) delta: bool,
}

impl Point {
    pub(crate) fn service(&self) -> &str {
        self.resource.get("service.name").map_or("", String::as_str)
    }

    /// What tells its stream from others.
    pub(crate) fn stream(&self) -> String {
        format!("{} {} {:?}", self.service(), self.name, self.attributes)
    }

    /// The series of the page with the same value, by the rule of docs/OTLP.md; none for our own.
    pub(crate) fn on_page(&self) -> Option<String> {
        let name = match self.name.as_str() {
            "go.goroutine.count" => "go_goroutines".into(),
            "go.processor.limit" => "go_sched_gomaxprocs_threads".into(),
            "go.memory.used" if self.attributes["go.memory.type"] == "stack" => {
                return Some(format!(
                    "go_memstats_stack_inuse_bytes{{service=\"{}\"}}",
                    self.service()
                ));
            }
            "go.memory.used" => return None,
            "go.memory.allocated" => "go_memstats_alloc_bytes_total".into(),
            "go.memory.gc.goal" => "go_memstats_next_gc_bytes".into(),
            "go.memory.gc.cycles" => "go_gc_cycles_total_gc_cycles_total".into(),
            name if name.starts_with("godebug.exporter.") || name.starts_with("process.") => {
                return None;
            }
            name => {
                let rest = name.strip_prefix("godebug.")?;
                let rest = rest.replace('.', "_");
                let counted = self.monotonic && self.count.is_none();
                let rest = if counted && self.unit == "s" {
                    rest.trim_end_matches("_time")
                } else {
                    &rest
                };
                let unit = match self.unit.as_str() {
                    "By" => "_bytes",
                    "s" => "_seconds",
                    "{goroutine}/s" => "_per_second",
                    _ => "",
                };
                format!("go_{rest}{unit}{}", if counted { "_total" } else { "" })
            }
        };
        let labels = self.attributes.iter().map(|(name, value)| format!(",{name}=\"{value}\""));
        let labels: String = labels.collect();
        Some(format!("{name}{{service=\"{}\"{labels}}}", self.service()))
    }
}

/// Every point of a message.
pub(crate) fn points(resources: &[ResourceMetrics]) -> Vec<Point> {
    let mut all = Vec::new();
    for of in resources {
        let resource = Arc::new(texts(&of.resource.as_ref().unwrap().attributes));
        for scope in &of.scope_metrics {
            assert_eq!(scope.scope.as_ref().unwrap().name, "godebug-exporter");
            for metric in &scope.metrics {
                let point = |attributes: &[KeyValue], start_ns, time_ns| Point {
                    resource: Arc::clone(&resource),
                    name: metric.name.clone(),
                    unit: metric.unit.clone(),
                    attributes: texts(attributes),
                    start_ns,
                    time_ns,
                    value: 0.0,
                    count: None,
                    monotonic: true,
                    delta: false,
                };
                all.extend(of_metric(metric.data.as_ref().unwrap(), &point));
            }
        }
    }
    all
}

fn of_metric(data: &Data, point: &dyn Fn(&[KeyValue], u64, u64) -> Point) -> Vec<Point> {
    const DELTA: i32 = AggregationTemporality::Delta as i32;
    let number = |one: &NumberDataPoint, monotonic, delta| Point {
        value: match one.value.unwrap() {
            number_data_point::Value::AsDouble(x) => x,
            number_data_point::Value::AsInt(n) => n as f64,
        },
        monotonic,
        delta,
        ..point(&one.attributes, one.start_time_unix_nano, one.time_unix_nano)
    };
    match data {
        Data::Gauge(gauge) => {
            gauge.data_points.iter().map(|one| number(one, false, false)).collect()
        }
        Data::Sum(sum) => {
            let delta = sum.aggregation_temporality == DELTA;
            sum.data_points.iter().map(|one| number(one, sum.is_monotonic, delta)).collect()
        }
        Data::Histogram(histogram) => {
            let delta = histogram.aggregation_temporality == DELTA;
            let points = histogram.data_points.iter().map(|one| {
                assert_eq!(one.bucket_counts.iter().sum::<u64>(), one.count);
                assert_eq!(one.bucket_counts.len(), one.explicit_bounds.len() + 1);
                let point = point(&one.attributes, one.start_time_unix_nano, one.time_unix_nano);
                Point { value: one.sum.unwrap_or_default(), count: Some(one.count), delta, ..point }
            });
            points.collect()
        }
        Data::ExponentialHistogram(histogram) => {
            let delta = histogram.aggregation_temporality == DELTA;
            let points = histogram.data_points.iter().map(|one| {
                let counts = one.positive.iter().flat_map(|buckets| &buckets.bucket_counts);
                assert_eq!(counts.sum::<u64>() + one.zero_count, one.count);
                let point = point(&one.attributes, one.start_time_unix_nano, one.time_unix_nano);
                Point { value: one.sum.unwrap_or_default(), count: Some(one.count), delta, ..point }
            });
            points.collect()
        }
        Data::Summary(summary) => {
            let points = summary.data_points.iter().map(|one| {
                let point = point(&one.attributes, one.start_time_unix_nano, one.time_unix_nano);
                Point { value: one.sum, count: Some(one.count), ..point }
            });
            points.collect()
        }
    }
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match &pair.value.as_ref().unwrap().value {
        Some(any_value::Value::StringValue(text)) => (pair.key.clone(), text.clone()),
        other => panic!("{}: {other:?}", pair.key),
    };
    attributes.iter().map(text).collect()
}

/// A real OpenTelemetry Collector, which writes what it takes into a file.
pub(crate) struct Collector {
    process: Process,
    pub(crate) grpc: SocketAddr,
    pub(crate) http: SocketAddr,
    log: Captured,
    folder: TempDir,
}

impl Collector {
    /// `tls`: the settings of the receiver's TLS, if it is to have any.
    pub(crate) fn start(tls: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (grpc, http) = (ports::free(), ports::free());
        let tls = if tls.is_empty() { String::new() } else { format!(", tls: {tls}") };
        let config = folder.path().join("collector.yaml");
        let text = format!(
            "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'{tls}}}, http: {{endpoint: '{http}'{tls}}}}}}}}}\n\
             exporters: {{file: {{path: '{}', format: proto, append: true, flush_interval: 100ms}}}}\n\
             service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{metrics: {{receivers: [otlp], exporters: [file]}}}}}}\n",
            folder.path().join("taken").display()
        );
        std::fs::write(&config, text).unwrap();
        let (process, log) = launched(&config);
        Self { process, grpc, http, log, folder }
    }

    /// It goes away, as at an update.
    pub(crate) fn stop(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.end("the Collector");
    }

    /// It is there again, where it was, and keeps what it had.
    pub(crate) fn start_again(&mut self) {
        (self.process, self.log) = launched(&self.folder.path().join("collector.yaml"));
    }

    /// What it has taken so far.
    pub(crate) fn taken(&self) -> Vec<Point> {
        let bytes = std::fs::read(self.folder.path().join("taken")).unwrap_or_default();
        let mut rest = bytes.as_slice();
        let mut all = Vec::new();
        // Each message stands behind its length; the last may not be whole yet.
        while let Some((length, more)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            let Some((message, more)) = more.split_at_checked(length) else { break };
            all.extend(points(&MetricsData::decode(message).unwrap().resource_metrics));
            rest = more;
        }
        all
    }

    pub(crate) fn log(&self) -> String {
        self.log.text()
    }
}

fn launched(config: &Path) -> (Process, Captured) {
    let mut child = Command::new(tool("otelcol-", "otel-collector"))
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = Captured::of(child.stderr.take().unwrap());
    let process = Process(child);
    log.line("the Collector is ready", |line| line.contains("Everything is ready").then_some(()));
    (process, log)
}

/// A program that tests/toolchains.sh builds.
pub(crate) fn tool(prefix: &str, name: &str) -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let folder = cache.join("godebug-exporter/bin");
    let all = std::fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let is_it = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    all.filter(is_it)
        .max()
        .unwrap_or_else(|| panic!("{name} is missing: run tests/toolchains.sh {name}"))
}

/// What a receiver answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reply {
    Take,
    /// It takes all but so many points.
    Partial(i64),
    /// A status, with a header Retry-After if it says seconds.
    Status(u16, Option<u64>),
    /// A code of gRPC, with RetryInfo if it says seconds.
    Code(u16, Option<u64>),
    /// It reads the request and closes the connection.
    Close,
    /// It reads the request and says nothing.
    Hang,
}

/// A request that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) at: Instant,
    pub(crate) head: String,
    pub(crate) points: Vec<Point>,
    pub(crate) reply: Reply,
}

/// A receiver that answers as it is told.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
}

/// What came, and what comes next.
#[derive(Debug)]
struct Script {
    came: Vec<Came>,
    /// The last is the next.
    next: Vec<Reply>,
    after: Reply,
    /// Whatever has this service is answered so.
    of_service: Option<(String, Reply)>,
}

impl Script {
    fn came(&mut self, head: String, message: &[u8]) -> Reply {
        let request = ExportMetricsServiceRequest::decode(message).unwrap();
        let points = points(&request.resource_metrics);
        let has = |service: &str| points.iter().any(|point| point.service() == service);
        let reply = match &self.of_service {
            Some((service, reply)) if has(service) => *reply,
            _ => self.next.pop().unwrap_or(self.after),
        };
        self.came.push(Came { at: Instant::now(), head, points, reply });
        reply
    }
}

impl Receiver {
    /// By OTLP/HTTP.
    pub(crate) fn start(script: &[Reply], after: Reply) -> Self {
        let (this, listener) = Self::bound(script, after);
        let script = Arc::clone(&this.script);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &script);
            }
        });
        this
    }

    /// By OTLP/gRPC.
    pub(crate) fn start_grpc(script: &[Reply], after: Reply) -> Self {
        let (this, listener) = Self::bound(script, after);
        let script = Arc::clone(&this.script);
        let take = move |head, compressed, message: &[u8]| {
            let message = if compressed { unpacked(message) } else { message.to_vec() };
            match script.lock().unwrap().came(head, &message) {
                Reply::Take => Some(Ok(Vec::new())),
                Reply::Partial(rejected) => Some(Ok(partial(rejected))),
                Reply::Code(code, wait) => Some(Err((code, wait))),
                Reply::Status(..) | Reply::Close => panic!("not by gRPC"),
                Reply::Hang => None,
            }
        };
        std::thread::spawn(move || {
            let take: Arc<grpc::Take> = Arc::new(take);
            grpc::serve(listener, &take);
        });
        this
    }

    fn bound(script: &[Reply], after: Reply) -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let next = script.iter().rev().copied().collect();
        let script = Script { came: Vec::new(), next, after, of_service: None };
        let address = listener.local_addr().unwrap();
        (Self { address, script: Arc::new(Mutex::new(script)) }, listener)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on it answers so.
    pub(crate) fn reply(&self, reply: Reply) {
        let mut script = self.script.lock().unwrap();
        script.next.clear();
        script.after = reply;
    }

    /// From now on it answers so whatever has points of this service.
    pub(crate) fn reply_to(&self, service: &str, reply: Reply) {
        self.script.lock().unwrap().of_service = Some((service.to_owned(), reply));
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.script.lock().unwrap().came.clone()
    }

    /// Waits until what came is as it should be.
    pub(crate) fn wait<T>(&self, what: &str, mut look: impl FnMut(&[Came]) -> Option<T>) -> T {
        let told = || {
            let came = self.came();
            let short = came.iter().map(|one| (one.at, one.reply, one.points.len()));
            format!("{:#?}", short.collect::<Vec<_>>())
        };
        wait_until_or(what, || look(&self.came()), told)
    }
}

fn serve(mut stream: TcpStream, script: &Mutex<Script>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut head, mut line) = (String::new(), String::new());
    while reader.read_line(&mut line).unwrap() > 0 && line != "\r\n" {
        head.push_str(&line.to_ascii_lowercase());
        line.clear();
    }
    let header = |name: &str| {
        let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.map(|value| value.trim().to_owned())
    };
    let Some(length) = header("content-length") else { return };
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    if header("content-encoding").as_deref() == Some("gzip") {
        body = unpacked(&body);
    }
    let reply = script.lock().unwrap().came(head.clone(), &body);
    // Whoever sent it may be gone.
    let _gone = answer(&mut stream, reply);
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

fn partial(rejected_data_points: i64) -> Vec<u8> {
    let error_message = "these are too many".into();
    let partial = ExportMetricsPartialSuccess { rejected_data_points, error_message };
    ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec()
}

fn answer(stream: &mut TcpStream, reply: Reply) -> std::io::Result<()> {
    let ok = |stream: &mut TcpStream, body: &[u8]| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat())
    };
    match reply {
        Reply::Take => ok(stream, b""),
        Reply::Partial(rejected) => ok(stream, &partial(rejected)),
        Reply::Code(..) => panic!("not by HTTP"),
        Reply::Status(code, after) => {
            let after = after.map(|after| format!("Retry-After: {after}\r\n")).unwrap_or_default();
            let head = format!(
                "HTTP/1.1 {code} No\r\n{after}Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes())
        }
        Reply::Close => Ok(()),
        Reply::Hang => {
            // Until the other side has had enough.
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.read(&mut [0]).map(|_| ())
        }
    }
}
