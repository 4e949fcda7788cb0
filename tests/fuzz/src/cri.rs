//! `frame::cri`: wherever the chunks are cut, the text is that of one chunk; what a container wrote
//! comes out of its log file as it was, whatever the file holds beside it.

use godebug_exporter::frame::cri::{Stream, Unwrap};
use godebug_exporter::model::wrapping::Wrapping;

use crate::input::{Input, Output};
use crate::lines::chunks;
use crate::seeds;

const CUTS_MAX: usize = 16;
const FORMS: [Wrapping; 4] = [Wrapping::Auto, Wrapping::Plain, Wrapping::Cri, Wrapping::Docker];

/// What came out: stderr, stdout, lines that are no entries.
#[derive(Debug, Default, PartialEq)]
struct Unwrapped {
    stderr: Vec<u8>,
    stdout: Vec<u8>,
    malformed: u64,
}

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let how = usize::from(input.byte());
    let cuts: Vec<usize> = (0..input.below(CUTS_MAX)).map(|_| input.below(1 << 16)).collect();
    let wrapping = FORMS[how % FORMS.len()];
    if how & 4 == 0 {
        any_file(wrapping, input.rest(), cuts)
    } else {
        container(wrapping, input, cuts)
    }
}

/// Any bytes: nothing is made up, and each line that gives no text is counted.
fn any_file(wrapping: Wrapping, file: &[u8], cuts: Vec<usize>) {
    let whole = unwrap(wrapping, &[file]);
    assert_eq!(unwrap(wrapping, &chunks(file, cuts)), whole, "{wrapping:?}");
    assert!(whole.stderr.len() + whole.stdout.len() <= file.len(), "something was made up");
    let lines = file.iter().filter(|byte| **byte == b'\n').count() as u64;
    assert!(whole.malformed <= lines);
    if matches!(wrapping, Wrapping::Plain) {
        assert_eq!(whole, Unwrapped { stderr: file.to_vec(), ..Unwrapped::default() });
    }
}

/// The log file of a container that wrote these texts, with lines between that are no entries.
fn container(wrapping: Wrapping, mut input: Input<'_>, cuts: Vec<usize>) {
    let docker = matches!(wrapping, Wrapping::Docker);
    if matches!(wrapping, Wrapping::Plain) {
        return;
    }
    let (mut file, mut expected) = (Vec::new(), Unwrapped::default());
    while !input.is_empty() {
        let (what, text) = (input.byte(), input.text());
        let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != b'\n').collect();
        // Docker writes text; what is none, it replaces.
        let text = if docker { String::from_utf8_lossy(&text).into_owned().into() } else { text };
        let ends = what & 2 == 0;
        if what & 12 == 12 && !file.is_empty() {
            file.extend_from_slice(b"no entry\n");
            expected.malformed += 1;
        }
        let (name, stream) = if what & 1 == 0 {
            ("stderr", &mut expected.stderr)
        } else {
            ("stdout", &mut expected.stdout)
        };
        stream.extend_from_slice(&text);
        stream.extend_from_slice(if ends { b"\n" } else { b"" });
        file.extend(if docker { as_docker(name, text, ends) } else { as_cri(name, &text, ends) });
    }
    for cuts in [Vec::new(), cuts] {
        assert_eq!(unwrap(wrapping, &chunks(&file, cuts)), expected, "{}", file.escape_ascii());
    }
}

fn as_cri(stream: &str, text: &[u8], ends: bool) -> Vec<u8> {
    let tag = if ends { 'F' } else { 'P' };
    let head = format!("2026-11-21T10:00:00.123456789Z {stream} {tag} ");
    [head.as_bytes(), text, b"\n"].concat()
}

fn as_docker(stream: &str, text: Vec<u8>, ends: bool) -> Vec<u8> {
    let text = String::from_utf8(text).unwrap() + if ends { "\n" } else { "" };
    let log = serde_json::to_string(&text).unwrap();
    let time = "2026-11-21T10:00:00.123456789Z";
    format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").into_bytes()
}

fn unwrap(wrapping: Wrapping, chunks: &[&[u8]]) -> Unwrapped {
    let (mut framer, mut found) = (Unwrap::new(wrapping), Unwrapped::default());
    let mut malformed = 0;
    let mut text = |stream, text: &[u8]| match stream {
        Stream::Stderr => found.stderr.extend_from_slice(text),
        Stream::Stdout => found.stdout.extend_from_slice(text),
    };
    for chunk in chunks {
        malformed += framer.push(chunk, &mut text);
    }
    framer.cut(&mut text);
    found.malformed = malformed;
    found
}

/// A log as both container runtimes write it, whole and as texts to be wrapped.
pub fn seeds() -> Vec<Vec<u8>> {
    let head = |how: u8| Output::default().byte(how).below(3).below(70).below(300).below(1000);
    let mut all = Vec::new();
    for log in seeds::logs().iter().take(6) {
        let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').take(12).collect();
        let text = |line: &&[u8]| String::from_utf8_lossy(line).into_owned().into_bytes();
        let cri: Vec<u8> = lines.iter().flat_map(|line| as_cri("stderr", line, true)).collect();
        let docker: Vec<u8> =
            lines.iter().flat_map(|line| as_docker("stderr", text(line), true)).collect();
        all.extend([head(0).rest(&cri), head(0).rest(&docker), head(0).rest(log)]);
        for how in [4, 6, 7] {
            let wrapped = lines
                .iter()
                .zip(0..)
                .fold(head(how), |out, (line, n): (_, u8)| out.byte(n).text(line));
            all.push(wrapped.0);
        }
    }
    all
}
