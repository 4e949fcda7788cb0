//! The Prometheus protobuf format, read back.

use std::collections::BTreeMap;

/// A field's content.
#[derive(Debug, Clone)]
enum Content<'a> {
    Number(u64),
    Double(f64),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("{self:?} is no number") };
        *number
    }

    fn signed(&self) -> i64 {
        let number = self.number();
        (number >> 1) as i64 ^ -((number & 1) as i64)
    }

    fn double(&self) -> f64 {
        let Self::Double(double) = self else { panic!("{self:?} is no double") };
        *double
    }

    fn bytes(&self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("{self:?} is no message") };
        bytes
    }

    fn text(&self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap()
    }
}

/// A message's fields in their order.
struct Message<'a>(Vec<(u64, Content<'a>)>);

impl<'a> Message<'a> {
    fn read(mut bytes: &'a [u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let tag = varint(&mut bytes);
            let content = match tag & 7 {
                0 => Content::Number(varint(&mut bytes)),
                1 => Content::Double(f64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes);
                    Content::Bytes(take(&mut bytes, usize::try_from(length).unwrap()))
                }
                other => panic!("a field of type {other}"),
            };
            fields.push((tag >> 3, content));
        }
        Self(fields)
    }

    fn all(&self, field: u64) -> impl Iterator<Item = &Content<'a>> {
        self.0.iter().filter(move |(number, _)| *number == field).map(|(_, content)| content)
    }

    fn get(&self, field: u64) -> Option<&Content<'a>> {
        let mut found = self.all(field);
        let one = found.next();
        assert!(found.next().is_none(), "field {field} is there twice");
        one
    }

    fn message(&self, field: u64) -> Option<Message<'a>> {
        self.get(field).map(|content| Message::read(content.bytes()))
    }
}

/// A native histogram.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Native {
    pub(crate) schema: i64,
    pub(crate) zero_threshold: f64,
    pub(crate) zero_count: u64,
    /// Count of each bucket that is not empty.
    pub(crate) buckets: BTreeMap<i64, u64>,
}

/// A family.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) help: String,
    pub(crate) kind: usize,
    pub(crate) unit: Option<String>,
    /// (name, labels as `a="b",…`, value) of each line that the text format has.
    pub(crate) lines: Vec<(String, String, f64)>,
    pub(crate) native: BTreeMap<String, Native>,
    pub(crate) created: BTreeMap<String, f64>,
}

/// Every family of a page.
pub(crate) fn families(mut page: &[u8]) -> Vec<Family> {
    let mut families = Vec::new();
    while !page.is_empty() {
        let length = varint(&mut page);
        families.push(family(take(&mut page, usize::try_from(length).unwrap())));
    }
    families
}

fn family(bytes: &[u8]) -> Family {
    let message = Message::read(bytes);
    let text = |field| message.get(field).map(|content| content.text().to_owned());
    let mut family = Family {
        name: text(1).unwrap(),
        help: text(2).unwrap(),
        kind: usize::try_from(message.get(3).unwrap().number()).unwrap(),
        unit: text(5),
        ..Family::default()
    };
    for metric in message.all(4) {
        family.metric(&Message::read(metric.bytes()));
    }
    family
}

impl Family {
    fn metric(&mut self, metric: &Message<'_>) {
        let pairs = metric.all(1).map(|pair| {
            let pair = Message::read(pair.bytes());
            format!("{}={:?}", pair.get(1).unwrap().text(), pair.get(2).unwrap().text())
        });
        let labels = pairs.collect::<Vec<_>>().join(",");
        let name = self.name.clone();
        let (field, created) = [(3, 3), (2, 0), (4, 4), (5, 0), (7, 15)][self.kind];
        let value = metric.message(field).expect("a value of the family's type");
        match self.kind {
            2 => self.summary(&labels, &value),
            4 => self.histogram(&labels, &value),
            _ => self.lines.push((name, labels.clone(), value.get(1).unwrap().double())),
        }
        if let Some(at) = value.message(created) {
            let part = |field| at.get(field).unwrap().number() as f64;
            self.created.insert(labels, part(1) + part(2) / 1e9);
        }
    }

    fn line(&mut self, end: &str, labels: &str, value: f64) {
        self.lines.push((format!("{}{end}", self.name), labels.to_owned(), value));
    }

    fn summary(&mut self, labels: &str, value: &Message<'_>) {
        for quantile in value.all(3) {
            let quantile = Message::read(quantile.bytes());
            let double = |field| quantile.get(field).unwrap().double();
            self.line("", &format!("{labels},quantile=\"{:?}\"", double(1)), double(2));
        }
        self.line("_sum", labels, value.get(2).unwrap().double());
        self.line("_count", labels, value.get(1).unwrap().number() as f64);
    }

    fn histogram(&mut self, labels: &str, value: &Message<'_>) {
        let count = value.get(1).unwrap().number();
        for bucket in value.all(3) {
            let bucket = Message::read(bucket.bytes());
            let (bound, count) = (bucket.get(2).unwrap().double(), bucket.get(1).unwrap().number());
            self.line("_bucket", &format!("{labels},le=\"{}\"", canonical(bound)), count as f64);
        }
        self.line("_bucket", &format!("{labels},le=\"+Inf\""), count as f64);
        if let Some(sum) = value.get(2) {
            self.line("_sum", labels, sum.double());
        }
        self.line("_count", labels, count as f64);
        if let Some(schema) = value.get(5) {
            let native = Native {
                schema: schema.signed(),
                zero_threshold: value.get(6).unwrap().double(),
                zero_count: value.get(7).unwrap().number(),
                buckets: buckets(value),
            };
            assert_eq!(native.zero_count + native.buckets.values().sum::<u64>(), count);
            self.native.insert(labels.to_owned(), native);
        }
    }
}

/// As Go prints it, and with a point.
fn canonical(bound: f64) -> String {
    let text = format!("{bound:?}");
    text.split_once("e-").map_or(text.clone(), |(digits, power)| format!("{digits}e-{power:0>2}"))
}

fn buckets(histogram: &Message<'_>) -> BTreeMap<i64, u64> {
    let mut deltas = histogram.get(13).map(Content::bytes).unwrap_or_default();
    let (mut index, mut count) = (0i64, 0i64);
    let mut buckets = BTreeMap::new();
    for span in histogram.all(12) {
        let span = Message::read(span.bytes());
        index += span.get(1).unwrap().signed();
        for _ in 0..span.get(2).unwrap().number() {
            count += Content::Number(varint(&mut deltas)).signed();
            if count > 0 {
                buckets.insert(index, u64::try_from(count).unwrap());
            }
            index += 1;
        }
    }
    assert!(deltas.is_empty());
    buckets
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number without end");
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(length);
    *bytes = rest;
    taken
}
