//! `install`: this program, as a file in a directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;

/// The name it gets, whatever it was called.
const NAME: &str = "godebug-exporter";

/// Copies this program into a directory. One that is there is replaced as a whole, even if it runs.
///
/// # Errors
/// The program cannot be read, or the directory cannot be written to.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    let to = directory.join(NAME);
    let unfinished = directory.join(format!(".{NAME}.{}", std::process::id()));
    let copied = fs::copy("/proc/self/exe", &unfinished)
        .and_then(|_bytes| fs::set_permissions(&unfinished, Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&unfinished, &to));
    if copied.is_err() {
        // What matters is told below; there may be nothing to remove.
        let _gone = fs::remove_file(&unfinished);
    }
    copied.with_context(|| format!("cannot install this program as {}", to.display()))
}
