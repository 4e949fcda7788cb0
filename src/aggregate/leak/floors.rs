//! Floors as saved: two weeks of them in a few KB of text.
//!
//! One word a floor, the differences from the one before: `raw`, or `raw,counted,life,warming` where
//! more changed than a number of one life does. So an idle service's hours are `0 0 0 …`.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

use super::history::Floor;

/// More floors than any history keeps are no history.
const FLOORS_MAX: usize = 100_000;

pub(super) fn serialize<S: Serializer>(floors: &[Floor], to: S) -> Result<S::Ok, S::Error> {
    let mut text = String::with_capacity(floors.len() * 3);
    let mut before = Floor::default();
    for floor in floors {
        if !text.is_empty() {
            text.push(' ');
        }
        let raw = i64::from(floor.raw) - i64::from(before.raw);
        let counted = i64::from(floor.counted) - i64::from(before.counted);
        text.push_str(itoa::Buffer::new().format(raw));
        if counted != raw || floor.life != before.life || floor.warming != before.warming {
            let life = floor.life.wrapping_sub(before.life);
            let warming = u8::from(floor.warming);
            text.push_str(&format!(",{counted},{life},{warming}"));
        }
        before = *floor;
    }
    to.serialize_str(&text)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Floor>, D::Error> {
    let text = String::deserialize(from)?;
    let mut before = Floor::default();
    let words = text.split_ascii_whitespace().take(FLOORS_MAX);
    let floors = words.map(|word| {
        before = after(&before, word)?;
        Some(before)
    });
    floors.collect::<Option<_>>().ok_or_else(|| D::Error::custom("floors cannot be read"))
}

fn after(before: &Floor, word: &str) -> Option<Floor> {
    let moved = |from: i32, by: i64| i32::try_from(i64::from(from).checked_add(by)?).ok();
    let mut parts = word.split(',');
    let raw: i64 = parts.next()?.parse().ok()?;
    let (counted, life, warming) = match parts.next() {
        None => (raw, 0, before.warming),
        Some(counted) => {
            let life: u16 = parts.next()?.parse().ok()?;
            (counted.parse().ok()?, life, parts.next()? == "1")
        }
    };
    Some(Floor {
        raw: moved(before.raw, raw)?,
        counted: moved(before.counted, counted)?,
        life: before.life.wrapping_add(life),
        warming,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Saved(#[serde(with = "super")] Vec<Floor>);

    fn floor() -> impl Strategy<Value = Floor> {
        (any::<i32>(), any::<i32>(), any::<u16>(), any::<bool>())
            .prop_map(|(raw, counted, life, warming)| Floor { raw, counted, life, warming })
    }

    proptest! {
        #[test]
        fn any_floors_come_back(floors in prop::collection::vec(floor(), 0..50)) {
            let saved = Saved(floors);
            let text = serde_json::to_string(&saved).unwrap();
            prop_assert_eq!(serde_json::from_str::<Saved>(&text).unwrap(), saved);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-9, -]{0,40}") {
            let json = serde_json::to_string(&text).unwrap();
            let _any = serde_json::from_str::<Saved>(&json);
        }
    }

    #[test]
    fn two_weeks_of_a_service_are_a_few_kilobytes() {
        let floor =
            |n: i32| Floor { raw: 100 + n % 7, counted: 140 + n % 7, life: 3, warming: false };
        let text = serde_json::to_string(&Saved((0..2016).map(floor).collect())).unwrap();
        assert!(text.len() < 5000, "{}", text.len());
    }
}
