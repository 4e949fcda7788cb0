//! Merging settings into GODEBUG as Go reads it (src/runtime/runtime1.go, `parsegodebug`): parts
//! between commas, a key before `=`, no blanks trimmed, the last of a key wins.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// What `exec` asks the runtime for: each GC cycle, and the scheduler every second.
pub const WANTED: &str = "gctrace=1,schedtrace=1000";

/// Adds the settings of `wanted` whose keys `inherited` does not have; what is inherited stays as
/// it is, byte for byte.
#[must_use]
pub fn merge(inherited: Option<&OsStr>, wanted: &str) -> OsString {
    let mut merged = inherited.unwrap_or_default().to_owned();
    for part in wanted.split(',').filter(|part| !part.is_empty()) {
        if has_key(&merged, key(part.as_bytes())) {
            continue;
        }
        if !merged.is_empty() {
            merged.push(",");
        }
        merged.push(part);
    }
    merged
}

fn has_key(settings: &OsStr, wanted: &[u8]) -> bool {
    settings
        .as_bytes()
        .split(|b| *b == b',')
        .any(|part| part.contains(&b'=') && key(part) == wanted)
}

fn key(part: &[u8]) -> &[u8] {
    part.split(|b| *b == b'=').next().unwrap_or_default()
}

/// Checks what the user wants in GODEBUG.
///
/// # Errors
/// What a right value looks like.
pub fn check(text: &str) -> Result<String, String> {
    let right = |part: &str| {
        part.split_once('=').is_some_and(|(key, value)| {
            !key.is_empty() && !value.is_empty() && !part.contains(char::is_whitespace)
        })
    };
    if text.is_empty() || text.split(',').all(right) {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is no list of key=value without blanks; write it like {WANTED}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_set_wins_and_stays_as_it_is() {
        for (inherited, expected) in [
            (None, "gctrace=1,schedtrace=1000"),
            (Some(""), "gctrace=1,schedtrace=1000"),
            (Some("gctrace=0"), "gctrace=0,schedtrace=1000"),
            (Some("schedtrace=5,x509sha1=1"), "schedtrace=5,x509sha1=1,gctrace=1"),
            (Some("gctrace=2,schedtrace=10"), "gctrace=2,schedtrace=10"),
            // Go does not trim: " gctrace" is another key.
            (Some("a=1, gctrace=0"), "a=1, gctrace=0,gctrace=1,schedtrace=1000"),
            (Some("gctrace"), "gctrace,gctrace=1,schedtrace=1000"),
        ] {
            assert_eq!(
                merge(inherited.map(OsStr::new), WANTED),
                OsStr::new(expected),
                "{inherited:?}"
            );
        }
    }

    #[test]
    fn a_wanted_value_is_checked() {
        assert!(check("schedtrace=100,scheddetail=1").is_ok() && check("").is_ok());
        for bad in ["schedtrace", "a=1, b=2", "=1", "a="] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
