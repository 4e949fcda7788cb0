//! OTLP to a receiver that refuses, hangs, takes a part, or comes and goes.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::{NamedTempFile, TempDir};

use crate::support::exporter::{Exporter, command};
use crate::support::metrics::Page;
use crate::support::otlp::{Came, Collector, Point, Receiver, Reply};
use crate::support::wait::wait_until_or;

const CYCLES: &str = "godebug.gc.cycles";

/// An exporter that follows a trace of which the test writes every line.
struct Traced {
    exporter: Exporter,
    folder: TempDir,
    trace: NamedTempFile,
    cycles: u32,
}

impl Traced {
    fn pushing(url: &str, otlp: &str) -> Self {
        let (folder, trace) = (tempfile::tempdir().unwrap(), NamedTempFile::new().unwrap());
        let exporter = Self::start(&folder, &trace, url, otlp);
        Self { exporter, folder, trace, cycles: 0 }
    }

    fn start(folder: &TempDir, trace: &NamedTempFile, url: &str, otlp: &str) -> Exporter {
        Exporter::configured(&format!(
            "services: [{{name: s, trace: {{file: {}, from: beginning}}}}]\n\
             state: {{directory: {}}}\notlp: {{endpoint: '{url}', {otlp}}}\n",
            trace.path().display(),
            folder.path().join("state").display()
        ))
    }

    /// The program collects once more.
    fn collects(&mut self) {
        self.cycles += 1;
        let (cycle, seconds) = (self.cycles, f64::from(self.cycles));
        writeln!(
            self.trace,
            "gc {cycle} @{seconds:.3}s 1%: 0.01+1.5+0.02 ms clock, 0.02+0.1/0.2/0.3+0.04 ms cpu, 4->5->2 MB, 5 MB goal, 2 P"
        )
        .unwrap();
        let series = "go_gc_cycles_total{service=\"s\",kind=\"automatic\"}";
        self.exporter.wait_for(series, seconds);
    }

    fn fate(&self, fate: &str) -> f64 {
        self.exporter
            .page()
            .value(&format!("godebug_exporter_otlp_points_total{{fate=\"{fate}\"}}"))
    }
}

/// The cycles that a request tells.
fn cycles(came: &Came) -> Option<&Point> {
    of_service(&came.points, "s").next()
}

fn of_service<'a>(points: &'a [Point], name: &'a str) -> impl Iterator<Item = &'a Point> {
    let is_it = move |one: &&Point| {
        one.name == CYCLES && one.attributes["kind"] == "automatic" && one.service() == name
    };
    points.iter().filter(is_it)
}

fn taken(came: &[Came]) -> impl Iterator<Item = &Came> {
    came.iter().filter(|one| matches!(one.reply, Reply::Take | Reply::Partial(_)))
}

#[test]
fn what_could_not_be_sent_comes_later_and_not_too_soon() {
    let script = [Reply::Status(503, Some(2)), Reply::Status(429, None), Reply::Close];
    let receiver = Receiver::start(&script, Reply::Take);
    let mut traced = Traced::pushing(&receiver.url(), "interval: 1s");
    traced.collects();
    let came = receiver.wait("it takes something", |came| {
        let is_there = taken(came).any(|one| cycles(one).is_some_and(|point| point.value == 1.0));
        is_there.then(|| came.to_vec())
    });
    assert!(came[1].at - came[0].at >= Duration::from_millis(1900), "before Retry-After");
    assert_eq!(
        traced.exporter.log("warn").len(),
        3,
        "a line a reason: {:?}",
        traced.exporter.log("warn")
    );
    traced.exporter.page_where("it says so", |page| {
        page.value("godebug_exporter_otlp_requests_total{outcome=\"retried\"}") == 3.0
            && page.value("godebug_exporter_otlp_queue_points") == 0.0
            && page.value("godebug_exporter_otlp_last_success_timestamp_seconds") > 0.0
    });
    assert!(traced.fate("superseded") > 0.0 && traced.fate("dropped") == 0.0);
}

#[test]
fn a_receiver_that_hangs_costs_its_timeout() {
    let receiver = Receiver::start(&[Reply::Hang], Reply::Take);
    let traced = Traced::pushing(&receiver.url(), "interval: 1s, timeout: 500ms");
    receiver.wait("it takes something", |came| taken(came).next().map(|_| ()));
    let failed = "godebug_exporter_otlp_errors_total{reason=\"timeout\"}";
    assert_eq!(traced.exporter.page().value(failed), 1.0);
}

