//! Which call of a stack a goroutine is known by.
//!
//! A goroutine that waits has the runtime, sync, net or a driver at the inner end of its stack: what
//! it waits with. The developer knows what called them. So a stack is known by the innermost call of
//! the service's own code; where there is none (idle connections of net/http, workers of a library)
//! by the outermost call, which is what the goroutine was started with.
//!
//! Not own code are
//!
//! - the standard library, by the first part of the package's path;
//! - `golang.org/x`, which extends it (errgroup, semaphore, http2);
//! - dependencies, by the path of the file: in the module cache (`/pkg/mod/`), named with a version
//!   (`example.com/lib@v1.2.3/`, built with -trimpath), vendored (`/vendor/`), Bazel's `external/`.
//!
//! Package main is always own code, wherever it is from.

use std::borrow::Cow;

use crate::model::stack::Frame;

/// First parts of the paths of the standard library's packages, as of Go 1.27. A module of that name
/// cannot be imported.
const STANDARD: [&str; 53] = [
    "archive",
    "arena",
    "bufio",
    "builtin",
    "bytes",
    "cmp",
    "compress",
    "container",
    "context",
    "crypto",
    "database",
    "debug",
    "embed",
    "encoding",
    "errors",
    "expvar",
    "flag",
    "fmt",
    "go",
    "hash",
    "html",
    "image",
    "index",
    "internal",
    "io",
    "iter",
    "log",
    "maps",
    "math",
    "mime",
    "net",
    "os",
    "path",
    "plugin",
    "reflect",
    "regexp",
    "runtime",
    "simd",
    "slices",
    "sort",
    "strconv",
    "strings",
    "structs",
    "sync",
    "syscall",
    "testing",
    "text",
    "time",
    "unicode",
    "unique",
    "unsafe",
    "vendor",
    "weak",
];

/// The call by which a stack is known; none if the stack has no calls.
#[must_use]
pub fn blamed<'f, 'a>(frames: &'f [Frame<'a>]) -> Option<&'f Frame<'a>> {
    frames.iter().find(|frame| is_own(frame)).or(frames.last())
}

/// The function's name without type arguments, which are long and depend on the Go release:
/// `main.Map[go.shape.int]` becomes `main.Map[...]`, as runtime.Func.Name has it.
#[must_use]
pub fn short_name(function: &str) -> Cow<'_, str> {
    if !function.contains('[') {
        return function.into();
    }
    let (mut name, mut depth) = (String::with_capacity(function.len()), 0_usize);
    for c in function.chars() {
        match c {
            '[' => {
                if depth == 0 {
                    name.push_str("[...]");
                }
                depth += 1;
            }
            ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 => name.push(c),
            _ => {}
        }
    }
    name.into()
}

fn is_own(frame: &Frame<'_>) -> bool {
    let package = package(frame.function);
    if package == "main" {
        return true;
    }
    let first = package.split('/').next().unwrap_or_default();
    !STANDARD.contains(&first)
        && !package.starts_with("golang.org/x/")
        && !is_dependency(frame.file)
}

/// The path of the package: up to the first dot after the last slash. Dots in the path's last part
/// are escaped (`gopkg.in/yaml%2ev3.Unmarshal`), and type arguments may have slashes.
fn package(function: &str) -> &str {
    let plain = function.split('[').next().unwrap_or_default();
    let last = plain.rfind('/').map_or(0, |slash| slash + 1);
    let dot = plain.get(last..).and_then(|name| name.find('.')).map_or(plain.len(), |at| last + at);
    plain.get(..dot).unwrap_or_default()
}

fn is_dependency(file: &str) -> bool {
    file.contains("/pkg/mod/")
        || file.contains("@v")
        || file.contains("/vendor/")
        || file.starts_with("external/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames as `function file`, the innermost first.
    fn check(frames: &[&str], expected: &str) {
        let frames: Vec<Frame<'_>> = frames
            .iter()
            .map(|text| text.split_once(' ').unwrap_or((text, "/src/app/x.go")))
            .map(|(function, file)| Frame { function, file, line: 1 })
            .collect();
        assert_eq!(blamed(&frames).map(|frame| frame.function), Some(expected));
    }

    #[test]
    fn the_innermost_own_call_is_blamed() {
        check(&["time.Sleep", "main.worker", "main.main", "runtime.main"], "main.worker");
        check(
            &[
                "internal/sync.(*Mutex).lockSlow",
                "sync.(*Mutex).Lock",
                "app/store.(*Cache[go.shape.string]).Get",
            ],
            "app/store.(*Cache[go.shape.string]).Get",
        );
        check(
            &[
                "net/http.(*persistConn).roundTrip",
                "net/http.(*Client).Do",
                "example.com/shop/pay.charge.func1",
            ],
            "example.com/shop/pay.charge.func1",
        );
        check(&["example.com/shop/net/rpc.wait", "main.main"], "example.com/shop/net/rpc.wait");
    }

    #[test]
    fn drivers_and_extensions_of_the_standard_library_are_passed_over() {
        for driver in [
            "github.com/lib/pq.(*conn).recv /root/go/pkg/mod/github.com/lib/pq@v1.10.9/conn.go",
            "github.com/lib/pq.(*conn).recv github.com/lib/pq@v1.10.9/conn.go",
            "github.com/lib/pq.(*conn).recv /src/app/vendor/github.com/lib/pq/conn.go",
            "github.com/lib/pq.(*conn).recv external/com_github_lib_pq/conn.go",
            "golang.org/x/sync/errgroup.(*Group).Wait /src/errgroup.go",
            "vendor/golang.org/x/net/http2/hpack.x",
        ] {
            check(
                &[
                    "internal/poll.runtime_pollWait",
                    driver,
                    "database/sql.(*DB).Query",
                    "shop.list",
                ],
                "shop.list",
            );
        }
        check(&["main.main /root/go/pkg/mod/example.com/app@v1.0.0/main.go"], "main.main");
    }

    #[test]
    fn without_own_code_the_goroutine_is_known_by_what_it_runs() {
        check(
            &["internal/poll.runtime_pollWait", "bufio.(*Reader).Peek", "net/http.(*conn).serve"],
            "net/http.(*conn).serve",
        );
        check(
            &["runtime.gopark", "runtime.goparkunlock", "runtime.forcegchelper"],
            "runtime.forcegchelper",
        );
        check(
            &[
                "golang.org/x/net/http2.(*Framer).ReadFrame",
                "golang.org/x/net/http2.(*ClientConn).readLoop",
            ],
            "golang.org/x/net/http2.(*ClientConn).readLoop",
        );
        assert_eq!(blamed(&[]), None);
    }

    #[test]
    fn names_lose_their_type_arguments() {
        for (name, short) in [
            ("main.main", "main.main"),
            ("main.Map[go.shape.int]", "main.Map[...]"),
            (
                "main.(*Box[go.shape.struct { a/b.C []int }]).Get.func1",
                "main.(*Box[...]).Get.func1",
            ),
            ("main.broken[x", "main.broken[...]"),
        ] {
            assert_eq!(short_name(name), short);
        }
    }

    #[test]
    fn packages_are_told_from_names() {
        for (function, expected) in [
            ("main.main", "main"),
            ("net/http.(*conn).serve", "net/http"),
            ("gopkg.in/yaml%2ev3.Unmarshal", "gopkg.in/yaml%2ev3"),
            ("a/b.F[c/d.E]", "a/b"),
            ("nothing", "nothing"),
            ("", ""),
        ] {
            assert_eq!(package(function), expected);
        }
    }
}
