//! Log files of containers → the text that the container wrote.
//!
//! A container runtime reads the service's stderr, splits it at line feeds, and writes each line,
//! or piece of a long one, as a line of its own: whatever tore a trace line is still there.
//!
//! - CRI (containerd, CRI-O; kubernetes: design-proposals, kubelet-cri-logging):
//!   `2026-11-21T10:00:00.123456789Z stderr F text`; `P` instead of `F`: the line goes on in the
//!   next entry of its stream.
//! - Docker's json-file: `{"log":"text\n","stream":"stderr","time":"…"}`; a piece of a line longer
//!   than 16 KiB has no `\n`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::rfc3339;
use crate::model::wrapping::Wrapping;

/// Longest line of such a file: 16 KiB of text, of which Docker may write each byte as six.
const ENTRY_MAX_BYTES: usize = 256 * 1024;

/// Of which of a container's streams a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Also what is not wrapped.
    Stderr,
    /// A trace is here if the service's streams are one: a terminal, `2>&1`.
    Stdout,
}

/// What is known of a file's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    /// Nothing was read yet.
    Unknown,
    /// The first line was plain, but may be the rest of an entry.
    Doubtful,
    Plain,
    Cri,
    Docker,
}

/// Takes the wrapping off a log file, which may be cut anywhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Unwrap {
    form: Form,
    /// An entry that has not ended yet.
    #[serde(with = "crate::model::bytes")]
    carry: Vec<u8>,
    /// The rest of an entry longer than the bound is passed over.
    overlong: bool,
}

impl Unwrap {
    /// For a file in a form that is known, or to be found out.
    #[must_use]
    pub fn new(wrapping: Wrapping) -> Self {
        let form = match wrapping {
            Wrapping::Auto => Form::Unknown,
            Wrapping::Plain => Form::Plain,
            Wrapping::Cri => Form::Cri,
            Wrapping::Docker => Form::Docker,
        };
        Self { form, carry: Vec::new(), overlong: false }
    }

    /// Goes on where a saved one was, unless that was of another form.
    pub fn restore(&mut self, saved: Self) {
        if self.form == Form::Unknown || self.form == saved.form {
            *self = saved;
        }
    }

    /// Gives the text in `chunk`, in pieces. Gives the number of lines that are no entries.
    #[inline]
    pub fn push(&mut self, chunk: &[u8], mut text: impl FnMut(Stream, &[u8])) -> u64 {
        if self.form == Form::Plain {
            text(Stream::Stderr, chunk);
            return 0;
        }
        self.entries(chunk, &mut text)
    }

    fn entries(&mut self, chunk: &[u8], text: &mut impl FnMut(Stream, &[u8])) -> u64 {
        let mut malformed = 0;
        let mut rest = chunk;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, later) = rest.split_at(end + 1);
            rest = later;
            let carried = std::mem::take(&mut self.carry);
            let entry = if carried.is_empty() {
                Cow::Borrowed(line)
            } else {
                Cow::Owned([&carried, line].concat())
            };
            let overlong = std::mem::take(&mut self.overlong);
            malformed += u64::from(overlong || !self.entry(&entry, text));
            if self.form == Form::Plain {
                text(Stream::Stderr, rest);
                return malformed;
            }
        }
        if self.overlong || self.carry.len() + rest.len() > ENTRY_MAX_BYTES {
            self.overlong = true;
            self.carry = Vec::new();
        } else {
            self.carry.extend_from_slice(rest);
        }
        malformed
    }

    /// Takes one line with its line feed; gives false if it is no entry.
    fn entry(&mut self, line: &[u8], text: &mut impl FnMut(Stream, &[u8])) -> bool {
        if matches!(self.form, Form::Unknown | Form::Doubtful) {
            self.form = match form_of(line) {
                Form::Plain if self.form == Form::Unknown => Form::Doubtful,
                form => form,
            };
        }
        match self.form {
            Form::Cri => cri(line).map(|(stream, line)| text(stream, line)).is_some(),
            Form::Docker => docker(line).map(|(stream, line)| text(stream, &line)).is_some(),
            Form::Unknown | Form::Doubtful | Form::Plain => {
                text(Stream::Stderr, line);
                true
            }
        }
    }

    /// The file ends or breaks. What has no end is plain text if the form is not known, else it is
    /// forgotten.
    pub fn cut(&mut self, mut text: impl FnMut(Stream, &[u8])) {
        let rest = std::mem::take(&mut self.carry);
        self.overlong = false;
        if matches!(self.form, Form::Unknown | Form::Doubtful) && !rest.is_empty() {
            text(Stream::Stderr, &rest);
        }
    }
}

fn form_of(line: &[u8]) -> Form {
    if cri(line).is_some() {
        Form::Cri
    } else if docker(line).is_some() {
        Form::Docker
    } else {
        Form::Plain
    }
}

