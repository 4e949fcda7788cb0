//! The files: what they hold, to tell whether they have changed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::config::web_file::tls::Pem;

/// A bundle of every authority of the world has 250 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Each file that was read, and what it held.
#[derive(Debug, Default)]
pub(super) struct Contents(Vec<(PathBuf, Vec<u8>)>);

impl Contents {
    /// Reads one; blocks.
    pub(super) fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let bytes = read(path)?;
        self.0.push((path.to_owned(), bytes.clone()));
        Ok(bytes)
    }

    /// What is in `pem`; blocks if it is a file. `key`: what the config calls it.
    pub(super) fn pem(&mut self, pem: &Pem, key: &str) -> Result<Vec<u8>, String> {
        match pem {
            Pem::File(path) => self.read(path).map_err(|what| format!("{key}_file: {what}")),
            Pem::Inline(text) => Ok(text.0.clone().into_bytes()),
        }
    }

    /// Whether the files hold something else now, or cannot be read; blocks.
    pub(super) fn have_changed(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|(path, held)| read(path).as_ref() != Ok(held))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let wrong = |what: &dyn std::fmt::Display| format!("cannot read {}: {what}", path.display());
    // A pipe that nobody writes to would be waited for.
    if !path.metadata().map_err(|error| wrong(&error))?.is_file() {
        return Err(wrong(&"it is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| wrong(&error))?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(wrong(&"it has more than 1 MiB"));
    }
    Ok(bytes)
}
