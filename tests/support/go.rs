//! The test service, built by a given Go release.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The newest release: for tests that do not depend on one.
pub(crate) const NEWEST: &str = "1.27";

static BUILT: [(&str, OnceLock<PathBuf>); 6] = [
    ("1.19", OnceLock::new()),
    ("1.21", OnceLock::new()),
    ("1.22", OnceLock::new()),
    ("1.24", OnceLock::new()),
    ("1.26", OnceLock::new()),
    ("1.27", OnceLock::new()),
];

/// The service's binary; built at the first call.
pub(crate) fn service(version: &str) -> &'static Path {
    let (_, built) = BUILT.iter().find(|(known, _)| *known == version).expect("a known release");
    built.get_or_init(|| build("service", version))
}

/// The program of tests/go/torn, which logs as fast as it can.
pub(crate) fn chatter(version: &str) -> PathBuf {
    build("torn", version)
}

fn build(program: &str, version: &str) -> PathBuf {
    let cache = cache();
    let goroot = cache.join("go").join(version);
    let go = goroot.join("bin/go");
    assert!(go.exists(), "Go {version} is missing: run tests/toolchains.sh go-{version}");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{program}-{version}"));
    let output = Command::new(&go)
        .args(["build", "-trimpath", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go").join(program))
        .env("GOROOT", &goroot)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", cache.join("go-build"))
        .env_remove("GODEBUG")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Go {version} did not build {program}:\n{errors}");
    binary
}

/// Where tests/toolchains.sh puts things.
fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.expect("HOME or XDG_CACHE_HOME is set").join("godebug-exporter")
}
