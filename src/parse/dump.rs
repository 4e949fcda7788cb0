//! The lines of a crash, one by one, as src/runtime/panic.go, traceback.go and signal_unix.go
//! print them. What they mean together is told in `crash`.

use crate::model::crash::{FatalKind, Signal};

/// Longest name of a function or file that is kept.
const NAME_MAX_BYTES: usize = 300;

/// The line with which a crash begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening<'a> {
    /// `panic: VALUE`.
    Panic(&'a [u8]),
    /// `fatal error: TEXT`.
    Fatal(&'a [u8]),
    /// `SIGQUIT: quit`.
    Signal(Signal, &'a [u8]),
}

/// A line of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpLine<'a> {
    /// Nothing.
    Blank,
    /// `[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x…]`.
    SignalDetail(Signal),
    /// `PC=0x… m=0 sigcode=0`.
    Pc,
    /// `goroutine 1 [running]:`.
    Goroutine(Header),
    /// It begins like a goroutine's header and is none.
    TornGoroutine,
    /// `runtime stack:`.
    RuntimeStack,
    /// `main.main(0x1, …)`: its name, without the arguments.
    Function(&'a [u8]),
    /// `\t/src/main.go:5 +0x1d`: file and line, where they can be read.
    Position(Option<(&'a [u8], u32)>),
    /// `created by main.main in goroutine 1`, `...12 frames elided...`.
    Other,
    /// `rax    0x0`.
    Register,
    /// `-----`: another thread's dump follows.
    NextThread,
    /// `panic during panic`.
    PanicDuringPanic,
    /// Nothing that a dump has.
    Foreign,
}

/// The line above a goroutine's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its id; 0 is a thread's own stack.
    pub id: u64,
    /// It ran.
    pub running: bool,
    /// It is in a bubble of testing/synctest, of which alone others may be listed.
    pub bubble: bool,
}

/// Whether a line may be an [`Opening`] or a data race's, by its first bytes: cheap enough for
/// every line.
#[inline]
#[must_use]
pub const fn is_candidate(line: &[u8]) -> bool {
    matches!(
        line,
        [b'p', b'a', b'n', b'i', ..]
            | [b'f', b'a', b't', b'a', ..]
            | [b'S', b'I', b'G', ..]
            | [b'W', b'A', b'R', b'N', b'I', ..]
    )
}

/// The beginning of a crash, if a line is one.
#[must_use]
pub fn opening(line: &[u8]) -> Option<Opening<'_>> {
    match line.first()? {
        b'p' => line.strip_prefix(b"panic: ").map(Opening::Panic),
        b'f' => line.strip_prefix(b"fatal error: ").map(Opening::Fatal),
        b'S' => {
            let colon = memchr::memmem::find(line, b": ")?;
            let (name, text) = (line.get(..colon)?, line.get(colon + 2..)?);
            let is_name = name.starts_with(b"SIG")
                && name.len() > 3
                && name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
            let is_text = !text.is_empty()
                && text.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b' ' | b'/' | b'-'));
            (is_name && is_text).then(|| Opening::Signal(Signal::of(name), line))
        }
        _ => None,
    }
}

/// Which fatal error a text is.
#[must_use]
pub fn fatal_kind(text: &[u8]) -> FatalKind {
    let has = |word: &[u8]| memchr::memmem::find(text, word).is_some();
    match text {
        b"concurrent map writes" | b"small map with no empty slot (concurrent map writes?)" => {
            FatalKind::ConcurrentMapWrites
        }
        b"concurrent map read and map write" => FatalKind::ConcurrentMapReadWrite,
        b"concurrent map iteration and map write" | b"concurrent map clone and map write" => {
            FatalKind::ConcurrentMapIteration
        }
        b"stack overflow" => FatalKind::StackOverflow,
        b"unexpected signal during runtime execution" => FatalKind::UnexpectedSignal,
        b"fault" => FatalKind::Fault,
        b"thread exhaustion" | b"newosproc" => FatalKind::ThreadLimit,
        b"sync: unlock of unlocked mutex"
        | b"sync: Unlock of unlocked RWMutex"
        | b"sync: RUnlock of unlocked RWMutex"
        | b"sync: RUnlock of unlocked RWMutex (not-locked)" => FatalKind::UnlockOfUnlockedMutex,
        _ if text.ends_with(b" - deadlock!") => FatalKind::Deadlock,
        _ if text.starts_with(b"checkptr: ") => FatalKind::Checkptr,
        _ if text.starts_with(b"cgocheck > 1 mode") => FatalKind::Cgocheck,
        _ if has(b"out of memory") || text == b"runtime: cannot allocate memory" => {
            FatalKind::OutOfMemory
        }
        _ => FatalKind::Other,
    }
}

