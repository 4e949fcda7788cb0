//! How rotated files are named, and which of two is newer by its name.
//!
//! logrotate (`app.log.1`, `.2` …, `app.log-20261121`, with `extension`: `app.1.log`), savelog, the
//! kubelet (`0.log.20261121-101500`, and `1.log` after a restart of the container), lumberjack
//! (`app-2026-11-21T10-15-00.000.log`), and a plain `.old` or `.bak`; each also compressed.

use std::cmp::Reverse;

/// A number of at most so many digits counts rotations, 1 being the newest; a longer one is a date.
const COUNT_DIGITS_MAX: usize = 5;

/// Groups of digits in a date: year to nanoseconds, and a number of the day.
const GROUPS_MAX: usize = 9;

/// Names of the single file that is kept.
const WORDS: [&[u8]; 3] = [b"old", b"bak", b"prev"];

/// The file that is written to, and those that were before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Family {
    /// The name up to its extension, or up to the digits before it.
    stem: Vec<u8>,
    /// `.log`, or nothing.
    extension: Vec<u8>,
    /// The digits before the extension count too: it is a link that says which is the current one.
    numbered: bool,
}

/// Where in the order of a family a name stands; the newest is the greatest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// The digits before the extension, in a numbered family.
    stem: Vec<u64>,
    pub(super) age: Age,
}

/// The rotated part of a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Age {
    Dated(Vec<u64>),
    Counted(Reverse<u64>),
    Word,
    /// Not rotated.
    Current,
}

/// What a file was compressed with, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packed {
    No,
    Gzip,
    /// Nothing that we read.
    Other,
}

impl Family {
    /// Of the file called `base`. `linked`: what we follow is a link to it.
    pub(super) fn of(base: &[u8], linked: bool) -> Self {
        let dot = base.iter().rposition(|b| *b == b'.').filter(|dot| *dot > 0);
        let (stem, extension) = base.split_at(dot.unwrap_or(base.len()));
        let digits = stem.iter().rev().take_while(|b| is_date(**b)).count();
        let (prefix, digits) = stem.split_at(stem.len() - digits);
        // "app-2026": the separator belongs to the digits by `is_date`, but must not begin them.
        let skip = digits.iter().take_while(|b| !b.is_ascii_digit()).count();
        let numbered = linked && !extension.is_empty() && skip < digits.len();
        let stem = if numbered { stem.get(..prefix.len() + skip).unwrap_or(stem) } else { stem };
        Self { stem: stem.to_vec(), extension: extension.to_vec(), numbered }
    }

    /// The place of a name in the family; `None` if it belongs to another.
    pub(super) fn rank(&self, name: &[u8]) -> Option<(Rank, Packed)> {
        let (name, packed) = unpacked(name);
        let rest = name.strip_prefix(&*self.stem)?;
        let rank = if self.numbered { self.numbered_rank(rest)? } else { self.plain_rank(rest)? };
        Some((rank, packed))
    }

    fn plain_rank(&self, rest: &[u8]) -> Option<Rank> {
        let rank = |age| Some(Rank { stem: Vec::new(), age });
        if let Some(age) = rest.strip_prefix(&*self.extension).and_then(suffix) {
            return rank(age);
        }
        let infix = rest.strip_suffix(&*self.extension)?;
        match suffix(infix)? {
            // `app-1.log` beside `app.log` is another service's more often than not.
            Age::Counted(_) if infix.first() != Some(&b'.') => None,
            Age::Current | Age::Word => None,
            age => rank(age),
        }
    }

    fn numbered_rank(&self, rest: &[u8]) -> Option<Rank> {
        let digits = rest.iter().take_while(|b| is_date(**b)).count();
        // The extension's own dot reads as a part of a date: `0.log` has digits "0.".
        (1..=digits).rev().find_map(|end| {
            let (stem, rest) = rest.split_at_checked(end)?;
            let age = suffix(rest.strip_prefix(&*self.extension)?)?;
            Some(Rank { stem: numbers(stem)?, age })
        })
    }
}

impl Rank {
    /// Not a rotated name.
    pub(super) fn is_current(&self) -> bool {
        self.age == Age::Current
    }
}

/// Whether rotation gives such a name to a file called `base`.
pub(super) fn is_rotated_name_of(name: &[u8], base: &[u8]) -> bool {
    name != base && Family::of(base, false).rank(name).is_some_and(|(rank, _)| !rank.is_current())
}

