//! Profiles that count stacks: goroutine, threadcreate, goroutineleak
//! (src/runtime/pprof/pprof.go, `printCountProfile`).
//!
//! ```text
//! goroutine profile: total 32
//! 2 @ 0x48ae8a 0x41723c 0x717a88 0x491de1
//! # labels: {"kind":"worker", "tenant":"a b"}
//! #  0x717a87  main.leak.func2+0x27  /src/app/main.go:60
//!
//! ```
//!
//! The line of labels stands there since Go 1.15. Columns are padded with tabs.

use super::PprofError;
use crate::model::json::Json;
use crate::model::stack::{Frame, Stack};
use crate::parse::json::Cursor;

/// Which one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Every goroutine but the runtime's own.
    Goroutine,
    /// Every OS thread.
    ThreadCreate,
    /// Goroutines that the runtime proved to be leaked. Go 1.27; 1.26 with the experiment.
    GoroutineLeak,
}

/// What is at hand of a stack.
#[derive(Debug, Default)]
struct Open<'a> {
    count: u64,
    frames: Vec<Frame<'a>>,
    labels: Vec<(String, String)>,
}

impl Profile {
    /// Its name, which is also the last part of its path.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Goroutine => "goroutine",
            Self::ThreadCreate => "threadcreate",
            Self::GoroutineLeak => "goroutineleak",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Goroutine => "goroutine profile",
            Self::ThreadCreate => "threadcreate profile",
            Self::GoroutineLeak => "goroutineleak profile",
        }
    }
}

/// Reads the body of `profile` with `debug=1`, hands each stack to `each`, and gives their number in
/// all. What was handed on counts only if this is `Ok`.
///
/// # Errors
/// The body is another, or cut, or its stacks are not as many as its head says.
pub fn read(
    profile: Profile,
    body: &[u8],
    each: &mut dyn FnMut(&Stack<'_>),
) -> Result<u64, PprofError> {
    let text = String::from_utf8_lossy(body);
    let mut lines = text.split_inclusive('\n');
    let head = lines.next().unwrap_or_default();
    let total = total(profile, head)?;
    let (mut sum, mut open) = (0_u64, None);
    for (n, line) in lines.enumerate() {
        let line = line.strip_suffix('\n').ok_or(PprofError::Truncated)?;
        let malformed = || PprofError::Malformed(n + 2);
        match &mut open {
            None if line.is_empty() => {}
            None => open = Some(begin(line).ok_or_else(malformed)?),
            Some(stack) if line.is_empty() => {
                let Open { count, frames, labels } = &*stack;
                sum = sum.saturating_add(*count);
                each(&Stack { count: *count, frames, labels });
                open = None;
            }
            Some(stack) => stack.line(line).ok_or_else(malformed)?,
        }
    }
    if open.is_some() || sum < total {
        return Err(PprofError::Truncated);
    }
    if sum == total { Ok(total) } else { Err(PprofError::Disagrees { total, sum }) }
}

fn total(profile: Profile, head: &str) -> Result<u64, PprofError> {
    let title = profile.title();
    let other = || PprofError::Other(title);
    let rest = head.strip_prefix(profile.name()).ok_or_else(other)?;
    let number = rest.strip_prefix(" profile: total ").ok_or_else(other)?;
    let number = number.strip_suffix('\n').ok_or(PprofError::Truncated)?;
    unsigned(number).ok_or_else(other)
}

/// `2 @ 0x48ae8a 0x491de1`
fn begin(line: &str) -> Option<Open<'_>> {
    let (count, addresses) = line.split_once(" @")?;
    let known = |address: &str| address.strip_prefix("0x").is_some_and(is_hex);
    if !addresses.is_empty() && !addresses.strip_prefix(' ')?.split(' ').all(known) {
        return None;
    }
    let count = unsigned(count).filter(|count| *count > 0)?;
    Some(Open { count, ..Open::default() })
}

impl<'a> Open<'a> {
    fn line(&mut self, line: &'a str) -> Option<()> {
        if let Some(frame) = line.strip_prefix("#\t0x") {
            self.frames.extend(frame_of(frame)?);
        } else if let Some(labels) = line.strip_prefix("# labels: ") {
            self.labels = labels_of(labels)?;
        } else if !line.starts_with("# ") {
            return None;
        }
        Some(())
    }
}

/// `717a87  main.leak.func2+0x27  /src/app/main.go:60`; a call without a name has its address only,
/// and is none.
fn frame_of(text: &str) -> Option<Option<Frame<'_>>> {
    let Some((address, rest)) = text.split_once('\t') else {
        return is_hex(text).then_some(None);
    };
    let (function, place) = rest.rsplit_once('\t')?;
    let (function, offset) = function.trim_end_matches('\t').rsplit_once("+0x")?;
    let (file, line) = place.rsplit_once(':')?;
    let known = is_hex(address) && is_hex(offset) && !function.is_empty();
    let line = u32::try_from(unsigned(line)?).ok()?;
    known.then_some(Some(Frame { function, file, line }))
}

