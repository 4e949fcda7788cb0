//! The keys of the config file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::container::Container;
use super::endpoint::{Endpoint, is_tls};
use super::exposition::exposition;
use super::fields::{Fields, Problems};
use super::http::Http;
use super::leak_detector::leak_detector;
use super::listen::Listen;
use super::node::{self, Node, Value};
use super::otlp::Otlp;
use super::pprof::Pprof;
use super::probe::Probe;
use super::units::{duration, size};
use super::web::Web;
use super::{
    Config, Expvar, LINE_MAX_BYTES, LISTEN, Log, Problem, STATE_INTERVAL, Service, StartAt, State,
    Trace, TraceSource, Watch, discovery, endpoint, pod_log, rules,
};
use crate::model::leak::Params;
use crate::model::service::{Identity, Label, ServiceName};
use crate::model::wrapping::Wrapping;

/// Longest line that may be kept, in bytes: it is held in memory for each service.
const LINE_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// Bounds of the time between two saves: each waits for the disk, and after a crash of the machine
/// so much is read again.
const STATE_INTERVAL_MIN: Duration = Duration::from_secs(1);
const STATE_INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// Reads a config.
///
/// # Errors
/// Every problem it has, in the order of the file.
pub fn read(text: &str) -> Result<Config, Vec<Problem>> {
    let root = node::read(text).map_err(|problem| vec![problem])?;
    let problems = Problems::default();
    let config = root_fields(&root, &problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems.into_sorted()),
    }
}

fn root_fields(root: &Node, problems: &Problems) -> Option<Config> {
    if matches!(root.value, Value::Null) {
        problems.add(1, "", "the file is empty; it needs at least services");
        return None;
    }
    let mut fields = Fields::of(root, "", problems)?;
    let listen = Listen::read(&mut fields).unwrap_or_else(|| vec![Listen::Tcp(LISTEN)]);
    let log = fields.map("log").map(log).unwrap_or_default();
    let leaks = fields.map("leak_detector").map(|keys| leak_detector(keys, &Params::default()));
    let probe = fields.map("probe").and_then(Probe::read);
    let exposition = fields.map("metrics").map(exposition).unwrap_or_default();
    let otlp = fields.map("otlp").map(Otlp::read);
    let leaks = Arc::new(leaks.unwrap_or_default());
    let services = services(&mut fields, &leaks, problems);
    let discovery = discovery::read(&mut fields, &leaks, problems);
    let web = fields.map("web").map(Web::read).unwrap_or_default();
    let state = fields.map("state").and_then(state);
    fields.finish();
    let ignored = Vec::new();
    Some(Config { listen, log, exposition, services, discovery, state, web, probe, otlp, ignored })
}

fn state(mut fields: Fields<'_>) -> Option<State> {
    let directory = fields.parsed("directory", state_directory);
    if fields.get("directory").is_none() {
        fields.problem(
            fields.line(),
            "directory",
            "is missing; write it like /var/lib/godebug-exporter",
        );
    }
    let interval = fields.parsed("interval", state_interval).unwrap_or(STATE_INTERVAL);
    fields.finish();
    Some(State { directory: directory?, interval })
}

/// Reads the path of a state directory.
///
/// # Errors
/// What a right one looks like.
pub fn state_directory(text: &str) -> Result<PathBuf, &'static str> {
    if text.is_empty() { Err("must not be empty") } else { Ok(text.into()) }
}

fn state_interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if (STATE_INTERVAL_MIN..=STATE_INTERVAL_MAX).contains(&interval) {
        Ok(interval)
    } else {
        Err("must be between 1s and 1h".into())
    }
}

fn log(mut fields: Fields<'_>) -> Log {
    let default = Log::default();
    let level = fields.parsed("level", log_level).unwrap_or(default.level);
    let format = fields.parsed("format", str::parse).unwrap_or(default.format);
    fields.finish();
    Log { level, format }
}

