//! The examples of docs/SCALING.md: who is to read them takes them.

use std::path::{Path, PathBuf};

use crate::support::exporter::output;
use crate::support::manifests::{objects, problems};
use crate::support::prometheus::promtool;

const STATIC: &str = "static_configs: [{targets: ['agent:10390']}]";

/// Everything in YAML that the page has.
fn examples() -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/SCALING.md");
    let text = std::fs::read_to_string(page).unwrap();
    let blocks = text.split("\n```yaml\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned() + "\n").collect()
}

fn written(folder: &Path, of: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for example in examples().iter().filter(|example| example.contains(of)) {
        let file = folder.join(format!("{}.yaml", files.len()));
        // The promtool of Prometheus 3 that we build has no discovery.
        let example = example.replace("kubernetes_sd_configs: [{role: pod}]", STATIC);
        std::fs::write(&file, example).unwrap();
        files.push(file);
    }
    files
}

#[test]
fn prometheus_takes_its_examples() {
    let folder = tempfile::tempdir().unwrap();
    let files = written(folder.path(), "scrape_configs:");
    assert_eq!(files.len(), 3, "what is left off, a shard, what is kept for years");
    for file in files {
        promtool(&["check", "config"], &[file]);
    }
}

#[test]
fn no_rule_needs_what_is_left_off() {
    let regex = "(gc_phase|gc_interval|sched_sample_interval)_seconds_bucket";
    assert!(examples().iter().any(|example| example.contains(regex)));
    for file in ["recording.yaml", "alerts.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus").join(file);
        let rules = std::fs::read_to_string(path).unwrap();
        for family in ["gc_phase", "gc_interval", "sched_sample_interval"] {
            assert!(!rules.contains(&format!("go_{family}_seconds")), "{file}: {family}");
        }
    }
}

#[test]
fn the_operator_takes_its_example() {
    let all = examples();
    let operator = all.iter().find(|example| example.contains("kind: PodMonitor")).unwrap();
    assert_eq!(problems(&objects(operator)), [""; 0]);
}

#[test]
fn the_exporter_takes_its_example() {
    let folder = tempfile::tempdir().unwrap();
    let files = written(folder.path(), "created: false");
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let checked = output(&["check", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}
