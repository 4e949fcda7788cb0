//! `scan: …`: the scan lines of gctrace=2, Go 1.25 on (src/runtime/mgcmark_greenteagc.go and
//! mgcmark_nogreenteagc.go, `dumpScanStats`).

use nom::Parser;
use nom::branch::alt;
use nom::sequence::{preceded, terminated};

use super::primitive::{Grammar, tag, unsigned};
use crate::model::record::{GcScan, GreenTea, ScanScope};

/// The line of a whole cycle begins with it.
pub const TOTAL: &[u8] = b"scan: total ";

/// The line of a size class begins with it.
pub const CLASS: &[u8] = b"scan: class ";

/// The line without its line feed. Sums that do not agree mean that the line is damaged.
pub fn line<'a>() -> impl Grammar<'a, GcScan> {
    (scope(), alt((green_tea(), plain()))).map_opt(|((scope, class_bytes), counts)| {
        let (objects, green_tea) = counts?;
        Some(GcScan { scope, class_bytes, objects, green_tea })
    })
}

/// What none but the runtime says.
pub fn head<'a>() -> impl Grammar<'a, ()> {
    (scope(), unsigned::<u64>()).map(|_| ())
}

fn scope<'a>() -> impl Grammar<'a, (ScanScope, Option<u32>)> {
    let large = tag(b"L ").map(|_| (ScanScope::Large, None));
    let class = terminated(unsigned(), tag(b"B ")).map(|size| (ScanScope::Class, Some(size)));
    alt((tag(TOTAL).map(|_| (ScanScope::Total, None)), preceded(tag(CLASS), alt((large, class)))))
}

/// Objects, and how they were scanned. `None`: the sums do not agree.
type Counts = Option<(u64, GreenTea)>;

/// The terms of a sum, and the sum.
type Objects = (u64, u64, u64, u64);
type Spans = (u64, u64, u64);

/// `715 objs`.
fn plain<'a>() -> impl Grammar<'a, Counts> {
    terminated(unsigned(), tag(b" objs")).map(|objects| Some((objects, GreenTea::default())))
}

/// `183+352+244=779 objs, 76+26=102 spans`.
fn green_tea<'a>() -> impl Grammar<'a, Counts> {
    let objects = (
        unsigned(),
        preceded(tag(b"+"), unsigned()),
        preceded(tag(b"+"), unsigned()),
        preceded(tag(b"="), terminated(unsigned(), tag(b" objs, "))),
    );
    let spans = (
        unsigned(),
        preceded(tag(b"+"), unsigned()),
        preceded(tag(b"="), terminated(unsigned(), tag(b" spans"))),
    );
    (objects, spans).map(|(objects, spans): (Objects, Spans)| {
        let objects_agree = objects.0.checked_add(objects.1)?.checked_add(objects.2)? == objects.3;
        let spans_agree = spans.0.checked_add(spans.1)? == spans.2;
        let green_tea = GreenTea {
            sparse_objects: Some(objects.0),
            span_sparse_objects: Some(objects.1),
            span_dense_objects: Some(objects.2),
            sparse_spans: Some(spans.0),
            dense_spans: Some(spans.1),
            spans: Some(spans.2),
        };
        (objects_agree && spans_agree).then_some((objects.3, green_tea))
    })
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, whole};
    use super::*;
    use proptest::prelude::*;

    const FORMS: [&str; 6] = [
        "scan: total 715 objs",
        "scan: class L 3 objs",
        "scan: class 16B 66 objs",
        "scan: total 183+352+244=779 objs, 76+26=102 spans",
        "scan: class L 1+0+0=1 objs, 0+0=0 spans",
        "scan: class 8B 55+0+0=55 objs, 0+0=0 spans",
    ];

    #[test]
    fn every_form_is_read() {
        let scans = FORMS.map(|text| whole(line(), text.as_bytes()).unwrap());
        let what = scans.clone().map(|scan| (scan.scope, scan.class_bytes, scan.objects));
        assert_eq!(what[0], (ScanScope::Total, None, 715));
        assert_eq!(what[1], (ScanScope::Large, None, 3));
        assert_eq!(what[2], (ScanScope::Class, Some(16), 66));
        assert_eq!(what[3], (ScanScope::Total, None, 779));
        assert_eq!(
            (scans[3].green_tea.span_sparse_objects, scans[3].green_tea.spans),
            (Some(352), Some(102))
        );
        assert_eq!(scans[0].green_tea, GreenTea::default());
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(line, &FORMS);
    }

    #[test]
    fn damaged_lines_do_not_fit() {
        for bad in [
            "scan: total 183+352+244=778 objs, 76+26=102 spans",
            "scan: total 183+352+244=779 objs, 76+26=103 spans",
            "scan: total 18446744073709551615+1+0=0 objs, 0+0=0 spans",
            "scan: total files",
            "scan: class 16 objs",
            "scan: total 715 objs in all",
        ] {
            assert!(whole(line(), bad.as_bytes()).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(n in any::<[u32; 5]>(), size in 1..40_000u32) {
            let n = n.map(u64::from);
            let (objects, spans) = (n[0] + n[1] + n[2], n[3] + n[4]);
            let text = format!("scan: class {size}B {}+{}+{}={objects} objs, {}+{}={spans} spans", n[0], n[1], n[2], n[3], n[4]);
            let scan = whole(line(), text.as_bytes()).unwrap();
            prop_assert_eq!((scan.scope, scan.class_bytes, scan.objects), (ScanScope::Class, Some(size), objects));
            prop_assert_eq!((scan.green_tea.dense_spans, scan.green_tea.spans), (Some(n[4]), Some(spans)));
        }
    }
}
