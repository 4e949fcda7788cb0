//! A page of OpenMetrics, read as strictly as the specification is written
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).

use std::collections::{BTreeMap, BTreeSet};

/// A family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) unit: Option<String>,
    pub(crate) help: String,
    /// (name, labels as they stand between the braces, value).
    pub(crate) lines: Vec<(String, String, f64)>,
}

/// Panics at whatever is not right.
pub(crate) fn families(page: &str) -> BTreeMap<String, Family> {
    let body = page.strip_suffix("# EOF\n").expect("the page ends with # EOF");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let (mut at, mut seen) = (String::new(), BTreeSet::new());
    for line in body.lines() {
        assert!(!line.is_empty());
        if let Some(comment) = line.strip_prefix("# ") {
            let (word, rest) = comment.split_once(' ').unwrap();
            let (name, text) = name_of(rest);
            let text = text.trim_start().to_owned();
            if word == "HELP" {
                assert!(!families.contains_key(&name), "the family {name} is there twice");
                at = name.clone();
            }
            assert_eq!(name, at, "{line}");
            let family = families.entry(name.clone()).or_default();
            match word {
                "HELP" => family.help = text,
                "TYPE" => family.kind = text,
                "UNIT" => {
                    assert!(name.ends_with(&format!("_{text}")), "{line}");
                    family.unit = Some(text);
                }
                _ => panic!("{line}"),
            }
        } else {
            let family = families.get_mut(&at).expect("a head above the line");
            let (name, labels, value) = sample(line);
            let suffix = name.strip_prefix(&at).unwrap_or_else(|| panic!("{line} below {at}"));
            assert!(suffixes(&family.kind).contains(&suffix), "{line} below a {}", family.kind);
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            family.lines.push((name, labels, value));
        }
    }
    let mut names = BTreeSet::new();
    for (name, family) in &families {
        for suffix in suffixes(&family.kind) {
            assert!(names.insert(format!("{name}{suffix}")), "{name}{suffix} clashes with another");
        }
    }
    families
}

fn suffixes(kind: &str) -> &'static [&'static str] {
    match kind {
        "counter" => &["_total", "_created"],
        "histogram" => &["_bucket", "_sum", "_count", "_created"],
        "summary" => &["", "_sum", "_count", "_created"],
        "info" => &["_info"],
        "gauge" | "unknown" => &[""],
        other => panic!("a family of type {other}"),
    }
}

/// A name, quoted or not, and what follows it.
fn name_of(text: &str) -> (String, &str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"').unwrap();
        return (name.to_owned(), rest);
    }
    let end = text.find([' ', '{']).unwrap();
    let (name, rest) = text.split_at(end);
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    assert!(name.chars().all(legal) && !name.starts_with(|c: char| c.is_ascii_digit()), "{name}");
    (name.to_owned(), rest)
}

/// Name, labels and value of a line of either text format; no label has a brace.
pub(crate) fn sample(line: &str) -> (String, String, f64) {
    let (series, value) = line.rsplit_once(' ').unwrap();
    let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
    if let Some(inside) = series.strip_prefix('{') {
        let (name, rest) = name_of(inside.strip_suffix('}').unwrap());
        return (name, rest.trim_start_matches(',').to_owned(), value);
    }
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    (name.to_owned(), labels.strip_suffix('}').unwrap().to_owned(), value)
}
