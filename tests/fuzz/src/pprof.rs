//! `parse::pprof`: a body is read whole or not at all.

use std::fmt::Write as _;

use godebug_exporter::model::stack::Stack;
use godebug_exporter::parse::pprof::stacks::{Profile, read};
use godebug_exporter::parse::pprof::{heap, index};

use crate::seeds::fixtures;

const PROFILES: [Profile; 3] = [Profile::Goroutine, Profile::ThreadCreate, Profile::GoroutineLeak];

/// Seeds longer than the inputs are cut to their first stacks.
const SEED_STACKS: usize = 8;

pub fn run(data: &[u8]) {
    let _page = index::read(data);
    if heap::memstats(data).is_ok() {
        let last = find(data, b"DebugGC");
        assert!(heap::memstats(&data[..last]).is_err(), "cut before the last field");
    }
    let Ok(text) = std::str::from_utf8(data) else {
        for profile in PROFILES {
            let _any = read(profile, data, &mut |_| {});
        }
        return;
    };
    for profile in PROFILES {
        let Some((total, printed)) = printed(profile, data) else { continue };
        let mut again = 0;
        let read_again = read(profile, printed.as_bytes(), &mut |stack| again += stack.count);
        assert_eq!((read_again, again), (Ok(total), total), "{printed}");
        // Empty lines after the last stack say nothing.
        let whole = text.trim_end_matches('\n').len();
        for end in (0..whole).step_by(1 + whole / 64) {
            let cut = read(profile, &data[..end], &mut |_| {});
            assert!(cut.is_err(), "read though it ends at {end}");
        }
    }
}

/// What was read, as Go prints it; none where nothing was.
fn printed(profile: Profile, body: &[u8]) -> Option<(u64, String)> {
    let (mut text, mut sum) = (String::new(), 0);
    let total = read(profile, body, &mut |stack| {
        sum += stack.count;
        print(stack, &mut text);
    });
    let total = total.ok()?;
    assert_eq!(sum, total);
    Some((total, format!("{} profile: total {total}\n{text}", profile.name())))
}

fn print(stack: &Stack<'_>, text: &mut String) {
    writeln!(text, "{} @ 0x1", stack.count).unwrap();
    if !stack.labels.is_empty() {
        let pairs: Vec<String> = stack
            .labels
            .iter()
            .map(|(key, value)| format!("{}:{}", quoted(key), quoted(value)))
            .collect();
        writeln!(text, "# labels: {{{}}}", pairs.join(", ")).unwrap();
    }
    for frame in stack.frames {
        writeln!(text, "#\t0x1\t{}+0x1\t{}:{}", frame.function, frame.file, frame.line).unwrap();
    }
    text.push('\n');
}

/// Quoted so that no line ends inside.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn find(text: &[u8], needle: &[u8]) -> usize {
    text.windows(needle.len()).position(|window| window == needle).unwrap()
}

/// Whole bodies of few stacks, and the others as they are.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut all = fixtures("pprof", "index.html");
    all.extend(fixtures("pprof", "threadcreate.txt"));
    all.extend(fixtures("pprof", "goroutineleak.txt"));
    for body in fixtures("pprof", "heap.txt") {
        let at = find(&body, b"# runtime.MemStats") - 1;
        let fields = String::from_utf8_lossy(&body[at..]).into_owned();
        let short: String = fields.lines().map(|line| format!("{:.90}\n", line)).collect();
        all.push(format!("heap profile: 1: 2 [3: 4] @ heap/1048576\n{short}").into_bytes());
    }
    for body in fixtures("pprof", "goroutine.txt") {
        let text = String::from_utf8(body).unwrap();
        let stacks: Vec<&str> = text.split_inclusive("\n\n").skip(1).take(SEED_STACKS).collect();
        let count = |stack: &str| stack.split(' ').next().unwrap().parse::<u64>().unwrap();
        let total: u64 = stacks.iter().map(|stack| count(stack)).sum();
        all.push(format!("goroutine profile: total {total}\n{}", stacks.concat()).into_bytes());
    }
    all
}
