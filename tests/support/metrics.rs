//! A page of /metrics, read as strictly as the format is written.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// Series with their values.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
    /// Value by name and labels as they stand on the page.
    series: BTreeMap<String, String>,
    types: HashMap<String, String>,
}

impl Page {
    /// Panics at whatever is not right: a family without HELP and TYPE, in two places or twice, a
    /// series twice, a value that is no number.
    pub(crate) fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the page ends in the middle of a line");
        let mut page = Self { text: text.to_owned(), ..Self::default() };
        let (mut helped, mut family) = (HashSet::new(), String::new());
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, text) = help.split_once(' ').expect("HELP has a text");
                assert!(!text.is_empty() && helped.insert(name), "HELP of {name}: {line}");
                family = name.to_owned();
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert_eq!(name, family, "TYPE stands below HELP");
                let before = page.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "TYPE of {name} twice");
            } else {
                page.sample(line, &family);
            }
        }
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let (series, value) = line.rsplit_once(' ').expect("a series and its value");
        let kind = self.types.get(family).unwrap_or_else(|| panic!("no TYPE above {line}"));
        let name = series.split('{').next().unwrap();
        let suffixes: &[&str] = match kind.as_str() {
            "histogram" => &["_bucket", "_sum", "_count"],
            "summary" => &["", "_sum", "_count"],
            _ => &[""],
        };
        let belongs = name.strip_prefix(family).is_some_and(|suffix| suffixes.contains(&suffix));
        assert!(belongs, "{name} stands below {family}, a {kind}");
        assert!(value.parse::<f64>().is_ok(), "no number: {line}");
        let before = self.series.insert(series.to_owned(), value.to_owned());
        assert_eq!(before, None, "twice on the page: {series}");
    }

    /// The value of the one series whose name and labels match: `name`, or `name{a="b"}`, where
    /// labels that are not named may have any value.
    pub(crate) fn get(&self, wanted: &str) -> Option<f64> {
        self.raw(wanted).map(|value| value.parse().unwrap())
    }

    /// The same, as it is written.
    pub(crate) fn raw(&self, wanted: &str) -> Option<&str> {
        let mut found = self.matching(wanted);
        let (_, value) = found.next()?;
        let other = found.next();
        assert!(other.is_none(), "more than one series is {wanted}: {other:?}\n{self}");
        Some(value)
    }

    /// A value that must be there.
    pub(crate) fn value(&self, wanted: &str) -> f64 {
        self.get(wanted).unwrap_or_else(|| panic!("no {wanted} in\n{self}"))
    }

    /// The sum of all series that match; 0 if there is none.
    pub(crate) fn sum(&self, wanted: &str) -> f64 {
        self.matching(wanted).map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    }

    pub(crate) fn has(&self, wanted: &str) -> bool {
        self.matching(wanted).next().is_some()
    }

    /// Families with their types.
    pub(crate) fn types(&self) -> &HashMap<String, String> {
        &self.types
    }

    fn matching(&self, wanted: &str) -> impl Iterator<Item = (&str, &str)> {
        let (name, labels) = parts(wanted);
        let name = name.to_owned();
        let labels: Vec<String> = labels.into_iter().map(str::to_owned).collect();
        self.series.iter().filter_map(move |(series, value)| {
            let (its_name, its_labels) = parts(series);
            let all = labels.iter().all(|label| its_labels.contains(&label.as_str()));
            (its_name == name && all).then_some((series.as_str(), value.as_str()))
        })
    }
}

/// Name and labels; none of the tests has a label value with a comma.
fn parts(series: &str) -> (&str, Vec<&str>) {
    match series.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}').split(',').collect()),
        None => (series, Vec::new()),
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}
