//! Config files, right and wrong.

use std::process::Output;

use tempfile::NamedTempFile;

use crate::support::exporter::{Exporter, output};

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn check(text: &str) -> (NamedTempFile, Output) {
    let file = file(text);
    let output = output(&["check", file.path().to_str().unwrap()]);
    (file, output)
}

#[test]
fn a_valid_config_is_told_to_be_so() {
    let text = "listen: 127.0.0.1:0\n\
                services:\n\
                - {name: a, trace: {file: /x}, expvar: {url: 'http://h:1/debug/vars'}}\n\
                - {name: b, trace: {stdin: true}}\n\
                otlp: {endpoint: 'http://c:4317', interval: 30s}\n";
    let (_file, output) = check(text);
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout.contains("valid, 2 services, listens on 127.0.0.1:0"), "{stdout}");
    assert!(stdout.contains("pushes by OTLP/gRPC to http://c:4317 every 30s"), "{stdout}");
    assert!(stdout.contains("a: trace from file, expvar from http://h:1/debug/vars"), "{stdout}");
}

const BROKEN: &str = "listen: everywhere\n\
                      services:\n\
                      - name: a\n  trace: {file: /x, from: start}\n\
                      - name: a\n  expvar: {url: 'ftp://x', interval: 5}\n\
                      - {trace: {stdin: maybe}}\n\
                      metricks: {}\n";

#[test]
fn every_problem_is_told_with_its_line() {
    let (file, output) = check(BROKEN);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(output.stdout.is_empty());
    for problem in [
        "line 1: listen: \"everywhere\" is not an address and a port",
        "line 4: services[0].trace.from: must be end or beginning",
        "line 5: services[1].name: the name \"a\" is taken by the service at line 3",
        "line 6: services[1].expvar.url: must begin with http://",
        "line 6: services[1].expvar.interval: \"5\" is not a duration",
        "line 7: services[2].name: is missing",
        "line 7: services[2].trace.stdin: must be true or false",
        "line 8: metricks: is not a key",
    ] {
        let whole = format!("godebug-exporter: {}: {problem}", file.path().display());
        assert!(stderr.contains(&whole), "no {whole} in\n{stderr}");
    }
}

#[test]
fn the_daemon_refuses_what_check_refuses() {
    let file = file(BROKEN);
    let path = file.path().to_str().unwrap();
    for flags in [&["run", "--config", path][..], &["run", "--once", "--config", path]] {
        let output = output(flags);
        assert_eq!(output.status.code(), Some(64));
        assert!(String::from_utf8(output.stderr).unwrap().contains("line 8: metricks"));
    }
}

#[test]
fn a_config_that_cannot_be_read_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    for arguments in [
        ["run", "--config", "/no/such/file"].as_slice(),
        &["check", "/no/such/file"],
        &["check", folder],
    ] {
        let output = output(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert!(stderr.contains("cannot read the config"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn flags_win_over_the_file() {
    // An address that no machine has (RFC 5737): only the flag --listen of the test works.
    let exporter = Exporter::configured(
        "listen: 203.0.113.1:1\nservices: [{name: s, trace: {stdin: true}}]\n",
    );
    assert!(exporter.address().ip().is_loopback());
    exporter.ready();
}

/// The keys that the files of src/config ask for.
fn known_keys() -> Vec<String> {
    let mut code = String::new();
    for entry in std::fs::read_dir(root().join("src/config")).unwrap() {
        let path = entry.unwrap().path();
        // web_file/ has the keys of another file.
        if path.is_dir() {
            continue;
        }
        let source = std::fs::read_to_string(path).unwrap();
        code.push_str(source.split("#[cfg(test)]").next().unwrap());
    }
    let mut keys = Vec::new();
    for part in code.split("fields").skip(1) {
        let call = ["text(", "parsed(", "flag(", "list(", "map(", "get(", "number("];
        let rest = part.trim_start().strip_prefix('.');
        let rest = rest.and_then(|rest| call.iter().find_map(|name| rest.strip_prefix(name)));
        let key = rest
            .and_then(|rest| rest.trim_start().strip_prefix('"'))
            .and_then(|rest| rest.split('"').next());
        keys.extend(key.map(str::to_owned));
    }
    keys.sort();
    keys.dedup();
    keys
}

fn root() -> std::path::PathBuf {
    std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_example_configs_are_valid_and_the_full_one_has_every_key() {
    for name in ["godebug-exporter.yaml", "minimal.yaml"] {
        let path = root().join("config").join(name);
        let output = output(&["check", path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let full = std::fs::read_to_string(root().join("config/godebug-exporter.yaml")).unwrap();
    let keys = known_keys();
    assert!(keys.len() >= 18, "{keys:?}");
    for key in keys {
        let written = full.lines().any(|line| {
            let line = line.trim_start().trim_start_matches("# ").trim_start_matches("- ");
            line.trim_start_matches('{').starts_with(&format!("{key}:"))
                || line.contains(&format!("{{{key}:"))
        });
        assert!(written, "the full example does not have {key}");
    }
}
