//! A family of the page has one type, whoever gives its series: services may disagree on it.
//!
//! - Where one service has a histogram and another plain numbers under the name, or under one of the names
//!   of the histogram's lines, the one that declares it and stands first in the config has it; the other's
//!   series are left off.
//! - Where plain numbers are counters here and gauges there, and both are certain, the family has no type:
//!   nothing is left off, and nothing that is no counter is called one.

use std::collections::BTreeMap;

use super::name;
use crate::model::metric::Kind;
use crate::model::snapshot::ServiceSnapshot;
use crate::model::variable::VariableSeries;

/// Where a service's series do not have the type that others of the same name have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disagreement {
    /// Which of the services, by its place in the list.
    pub service: usize,
    /// The one whose type is another.
    pub other: usize,
    /// The name.
    pub name: Box<str>,
    /// The types: its own, and the other's.
    pub kinds: [Kind; 2],
    /// How many of its series are left off; the others have no type now.
    pub left_off: u64,
}

/// What is known of a family.
struct Family {
    owner: usize,
    kind: Kind,
    inferred: bool,
    /// The line of another's histogram.
    is_line: bool,
}

/// Makes every family one of a single type, and tells what that took.
pub fn agree(services: &mut [ServiceSnapshot]) -> Vec<Disagreement> {
    if services.iter().filter(|service| !service.variables.is_empty()).count() < 2 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut families: BTreeMap<Box<str>, Family> = BTreeMap::new();
    // Who declares a type has it before those of whom it is inferred.
    for inferred in [false, true] {
        for (service, snapshot) in services.iter().enumerate() {
            for of_name in snapshot.variables.chunk_by(|a, b| a.name == b.name) {
                let Some(first) = of_name.first().filter(|one| one.inferred == inferred) else {
                    continue;
                };
                found.extend(settle(&mut families, service, first, of_name.len()));
            }
        }
    }
    for one in &found {
        apply(services, one);
    }
    found
}

/// Takes one service's series of a name into its family.
fn settle(
    families: &mut BTreeMap<Box<str>, Family>,
    service: usize,
    first: &VariableSeries,
    series: usize,
) -> Option<Disagreement> {
    let is_histogram = first.kind == Kind::Histogram;
    let disagrees = |family: &Family, left_off: usize| Disagreement {
        service,
        other: family.owner,
        name: first.name.clone(),
        kinds: [first.kind, family.kind],
        left_off: left_off as u64,
    };
    let lines = name::lines(&first.name, Some(first.kind));
    let among_lines = lines.iter().find_map(|line| families.get(line.as_str()));
    if let Some(family) = families.get(&first.name) {
        if family.is_line || is_histogram != (family.kind == Kind::Histogram) {
            return Some(disagrees(family, series));
        }
        let is_certain = !first.inferred || first.kind == Kind::Gauge;
        // That it has fallen is certain, that it has only grown says little.
        let differs = is_certain && !family.inferred && first.kind != family.kind;
        return differs.then(|| disagrees(family, 0));
    }
    if let Some(family) = among_lines.filter(|family| family.owner != service) {
        return Some(disagrees(family, series));
    }
    for line in lines {
        let kind = Kind::Histogram;
        families
            .insert(line.into(), Family { owner: service, kind, inferred: false, is_line: true });
    }
    let family =
        Family { owner: service, kind: first.kind, inferred: first.inferred, is_line: false };
    families.insert(first.name.clone(), family);
    None
}

