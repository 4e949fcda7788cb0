//! `init net/http @6.7 ms, …`: the inittrace line, Go 1.16 on (src/runtime/proc.go, `doInit1`).

use nom::{Err, IsStreaming, Mode, Needed, OutputMode, PResult, Parser};

use nom::sequence::{preceded, terminated};

use super::primitive::{Grammar, milli, tag, unsigned};
use crate::model::record::Init;

/// What every such line begins with; a package and ` @` follow.
pub const START: &[u8] = b"init ";

/// Longest import path taken, in bytes; the longest in public modules are near 200.
const PACKAGE_MAX_BYTES: usize = 512;

/// The line without its line feed.
pub fn line<'a>() -> impl Grammar<'a, Init> {
    (
        preceded(tag(START), Package),
        preceded(tag(b" @"), milli()),
        preceded(tag(b" ms, "), milli()),
        preceded(tag(b" ms clock, "), unsigned()),
        preceded(tag(b" bytes, "), terminated(unsigned(), tag(b" allocs"))),
    )
        .map(|(package, at_ms, clock_ms, bytes, allocs)| Init {
            package: unescaped(package).into(),
            at_ms,
            clock_ms,
            bytes,
            allocs,
        })
}

/// What a line that goes on elsewhere has at least.
pub fn start<'a>() -> impl Grammar<'a, ()> {
    (tag(START), Package, tag(b" @")).map(|_| ())
}

/// What hardly anybody but the runtime says: services do log "init db".
pub fn head<'a>() -> impl Grammar<'a, ()> {
    (preceded(tag(START), Package), tag(b" @"), milli(), tag(b" ms, "), milli(), tag(b" ms clock"))
        .map(|_| ())
}

/// An import path as the linker writes it: after the last slash a dot is `%2e`, and so is
/// everywhere what is no plain letter (src/cmd/internal/objabi/path.go, `PathToPrefix`).
struct Package;

impl<'a> Parser<&'a [u8]> for Package {
    type Output = &'a [u8];
    type Error = ();

    fn process<OM: OutputMode>(&mut self, input: &'a [u8]) -> PResult<OM, &'a [u8], &'a [u8], ()> {
        let used = input.iter().take(PACKAGE_MAX_BYTES + 1).take_while(|b| is_of_path(**b)).count();
        let (path, rest) = input.split_at(used);
        if OM::Incomplete::is_streaming() && rest.is_empty() && used <= PACKAGE_MAX_BYTES {
            return Err(Err::Incomplete(Needed::Unknown));
        }
        if used == 0 || used > PACKAGE_MAX_BYTES {
            return Err(Err::Error(OM::Error::bind(|| ())));
        }
        Ok((rest, OM::Output::bind(|| path)))
    }
}

/// Everything that an import path may have, but the quotes and brackets that words of a log have.
const fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'.' | b'-' | b'_' | b'~' | b'%' | b'+' | b'!' | b'$' | b'=' | b'^'
        )
}

/// The path as it is written in Go; as it was printed, where it is no linker's.
fn unescaped(path: &[u8]) -> String {
    let as_printed = || String::from_utf8_lossy(path).into_owned();
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let byte = rest.split_at_checked(2).and_then(|(hex, tail)| {
            rest = tail;
            u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()
        });
        match byte {
            Some(byte) if !byte.is_ascii_control() => bytes.push(byte),
            _ => return as_printed(),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| as_printed())
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, begins, whole};
    use super::*;
    use crate::model::record::Milli;
    use proptest::prelude::*;

    const FORMS: [&str; 3] = [
        "init net/http @6.7 ms, 0.029 ms clock, 1920 bytes, 22 allocs",
        "init app/yaml%2ev3 @0.26 ms, 0 ms clock, 0 bytes, 0 allocs",
        "init main @17 ms, 12 ms clock, 5056 bytes, 74 allocs",
    ];

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| whole(line(), text.as_bytes()).unwrap();
        let http = read(FORMS[0]);
        assert_eq!(
            (&*http.package, http.at_ms, http.clock_ms),
            ("net/http", Milli(6700), Milli(29))
        );
        assert_eq!((http.bytes, http.allocs), (1920, 22));
        assert_eq!(&*read(FORMS[1]).package, "app/yaml.v3");
        assert_eq!(read(FORMS[2]).clock_ms, Milli(12_000));
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(line, &FORMS);
    }

    #[test]
    fn words_of_a_service_are_no_init_line() {
        for words in [
            "init db @2.5 ms",
            "init @0.1 ms, 0 ms clock, 0 bytes, 0 allocs",
            "init my db @0.1 ms, 0 ms clock, 0 bytes, 0 allocs",
            "init db @0.1 ms, 0 ms clock, 0 bytes, 0 allocs in all",
            "init db @0.1234 ms, 0 ms clock, 0 bytes, 0 allocs",
            "init \"db\" @0.1 ms, 0 ms clock, 0 bytes, 0 allocs",
        ] {
            assert!(whole(line(), words.as_bytes()).is_none(), "{words}");
        }
        assert!(!begins(line(), b"init my db") && !begins(line(), b"init db ready"));
    }

    #[test]
    fn what_no_linker_escaped_stays_as_printed() {
        for (printed, expected) in [
            ("a%2eb", "a.b"),
            ("a%c3%a4", "a\u{e4}"),
            ("a%zz", "a%zz"),
            ("a%2", "a%2"),
            ("a%0ab", "a%0ab"),
            ("%ff", "%ff"),
        ] {
            assert_eq!(unescaped(printed.as_bytes()), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(path in "[a-z\u{e4}]{1,8}(/[a-z.]{1,8}){0,3}", at in 0..99_000u64, n in any::<[u32; 2]>()) {
            let escaped: String = path.bytes().map(|b| if b == b'.' || b >= 0x7f { format!("%{b:02x}") } else { char::from(b).to_string() }).collect();
            let text = format!("init {escaped} @{}.{:03} ms, 0.5 ms clock, {} bytes, {} allocs", at / 1000, at % 1000, n[0], n[1]);
            let init = whole(line(), text.as_bytes()).unwrap();
            let expected = Init { package: path.into(), at_ms: Milli(at), clock_ms: Milli(500), bytes: n[0].into(), allocs: n[1].into() };
            prop_assert_eq!(init, expected);
        }
    }
}