/// Whether nobody but the runtime says this, so that no dump is needed to believe it: after a
/// deadlock there may be no goroutine to list.
#[must_use]
pub fn is_sure_text(text: &[u8]) -> bool {
    use FatalKind::{
        ConcurrentMapIteration, ConcurrentMapReadWrite, ConcurrentMapWrites, UnexpectedSignal,
        UnlockOfUnlockedMutex,
    };
    matches!(
        text,
        b"all goroutines are asleep - deadlock!"
            | b"no goroutines (main called runtime.Goexit) - deadlock!"
    ) || matches!(
        fatal_kind(text),
        ConcurrentMapIteration
            | ConcurrentMapReadWrite
            | ConcurrentMapWrites
            | UnexpectedSignal
            | UnlockOfUnlockedMutex
    )
}

/// What a line of a dump is.
#[must_use]
pub fn read(line: &[u8]) -> DumpLine<'_> {
    match line {
        [] => DumpLine::Blank,
        [b'\t', rest @ ..] => DumpLine::Position(position(rest)),
        [b'[', ..] => signal_detail(line).map_or(DumpLine::Foreign, DumpLine::SignalDetail),
        b"runtime stack:" => DumpLine::RuntimeStack,
        b"-----" => DumpLine::NextThread,
        b"panic during panic" => DumpLine::PanicDuringPanic,
        _ if line.starts_with(b"goroutine ") => {
            header(line).map_or(DumpLine::TornGoroutine, DumpLine::Goroutine)
        }
        _ if line.starts_with(b"PC=0x") => DumpLine::Pc,
        _ if line.starts_with(b"created by ")
            || line.starts_with(b"...") && line.ends_with(b" frames elided...") =>
        {
            DumpLine::Other
        }
        _ if is_register(line) => DumpLine::Register,
        _ => function(line).map_or(DumpLine::Foreign, DumpLine::Function),
    }
}

/// `goroutine N[ gp=0x… m=K mp=0x…] [STATUS]{ labels}:`, whatever the release.
fn header(line: &[u8]) -> Option<Header> {
    let rest = line.strip_prefix(b"goroutine ")?.strip_suffix(b":")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (id, rest) = rest.split_at_checked(digits)?;
    let bracket = memchr::memchr(b'[', rest)?;
    let (addresses, status) = rest.split_at_checked(bracket)?;
    let rest_is_known = addresses == b" " || addresses.starts_with(b" gp=0x");
    if !rest_is_known || !(status.ends_with(b"]") || status.ends_with(b"}")) {
        return None;
    }
    let bubble = memchr::memmem::find(status, b", synctest ").is_some();
    Some(Header { id: number(id)?, running: status.starts_with(b"[running"), bubble })
}

/// A name of at most six letters and digits, blanks, a hexadecimal number.
fn is_register(line: &[u8]) -> bool {
    let name = line.iter().take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit()).count();
    let Some((_, rest)) = line.split_at_checked(name) else { return false };
    let value = rest.trim_ascii_start();
    (1..=6).contains(&name)
        && value.len() < rest.len()
        && value
            .strip_prefix(b"0x")
            .is_some_and(|hex| !hex.is_empty() && hex.iter().all(u8::is_ascii_hexdigit))
}