fn apply(services: &mut [ServiceSnapshot], found: &Disagreement) {
    if found.left_off > 0 {
        if let Some(snapshot) = services.get_mut(found.service) {
            let kept = snapshot.variables.iter().filter(|one| one.name != found.name);
            snapshot.variables = kept.cloned().collect();
        }
        return;
    }
    for snapshot in services {
        if !snapshot.variables.iter().any(|one| one.name == found.name) {
            continue;
        }
        let untyped = snapshot.variables.iter().cloned().map(|mut one| {
            if one.name == found.name {
                (one.kind, one.inferred) = (Kind::Untyped, false);
            }
            one
        });
        snapshot.variables = untyped.collect();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::service::{Identity, ServiceName};
    use crate::model::snapshot::{Number, Starts};
    use crate::model::variable::{Buckets, VariableValue};

    const INFERRED: bool = true;

    fn series(name: &str, kind: Kind, inferred: bool) -> VariableSeries {
        let value = match kind {
            Kind::Histogram => VariableValue::Buckets(Buckets {
                bounds: [1.0].into(),
                counts: [1, 2].into(),
                sum: None,
            }),
            _ => VariableValue::Number(Number::Unsigned(1)),
        };
        VariableSeries {
            name: name.into(),
            help: "h".into(),
            kind,
            inferred,
            labels: Box::default(),
            value,
        }
    }

    fn services(all: &[&[(&str, Kind, bool)]]) -> Vec<ServiceSnapshot> {
        let service = |(n, variables): (usize, &&[(&str, Kind, bool)])| ServiceSnapshot {
            identity: Arc::new(Identity::new(
                ServiceName::new(&format!("s{n}")).unwrap(),
                Vec::new(),
            )),
            series: Vec::new(),
            more_labels: Arc::default(),
            starts: Starts::default(),
            variables: variables.iter().map(|(name, kind, by)| series(name, *kind, *by)).collect(),
        };
        all.iter().enumerate().map(service).collect()
    }

    /// What is left, service by service, and how many were left off.
    fn check(all: &[&[(&str, Kind, bool)]], expected: &[&[(&str, Kind)]], left_off: u64) {
        let mut services = services(all);
        let found = agree(&mut services);
        let left: Vec<Vec<(&str, Kind)>> = services
            .iter()
            .map(|one| one.variables.iter().map(|one| (&*one.name, one.kind)).collect())
            .collect();
        assert_eq!(left, expected, "{found:?}");
        assert_eq!(found.iter().map(|one| one.left_off).sum::<u64>(), left_off, "{found:?}");
        assert_eq!(agree(&mut services), [], "once is enough");
    }

    #[test]
    fn a_histogram_and_plain_numbers_cannot_share_a_name() {
        use Kind::{Counter, Gauge, Histogram, Untyped};
        let histogram: &[_] = &[("x", Histogram, !INFERRED)];
        check(&[histogram, histogram], &[&[("x", Histogram)], &[("x", Histogram)]], 0);
        check(
            &[histogram, &[("w", Gauge, !INFERRED), ("x", Gauge, !INFERRED)]],
            &[&[("x", Histogram)], &[("w", Gauge)]],
            1,
        );
        check(&[&[("x", Gauge, !INFERRED)], histogram], &[&[("x", Gauge)], &[]], 1);
        // Declared goes before inferred.
        check(&[&[("x", Untyped, INFERRED)], histogram], &[&[], &[("x", Histogram)]], 1);
        // A line of the histogram is its name too.
        check(&[histogram, &[("x_sum", Gauge, INFERRED)]], &[&[("x", Histogram)], &[]], 1);
        check(
            &[&[("x_count", Counter, !INFERRED); 3], histogram],
            &[&[("x_count", Counter); 3], &[]],
            1,
        );
    }

    #[test]
    fn numbers_of_types_that_differ_have_none_and_stay() {
        use Kind::{Counter, Gauge, Untyped};
        let of = |a: (Kind, bool), b: (Kind, bool), expected: [Kind; 2]| {
            let [first, second] = expected;
            check(
                &[&[("x", a.0, a.1)], &[("x", b.0, b.1)]],
                &[&[("x", first)], &[("x", second)]],
                0,
            );
        };
        of((Counter, !INFERRED), (Gauge, !INFERRED), [Untyped; 2]);
        of((Counter, !INFERRED), (Gauge, INFERRED), [Untyped; 2]);
        of((Gauge, !INFERRED), (Counter, !INFERRED), [Untyped; 2]);
        // What is not certain follows what is: export makes one type of these.
        of((Gauge, !INFERRED), (Counter, INFERRED), [Gauge, Counter]);
        of((Counter, INFERRED), (Gauge, INFERRED), [Counter, Gauge]);
        let mut all = services(&[&[("x", Counter, !INFERRED)], &[("x", Gauge, !INFERRED)]]);
        let expected = Disagreement {
            service: 1,
            other: 0,
            name: "x".into(),
            kinds: [Gauge, Counter],
            left_off: 0,
        };
        assert_eq!(agree(&mut all), [expected]);
    }
}
