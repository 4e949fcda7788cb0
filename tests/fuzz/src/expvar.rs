//! `parse::expvar`: where the body is JSON, it says the same as serde_json.

use std::fmt;

use godebug_exporter::model::snapshot::Number;
use godebug_exporter::parse::expvar;
use godebug_exporter::parse::json::Cursor;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

pub fn run(data: &[u8]) {
    let ours = expvar::read(data);
    let _any = Cursor::new(data).value();
    let Ok(Tree::Object(entries)) = serde_json::from_slice(data) else { return };
    let ours = ours.expect("it is JSON, and an object");
    let mut theirs = Vec::new();
    for (name, value) in &entries {
        match (name.as_str(), value) {
            ("cmdline", _) | ("memstats", Tree::Object(_)) => {}
            _ => numbers(&mut vec![name.clone()], value, &mut theirs),
        }
    }
    let found: Vec<(Vec<String>, f64)> =
        ours.own.into_iter().map(|variable| (variable.path, as_f64(variable.value))).collect();
    assert_eq!(ours.unreadable, 0);
    assert_eq!(found, theirs);
    let last = entries.iter().rev().find_map(|(name, value)| match value {
        Tree::Object(fields) if name == "memstats" => Some(fields),
        _ => None,
    });
    let stats = ours.memstats.unwrap_or_default();
    for (name, found) in
        [("Alloc", stats.alloc), ("NextGC", stats.next_gc), ("NumGC", stats.num_gc)]
    {
        let theirs = last.into_iter().flatten().rev().find(|(field, _)| field == name);
        let theirs = theirs
            .and_then(|(_, value)| if let Tree::Unsigned(n) = value { Some(*n) } else { None });
        assert_eq!(found, theirs, "{name}");
    }
}

fn as_f64(number: Number) -> f64 {
    match number {
        Number::Unsigned(n) => n as f64,
        Number::Signed(n) => n as f64,
        Number::Float(x) => x,
    }
}

fn numbers(path: &mut Vec<String>, value: &Tree, found: &mut Vec<(Vec<String>, f64)>) {
    match value {
        Tree::Unsigned(n) => found.push((path.clone(), *n as f64)),
        Tree::Other(x) => found.push((path.clone(), *x)),
        Tree::Object(entries) => {
            for (key, value) in entries {
                path.push(key.clone());
                numbers(path, value, found);
                path.pop();
            }
        }
        Tree::None => {}
    }
}

/// JSON as serde_json reads it, in order and with keys that stand twice.
enum Tree {
    Unsigned(u64),
    Other(f64),
    Object(Vec<(String, Tree)>),
    /// Text, arrays, null: not what becomes a metric.
    None,
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyTree)
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, yes: bool) -> Result<Tree, E> {
        Ok(Tree::Unsigned(yes.into()))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Tree, E> {
        Ok(Tree::Unsigned(n))
    }

    fn visit_i64<E>(self, n: i64) -> Result<Tree, E> {
        Ok(Tree::Other(n as f64))
    }

    fn visit_f64<E>(self, x: f64) -> Result<Tree, E> {
        Ok(Tree::Other(x))
    }

    fn visit_str<E>(self, _: &str) -> Result<Tree, E> {
        Ok(Tree::None)
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        while items.next_element::<Tree>()?.is_some() {}
        Ok(Tree::None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Tree::Object(all))
    }
}