#[test]
fn what_is_refused_is_dropped_and_told_once() {
    let receiver = Receiver::start(&[], Reply::Status(400, None));
    let traced = Traced::pushing(&receiver.url(), "interval: 1s");
    receiver.wait("three came", |came| (came.len() > 2).then_some(()));
    assert_eq!(traced.exporter.log("warn").len(), 1, "{:?}", traced.exporter.log("warn"));
    assert!(traced.fate("dropped") > 0.0);
    receiver.reply(Reply::Partial(3));
    traced.exporter.page_where("a part is counted", |page| {
        page.value("godebug_exporter_otlp_points_total{fate=\"rejected\"}") >= 3.0
    });
    let told = &traced.exporter.log("warn")[1];
    assert!(told.contains("these are too many"), "{told}");
    receiver.reply(Reply::Take);
    let line = traced.exporter.stderr.line("it works again", |line| {
        line.contains("pushed by OTLP again").then(|| line.to_owned())
    });
    assert!(line.contains("level=info"), "{line}");
}

/// The sum of what was taken, each point once however often it was sent.
fn sum(came: &[Came]) -> f64 {
    sum_of(taken(came).filter_map(cycles))
}

fn sum_of<'a>(points: impl Iterator<Item = &'a Point>) -> f64 {
    let mut once = BTreeMap::new();
    for point in points {
        assert!(point.delta && point.start_ns < point.time_ns, "{point:?}");
        let before = once.insert((point.start_ns, point.time_ns), point.value);
        assert!(before.is_none_or(|before| before == point.value), "{point:?}");
    }
    let spans: Vec<_> = once.keys().collect();
    assert!(spans.windows(2).all(|pair| pair[0].1 <= pair[1].0), "they overlap: {spans:?}");
    once.values().sum()
}

#[test]
fn deltas_add_up_to_the_truth_over_every_failure() {
    let script = [
        Reply::Take,
        Reply::Status(503, None),
        Reply::Take,
        Reply::Status(401, None),
        Reply::Close,
        Reply::Take,
        Reply::Status(400, None),
        Reply::Status(504, Some(1)),
    ];
    let receiver = Receiver::start(&script, Reply::Take);
    let mut traced = Traced::pushing(&receiver.url(), "interval: 1s, temporality: delta");
    for n in 1..=script.len() + 2 {
        traced.collects();
        receiver.wait("one more came", |came| (came.len() > n).then_some(()));
    }
    let truth = f64::from(traced.cycles);
    receiver.wait("all of them came", |came| (sum(came) == truth).then_some(()));
    let came = receiver.came();
    // What may have arrived is sent as it was.
    let closed = came.iter().position(|one| one.reply == Reply::Close).unwrap();
    assert_eq!(came[closed].points, came[closed + 1].points);
    traced.collects();
    let truth = f64::from(traced.cycles);
    receiver.wait("the next one too, and nothing twice", |came| (sum(came) == truth).then_some(()));
}

#[test]
fn after_a_kill_cumulative_points_go_on_from_saved_state() {
    let receiver = Receiver::start(&[], Reply::Take);
    let mut traced = Traced::pushing(&receiver.url(), "interval: 1s");
    for _ in 0..3 {
        traced.collects();
    }
    let last = |came: &[Came]| taken(came).filter_map(cycles).last().cloned();
    let has = |value: f64| move |came: &[Came]| last(came).filter(|point| point.value == value);
    let before = receiver.wait("3 cycles came", has(3.0));
    traced.exporter.process.signal(Signal::KILL);
    traced.exporter.process.end("it is killed");
    let n = receiver.came().len();
    traced.exporter = Traced::start(&traced.folder, &traced.trace, &receiver.url(), "interval: 1s");
    traced.collects();
    let after = receiver.wait("4 cycles came", has(4.0));
    assert_eq!(after.start_ns, before.start_ns, "they count since the same moment");
    let values: Vec<f64> =
        receiver.came()[n..].iter().filter_map(cycles).map(|one| one.value).collect();
    assert!(values.iter().all(|value| *value >= 3.0), "{values:?}");
}

