//! The unit of deploy/systemd, as systemd itself judges it.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Of 100: what a unit may be exposed to and still have few rights. It has 16; one without hardening 96.
const EXPOSED_MAX: &str = "20";

fn analyze(arguments: &[&str], unit: &Path) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output();
    let output = output.expect("systemd-analyze is missing: run tests/toolchains.sh systemd");
    let said = String::from_utf8_lossy(&output.stderr);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {said}{table}");
    // What it does not understand is passed over with a warning.
    assert!(said.is_empty(), "{arguments:?}: {said}");
}

#[test]
fn the_unit_is_understood_and_exposes_little() {
    let unit =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/systemd/godebug-exporter.service");
    let text = fs::read_to_string(unit).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The program must be there.
    let here =
        text.replace("/usr/local/bin/godebug-exporter", env!("CARGO_BIN_EXE_godebug-exporter"));
    assert_ne!(here, text);
    let file = folder.path().join("godebug-exporter.service");
    fs::write(&file, here).unwrap();
    analyze(&["verify", "--man=no"], &file);
    let threshold = format!("--threshold={EXPOSED_MAX}");
    analyze(&["security", "--offline=true", "--no-pager", &threshold], &file);
}