fn number<N: std::str::FromStr>(digits: &[u8]) -> Option<N> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn signal_detail(line: &[u8]) -> Option<Signal> {
    let rest = line.strip_prefix(b"[signal ")?.strip_suffix(b"]")?;
    let at = memchr::memmem::find(rest, b" code=0x")?;
    let name = rest.get(..at)?;
    let end = memchr::memchr(b':', name).unwrap_or(name.len());
    // Until Go 1.6 the number alone.
    Some(match name.get(..end)? {
        b"0xb" => Signal::Segv,
        b"0x7" => Signal::Bus,
        b"0x8" => Signal::Fpe,
        name => Signal::of(name),
    })
}

/// The name in `pkg.F(0x1, {0x2?, 0x3}, …)`. Arguments are numbers, so that a log line with
/// parentheses is none.
fn function(line: &[u8]) -> Option<&[u8]> {
    let line = line.strip_suffix(b")")?;
    let open = memchr::memrchr(b'(', line)?;
    let (name, arguments) = (line.get(..open)?, line.get(open + 1..)?);
    let is_argument = |b: &u8| {
        b.is_ascii_hexdigit() || matches!(b, b'x' | b'{' | b'}' | b'?' | b',' | b' ' | b'.' | b'_')
    };
    let is_name = name == b"panic"
        || name.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
            && name.contains(&b'.')
            && !name.iter().any(|b| b.is_ascii_whitespace() || *b == b'"');
    (is_name && name.len() <= NAME_MAX_BYTES && arguments.iter().all(is_argument)).then_some(name)
}

/// `/src/main.go:5[ +0x1d][ fp=0x… sp=0x… pc=0x…]`.
fn position(rest: &[u8]) -> Option<(&[u8], u32)> {
    let colon = memchr::memrchr(b':', rest)?;
    let (file, after) = (rest.get(..colon)?, rest.get(colon + 1..)?);
    let digits = after.iter().take_while(|b| b.is_ascii_digit()).count();
    let (line, more) = after.split_at_checked(digits)?;
    let ends = more.is_empty() || more.starts_with(b" +0x") || more.starts_with(b" fp=0x");
    (ends && !file.is_empty() && file.len() <= NAME_MAX_BYTES).then_some((file, number(line)?))
}

/// Functions that end the process.
#[must_use]
pub fn is_throw(name: &[u8]) -> bool {
    name.ends_with(b".throw") || name.ends_with(b".fatal")
}

/// Functions that are not to blame: the runtime's, and those of packages that only pass on what
/// their caller did wrong.
#[must_use]
pub fn is_runtime(name: &[u8]) -> bool {
    const PACKAGES: [&[u8]; 8] = [
        b"runtime.",
        b"runtime/",
        b"internal/runtime/",
        b"internal/sync.",
        b"sync.",
        b"sync/atomic.",
        b"log.Panic",
        b"log.(*Logger).Panic",
    ];
    name == b"panic" || PACKAGES.iter().any(|package| name.starts_with(package))
}

/// A frame of a data race's report: `      /src/main.go:5 +0x1d`.
#[must_use]
pub fn race_position(line: &[u8]) -> Option<(&[u8], u32)> {
    line.strip_prefix(b"      ").and_then(position)
}