/// Whether a name says that the file is compressed: nobody writes lines to such a file.
pub(super) fn is_packed(name: &[u8]) -> bool {
    unpacked(name).1 != Packed::No
}

fn unpacked(name: &[u8]) -> (&[u8], Packed) {
    if let Some(rest) = name.strip_suffix(b".gz") {
        return (rest, Packed::Gzip);
    }
    let others = [&b".zst"[..], b".xz", b".bz2", b".lz4", b".Z"];
    let other = others.iter().find_map(|end| name.strip_suffix(*end));
    other.map_or((name, Packed::No), |rest| (rest, Packed::Other))
}

/// The age that an end of a name tells; nothing left is the current file.
fn suffix(text: &[u8]) -> Option<Age> {
    let Some((separator, token)) = text.split_first() else { return Some(Age::Current) };
    if !matches!(separator, b'.' | b'-' | b'_') {
        return None;
    }
    if WORDS.contains(&token) {
        return Some(Age::Word);
    }
    let groups = numbers(token)?;
    match groups.as_slice() {
        [count] if token.len() <= COUNT_DIGITS_MAX => Some(Age::Counted(Reverse(*count))),
        _ => Some(Age::Dated(groups)),
    }
}

/// The groups of digits of `20261121-101500` or `2026-11-21T10-15-00.000Z`.
fn numbers(token: &[u8]) -> Option<Vec<u64>> {
    let token = token.strip_suffix(b"Z").unwrap_or(token);
    let groups = token.split(|b| !b.is_ascii_digit());
    let whole = token.iter().all(|b| is_date(*b));
    let numbers: Option<Vec<u64>> =
        groups.map(|group| std::str::from_utf8(group).ok()?.parse().ok()).collect();
    numbers.filter(|numbers| whole && numbers.len() <= GROUPS_MAX)
}

fn is_date(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'T' | b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names from the oldest to the newest, the file itself last.
    fn check(linked: bool, names: &[&str]) {
        let family = Family::of(names.last().unwrap().as_bytes(), linked);
        let ranks: Vec<Rank> =
            names.iter().map(|name| family.rank(name.as_bytes()).expect(name).0).collect();
        assert!(ranks.is_sorted_by(|a, b| a < b), "{names:?}: {ranks:?}");
        assert!(ranks.last().unwrap().is_current());
    }

    #[test]
    fn the_rotations_people_use_are_told_in_order() {
        check(false, &["app.log.10.gz", "app.log.9.gz", "app.log.2", "app.log.1", "app.log"]);
        check(false, &["app.9.log.gz", "app.1.log", "app.log"]);
        check(false, &["app.log-20261120.gz", "app.log-20261121", "app.log"]);
        check(false, &["app.log-1700000000", "app.log-1700003600", "app.log"]);
        check(
            false,
            &["app.log.2026-11-20", "app.log.2026-11-21", "app.log.2026-11-21.1", "app.log"],
        );
        check(
            false,
            &["app-2026-11-20T10-00-00.000.log.gz", "app-2026-11-21T10-00-00.000.log", "app.log"],
        );
        check(false, &["stderr.3.gz", "stderr.0", "stderr"]);
        check(false, &["app.log.old", "app.log"]);
        check(
            true,
            &[
                "0.log.20261121-100000.gz",
                "0.log.20261121-110000",
                "0.log",
                "1.log.20261121-120000",
                "1.log",
            ],
        );
        check(true, &["app-2026-11-20.log", "app-2026-11-21.log"]);
        check(true, &["server.3.log", "server.10.log"]);
    }

    #[test]
    fn other_services_are_no_relatives() {
        let family = Family::of(b"app.log", false);
        for name in [
            "app-error.log",
            "app.log.swp",
            "app.log.20261121.tmp",
            "app.log.gz.tmp",
            "app-1.log",
            "app2.log",
            "myapp.log.1",
            "app.log~",
            "app.log.",
            "app.log.1.2x",
            "app.",
            "app",
        ] {
            assert_eq!(family.rank(name.as_bytes()), None, "{name}");
        }
        assert_eq!(Family::of(b"0.log", false).rank(b"1.log"), None);
        assert_eq!(Family::of(b"0.log", true).rank(b"x.log"), None);
        assert_eq!(family.rank(b"app.log.2.zst").unwrap().1, Packed::Other);
        assert_eq!(Family::of(b".log", false).stem, b".log");
    }
}
