//! The alerts of deploy/prometheus on the same records, evaluated by promtool.
//!
//! Memory is not simulated, so it is made of the goroutines: 64 MiB, and 8 KiB for each (2 KiB of stack, and what it
//! keeps alive), against a limit of 512 MiB.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use godebug_exporter::aggregate::leak::Detector;
use godebug_exporter::model::leak::Params;

use super::Record;
use super::workloads::{HOUR, MINUTE};

/// How often the rules are evaluated.
const EVERY: f64 = 5.0 * MINUTE;

const BASE: u64 = 64 << 20;
const EACH: u64 = 8 << 10;
const LIMIT: u64 = 512 << 20;

const SUSPECTED: &str = "GoGoroutineLeakSuspected";
const TOWARD_LIMIT: &str = "GoGoroutinesTowardMemoryLimit";

/// Later than anything.
const NEVER: f64 = 1e9;

/// What is exported of a service.
#[derive(Clone, Copy)]
struct Exported {
    goroutines: u64,
    suspected: bool,
    growth: Option<f64>,
}

/// One service: at each evaluation, or none where no sample came.
type Series = Vec<Option<Exported>>;

pub(crate) fn print(leaking: &[Record], healthy: &[Record]) {
    let all: Vec<&Record> = leaking.iter().chain(healthy).collect();
    let series: Vec<Series> = all.iter().map(|record| exported(record)).collect();
    let begins: Vec<f64> =
        all.iter().map(|record| record.workload.leaks_from.unwrap_or(NEVER)).collect();
    let said = promtool(&series, &begins);
    let months: f64 = all.iter().map(|record| record.workload.months()).sum();
    println!("| alert | to be found | found | false alarms a service-month | median time |");
    println!("|---|---|---|---|---|");
    for alert in [SUSPECTED, TOWARD_LIMIT] {
        let first = results(&said, "leak_found", alert);
        // Memory's end: it is to be told before. Where it does not come there is nothing to tell.
        let ends: Vec<f64> = series.iter().map(exhausted).collect();
        let wanted = |n: &usize| begins[*n] < NEVER && (alert == SUSPECTED || ends[*n] < NEVER);
        let wanted: Vec<usize> = (0..all.len()).filter(wanted).collect();
        let in_time = |n: &usize| {
            let at = first.get(n).filter(|at| alert == SUSPECTED || **at < ends[*n])?;
            Some(at - begins[*n])
        };
        let mut times: Vec<f64> = wanted.iter().filter_map(in_time).collect();
        times.sort_by(f64::total_cmp);
        let wrong = results(&said, "leak_wrong", alert).values().fold(0.0, |sum, n| sum + n);
        let median = times.get(times.len() / 2).map_or(f64::NAN, |time| time / HOUR);
        println!(
            "| `{alert}` | {} | {} | {:.3} | {median:.1} h |",
            wanted.len(),
            times.len(),
            wrong / months
        );
        for n in wanted.iter().filter(|n| in_time(n).is_none()) {
            println!("  missed, or too late: {}", all[*n].workload.name);
        }
        for n in results(&said, "leak_wrong", alert).keys() {
            println!("  false: {}", all[*n].workload.name);
        }
    }
}

fn exported(record: &Record) -> Series {
    let mut detector = Detector::new(Params::default());
    let (began, mut started) = (record.samples[0].t, record.samples[0].started);
    let mut found = Series::new();
    for sample in &record.samples {
        let at = Duration::from_secs_f64(sample.t);
        if sample.started > started {
            started = sample.started;
            detector.restarted(at);
        }
        detector.observe(at, sample.goroutines);
        let verdict = detector.verdict();
        let now = ((sample.t - began) / EVERY) as usize;
        found.resize(now + 1, None);
        found[now] = Some(Exported {
            goroutines: sample.goroutines,
            suspected: verdict.evidence.is_some(),
            growth: verdict.growth_per_second,
        });
    }
    found
}

fn memory(exported: Exported) -> u64 {
    BASE + EACH * exported.goroutines
}

/// When its memory is at the limit, in seconds after the beginning.
fn exhausted(series: &Series) -> f64 {
    let at = series.iter().position(|at| at.is_some_and(|at| memory(at) > LIMIT));
    at.map_or(NEVER, |n| n as f64 * EVERY)
}

