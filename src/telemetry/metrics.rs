//! The exporter's own metrics, in the `prometheus` crate's registry.

use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricFamily;
use prometheus::{
    Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
};

use super::build::BUILD;
use super::registrar::{Described, Registrar};

/// All metrics about ourselves.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field's help text is beside its name below")]
pub struct Metrics {
    /// One for each, in the order of their names.
    registries: Vec<Registry>,
    described: Vec<Described>,
    pub records: IntCounterVec,
    pub recovered: IntCounterVec,
    pub malformed: IntCounterVec,
    pub lost: IntCounterVec,
    pub unknown_forms: IntCounterVec,
    pub crash_dumps: IntCounterVec,
    pub bytes: IntCounterVec,
    pub lines: IntCounterVec,
    pub lines_too_long: IntCounterVec,
    pub entries_malformed: IntCounterVec,
    pub source_up: IntGaugeVec,
    pub source_errors: IntCounterVec,
    pub lag: IntGaugeVec,
    pub files: IntGaugeVec,
    pub files_passed_over: IntGaugeVec,
    pub rotations: IntCounterVec,
    pub gaps: IntCounterVec,
    pub stderr_dropped: IntCounterVec,
    pub exec_restarts: IntCounterVec,
    pub exec_unread: IntCounterVec,
    pub scrape_success: IntGaugeVec,
    pub scrape_duration: GaugeVec,
    pub scrape_interval: GaugeVec,
    pub scrape_last_success: GaugeVec,
    pub scrapes: IntCounterVec,
    pub scrape_errors: IntCounterVec,
    pub scrapes_late: IntCounterVec,
    pub probe_errors: IntCounterVec,
    pub unreadable_vars: IntCounterVec,
    pub dropped_vars: IntCounterVec,
    pub retyped_vars: IntCounterVec,
    pub state_saves: IntCounter,
    pub state_save_errors: IntCounterVec,
    pub state_last_save: Gauge,
    pub state_load_errors: IntCounterVec,
    pub capability: IntGaugeVec,
    pub otlp_requests: IntCounterVec,
    pub otlp_errors: IntCounterVec,
    pub otlp_points: IntCounterVec,
    pub otlp_duration: GaugeVec,
    pub otlp_last_success: GaugeVec,
    pub otlp_queue_points: IntGaugeVec,
    pub otlp_queue_bytes: IntGaugeVec,
    pub discovery_services: IntGaugeVec,
    pub discovery_refused: IntGauge,
    pub discovery_errors: IntCounterVec,
    pub discovery_last_success: GaugeVec,
    pub config_reloads: IntCounterVec,
    pub config_reload_success: IntGauge,
    pub config_last_reload: Gauge,
    pub web_reloads: IntCounterVec,
    pub web_reload_success: IntGaugeVec,
    pub http_requests: IntCounterVec,
    pub http_connections: IntGauge,
    pub http_refused: IntCounter,
    pub http_ended: IntCounterVec,
    pub tasks_lost: IntCounter,
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("godebug_exporter_{name}"), help)
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A name is wrong or used twice: a defect of this file.
    #[expect(clippy::too_many_lines, reason = "a table: one entry a metric")]
    pub fn new() -> Result<Self> {
        let registrar = Registrar::default();
        let r = &registrar;
        let counters = |name, help, labels: &[&str]| {
            r.registered(IntCounterVec::new(options(name, help), labels))
        };
        let gauges = |name, help, labels: &[&str]| {
            r.registered(IntGaugeVec::new(options(name, help), labels))
        };
        let floats =
            |name, help, labels: &[&str]| r.registered(GaugeVec::new(options(name, help), labels));
        let mut metrics = Self {
            records: counters(
                "records_total",
                "Trace records read, by kind.",
                &["service", "kind"],
            )?,
            recovered: counters(
                "records_recovered_total",
                "Trace records among those read that the service's own lines had torn, put together again.",
                &["service", "kind"],
            )?,
            malformed: counters(
                "records_malformed_total",
                "Lines that look like a trace and do not parse: torn, cut, or words of the service.",
                &["service", "kind"],
            )?,
            lost: counters(
                "records_lost_total",
                "Records given up because not all of them is certain: torn by the service's own lines, cut by the end of a source, or a block with a line missing.",
                &["service", "kind", "reason"],
            )?,
            unknown_forms: counters(
                "unknown_forms_total",
                "Trace lines in a form that no known Go release prints; only those of their fields are used that are certain. The log shows a sample of each kind.",
                &["service", "kind"],
            )?,
            crash_dumps: counters(
                "crash_dumps_total",
                "Scheduler dumps that the runtime printed while it crashed; not counted as samples.",
                &["service"],
            )?,
            bytes: counters("read_bytes_total", "Bytes read from trace sources.", &["service"])?,
            lines: counters(
                "lines_total",
                "Lines read from trace sources, the service's own included.",
                &["service"],
            )?,
            lines_too_long: counters(
                "lines_too_long_total",
                "Lines longer than max_line, which were passed over.",
                &["service"],
            )?,
            entries_malformed: counters(
                "log_entries_malformed_total",
                "Lines of a container's log file (CRI, Docker) that are no entries of its form.",
                &["service"],
            )?,
            source_up: gauges(
                "source_up",
                "Whether a trace source can be read (1) or not (0).",
                &["service", "source"],
            )?,
            source_errors: counters(
                "source_errors_total",
                "Failures to open or read a trace source, by reason.",
                &["service", "source", "reason"],
            )?,
            lag: gauges(
                "file_lag_bytes",
                "Bytes of the followed files that are not read yet.",
                &["service"],
            )?,
            files: gauges(
                "files_followed",
                "Files followed for a service whose config names a pattern.",
                &["service"],
            )?,
            files_passed_over: gauges(
                "files_passed_over",
                "Files that match a service's pattern and are not followed, because there are too many.",
                &["service"],
            )?,
            rotations: counters(
                "file_rotations_total",
                "Changes of the followed file, by how it was rotated.",
                &["service", "how"],
            )?,
            gaps: counters(
                "file_gaps_total",
                "Times that bytes of a followed file may have been lost before they were read, by reason.",
                &["service", "reason"],
            )?,
            stderr_dropped: counters(
                "stderr_dropped_bytes_total",
                "Bytes of the service's stderr not passed on, because whoever reads ours stood still.",
                &["service"],
            )?,
            exec_restarts: counters(
                "exec_restarts_total",
                "Times that the exporter process was started again while the command went on.",
                &["service"],
            )?,
            exec_unread: counters(
                "exec_unread_bytes_total",
                "Bytes of the service's stderr passed on unread, trace lines and all, while there was no exporter process.",
                &["service"],
            )?,
            scrape_success: gauges(
                "scrape_success",
                "Whether the last read of an endpoint succeeded.",
                &["service", "source"],
            )?,
            scrape_duration: floats(
                "scrape_duration_seconds",
                "How long the last read of an endpoint took.",
                &["service", "source"],
            )?,
            scrape_interval: floats(
                "scrape_interval_seconds",
                "Least time between two reads of an endpoint at present: as the config says, or longer where a read takes the service so long that reads would take more than max_share of the time; 0 if it is read when we are.",
                &["service", "source"],
            )?,
            scrape_last_success: floats(
                "scrape_last_success_timestamp_seconds",
                "When an endpoint was last read with success, in seconds since 1970; 0 if never.",
                &["service", "source"],
            )?,
            scrapes: counters("scrapes_total", "Reads of an endpoint.", &["service", "source"])?,
            scrape_errors: counters(
                "scrape_errors_total",
                "Reads of an endpoint that failed, by reason.",
                &["service", "source", "reason"],
            )?,
            scrapes_late: counters(
                "scrapes_late_total",
                "Answers to /metrics that did not wait for the read of an endpoint to end, because Prometheus' scrape timeout was near; they show what was read before.",
                &["service", "source"],
            )?,
            probe_errors: counters(
                "probe_errors_total",
                "Targets of /probe that could not be read, by reason; the answer says which it was.",
                &["reason"],
            )?,
            unreadable_vars: counters(
                "expvar_unreadable_total",
                "Variables of /debug/vars whose value is not JSON and could not be read.",
                &["service"],
            )?,
            dropped_vars: counters(
                "expvar_dropped_total",
                "Variables of /debug/vars that were not exported, by reason; each read counts them again, and each page those whose name has another type in another service (other_type).",
                &["service", "reason"],
            )?,
            retyped_vars: counters(
                "expvar_retyped_total",
                "Variables of /debug/vars that were taken for counters and have fallen, and are gauges since.",
                &["service"],
            )?,
            state_saves: r.registered(IntCounter::with_opts(options("state_saves_total", "States of services saved.")),
            )?,
            state_save_errors: counters(
                "state_save_errors_total",
                "States of services that could not be saved, by reason.",
                &["reason"],
            )?,
            state_last_save: r.registered(Gauge::with_opts(options(
                    "state_last_save_timestamp_seconds",
                    "When a service's state was last saved, in seconds since 1970; 0 if never.",
                )),
            )?,
            state_load_errors: counters(
                "state_load_errors_total",
                "Saved states that were not used when the exporter started, by reason; the counters of that service began at 0.",
                &["reason"],
            )?,
            capability: gauges(
                "capability",
                "Whether a service offers this source of data: 1 if it does, read or not, 0 if it does not, absent while it is not known. /api/v1/services has what to add.",
                &["service", "capability"],
            )?,
            otlp_requests: counters(
                "otlp_requests_total",
                "Requests sent by OTLP, by outcome: taken (success), taken but for some points (partial), not taken and sent again later (retried), refused for good (refused).",
                &["outcome"],
            )?,
            otlp_errors: counters(
                "otlp_errors_total",
                "Requests by OTLP that were not taken, by reason.",
                &["reason"],
            )?,
            otlp_points: counters(
                "otlp_points_total",
                "Data points of OTLP, by fate: sent, rejected by the receiver, superseded by newer ones before they could be sent, dropped (refused, or no room or time for them; deltas come again).",
                &["fate"],
            )?,
            otlp_duration: floats(
                "otlp_request_duration_seconds",
                "How long the last request by OTLP took.",
                &[],
            )?,
            otlp_last_success: floats(
                "otlp_last_success_timestamp_seconds",
                "When a request by OTLP was last taken, in seconds since 1970; 0 if never.",
                &[],
            )?,
            otlp_queue_points: gauges(
                "otlp_queue_points",
                "Data points that wait to be sent by OTLP.",
                &[],
            )?,
            otlp_queue_bytes: gauges(
                "otlp_queue_bytes",
                "Bytes that wait to be sent by OTLP.",
                &[],
            )?,
            discovery_services: gauges(
                "discovery_services",
                "Services that discovery brought, by state: found, or vanished, whose series stay for the grace.",
                &["state"],
            )?,
            discovery_refused: r.registered(IntGauge::with_opts(options(
                    "discovery_targets_refused",
                    "Targets that discovery found and that are no service: a label is missing, a name is taken; the log says which.",
                )),
            )?,
            discovery_errors: counters(
                "discovery_errors_total",
                "Looks for targets that failed, by mechanism: file, http, dns. The services of before go on.",
                &["mechanism"],
            )?,
            discovery_last_success: floats(
                "discovery_last_success_timestamp_seconds",
                "When targets were last looked for with success, by mechanism, in seconds since 1970.",
                &["mechanism"],
            )?,
            config_reloads: counters(
                "config_reloads_total",
                "Times that the config was read again, by result: success, or failure, after which the old one goes on.",
                &["result"],
            )?,
            config_reload_success: r.registered(IntGauge::with_opts(options(
                    "config_last_reload_successful",
                    "Whether the config was right when it was read last (1) or not (0).",
                )),
            )?,
            config_last_reload: r.registered(Gauge::with_opts(options(
                    "config_last_reload_success_timestamp_seconds",
                    "When a config that was right was read last, in seconds since 1970; 0 if never since the start.",
                )),
            )?,
            web_reloads: counters(
                "web_config_reloads_total",
                "Times that the web config file or a certificate had changed, by result: success, or failure, after which the old one goes on.",
                &["result"],
            )?,
            web_reload_success: gauges(
                "web_config_last_reload_successful",
                "Whether the web config file and its certificates were right when they were read last (1) or not (0).",
                &[],
            )?,
            http_requests: counters(
                "http_requests_total",
                "HTTP requests answered, by path and status code.",
                &["path", "code"],
            )?,
            http_connections: r.registered(IntGauge::with_opts(options("http_connections", "Open HTTP connections.")),
            )?,
            http_refused: r.registered(IntCounter::with_opts(options(
                    "http_connections_refused_total",
                    "HTTP connections closed at once, because there were too many.",
                )),
            )?,
            http_ended: counters(
                "http_connections_ended_early_total",
                "HTTP connections that failed, by reason: head_timeout (no whole request came, also where a client kept its connection for another one), write_timeout (the client took nothing of an answer), tls (no common version or cipher suite, or a certificate was refused), no_http, broken.",
                &["reason"],
            )?,
            tasks_lost: r.registered(IntCounter::with_opts(options(
                    "tasks_lost_total",
                    "Parts of the exporter that ended by a defect; the log has its text.",
                )),
            )?,
            registries: Vec::new(),
            described: Vec::new(),
        };
        metrics.http_requests.with_label_values(&["/metrics", "200"]);
        metrics.config_reload_success.set(1);
        let build = gauges(
            "build_info",
            "Always 1; the labels tell which build this is.",
            &["version", "revision", "build_date"],
        )?;
        build.with_label_values(&[BUILD.version, BUILD.revision, BUILD.date]).set(1);
        r.register(ProcessCollector::for_self(), ProcessCollector::for_self())?;
        (metrics.described, metrics.registries) = registrar.into_parts();
        Ok(metrics)
    }

    /// What they are, in the order of their declaration.
    #[must_use]
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// Everything at this moment, one family after the other.
    pub fn families(&self) -> impl Iterator<Item = MetricFamily> {
        self.registries.iter().flat_map(Registry::gather)
    }
}
