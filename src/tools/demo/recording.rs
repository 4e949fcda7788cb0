//! The format of the recordings, described in tests/go/record/main.go.

use std::time::Duration;

const HEAD: &[u8] = b"godebug-exporter recording 1\n";

/// What was written at a moment.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) at: Duration,
    pub(super) payload: Payload,
}

/// Who wrote it.
#[derive(Debug)]
pub(super) enum Payload {
    Stderr(&'static [u8]),
    Vars(&'static [u8]),
}

/// Reads a recording.
pub(super) fn read(text: &'static [u8]) -> Result<Vec<Entry>, String> {
    let mut rest = text.strip_prefix(HEAD).ok_or("it does not begin as one")?;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entry, next) =
            entry(rest).ok_or_else(|| format!("entry {} is not right", entries.len() + 1))?;
        entries.push(entry);
        rest = next;
    }
    Ok(entries)
}

/// `@<ms> <stderr|vars> <length>\n<bytes>\n`
fn entry(text: &'static [u8]) -> Option<(Entry, &'static [u8])> {
    let end = memchr::memchr(b'\n', text)?;
    let (head, rest) = text.split_at_checked(end)?;
    let mut words = std::str::from_utf8(head).ok()?.strip_prefix('@')?.split(' ');
    let at = Duration::from_millis(words.next()?.parse().ok()?);
    let kind = words.next()?;
    let length: usize = words.next()?.parse().ok()?;
    let (bytes, rest) = rest.get(1..)?.split_at_checked(length)?;
    let payload = match kind {
        "stderr" => Payload::Stderr(bytes),
        "vars" => Payload::Vars(bytes),
        _ => return None,
    };
    Some((Entry { at, payload }, rest.strip_prefix(b"\n")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::expvar;
    use crate::parse::line::{Verdict, read as read_line};

    #[test]
    fn every_recording_is_whole() {
        for recorded in super::super::RECORDED {
            let entries = read(recorded.text).unwrap();
            let mut traces = 0;
            for entry in &entries {
                match entry.payload {
                    Payload::Vars(body) => assert!(expvar::read(body).unwrap().memstats.is_some()),
                    Payload::Stderr(bytes) => {
                        for line in bytes.split(|b| *b == b'\n') {
                            let verdict = read_line(line);
                            assert!(
                                !matches!(verdict, Verdict::Malformed(_)),
                                "{}",
                                String::from_utf8_lossy(line)
                            );
                            traces += u32::from(matches!(verdict, Verdict::Trace(_)));
                        }
                    }
                }
            }
            assert!(
                traces > 50 && entries.last().unwrap().at > Duration::from_secs(50),
                "{}",
                recorded.name
            );
        }
    }
}
