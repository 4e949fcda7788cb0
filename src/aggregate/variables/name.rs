//! Names as Prometheus takes them.

use crate::model::metric::Kind;
use crate::model::variable::pattern::STEP;

/// What other metrics of the page begin with.
const TAKEN: [&str; 3] = ["go_", "godebug_exporter_", "process_"];

/// `expvar_`, then the path with every letter that Prometheus does not take as `_`.
pub(super) fn of_path(path: &[u8]) -> String {
    let mut name = String::with_capacity(path.len() + 7);
    name.push_str("expvar_");
    // Of a letter of several bytes, the first counts.
    let first = |byte: &&u8| **byte == STEP || **byte & 0xc0 != 0x80;
    name.extend(path.iter().filter(first).map(|byte| letter(char::from(*byte))));
    name
}

fn letter(c: char) -> char {
    if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }
}

/// A name that was made of a template.
pub(super) fn clean(rendered: &str) -> String {
    let name: String = rendered.chars().map(letter).collect();
    if TAKEN.iter().any(|taken| name.starts_with(taken)) {
        format!("expvar_{name}")
    } else if name.starts_with(|c: char| c.is_ascii_digit()) || name.is_empty() {
        format!("_{name}")
    } else {
        name
    }
}

/// A label's name that was made of a template.
pub(super) fn label(rendered: &str) -> String {
    let label: String = rendered.chars().map(letter).collect();
    let label = label.trim_start_matches('_');
    if label.is_empty() || label.starts_with(|c: char| c.is_ascii_digit()) {
        format!("label_{label}")
    } else {
        label.to_owned()
    }
}

/// Name and labels as one text; no name and no label has a control character.
pub(super) fn key(name: &str, labels: &[(Box<str>, Box<str>)]) -> String {
    let mut key = name.to_owned();
    for (label, value) in labels {
        for part in ["\u{1}", label, "\u{2}", value] {
            key.push_str(part);
        }
    }
    key
}

/// Names of the lines that a series makes beside its own.
pub(super) fn lines(name: &str, kind: Option<Kind>) -> Vec<String> {
    match kind {
        Some(Kind::Histogram) => {
            ["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")).into()
        }
        _ => Vec::new(),
    }
}