/// Reads a level's name.
///
/// # Errors
/// The names.
pub fn log_level(text: &str) -> Result<LevelFilter, &'static str> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        _ => Err("must be error, warn, info or debug"),
    }
}

fn services(fields: &mut Fields<'_>, leaks: &Arc<Params>, problems: &Problems) -> Vec<Service> {
    let Some(items) = fields.list("services") else {
        if fields.get("services").is_none() && !fields.has("probe") && !fields.has("discovery") {
            fields.problem(fields.line(), "services", "is missing; it is a list with a name and at least one of trace, expvar, pprof for each service");
        }
        return Vec::new();
    };
    if items.is_empty() {
        fields.problem(fields.line(), "services", "must not be empty");
    }
    let mut lines_by_name: HashMap<ServiceName, u64> = HashMap::new();
    let mut stdin_line = None;
    let mut services = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let path = format!("services[{i}]");
        let service = |fields| service(fields, leaks);
        let Some(service) = Fields::of(item, &path, problems).and_then(service) else { continue };
        if let Some(first) = lines_by_name.insert(service.identity.service.clone(), item.line) {
            let what = format!(
                "the name {:?} is taken by the service at line {first}; names must differ",
                service.identity.service.as_str()
            );
            problems.add(item.line, &format!("{path}.name"), what);
        }
        if matches!(service.trace, Some(Trace { source: TraceSource::Stdin, .. }))
            && let Some(first) = stdin_line.replace(item.line)
        {
            problems.add(
                item.line,
                &format!("{path}.trace.stdin"),
                format!("the service at line {first} reads stdin already"),
            );
        }
        services.push(service);
    }
    services
}

/// Reads one service.
pub(super) fn service(mut fields: Fields<'_>, leaks: &Arc<Params>) -> Option<Service> {
    let name = fields.parsed("name", ServiceName::new);
    if name.is_none() && fields.get("name").is_none() {
        fields.problem(
            fields.line(),
            "name",
            "is missing; it becomes the label service of every series",
        );
    }
    let labels = fields.map("labels").map(labels).unwrap_or_default();
    let trace = fields.map("trace").and_then(trace);
    let expvar = fields.map("expvar").and_then(|fields| expvar(fields, &labels));
    let pprof = fields.map("pprof").and_then(Pprof::read);
    let endpoints = expvar.iter().map(|expvar| &expvar.endpoint);
    let endpoints = endpoints.chain(pprof.iter().map(|pprof| &pprof.endpoint));
    let http = http_of(&mut fields, endpoints);
    let container = fields.map("container").and_then(Container::read);
    let runqueue_per_p = fields.flag("runqueue_per_p");
    let own_leaks = fields.map("leak_detector").map(|keys| Arc::new(leak_detector(keys, leaks)));
    if ["trace", "expvar", "pprof"].iter().all(|key| fields.get(key).is_none()) {
        fields.problem_at_map("has no source; give it at least one of trace, expvar, pprof");
    }
    let names = pprof.iter().flat_map(|pprof| pprof.label_names.iter());
    for name in names.filter(|name| labels.iter().any(|label| label.name() == &***name)) {
        let what = format!("{name} is a label of the service already");
        fields.problem(fields.line(), "pprof.labels", what);
    }
    fields.finish();
    Some(Service {
        identity: Identity::new(name?, labels),
        trace,
        expvar,
        http,
        pprof,
        container,
        runqueue_per_p,
        leak_detector: own_leaks.unwrap_or_else(|| Arc::clone(leaks)),
    })
}

/// How the endpoints are reached; what cannot matter to any of them is a mistake.
fn http_of<'e>(fields: &mut Fields<'_>, mut endpoints: impl Iterator<Item = &'e Endpoint>) -> Http {
    let Some(map) = fields.map("http") else { return Http::default() };
    let names_tls = map.has("tls_config");
    let line = map.line();
    let http = Http::read(map);
    if ["expvar", "pprof"].iter().all(|key| fields.get(key).is_none()) {
        fields.problem(
            line,
            "http",
            "belongs to an endpoint; this service has no expvar and no pprof",
        );
    } else if names_tls && !endpoints.any(|endpoint| is_tls(&endpoint.url)) {
        fields.problem(line, "http.tls_config", "has no use: no url begins with https://");
    }
    http
}

