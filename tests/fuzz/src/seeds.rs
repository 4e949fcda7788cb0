//! Seeds from what real Go programs of many releases printed (tests/fixtures).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// How real loggers write: log, slog, zap, logfmt, klog, epoch first, words, words of a trace.
pub const LOG_LINES: [&str; 9] = [
    "2026/11/21 10:00:00.123456 INFO request handled id=42388",
    "{\"time\":\"2026-11-21T10:00:00.123Z\",\"level\":\"INFO\",\"msg\":\"handled\",\"id\":42}",
    "{\"level\":\"info\",\"ts\":1763694123.5,\"caller\":\"app/main.go:12\",\"msg\":\"handled\"}",
    "time=2026-11-21T10:00:00Z level=INFO msg=handled id=42",
    "I1121 10:00:00.123456       1 main.go:12] handled 42",
    "1763694123.123 INFO handled id=42",
    "request served n=42",
    "[0 1 2] ms clock",
    "gc 5 @",
];

/// Longest piece of a log that becomes a seed.
const LOG_BYTES: usize = 6000;

/// Writes each seed into a file of its own.
pub fn write(folder: &Path, seeds: &[Vec<u8>]) {
    fs::create_dir_all(folder).unwrap();
    for (n, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("{n:04}")), seed).unwrap();
    }
}

/// The files of a folder of tests/fixtures, in the order of their names.
pub fn fixtures(folder: &str, suffix: &str) -> Vec<Vec<u8>> {
    let folder = root().join("tests/fixtures").join(folder);
    let entries = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// The beginnings of all logs.
pub fn logs() -> Vec<Vec<u8>> {
    let logs = ["samples", "parse"].into_iter().flat_map(|folder| fixtures(folder, ".log"));
    logs.map(|log| log[..log.len().min(LOG_BYTES)].to_vec()).collect()
}

/// Every line of the logs that differs from the others by more than its digits.
pub fn trace_lines() -> Vec<Vec<u8>> {
    let (mut shapes, mut lines) = (BTreeSet::new(), Vec::new());
    for log in ["samples", "parse"].into_iter().flat_map(|folder| fixtures(folder, ".log")) {
        for line in log.split(|byte| *byte == b'\n') {
            let mut shape: Vec<u8> =
                line.iter().map(|byte| if byte.is_ascii_digit() { b'0' } else { *byte }).collect();
            shape.dedup();
            if shapes.insert(shape) {
                lines.push(line.to_vec());
            }
        }
    }
    lines
}

/// Pages of `/debug/vars`, with less of the long arrays: every entry of them is alike.
pub fn expvar_bodies() -> Vec<Vec<u8>> {
    let shorter = |body: &Vec<u8>| {
        let text = String::from_utf8_lossy(body).into_owned();
        let short = |text: String, name: &str, close: &str, keep: usize| {
            let Some((head, tail)) = text.split_once(name) else { return text };
            let Some((list, tail)) = tail.split_once(close) else { return text.clone() };
            let end = list.match_indices(',').nth(keep).map_or(list.len(), |(at, _)| at);
            format!("{head}{name}{}{close}{tail}", &list[..end])
        };
        let text = short(text, "\"PauseNs\":[", "]", 4);
        let text = short(text, "\"PauseEnd\":[", "]", 4);
        short(text, "\"BySize\":[", "]", 8).into_bytes()
    };
    fixtures("samples", "vars.json").iter().map(shorter).collect()
}

/// The example configs.
pub fn configs() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        b"services:\n  - name: a\n    trace: {stdin: true}\n".to_vec(),
        b"listen: 10390\nlogs: {}\nservices:\n  - name: a\n    trace: {file: /x, from: start}\n    labels: {service: b, ok: 1}\n  - name: a\n    expvar: {url: https://x, interval: 5, timeout: 0s}\n  - trace: {stdin: true, fifo: /y}\n    max: 3\n".to_vec(),
    ];
    for entry in fs::read_dir(root().join("config")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "yaml") {
            all.push(fs::read(path).unwrap());
        }
    }
    all
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
