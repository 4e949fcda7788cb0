//! A strict reader of the Prometheus text format, written from its description alone.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What is known of the family at hand.
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    /// Buckets so far, by the labels beside `le`.
    buckets: BTreeMap<String, Vec<(f64, f64)>>,
    counts: BTreeMap<String, f64>,
}

/// Panics if Prometheus would refuse the page, or if it contradicts itself.
pub fn check(page: &[u8]) {
    let text = std::str::from_utf8(page).expect("a page is UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'));
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let mut family: Option<Family<'_>> = None;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(head) = line.strip_prefix("# HELP ") {
            let (name, help) = head.split_once(' ').unwrap_or((head, ""));
            assert!(is_name(name), "{line}");
            escaped(help, false);
            assert!(families.insert(name), "a family twice: {name}");
            let kind =
                lines.next().and_then(|next| next.strip_prefix("# TYPE ")?.strip_prefix(name));
            let kind = kind.and_then(|kind| kind.strip_prefix(' ')).expect("TYPE after HELP");
            assert!(
                ["counter", "gauge", "histogram", "summary", "untyped"].contains(&kind),
                "{line}"
            );
            finish(family.replace(Family {
                name,
                kind,
                buckets: BTreeMap::new(),
                counts: BTreeMap::new(),
            }));
        } else {
            let family = family.as_mut().unwrap_or_else(|| panic!("no family: {line}"));
            let (id, value) = line.rsplit_once(' ').expect("a value");
            assert!(series.insert(id), "a series twice: {id}");
            sample(family, id, number(value));
        }
    }
    finish(family);
}

fn sample(family: &mut Family<'_>, id: &str, value: f64) {
    let (name, labels) =
        id.split_once('{').map_or((id, HashMap::new()), |(name, rest)| (name, labels(rest)));
    let suffix = name
        .strip_prefix(family.name)
        .unwrap_or_else(|| panic!("{name} is not of {}", family.name));
    let mut others: Vec<_> = labels.iter().filter(|(name, _)| **name != "le").collect();
    others.sort();
    let others = format!("{others:?}");
    match (family.kind, suffix) {
        ("counter", "") => assert!(value >= 0.0, "{id} {value}"),
        ("gauge" | "untyped", "") => {}
        ("summary", "") => assert!(labels.contains_key("quantile"), "{id}"),
        ("histogram", "_bucket") => {
            let bound = number(labels.get("le").expect("le"));
            family.buckets.entry(others).or_default().push((bound, value));
        }
        ("histogram" | "summary", "_sum") => {}
        ("histogram" | "summary", "_count") => {
            family.counts.insert(others, value);
        }
        _ => panic!("{id} in a {}", family.kind),
    }
}

/// Buckets rise, and the last one holds everything.
fn finish(family: Option<Family<'_>>) {
    let Some(family) = family.filter(|family| family.kind == "histogram") else { return };
    for (labels, buckets) in family.buckets {
        let rise = |pair: &[(f64, f64)]| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1;
        assert!(buckets.windows(2).all(rise), "{} {labels}", family.name);
        let last = *buckets.last().unwrap();
        assert_eq!(last, (f64::INFINITY, family.counts[&labels]), "{} {labels}", family.name);
    }
}

/// `a="x",b="y"}`.
fn labels(text: &str) -> HashMap<&str, &str> {
    let mut rest = text.strip_suffix('}').expect("}");
    let mut labels = HashMap::new();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once("=\"").expect("=\"");
        assert!(is_name(name) && !name.contains(':') && !name.starts_with("__"), "{name}");
        let mut bytes = tail.bytes().enumerate();
        let end = loop {
            match bytes.next().expect("a quote at the end") {
                (_, b'\\') => assert!(matches!(bytes.next(), Some((_, b'\\' | b'"' | b'n')))),
                (at, b'"') => break at,
                (_, byte) => assert_ne!(byte, b'\n'),
            }
        };
        assert!(labels.insert(name, &tail[..end]).is_none(), "a label twice: {name}");
        rest = &tail[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or_else(|| {
            assert!(rest.is_empty());
            rest
        });
    }
    labels
}

fn escaped(text: &str, quotes: bool) {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let next = chars.next();
            assert!(matches!(next, Some('\\' | 'n')) || quotes && next == Some('"'), "{text}");
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        "NaN" => f64::NAN,
        _ => {
            assert!(text.bytes().all(|b| b.is_ascii_digit() || b"+-.e".contains(&b)), "{text}");
            text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
        }
    }
}
