//! The services' own variables.

use std::collections::BTreeMap;

use super::family::{self, Family, Sample, Writer};
use super::text::Text;
use crate::model::exposition::Escaping;
use crate::model::metric::Kind;
use crate::model::snapshot::ServiceSnapshot;
use crate::model::variable::{VariableSeries, VariableValue};

/// Writes them in the text format.
pub fn variables(page: &mut Vec<u8>, services: &[ServiceSnapshot]) {
    write(page, services, &[], &mut Text::prometheus(Escaping::Underscores), &mut |_| {});
}

/// Writes those of these names, if any is named, family by family. Where services differ on a family's type, it has
/// the type that somebody declared first; else it is a gauge if it has fallen anywhere, and a counter if it has only
/// grown.
pub fn write(
    out: &mut Vec<u8>,
    services: &[ServiceSnapshot],
    names: &[String],
    writer: &mut impl Writer,
    take: &mut impl FnMut(&mut Vec<u8>),
) {
    let mut families: BTreeMap<&str, Vec<(&ServiceSnapshot, &VariableSeries)>> = BTreeMap::new();
    for service in services {
        for variable in &*service.variables {
            families.entry(&variable.name).or_default().push((service, variable));
        }
    }
    let is_taken = |name: &str| {
        ["_total", "_info"]
            .iter()
            .any(|end| name.strip_suffix(end).is_some_and(|base| families.contains_key(base)))
    };
    let mut written = Vec::new();
    for (name, members) in &families {
        let Some((kind, help)) = kind_and_help(members) else { continue };
        let base_taken = is_taken(name);
        let family = Family { name, help: &help, kind, base_taken, has_unit: false };
        if !family.is_wanted(names) {
            continue;
        }
        let head = writer.head(&family);
        // Series of a histogram and plain ones cannot stand below one head.
        let fits = |series: &VariableSeries| {
            matches!(series.value, VariableValue::Buckets(_)) == (kind == Kind::Histogram)
        };
        for (service, variable) in members.iter().filter(|(_, series)| fits(series)) {
            let labels = writer.labels(family::identity(&service.identity));
            let own = variable.labels.iter().map(|(name, value)| (&**name, &**value));
            let sample = Sample::from(&variable.value);
            // A service may begin a variable at any number.
            writer.series(&mut written, &head, &labels, own, &sample, None);
        }
        writer.family(out, &family, &head, &mut written);
        take(out);
    }
}

fn kind_and_help(members: &[(&ServiceSnapshot, &VariableSeries)]) -> Option<(Kind, String)> {
    let mut declared = members.iter().filter(|(_, series)| !series.inferred);
    let (_, first) = members.first()?;
    if let Some((_, series)) = declared.next() {
        return Some((series.kind, series.help.to_string()));
    }
    let any = |kind| members.iter().any(|(_, series)| series.kind == kind);
    let (kind, why) = if any(Kind::Gauge) {
        (Kind::Gauge, " Inferred to be a gauge: it has fallen, or was below 0.")
    } else if any(Kind::Counter) {
        (
            Kind::Counter,
            " Inferred to be a counter: it has grown ten times or more, and never fallen.",
        )
    } else {
        (Kind::Untyped, "")
    };
    Some((kind, format!("{}{why}", first.help)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::service::{Identity, Label, ServiceName};
    use crate::model::snapshot::{Number, Starts};
    use crate::model::variable::Buckets;

    fn service(name: &str, variables: Vec<VariableSeries>) -> ServiceSnapshot {
        let labels = vec![Label::new("team", "a").unwrap()];
        let service = ServiceName::new(name).unwrap();
        let identity = Arc::new(Identity::new(service, labels));
        ServiceSnapshot {
            identity,
            series: Vec::new(),
            more_labels: Arc::default(),
            variables: variables.into(),
            starts: Starts::default(),
        }
    }

    fn series(name: &str, kind: Kind, inferred: bool, n: i64) -> VariableSeries {
        VariableSeries {
            name: name.into(),
            help: "Help\n.".into(),
            kind,
            inferred,
            labels: [("k".into(), "v\"".into())].into(),
            value: VariableValue::Number(Number::Signed(n)),
        }
    }

    fn page(services: &[ServiceSnapshot]) -> String {
        let mut page = Vec::new();
        variables(&mut page, services);
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn a_family_has_the_type_that_its_members_agree_on() {
        let of = |a: (Kind, bool), b: (Kind, bool)| {
            let text = page(&[
                service("s", vec![series("x", a.0, a.1, 1)]),
                service("t", vec![series("x", b.0, b.1, 2)]),
            ]);
            assert_eq!(text.lines().count(), 4, "{text}");
            text.lines().nth(1).unwrap().rsplit_once(' ').unwrap().1.to_owned()
        };
        let (gauge, counter, untyped) =
            ((Kind::Gauge, true), (Kind::Counter, true), (Kind::Untyped, true));
        assert_eq!(of(untyped, untyped), "untyped");
        assert_eq!(of(untyped, counter), "counter");
        assert_eq!(of(counter, gauge), "gauge");
        assert_eq!(of(counter, (Kind::Untyped, false)), "untyped");
    }

    #[test]
    fn what_is_inferred_says_so_and_labels_are_escaped() {
        let text = page(&[service("s", vec![series("x", Kind::Counter, true, -1)])]);
        let expected = "# HELP x Help\\n. Inferred to be a counter: it has grown ten times or more, and never fallen.\n\
                        # TYPE x counter\nx{service=\"s\",team=\"a\",k=\"v\\\"\"} -1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_histogram_has_no_sum_where_the_service_keeps_none() {
        let buckets = Buckets { bounds: [0.5].into(), counts: [1, 3].into(), sum: None };
        let mut one = series("h", Kind::Histogram, false, 0);
        one.value = VariableValue::Buckets(buckets);
        let plain = service("t", vec![series("h", Kind::Gauge, false, 7)]);
        let text = page(&[service("s", vec![one]), plain]);
        assert!(text.contains("le=\"0.5\"} 1\n") && text.contains("le=\"+Inf\"} 3\n"), "{text}");
        assert!(text.ends_with("h_count{service=\"s\",team=\"a\",k=\"v\\\"\"} 3\n"), "{text}");
    }
}