/// `{"kind":"worker", "tenant":"a b"}`, quoted by strconv.Quote.
fn labels_of(text: &str) -> Option<Vec<(String, String)>> {
    let mut cursor = Cursor::new(text.as_bytes());
    let Some(Json::Object(entries)) = cursor.value() else { return None };
    let text = |(key, value)| match value {
        Json::Text(value) => Some((key, value)),
        _ => None,
    };
    cursor.rest().is_empty().then(|| entries.into_iter().map(text).collect())?
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Digits only: no sign, as `parse` would take.
fn unsigned(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "goroutine profile: total 7\n\
        4 @ 0x48ae8a 0x491de1\n\
        #\t0x48a084\tinternal/poll.runtime_pollWait+0x84\t\t/usr/local/go/src/runtime/netpoll.go:351\n\
        #\t0x6b9c72\tmain.Map[go.shape.struct { A int; B string }]+0x832\t/a b/c:d.go:2193\n\
        \n\
        3 @ 0x48ae8a\n\
        # labels: {\"kind\":\"wor\\\"ker\", \"tenant\":\"a b\\x00\\u00fc\"}\n\
        #\t0x0\n\
        #\t0x6b9c72\tmain.main+0x1\t/app/main.go:5\n\
        \n";

    fn check(profile: Profile, body: impl AsRef<[u8]>) -> Result<Vec<String>, PprofError> {
        let mut found = Vec::new();
        let total = read(profile, body.as_ref(), &mut |stack| {
            let frames: Vec<String> = stack
                .frames
                .iter()
                .map(|f| format!("{} {}:{}", f.function, f.file, f.line))
                .collect();
            found.push(format!("{} {:?} {}", stack.count, stack.labels, frames.join(" < ")));
        })?;
        found.push(total.to_string());
        Ok(found)
    }

    #[test]
    fn stacks_have_counts_frames_and_labels() {
        let expected = [
            "4 [] internal/poll.runtime_pollWait /usr/local/go/src/runtime/netpoll.go:351 < \
             main.Map[go.shape.struct { A int; B string }] /a b/c:d.go:2193",
            "3 [(\"kind\", \"wor\\\"ker\"), (\"tenant\", \"a b\\0ü\")] main.main /app/main.go:5",
            "7",
        ];
        assert_eq!(check(Profile::Goroutine, BODY).unwrap(), expected);
    }

    #[test]
    fn a_body_that_is_cut_anywhere_is_refused_whole() {
        for end in 0..BODY.len() {
            let found = check(Profile::Goroutine, &BODY.as_bytes()[..end]);
            let other = end < "goroutine profile: total ".len();
            let expected =
                if other { PprofError::Other("goroutine profile") } else { PprofError::Truncated };
            assert_eq!(found, Err(expected), "{end}");
        }
    }

    #[test]
    fn none_leaked_and_threads_without_a_stack() {
        assert_eq!(
            check(Profile::GoroutineLeak, "goroutineleak profile: total 0\n").unwrap(),
            ["0"]
        );
        for threads in ["7 @\n\n", "7 @\n#\t0x0\n\n", "7 @ 0x0 0x0\n#\t0x0\n\n"] {
            let body = format!("threadcreate profile: total 7\n{threads}");
            assert_eq!(check(Profile::ThreadCreate, &body).unwrap(), ["7 [] ", "7"]);
        }
    }

    #[test]
    fn what_is_no_such_profile_is_refused() {
        let other = Err(PprofError::Other("goroutine profile"));
        for body in [
            "",
            "<html>",
            "Unknown profile\n",
            "goroutine 1 [running]:\n",
            "threadcreate profile: total 7\n7 @\n\n",
            "goroutine profile: total +7\n",
            "goroutineleak profile: total 0\n",
        ] {
            assert_eq!(check(Profile::Goroutine, body), other, "{body}");
        }
    }

    #[test]
    fn a_line_in_no_known_form_refuses_the_body_and_says_where() {
        for (line, at) in [
            ("1 @ 0x1\n#\t0x1\tmain.main\t/a.go:1\n\n", 3),
            ("1 @ 0x1\n#\t0x1\tmain.main+0x1\t/a.go\n\n", 3),
            ("1 @ 0x1\n#\t0x1\tmain.main+0x1\t/a.go:-1\n\n", 3),
            ("1 @ 0x1\n# labels: {\"a\":1}\n\n", 3),
            ("1 @ 0x1\nwords\n\n", 3),
            ("words\n", 2),
            ("-1 @ 0x1\n\n", 2),
            ("0 @ 0x1\n\n", 2),
            ("1 @ x1\n\n", 2),
            ("1 @0x1\n\n", 2),
        ] {
            let found = check(Profile::Goroutine, format!("goroutine profile: total 1\n{line}"));
            assert_eq!(found, Err(PprofError::Malformed(at)), "{line}");
        }
        // A release to come may add such lines.
        let body = "goroutine profile: total 1\n1 @ 0x1\n# bubble: 7\n#\t0x1\tf+0x1\tg:1\n\n";
        assert_eq!(check(Profile::Goroutine, body).unwrap(), ["1 [] f g:1", "1"]);
    }

    #[test]
    fn numbers_that_do_not_agree_are_refused() {
        let body =
            |total: &str| format!("goroutine profile: total {total}\n1 @ 0x1\n\n1 @ 0x2\n\n");
        assert_eq!(
            check(Profile::Goroutine, body("1")),
            Err(PprofError::Disagrees { total: 1, sum: 2 })
        );
        assert_eq!(check(Profile::Goroutine, body("3")), Err(PprofError::Truncated));
        let huge = format!("goroutine profile: total 1\n{0} @\n\n{0} @\n\n", u64::MAX);
        assert!(matches!(check(Profile::Goroutine, &huge), Err(PprofError::Disagrees { .. })));
    }
}