fn labels(fields: Fields<'_>) -> Vec<Label> {
    let mut labels = Vec::new();
    for (name, value) in fields.entries() {
        match (&name.value, &value.value) {
            (Value::Text(name_text), Value::Text(text)) => match Label::new(name_text, text) {
                Ok(label) => labels.push(label),
                Err(what) => fields.problem(name.line, name_text, what),
            },
            (Value::Text(name_text), other) => {
                fields.problem(
                    value.line,
                    name_text,
                    format!("must be text, is {}; put it in quotes", other.kind()),
                );
            }
            (other, _) => fields.problem(
                name.line,
                "?",
                format!("a label's name must be text, is {}", other.kind()),
            ),
        }
    }
    labels
}

fn trace(mut fields: Fields<'_>) -> Option<Trace> {
    let file = fields.parsed("file", file_or_pattern);
    let from = fields.parsed("from", start_at);
    let watch = fields.parsed("watch", watch);
    let fifo = fields.text("fifo").map(|(_, path)| PathBuf::from(path));
    let stdin = fields.flag("stdin");
    let command = command(&mut fields);
    let pod_log =
        fields.map("kubernetes").and_then(|keys| pod_log::read(keys, from.unwrap_or_default()));
    let max_line_bytes = fields.parsed("max_line", line_size).unwrap_or(LINE_MAX_BYTES);
    let wrapping = fields.parsed("format", str::parse::<Wrapping>);
    let is_file = file.is_some();
    if from.is_some() && !is_file && !fields.has("kubernetes") {
        fields.problem(fields.line(), "from", "belongs to file and kubernetes only");
    }
    for (key, given) in [("watch", watch.is_some()), ("format", wrapping.is_some())] {
        if given && !is_file {
            fields.problem(fields.line(), key, "belongs to file only");
        }
    }
    let mut sources: Vec<TraceSource> = Vec::new();
    let (from, watch) = (from.unwrap_or_default(), watch.unwrap_or_default());
    sources.extend(file.map(|path| TraceSource::File { path, from, watch }));
    sources.extend(fifo.map(TraceSource::Fifo));
    sources.extend(stdin.then_some(TraceSource::Stdin));
    sources.extend(command.map(TraceSource::Command));
    sources.extend(pod_log.map(TraceSource::Kubernetes));
    if sources.len() > 1 {
        fields.problem_at_map(
            "has more than one source; give one of file, fifo, stdin, command, kubernetes",
        );
    }
    if sources.is_empty()
        && !["file", "fifo", "command", "kubernetes"].iter().any(|key| fields.get(key).is_some())
    {
        fields.problem_at_map("has no source; give one of file, fifo, stdin, command, kubernetes");
    }
    fields.finish();
    let wrapping = wrapping.unwrap_or_default();
    Some(Trace { source: sources.into_iter().next()?, max_line_bytes, wrapping })
}

/// Reads a path, or a pattern of paths.
///
/// # Errors
/// What is wrong with the pattern.
pub fn file_or_pattern(text: &str) -> Result<PathBuf, String> {
    match glob::Pattern::new(text) {
        Ok(_) => Ok(PathBuf::from(text)),
        Err(error) => Err(format!("is not a pattern: {} (at its byte {})", error.msg, error.pos)),
    }
}

fn watch(text: &str) -> Result<Watch, &'static str> {
    match text {
        "auto" => Ok(Watch::Auto),
        "poll" => Ok(Watch::Poll),
        _ => Err("must be auto or poll"),
    }
}

pub(super) fn start_at(text: &str) -> Result<StartAt, &'static str> {
    let written = StartAt::named(text).filter(|from| *from != StartAt::Oldest);
    written.ok_or("must be end or beginning")
}

fn line_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes @ 1024..=LINE_LIMIT_BYTES => Ok(bytes),
        _ => Err("must be between 1KiB and 16MiB".into()),
    }
}