/// What a query of promtool may load is little, so rules carry on from evaluation to evaluation when an alert first
/// fired after the leak began, and how often it began to fire before.
const CARRIED: &str = "groups:
- name: carried
  rules:
  - record: begun
    expr: |
      ALERTS{alertstate='firing', alertname=~'GoGoroutineLeakSuspected|GoGoroutinesTowardMemoryLimit'}
      unless ALERTS offset 5m
  - record: leak_found
    expr: |
      last_over_time(leak_found[8m])
      or min by (alertname, service) (timestamp(begun) >= on (service) group_left () leak_begins)
  - record: leak_wrong_now
    expr: count by (alertname, service) (timestamp(begun) < on (service) group_left () leak_begins)
  - record: leak_wrong
    expr: last_over_time(leak_wrong[8m]) + leak_wrong_now or last_over_time(leak_wrong[8m]) or leak_wrong_now
";

/// All groups, in the order in which they need each other.
const ORDER: &str = "group_eval_order: [godebug-exporter, godebug-exporter-usual, godebug-exporter-leaks, \
    godebug-exporter-memory, godebug-exporter-load, godebug-exporter-crashes, godebug-exporter-itself, carried]";

/// A test that wants nothing to be there: so it tells what is.
fn test_file(all: &[Series], begins: &[f64], carried: &Path) -> String {
    let steps = all.iter().map(Vec::len).max().unwrap_or_default();
    let end = format!("eval_time: {}s, exp_samples: []", steps as f64 * EVERY);
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    let mut text = format!(
        "rule_files: [{0}/recording.yaml, {0}/alerts.yaml, {1}]\nevaluation_interval: 5m\n{ORDER}\ntests:\n- interval: 5m\n  \
         promql_expr_test:\n  - {{expr: leak_found, {end}}}\n  - {{expr: leak_wrong, {end}}}\n  input_series:\n",
        rules.display(),
        carried.display(),
    );
    for (n, (series, begins)) in all.iter().zip(begins).enumerate() {
        let mut add = |name: &str, values: &str| {
            text += &format!("  - {{series: '{name}{{service=\"{n}\"}}', values: '{values}'}}\n");
        };
        add("leak_begins", &format!("{begins}x{steps}"));
        add("godebug:memory_limit_bytes", &format!("{LIMIT}x{steps}"));
        add("go_memstats_heap_released_bytes", &format!("0x{steps}"));
        add("go_memstats_sys_bytes", &values(series, |at| Some(memory(at).to_string())));
        add("go_goroutines", &values(series, |at| Some(at.goroutines.to_string())));
        let suspected = |at: Exported| Some(u8::from(at.suspected).to_string());
        add("go_goroutines_leak_suspected", &values(series, suspected));
        let growth = |at: Exported| at.growth.map(|growth| format!("{growth:.6}"));
        add("go_goroutines_growth_per_second", &values(series, growth));
    }
    text
}

/// As promtool reads them: a value that stays is written once.
fn values(series: &Series, value: impl Fn(Exported) -> Option<String>) -> String {
    let mut text = String::new();
    let all: Vec<Option<String>> = series.iter().map(|at| at.and_then(&value)).collect();
    for run in all.chunk_by(|a, b| a == b) {
        let more = run.len() - 1;
        match run.first() {
            Some(Some(value)) => write!(text, "{value}x{more} ").unwrap_or_default(),
            _ => write!(text, "_x{} ", run.len()).unwrap_or_default(),
        }
    }
    text
}

fn promtool(all: &[Series], begins: &[f64]) -> String {
    let file =
        |name| std::env::temp_dir().join(format!("leaks-{}-{name}.yaml", std::process::id()));
    let (carried, test) = (file("carried"), file("test"));
    std::fs::write(&carried, CARRIED).expect("a file for promtool");
    std::fs::write(&test, test_file(all, begins, &carried)).expect("a file for promtool");
    let output = Command::new("promtool").args(["test", "rules"]).arg(&test).output();
    let output = output.expect("promtool is missing: run tests/toolchains.sh prometheus");
    for file in [carried, test] {
        std::fs::remove_file(file).expect("the file goes");
    }
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(said.contains("got:"), "{said}");
    said
}

/// Of a query: each service's value.
fn results(said: &str, query: &str, alert: &str) -> BTreeMap<usize, f64> {
    let part = said.split("expr:").find(|part| part.contains(&format!("\"{query}\"")));
    let got = part.and_then(|part| part.split("got:").nth(1)).unwrap_or_default();
    let one = |text: &str| {
        let (_, rest) = text.split_once("service=\"")?;
        let (service, value) = rest.split_once("\"} ")?;
        let value = value.split([',', '\n', ' ']).next()?;
        Some((service.parse().ok()?, value.parse().ok()?))
    };
    got.split(query).filter(|text| text.contains(&format!("\"{alert}\""))).filter_map(one).collect()
}
