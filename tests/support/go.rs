//! The programs of tests/go, built by a given Go release.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The newest release: for tests that do not depend on one.
pub(crate) const NEWEST: &str = "1.27";

/// Go 1.26 with the goroutineleak profile, which was an experiment then.
pub(crate) const WITH_LEAK_PROFILE: &str = "1.26+goroutineleakprofile";

/// A program of tests/go, built by each release at most once.
struct Program {
    name: &'static str,
    built: [(&'static str, OnceLock<PathBuf>); 7],
}

impl Program {
    const fn new(name: &'static str) -> Self {
        let built = [
            ("1.19", OnceLock::new()),
            ("1.21", OnceLock::new()),
            ("1.22", OnceLock::new()),
            ("1.24", OnceLock::new()),
            ("1.26", OnceLock::new()),
            (WITH_LEAK_PROFILE, OnceLock::new()),
            ("1.27", OnceLock::new()),
        ];
        Self { name, built }
    }

    fn binary(&'static self, version: &str) -> &'static Path {
        let mut all = self.built.iter();
        let (_, built) = all.find(|(known, _)| *known == version).expect("a known release");
        built.get_or_init(|| build(self.name, version))
    }
}

static SERVICE: Program = Program::new("service");
static CRASH: Program = Program::new("crash");
static TORN: Program = Program::new("torn");
static KUBELET: Program = Program::new("kubelet");

/// The program that logs as fast as it can.
pub(crate) fn chatter(version: &str) -> &'static Path {
    TORN.binary(version)
}

/// The part of a kubelet that serves logs.
pub(crate) fn kubelet() -> &'static Path {
    KUBELET.binary(NEWEST)
}

/// The service's binary; built at the first call.
pub(crate) fn service(version: &str) -> &'static Path {
    SERVICE.binary(version)
}

/// The binary of the program that crashes as told.
pub(crate) fn crash(version: &str) -> &'static Path {
    CRASH.binary(version)
}

fn build(name: &str, version: &str) -> PathBuf {
    let cache = cache();
    let (release, experiment) = version.split_once('+').unwrap_or((version, ""));
    let goroot = cache.join("go").join(release);
    let go = goroot.join("bin/go");
    assert!(go.exists(), "Go {release} is missing: run tests/toolchains.sh go-{release}");
    let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{version}"));
    let output = Command::new(&go)
        .args(["build", "-trimpath", "-o"])
        .arg(&binary)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/go").join(name))
        .env("GOROOT", &goroot)
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=mod")
        .env("CGO_ENABLED", "0")
        .env("GOEXPERIMENT", experiment)
        .env("GOCACHE", cache.join("go-build"))
        .env_remove("GODEBUG")
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Go {version} did not build {name}:\n{errors}");
    binary
}

/// Where tests/toolchains.sh puts things.
pub(crate) fn cache() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.expect("HOME or XDG_CACHE_HOME is set").join("godebug-exporter")
}
