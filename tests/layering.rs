//! The borders between the stations, as ARCHITECTURE.md tells them: who may import whom, what a
//! pure station may not name, how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

/// A station, and what else of the crate it may know.
const BORDERS: &[(&str, &[&str])] = &[
    ("config", &["model"]),
    ("model", &[]),
    ("ingest", &["model", "config", "runtime", "telemetry"]),
    ("discover", &["model", "config", "ingest", "runtime", "telemetry"]),
    ("frame", &["model"]),
    ("parse", &["model"]),
    ("aggregate", &["model"]),
    ("export", &["model"]),
    ("state", &["model"]),
    ("pipeline.rs", PIPELINE),
    ("pipeline", PIPELINE),
    ("probe.rs", PROBE),
    ("survey.rs", &["pipeline", "ingest", "parse", "model", "config", "telemetry"]),
    ("keeper.rs", &["pipeline", "state", "config", "telemetry"]),
    (
        "serve",
        &[
            "model",
            "export",
            "pipeline",
            "keeper",
            "survey",
            "probe",
            "config",
            "runtime",
            "telemetry",
        ],
    ),
    (
        "push",
        &["model", "export", "pipeline", "keeper", "ingest", "config", "runtime", "telemetry"],
    ),
    ("runtime", &["telemetry"]),
    ("telemetry", &["model"]),
];

const PROBE: &[&str] = &[
    "pipeline",
    "ingest",
    "frame",
    "parse",
    "aggregate",
    "export",
    "model",
    "config",
    "telemetry",
];

const PIPELINE: &[&str] =
    &["model", "config", "frame", "parse", "aggregate", "export", "state", "runtime", "telemetry"];

/// Put the rest together, so they may know everything.
const FREE: &[&str] = &["app.rs", "app", "cli", "cli.rs", "lib.rs", "main.rs", "tools"];

const PURE: &[&str] = &["model", "frame", "parse", "aggregate", "export", "state/codec.rs"];

/// I/O and clocks: a pure station is given bytes and `now`.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "rustix",
];

const FILE_LINES_MAX: usize = 400;

/// Tables and the metric list are read, not understood.
const LONG_FILES: &[&str] = &[];

fn sources(under: &Path) -> Vec<PathBuf> {
    if under.is_file() {
        return vec![under.to_owned()];
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(under).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
    files
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The code without tests and comments.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The stations named as `crate::NAME`, also inside `use crate::{…}`.
fn imports(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in code.split("crate::").skip(1) {
        let list = part.strip_prefix('{').map_or(part, |list| list.split('}').next().unwrap());
        let firsts = if part.starts_with('{') { list.split(',').collect() } else { vec![list] };
        for first in firsts {
            let name: String =
                first.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.extend((!name.is_empty()).then_some(name));
        }
    }
    names
}

#[test]
fn stations_import_only_what_their_row_allows() {
    for (station, allowed) in BORDERS {
        let own = station.trim_end_matches(".rs");
        let files = sources(&src().join(station));
        assert!(!files.is_empty(), "{station} has no files");
        for file in files {
            for import in imports(&code(&file)) {
                let fits = import == own || allowed.contains(&import.as_str());
                assert!(
                    fits,
                    "{} imports {import}; {station} may know {allowed:?}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn every_folder_has_a_row() {
    for entry in fs::read_dir(src()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known =
            BORDERS.iter().any(|(station, _)| *station == name) || FREE.contains(&name.as_str());
        assert!(known, "src/{name} is in no row of the table");
    }
}

#[test]
fn pure_stations_do_no_io_and_read_no_clock() {
    for station in PURE {
        for file in sources(&src().join(station)) {
            let code = code(&file);
            for word in IMPURE {
                let named = code
                    .match_indices(word)
                    .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric()));
                assert!(!named, "{} names {word}", file.display());
            }
        }
    }
}

#[test]
fn files_stay_short_enough_to_have_one_subject() {
    for file in sources(&src()) {
        let lines = code(&file).lines().count();
        let known = LONG_FILES.iter().any(|name| file.ends_with(name));
        assert!(lines <= FILE_LINES_MAX || known, "{} has {lines} lines", file.display());
    }
}

#[test]
fn the_reader_of_imports_sees_both_forms() {
    assert_eq!(imports("use crate::a::b;\nuse crate::{c, d::e};"), ["a", "c", "d"]);
}
