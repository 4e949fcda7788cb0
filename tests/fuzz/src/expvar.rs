//! `parse::expvar`: where the body is JSON, it says the same as serde_json.

use std::fmt;

use godebug_exporter::model::json::Json;
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
    let theirs = entries.iter().filter(|(name, value)| {
        name != "cmdline" && !(name == "memstats" && matches!(value, Tree::Object(_)))
    });
    assert_eq!(ours.unreadable, 0);
    assert!(ours.own.len() == theirs.clone().count());
    for ((name, found), (key, value)) in ours.own.iter().zip(theirs) {
        assert_eq!(name, key);
        same(found, value);
    }
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

fn same(found: &Json, value: &Tree) {
    match (found, value) {
        (Json::Number(Number::Unsigned(n)), Tree::Unsigned(expected)) => assert_eq!(n, expected),
        (Json::Number(number), Tree::Other(x)) => assert_eq!(number.as_f64(), *x),
        (Json::Bool(yes), Tree::Bool(expected)) => assert_eq!(yes, expected),
        (Json::Text(text), Tree::Text(expected)) => assert_eq!(text, expected),
        (Json::Null, Tree::Null) => {}
        (Json::Array(items), Tree::Array(expected)) => {
            assert_eq!(items.len(), expected.len());
            items.iter().zip(expected).for_each(|(item, expected)| same(item, expected));
        }
        (Json::Object(entries), Tree::Object(expected)) => {
            assert_eq!(entries.len(), expected.len());
            for ((key, value), (name, expected)) in entries.iter().zip(expected) {
                assert_eq!(key, name);
                same(value, expected);
            }
        }
        _ => panic!("{found:?}"),
    }
}

/// JSON as serde_json reads it, in order and with keys that stand twice.
enum Tree {
    Unsigned(u64),
    Other(f64),
    Bool(bool),
    Text(String),
    Null,
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
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
        Ok(Tree::Bool(yes))
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

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Tree::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut all = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            all.push(entry);
        }
        Ok(Tree::Object(all))
    }
}
