//! Histograms that services keep in arrays and maps.

use std::sync::Arc;

use crate::model::json::Json;
use crate::model::variable::Buckets;
use crate::model::variable::unit::Conversion;

/// Most buckets of one histogram.
const BUCKETS_MAX: usize = 200;

/// As the service has it: one more count than bounds, the last for `+Inf`.
struct Counted {
    bounds: Arc<[f64]>,
    counts: Vec<u64>,
    sum: Option<f64>,
}

/// Reads counts: of an array, with `bounds` in the exported unit; or of a map, whose keys are bounds
/// (`0.5`, `le_0.5`, `+Inf`) in the variable's own unit, beside `sum` and `count`. `None` where
/// anything is not as it should be.
pub(super) fn read(
    value: &Json,
    bounds: Option<&Arc<[f64]>>,
    cumulative: bool,
    conversion: &Conversion,
) -> Option<Buckets> {
    let Counted { bounds, mut counts, sum } = match (value, bounds) {
        (Json::Array(items), Some(bounds)) => of_array(items, bounds, cumulative)?,
        (Json::Object(entries), None) => of_map(entries, cumulative, conversion)?,
        _ => return None,
    };
    if !cumulative {
        let mut total = 0_u64;
        for count in &mut counts {
            total = total.checked_add(*count)?;
            *count = total;
        }
    }
    counts.is_sorted().then(|| Buckets { bounds, counts: counts.into(), sum })
}

fn of_array(items: &[Json], bounds: &Arc<[f64]>, cumulative: bool) -> Option<Counted> {
    let mut counts: Vec<u64> = items.iter().map(Json::as_u64).collect::<Option<_>>()?;
    if counts.len() == bounds.len() {
        // The service counts nothing beyond the last bound.
        counts.push(if cumulative { *counts.last()? } else { 0 });
    }
    (counts.len() == bounds.len() + 1).then(|| Counted {
        bounds: Arc::clone(bounds),
        counts,
        sum: None,
    })
}

fn of_map(
    entries: &[(String, Json)],
    cumulative: bool,
    conversion: &Conversion,
) -> Option<Counted> {
    let (mut sum, mut count, mut buckets) = (None, None, Vec::new());
    for (key, value) in entries {
        match key.as_str() {
            "sum" => sum = Some(conversion.float(value.as_f64().filter(|sum| sum.is_finite())?)),
            "count" => count = Some(value.as_u64()?),
            key => buckets.push((bound(key)?, value.as_u64()?)),
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let twice = buckets.windows(2).any(|pair| matches!(pair, [a, b] if a.0 >= b.0));
    if twice || buckets.is_empty() || buckets.len() > BUCKETS_MAX {
        return None;
    }
    let inf = buckets.pop_if(|(bound, _)| bound.is_infinite()).map(|(_, count)| count);
    let last = buckets.last().map(|(_, count)| *count).filter(|_| cumulative);
    let inf = inf.or(count.filter(|_| cumulative)).or(last).unwrap_or_default();
    let bounds = buckets.iter().map(|(bound, _)| conversion.float(*bound)).collect();
    let counts = buckets.iter().map(|(_, count)| *count).chain([inf]).collect();
    Some(Counted { bounds, counts, sum })
}

/// The number in a key.
fn bound(key: &str) -> Option<f64> {
    let bare = ["le_", "le=", "le", "<="].iter().find_map(|head| key.strip_prefix(head));
    let bound: f64 = bare.unwrap_or(key).trim().parse().ok()?;
    (!bound.is_nan() && bound != f64::NEG_INFINITY).then_some(bound)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::variable::unit::Unit;
    use crate::parse::json::Cursor;

    fn histogram(
        text: &str,
        bounds: Option<&[f64]>,
        cumulative: bool,
    ) -> Option<(Vec<f64>, Vec<u64>, Option<f64>)> {
        let value = Cursor::new(text.as_bytes()).value().unwrap();
        let bounds = bounds.map(Arc::from);
        let milliseconds: Unit = "ms".parse().unwrap();
        let conversion = Conversion::new(Some(milliseconds), None);
        read(&value, bounds.as_ref(), cumulative, &conversion)
            .map(|read| (read.bounds.to_vec(), read.counts.to_vec(), read.sum))
    }

    #[test]
    fn arrays_have_their_bounds_from_the_rule() {
        let bounds = Some(&[0.5, 1.0][..]);
        let of = |counts: &[u64]| Some((vec![0.5, 1.0], counts.to_vec(), None));
        assert_eq!(histogram("[3, 2, 1]", bounds, false), of(&[3, 5, 6]));
        assert_eq!(histogram("[3, 2]", bounds, false), of(&[3, 5, 5]));
        assert_eq!(histogram("[3, 5, 6]", bounds, true), of(&[3, 5, 6]));
        assert_eq!(histogram("[3, 5]", bounds, true), of(&[3, 5, 5]));
        for wrong in [
            "[1]",
            "[1,2,3,4]",
            "[1,2,-3]",
            "[1,2,0.5]",
            "[]",
            "[1,\"2\",3]",
            "[18446744073709551615,1,1]",
        ] {
            assert_eq!(histogram(wrong, bounds, false), None, "{wrong}");
        }
        assert_eq!(histogram("[3, 2, 1]", bounds, true), None, "not cumulative");
        assert_eq!(histogram("[3, 2, 1]", None, false), None, "no bounds");
    }

    #[test]
    fn maps_have_them_in_their_keys() {
        // As Tailscale's metrics.Histogram prints itself, in milliseconds here.
        let tailscale = r#"{"100": 1, "500": 4, "+Inf": 6,"sum": 2500,"count": 6}"#;
        assert_eq!(
            histogram(tailscale, None, true),
            Some((vec![0.1, 0.5], vec![1, 4, 6], Some(2.5)))
        );
        let own = r#"{"le_500": 3, "le_100": 1, "inf": 2}"#;
        assert_eq!(histogram(own, None, false), Some((vec![0.1, 0.5], vec![1, 4, 6], None)));
        let without_inf = r#"{"100": 1, "500": 4, "count": 9}"#;
        assert_eq!(histogram(without_inf, None, true).unwrap().1, [1, 4, 9]);
        for wrong in [
            "{}",
            r#"{"sum": 1}"#,
            r#"{"1": 1, "1.0": 2}"#,
            r#"{"NaN": 1}"#,
            r#"{"a": 1}"#,
            r#"{"1": 5, "2": 4}"#,
        ] {
            assert_eq!(histogram(wrong, None, true), None, "{wrong}");
        }
    }
}