/// The text of a CRI entry, with its line feed if it is a line's end.
fn cri(entry: &[u8]) -> Option<(Stream, &[u8])> {
    let (time, rest) = word(entry)?;
    let (stream, rest) = word(rest)?;
    let stream = stream_of(stream)?;
    // Tags are separated by `:`; only the first is in use.
    let (tag, text) =
        word(rest).or_else(|| rest.strip_suffix(b"\n").map(|tag| (tag, &b"\n"[..])))?;
    rfc3339::is_begun(time).then_some(())?;
    match tag.split(|byte| *byte == b':').next()? {
        b"F" => Some((stream, text)),
        b"P" => Some((stream, text.strip_suffix(b"\n").unwrap_or(text))),
        _ => None,
    }
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', text)?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

fn stream_of(name: &[u8]) -> Option<Stream> {
    match name {
        b"stderr" => Some(Stream::Stderr),
        b"stdout" => Some(Stream::Stdout),
        _ => None,
    }
}

#[derive(Deserialize)]
struct DockerEntry<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
}

fn docker(entry: &[u8]) -> Option<(Stream, Vec<u8>)> {
    if !entry.starts_with(b"{\"") {
        return None;
    }
    let entry: DockerEntry<'_> = serde_json::from_slice(entry).ok()?;
    Some((stream_of(entry.stream.as_bytes())?, entry.log.into_owned().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRI: &str = "2026-11-21T10:00:00.123456789Z stderr F SCHED 5\n\
        2026-11-21T10:00:00.2Z stdout F hello\n\
        2026-11-21T10:00:00.3+02:00 stderr P long \n\
        2026-11-21T10:00:00.4Z stdout P half \n\
        2026-11-21T10:00:00.5Z stderr F line\n\
        2026-11-21T10:00:00.6Z stderr F\n\
        2026-11-21T10:00:00.7Z stdout F whole\n";
    const DOCKER: &str = "{\"log\":\"SCHED 5\\n\",\"stream\":\"stderr\",\"time\":\"2026-11-21T10:00:00.1Z\"}\n\
        {\"log\":\"long \",\"stream\":\"stderr\",\"time\":\"2026-11-21T10:00:00.2Z\"}\n\
        {\"log\":\"hello\\n\",\"stream\":\"stdout\",\"time\":\"2026-11-21T10:00:00.3Z\"}\n\
        {\"log\":\"l\\u00efne\\n\",\"stream\":\"stderr\",\"attrs\":{\"a\":\"b\"},\"time\":\"2026-11-21T10:00:00.4Z\"}\n";

    fn unwrap(wrapping: Wrapping, chunks: &[&[u8]]) -> (String, String, u64) {
        let mut framer = Unwrap::new(wrapping);
        let (mut err, mut out, mut malformed) = (Vec::new(), Vec::new(), 0);
        let mut text = |stream, text: &[u8]| match stream {
            Stream::Stderr => err.extend_from_slice(text),
            Stream::Stdout => out.extend_from_slice(text),
        };
        for chunk in chunks {
            malformed += framer.push(chunk, &mut text);
        }
        framer.cut(&mut text);
        (String::from_utf8(err).unwrap(), String::from_utf8(out).unwrap(), malformed)
    }

    #[test]
    fn a_form_is_known_by_itself_and_may_be_cut_anywhere() {
        let check = |text: &str, err: &str, out: &str| {
            for cut in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(cut);
                let got = unwrap(Wrapping::Auto, &[first, second]);
                assert_eq!(got, (err.to_owned(), out.to_owned(), 0), "cut at {cut}");
            }
        };
        check(CRI, "SCHED 5\nlong line\n\n", "hello\nhalf whole\n");
        check(DOCKER, "SCHED 5\nlong l\u{ef}ne\n", "hello\n");
        check("{\"msg\":1}\nSCHED 5\nno end", "{\"msg\":1}\nSCHED 5\nno end", "");
        check("one line without end", "one line without end", "");
    }

    #[test]
    fn a_file_read_from_the_middle_of_an_entry_is_known_from_the_next() {
        let text = CRI.get(10..).unwrap();
        let (err, out, malformed) = unwrap(Wrapping::Auto, &[text.as_bytes()]);
        assert!(err.ends_with("long line\n\n") && out == "hello\nhalf whole\n", "{err:?}");
        assert_eq!(malformed, 0);
    }

    #[test]
    fn what_is_no_entry_is_counted_and_an_endless_one_is_not_kept() {
        let bad = format!("{CRI}junk\n2026-11-21T10:00:00Z stdlog F x\n{CRI}");
        let (err, _, malformed) = unwrap(Wrapping::Auto, &[bad.as_bytes()]);
        assert_eq!((malformed, err.as_str()), (2, "SCHED 5\nlong line\n\n".repeat(2).as_str()));
        let endless = vec![b'x'; ENTRY_MAX_BYTES];
        let chunks = [CRI.as_bytes(), &endless, &endless, b"x\n", CRI.as_bytes()];
        let (err, _, malformed) = unwrap(Wrapping::Auto, &chunks);
        assert_eq!((malformed, err), (1, "SCHED 5\nlong line\n\n".repeat(2)));
    }
}