#[test]
fn the_last_export_has_what_came_since_the_one_before() {
    for temporality in ["cumulative", "delta"] {
        let receiver = Receiver::start(&[], Reply::Take);
        let mut traced =
            Traced::pushing(&receiver.url(), &format!("interval: 1h, temporality: {temporality}"));
        receiver.wait("the first export", |came| (!came.is_empty()).then_some(()));
        traced.collects();
        traced.collects();
        assert!(traced.exporter.stop().success());
        let came = receiver.came();
        let value = cycles(came.last().unwrap()).unwrap().value;
        assert!(value == 2.0, "{temporality}: {value}");
    }
}

#[test]
fn a_receiver_that_hangs_does_not_hold_up_our_end() {
    let receiver = Receiver::start(&[], Reply::Hang);
    let mut traced = Traced::pushing(&receiver.url(), "interval: 1s");
    receiver.wait("the first export", |came| (!came.is_empty()).then_some(()));
    assert!(traced.exporter.stop().success());
}

#[test]
fn exec_leaves_the_variables_to_the_command_unless_told_otherwise() {
    let receiver = Receiver::start(&[], Reply::Take);
    let exec = |flags: &[&str], name: &str| {
        let mut exec =
            command(["exec", "--listen", "127.0.0.1:0", "--log-level", "info", "--service", name]);
        exec.args(flags).args(["--", "cat"]).env("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url());
        exec.env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
        exec.env("OTEL_EXPORTER_OTLP_HEADERS", "x-secret=of%20the%20command");
        Exporter::start(exec)
    };
    let not = exec(&[], "not");
    let told = exec(&["--otlp-env"], "told");
    let by_flag = exec(&["--otlp-endpoint", &receiver.url()], "flag");
    let of = |came: &[Came], name: &str| {
        came.iter().find(|one| one.points.iter().any(|point| point.service() == name)).cloned()
    };
    let came =
        receiver.wait("those that are told to", |came| of(came, "told").zip(of(came, "flag")));
    assert!(came.0.head.contains("x-secret: of the command"), "{}", came.0.head);
    assert!(!came.1.head.contains("x-secret"), "{}", came.1.head);
    receiver.wait("more of the first", |came| {
        let told = |one: &&Came| one.points.iter().any(|point| point.service() == "told");
        (came.iter().filter(told).count() > 3).then_some(())
    });
    assert!(of(&receiver.came(), "not").is_none());
    drop((not, told, by_flag));
}

#[test]
fn a_variable_that_cannot_be_used_is_told_and_nothing_is_pushed() {
    let trace = NamedTempFile::new().unwrap();
    let mut run = command(["run", "--listen", "127.0.0.1:0", "--service", "s", "--file"]);
    run.arg(trace.path()).env("OTEL_EXPORTER_OTLP_ENDPOINT", "collector");
    let exporter = Exporter::start(run);
    exporter.ready();
    assert!(
        exporter.log("warn")[0].contains("OTEL_EXPORTER_OTLP_ENDPOINT"),
        "{:?}",
        exporter.log("warn")
    );
    assert!(!exporter.page().has("godebug_exporter_otlp_queue_points"));
}

#[test]
fn codes_of_grpc_say_what_is_sent_again_and_when() {
    // Unavailable, resource exhausted, deadline exceeded; then resource exhausted for good.
    let script = [
        Reply::Code(14, Some(2)),
        Reply::Code(8, Some(1)),
        Reply::Code(4, None),
        Reply::Take,
        Reply::Code(8, None),
    ];
    let receiver = Receiver::start_grpc(&script, Reply::Take);
    let mut traced = Traced::pushing(&receiver.url(), "protocol: grpc, interval: 1s");
    traced.collects();
    let came = receiver.wait("it takes something after it refused", |came| {
        let is_there = |one: &Came| cycles(one).is_some_and(|point| point.value == 1.0);
        (came.len() > script.len() && taken(came).any(is_there)).then(|| came.to_vec())
    });
    assert!(came[1].at - came[0].at >= Duration::from_millis(1900), "before what RetryInfo says");
    assert!(came[0].head.contains("grpc-encoding: gzip"), "{}", came[0].head);
    let count = |page: &Page, series: &str| page.get(&format!("godebug_exporter_otlp_{series}"));
    let page = traced.exporter.page_where("all are counted", |page| {
        count(page, "requests_total{outcome=\"retried\"}") == Some(3.0)
            && count(page, "requests_total{outcome=\"refused\"}") == Some(1.0)
    });
    assert_eq!(count(&page, "errors_total{reason=\"grpc_unavailable\"}"), Some(1.0));
    assert_eq!(count(&page, "errors_total{reason=\"grpc_resource_exhausted\"}"), Some(2.0));
    assert_eq!(count(&page, "errors_total{reason=\"grpc_deadline_exceeded\"}"), Some(1.0));
    assert!(
        traced.exporter.log("warn")[0].contains("not now"),
        "{:?}",
        traced.exporter.log("warn")
    );
    receiver.reply(Reply::Partial(3));
    traced.exporter.page_where("a part is counted", |page| {
        page.value("godebug_exporter_otlp_points_total{fate=\"rejected\"}") >= 3.0
    });
}

#[test]
fn a_collector_that_restarts_has_all_afterwards() {
    for temporality in ["cumulative", "delta"] {
        let mut collector = Collector::start("");
        let otlp = format!("protocol: grpc, interval: 1s, temporality: {temporality}");
        let mut traced = Traced::pushing(&format!("http://{}", collector.grpc), &otlp);
        let has = |collector: &Collector, expected: f64| {
            let look = || {
                let all = collector.taken();
                let points = of_service(&all, "s");
                let value = match temporality {
                    "delta" => sum_of(points),
                    _ => points.last().map_or(0.0, |point| point.value),
                };
                (value == expected).then_some(())
            };
            wait_until_or(&format!("it has {expected} cycles"), look, || collector.log());
        };
        traced.collects();
        has(&collector, 1.0);
        collector.stop();
        traced.collects();
        let failed = "godebug_exporter_otlp_errors_total{reason=\"connection_refused\"}";
        traced.exporter.page_where("it is away", |page| page.get(failed) >= Some(1.0));
        traced.collects();
        collector.start_again();
        traced.collects();
        has(&collector, 4.0);
    }
}

/// Two services, each in a request of its own because of a long attribute; the first one's are never taken.
fn with_one_that_fails(temporality: &str, check: impl Fn(&Receiver, &mut Traced)) {
    let receiver = Receiver::start(&[], Reply::Take);
    receiver.reply_to("bad", Reply::Status(503, None));
    let bad = NamedTempFile::new().unwrap();
    std::fs::write(bad.path(), crate::support::trace::RECORDED).unwrap();
    let (folder, trace) = (tempfile::tempdir().unwrap(), NamedTempFile::new().unwrap());
    let exporter = Exporter::configured(&format!(
        "services:\n\
         - {{name: bad, trace: {{file: {}, from: beginning}}}}\n\
         - {{name: s, trace: {{file: {}, from: beginning}}}}\n\
         otlp: {{endpoint: '{}', interval: 1s, export_timeout: 500ms, temporality: {temporality}, resource: {{long: {}}}}}\n",
        bad.path().display(),
        trace.path().display(),
        receiver.url(),
        "x".repeat(1_600_000)
    ));
    let mut traced = Traced { exporter, folder, trace, cycles: 0 };
    receiver
        .wait("one fails", |came| came.iter().any(|one| one.reply != Reply::Take).then_some(()));
    check(&receiver, &mut traced);
}

#[test]
fn a_request_that_fails_for_ever_does_not_hold_up_the_others() {
    with_one_that_fails("cumulative", |receiver, traced| {
        for n in 1..4 {
            traced.collects();
            receiver.wait("it comes nevertheless", |came| {
                let mut points = taken(came).filter_map(cycles);
                points.any(|point| point.value == f64::from(n)).then_some(())
            });
        }
    });
}

#[test]
fn deltas_that_are_never_taken_are_given_up_and_hold_up_no_others() {
    with_one_that_fails("delta", |receiver, traced| {
        for n in 1..4 {
            traced.collects();
            receiver
                .wait("it comes nevertheless", |came| (sum(came) == f64::from(n)).then_some(()));
        }
        let line = traced
            .exporter
            .stderr
            .line("it gives up", |line| line.contains("giving up deltas").then(|| line.to_owned()));
        assert!(line.contains("level=warn") && traced.fate("dropped") > 50.0, "{line}");
        receiver.reply_to("bad", Reply::Take);
        let points = receiver.wait("the first one comes too", |came| {
            let points: Vec<Point> =
                taken(came).flat_map(|one| of_service(&one.points, "bad").cloned()).collect();
            (!points.is_empty()).then_some(points)
        });
        // What was given up may have arrived.
        assert_eq!(sum_of(points.iter()), 0.0);
    });
}