/// A frame of a data race's report: `  main.f()`.
#[must_use]
pub fn race_function(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"  ").and_then(function)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: DumpLine<'_>) {
        assert_eq!(read(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn headers_of_every_release() {
        let header = |id, running, bubble| DumpLine::Goroutine(Header { id, running, bubble });
        for (line, expected) in [
            ("goroutine 1 [running]:", header(1, true, false)),
            ("goroutine 1 [running, locked to thread]:", header(1, true, false)),
            ("goroutine 34 [chan receive, 2 minutes]:", header(34, false, false)),
            ("goroutine 0 gp=0xb74f40 m=0 mp=0xb76120 [idle]:", header(0, false, false)),
            ("goroutine 2 gp=0xc000008700 m=nil [force gc (idle)]:", header(2, false, false)),
            (
                "goroutine 7 [select (no cases)] {kind: worker, tenant: \"a b\"}:",
                header(7, false, false),
            ),
            ("goroutine 9 [chan receive (durable), synctest bubble 1]:", header(9, false, true)),
        ] {
            check(line, expected);
        }
        for torn in ["goroutine 12026/11/21 10:00:00 INFO x", "goroutine pool: 5", "goroutine 5 [x"]
        {
            check(torn, DumpLine::TornGoroutine);
        }
    }

    #[test]
    fn frames_of_every_release() {
        for (line, name) in [
            ("main.main()", "main.main"),
            ("main.main.func1()", "main.main.func1"),
            ("panic({0x6f0040?, 0x7e4a40?})", "panic"),
            ("net/http.(*conn).serve(0xc82005a860, 0x1, ...)", "net/http.(*conn).serve"),
            ("sync.(*Mutex).Unlock(...)", "sync.(*Mutex).Unlock"),
            ("main.Map[...].Get(0x1)", "main.Map[...].Get"),
            ("gopkg.in/yaml%2ev3.unmarshal({0x1, _, 0x3})", "gopkg.in/yaml%2ev3.unmarshal"),
        ] {
            check(line, DumpLine::Function(name.as_bytes()));
        }
        for foreign in
            ["(0x1)", "ler(0x1)", "0x1)", ".func1(0x1)", "request served (main.x)", "done (1.5)"]
        {
            check(foreign, DumpLine::Foreign);
        }
        for (line, file, n) in [
            ("\t/src/app/main.go:74 +0x69", "/src/app/main.go", 74),
            ("\tcrash/main.go:65", "crash/main.go", 65),
            ("\tC:/a b/main.go:5 +0x1d fp=0x1 sp=0x2 pc=0x3", "C:/a b/main.go", 5),
            ("\t<autogenerated>:126 +0xd0", "<autogenerated>", 126),
        ] {
            check(line, DumpLine::Position(Some((file.as_bytes(), n))));
        }
        check("\tgoroutine running on other thread; stack unavailable", DumpLine::Position(None));
        check("r10    0x1f", DumpLine::Register);
        check("rflags 0x216", DumpLine::Register);
        check("served 0x1 x", DumpLine::Foreign);
        check("\t/src/main.go:2026/11/21 10:00:00 INFO x", DumpLine::Position(None));
    }

    #[test]
    fn fatal_errors_are_told_apart() {
        for (text, kind) in [
            ("all goroutines are asleep - deadlock!", FatalKind::Deadlock),
            ("concurrent map read and map write", FatalKind::ConcurrentMapReadWrite),
            ("concurrent map iteration and map write", FatalKind::ConcurrentMapIteration),
            ("checkptr: converted pointer straddles multiple allocations", FatalKind::Checkptr),
            ("runtime: cannot allocate memory", FatalKind::OutOfMemory),
            ("out of memory allocating heap arena map", FatalKind::OutOfMemory),
            ("sync: RUnlock of unlocked RWMutex", FatalKind::UnlockOfUnlockedMutex),
            ("bad g->status in ready", FatalKind::Other),
        ] {
            assert_eq!(fatal_kind(text.as_bytes()), kind, "{text}");
        }
        assert!(!is_sure_text(b"out of memory") && !is_sure_text(b"checkptr: x"));
    }

    #[test]
    fn openings_begin_in_the_first_column() {
        assert_eq!(opening(b"panic: x"), Some(Opening::Panic(b"x")));
        assert_eq!(opening(b"fatal error: x"), Some(Opening::Fatal(b"x")));
        let quit = b"SIGQUIT: quit";
        assert_eq!(opening(quit), Some(Opening::Signal(Signal::Quit, quit)));
        for other in ["\tpanic: x", "panic:x", "panic! x", "fatal: x", "SIG: x", "SIGQUIT: got 5"] {
            assert_eq!(opening(other.as_bytes()), None, "{other}");
        }
    }
}
