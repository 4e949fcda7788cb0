//! `detect`: its formats, and the detector's record on services with ground truth.

use std::fs;

use serde_json::{Value, json};

use godebug_exporter::model::leak::Tuning;

use crate::support::exporter::output;

#[path = "../benches/leaks/replay.rs"]
mod replay;
#[path = "../benches/leaks/workloads.rs"]
mod workloads;

use replay::alarms;
use workloads::{DAY, HEALTHY, LEAKING};

fn lines(stdout: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One a minute for two days, and then back.
fn leak_and_cure() -> impl Iterator<Item = (u64, u64)> {
    (0..3000_u64).map(|n| (1_760_000_000 + 60 * n, if n < 2880 { 100 + n } else { 100 }))
}

#[test]
fn each_change_of_verdict_is_a_line_and_the_totals_are_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("history.csv");
    let rows: String = leak_and_cure().map(|(t, n)| format!("{t},{n}\n")).collect();
    fs::write(&csv, format!("unix_seconds,goroutines\n{rows}")).unwrap();
    let output = output(&["detect", csv.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let lines = lines(&output.stdout);
    let [suspected, cleared, totals] = lines.as_slice() else { panic!("{lines:?}") };
    let t = suspected["t"].as_u64().unwrap();
    assert!((1_760_000_000..1_760_000_000 + 30 * 3600).contains(&t), "{suspected}");
    assert_eq!(suspected["suspected"], true);
    let growth = suspected["growth_per_second"].as_f64().unwrap();
    assert!((0.9..1.1).contains(&(growth * 60.0)), "{suspected}");
    assert_eq!(cleared["suspected"], false);
    let since = cleared["t"].as_u64().unwrap() - t;
    let expected = json!({"series": 1, "samples": 3000, "restarts": 0, "suspicions": 1,
        "suspected_seconds": since, "suspected_at_end": 0});
    assert_eq!(*totals, expected);
}

#[test]
fn a_range_answer_of_prometheus_tells_which_series_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let answer = folder.path().join("answer.json");
    let values: Vec<Value> = leak_and_cure().map(|(t, n)| json!([t, n.to_string()])).collect();
    let flat: Vec<Value> = leak_and_cure().map(|(t, _)| json!([t, "5"])).collect();
    let starts: Vec<Value> = leak_and_cure()
        .map(|(t, _)| json!([t, if t < 1_760_009_000 { "1759999999" } else { "1760008999" }]))
        .collect();
    let series = |name: &str, job: &str, values: Vec<Value>| json!({"metric": {"__name__": name, "job": job}, "values": values});
    let result = [
        series("go_goroutines", "leaks", values),
        series("process_start_time_seconds", "leaks", starts),
        series("go_goroutines", "idle", flat),
    ];
    let text = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
    fs::write(&answer, text.to_string()).unwrap();
    let lines = lines(&output(&["detect", answer.to_str().unwrap()]).stdout);
    let (totals, changes) = lines.split_last().unwrap();
    assert_eq!((&totals["series"], &totals["restarts"]), (&json!(2), &json!(1)));
    assert_eq!(changes.len(), 2, "{changes:?}");
    assert!(changes.iter().all(|line| line["series"] == r#"go_goroutines{job="leaks"}"#));
}

#[test]
fn wrong_input_and_flags_are_told_and_the_other_files_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("bad.csv"), "1,2\n2,x\n").unwrap();
    fs::write(path("good.csv"), "1,2\n2,3\n").unwrap();
    let output = output(&["detect", &path("bad.csv"), &path("none.csv"), &path("good.csv")]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("bad.csv: line 2: goroutines is no whole number"), "{told}");
    assert!(told.contains("cannot read") && told.contains("none.csv"), "{told}");
    assert_eq!(lines(&output.stdout)[0]["samples"], 2);
    for wrong in ["--line=2h", "--known=25h:0.5", "--bucket=10", "--days=1", "--clear=-1"] {
        let output = crate::support::exporter::output(&["detect", wrong]);
        assert_eq!(output.status.code(), Some(64), "{wrong}");
    }
}

/// The benchmark's claim on one record of each workload; `cargo bench --bench leaks` has more.
#[test]
fn leaks_are_found_and_healthy_services_raise_nothing() {
    for (workload, seed) in HEALTHY.iter().zip(1..) {
        assert_eq!(alarms(&workload.run(seed, 5.0)), Vec::<f64>::new(), "{}", workload.name);
        assert!(workload.months() > 0.0);
    }
    for (workload, seed) in LEAKING.iter().zip(100..) {
        let from = workload.leaks_from.unwrap();
        let first = alarms(&workload.run(seed, 5.0)).first().map(|at| at - from);
        let in_time = first.is_some_and(|after| (0.0..14.0 * DAY).contains(&after));
        assert!(in_time, "{}: {first:?}", workload.name);
    }
}

#[test]
fn every_parameter_is_documented_and_can_be_tuned() {
    let docs = include_str!("../docs/LEAKS.md");
    for (name, default, meaning) in Tuning::ALL {
        let row = format!("| `{name}` | {default:?} | {meaning} |\n");
        assert!(docs.contains(&row), "{row}");
    }
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("history.csv");
    let rows: String = leak_and_cure().map(|(t, n)| format!("{t},{n}\n")).collect();
    fs::write(&csv, rows).unwrap();
    let detect = |tune: &str| output(&["detect", "--tune", tune, csv.to_str().unwrap()]);
    let suspicions = |tune: &str| lines(&detect(tune).stdout).pop().unwrap()["suspicions"].clone();
    assert_eq!((suspicions("rise_fall=3"), suspicions("rise_last_step=9")), (json!(1), json!(0)));
    let unknown = detect("rise=1");
    assert_eq!(unknown.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("rise_later_half"));
}