fn command(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let items = fields.list("command")?;
    let line = items.first().map_or(fields.line(), |item| item.line);
    let words: Option<Vec<String>> = items
        .iter()
        .map(|item| match &item.value {
            Value::Text(word) => Some(word.clone()),
            Value::Integer(n) => Some(n.to_string()),
            _ => None,
        })
        .collect();
    match words {
        Some(words) if words.first().is_some_and(|program| !program.is_empty()) => Some(words),
        _ => {
            fields.problem(line, "command", "must be a program and its arguments as a list of texts: [journalctl, -f, -u, checkout]");
            None
        }
    }
}

fn expvar(mut fields: Fields<'_>, labels: &[Label]) -> Option<Expvar> {
    let endpoint = endpoint::EXPVAR.read(&mut fields);
    let by_size = fields.flag("by_size");
    let variables = Arc::new(rules::read(&mut fields, labels));
    fields.finish();
    Some(Expvar { endpoint: endpoint?, by_size, variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        read(text).expect_err("the config has problems").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_least_config_has_every_default() {
        let config = read("services:\n  - name: a\n    trace: {stdin: true}\n").unwrap();
        assert_eq!(config.listen, [Listen::Tcp(LISTEN)]);
        let service = &config.services[0];
        assert_eq!(service.trace.as_ref().unwrap().source, TraceSource::Stdin);
        assert!(service.expvar.is_none() && !service.runqueue_per_p);
    }

    #[test]
    fn every_problem_is_told_at_once_with_its_line_and_what_would_be_right() {
        let text = "listen: 10390\nlogs: {}\nservices:\n  - name: a\n    trace: {file: /x, from: start}\n    labels: {service: b, ok: 1}\n  - name: a\n    expvar: {url: ftp://x, interval: 5, timeout: 0s}\n  - trace: {stdin: true, fifo: /y}\n    max: 3\n  - name: c\n";
        let expected = [
            "line 1: listen: \"10390\" is not an address and a port; write it like 0.0.0.0:10390, 127.0.0.1:10390 or [::]:10390",
            "line 2: logs: is not a key; did you mean log?",
            "line 5: services[0].trace.from: must be end or beginning",
            "line 6: services[0].labels.service: this label is set by the exporter itself or by Prometheus; choose another name",
            "line 6: services[0].labels.ok: must be text, is a number; put it in quotes",
            "line 8: services[1].expvar.url: must begin with http:// or https:// and a host; write it like http://127.0.0.1:6060/debug/vars",
            "line 8: services[1].expvar.interval: \"5\" is not a duration; write a number with a unit: 250ms, 15s, 10m, 1h; or scrape, to read when /metrics is read",
            "line 8: services[1].expvar.timeout: must be more than 0",
            "line 9: services[2].name: is missing; it becomes the label service of every series",
            "line 9: services[2].trace: has more than one source; give one of file, fifo, stdin, command, kubernetes",
            "line 10: services[2].max: is not a key; the keys here are name, labels, trace, expvar, pprof, http, container, runqueue_per_p, leak_detector",
            "line 11: services[3]: has no source; give it at least one of trace, expvar, pprof",
        ];
        let mut found = problems(text);
        found.retain(|line| !line.contains("is taken"));
        assert_eq!(found, expected);
        assert!(problems(text).iter().any(|line| line.starts_with(
            "line 7: services[1].name: the name \"a\" is taken by the service at line 4"
        )));
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_line() {
        let found = problems("services:\n  - name: [a\n");
        assert!(found[0].starts_with("line ") && found[0].contains("not valid YAML"), "{found:?}");
        assert!(problems("")[0].contains("empty"));
        assert!(problems("- a")[0].contains("must be a map of keys, is a list"));
    }

    #[test]
    fn a_problem_is_one_line_whatever_the_keys_are() {
        assert!(problems("\"a\\nb\": 1\n").iter().all(|problem| !problem.contains('\n')));
    }
}
