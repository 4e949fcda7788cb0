//! `pacer: …`: the lines of gcpacertrace (src/runtime/mgcpacer.go, mgcsweep.go; forms of Go
//! 1.5–1.9, 1.10–1.25 and 1.26 on; of a cycle's end, until 1.17 and from 1.18 on; of its sweep, 1.6,
//! 1.7–1.8 and 1.9 on).

use nom::Parser;
use nom::branch::alt;
use nom::combinator::opt;
use nom::sequence::{delimited, preceded, terminated};

use super::float::{Style, float};
use super::primitive::{Grammar, signed, tag, unsigned};
use crate::model::record::{AssistRatio, CycleEnd, Float, OldCycleEnd, Pacer, SweepDone};

/// What every such line begins with.
pub const START: &[u8] = b"pacer: ";

/// The line without its line feed.
pub fn line<'a>() -> impl Grammar<'a, Pacer> {
    let forms = alt((
        assist_ratio().map(Pacer::AssistRatio),
        old_cycle_end().map(Pacer::OldCycleEnd),
        sweep_done().map(Pacer::SweepDone),
        cycle_end().map(Pacer::CycleEnd),
    ));
    preceded(tag(START), forms)
}

/// What none but the runtime says.
pub fn head<'a>() -> impl Grammar<'a, ()> {
    let words = alt((
        tag(b"assist ratio="),
        tag(b"H_m_prev="),
        tag(b"sweep done at heap size "),
        preceded(signed(), tag(b"% CPU (")),
    ));
    preceded(tag(START), words).map(|_| ())
}

fn number<'a>() -> impl Grammar<'a, Float> {
    float().map(|(x, _)| x)
}

/// As Go 1.25 and those before print it.
fn full<'a>() -> impl Grammar<'a, Float> {
    float().map_opt(|(x, style)| matches!(style, Style::Full | Style::Special).then_some(x))
}

/// `assist ratio=+1.5e+000 (scan 1 MB in 4->4 MB) workers=0+1`.
fn assist_ratio<'a>() -> impl Grammar<'a, AssistRatio> {
    (
        preceded(tag(b"assist ratio="), float()),
        preceded(tag(b" (scan "), unsigned()),
        preceded(tag(b" MB in "), unsigned()),
        preceded(tag(b"->"), unsigned()),
        preceded(tag(b" MB) workers="), signed()),
        preceded(tag(b"+"), float()),
    )
        .map_opt(
            |((assist_ratio, style), scan_mb, heap_start_mb, goal_mb, dedicated, fractional)| {
                let (workers, goal) = fractional_workers(style, fractional)?;
                Some(AssistRatio {
                    assist_ratio,
                    scan_mb,
                    heap_start_mb,
                    goal_mb,
                    dedicated_workers: dedicated,
                    fractional_workers: workers,
                    fractional_utilization_goal: goal,
                })
            },
        )
}

/// Until Go 1.9 a number of workers, then a share. A whole number is a share where floats are
/// printed in their shortest form; where no float tells the form, nobody knows.
fn fractional_workers(
    ratio: Style,
    (number, style): (Float, Style),
) -> Option<(Option<i64>, Option<Float>)> {
    match (style, ratio) {
        (Style::Shortest, Style::Full) | (Style::Full, Style::Shortest | Style::Plain) => None,
        (Style::Plain, Style::Full) => {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
            let workers = (number.0 < 9e15).then_some(number.0 as i64)?;
            Some((Some(workers), None))
        }
        (Style::Plain, Style::Special) => Some((None, None)),
        _ => Some((None, Some(number))),
    }
}

/// `sweep done at heap size 2MB; allocated 0MB during sweep; swept 534 pages at 0.5 pages/byte`.
fn sweep_done<'a>() -> impl Grammar<'a, SweepDone> {
    let wording =
        alt((tag(b"of spans; swept ").map(|_| true), tag(b"during sweep; swept ").map(|_| false)));
    (
        preceded(tag(b"sweep done at heap size "), unsigned()),
        delimited(tag(b"MB; allocated "), unsigned(), tag(b"MB ")),
        wording,
        terminated(unsigned(), tag(b" pages")),
        opt(delimited(tag(b" at "), number(), tag(b" pages/byte"))),
    )
        .map(|(heap_mb, allocated_mb, of_spans, swept_pages, pages_per_byte)| SweepDone {
            heap_mb,
            allocated_mb,
            swept_pages,
            pages_per_byte,
            of_spans,
        })
}

/// `29% CPU (25 exp.) for 1+2+3 B work (6 B exp.) in 4 B -> 5 B (∆goal -6, cons/mark 0)`.
fn cycle_end<'a>() -> impl Grammar<'a, CycleEnd> {
    let cpu = (terminated(signed(), tag(b"% CPU (")), terminated(signed(), tag(b" exp.) for ")));
    let work = (
        signed(),
        preceded(tag(b"+"), signed()),
        delimited(tag(b"+"), signed(), tag(b" B work (")),
        terminated(unsigned(), tag(b" B exp.) in ")),
    );
    let heap = (
        terminated(unsigned(), tag(b" B -> ")),
        terminated(unsigned(), tag(" B (\u{2206}goal ".as_bytes())),
        terminated(signed(), tag(b", cons/mark ")),
        terminated(number(), tag(b")")),
        opt(tag(b"[controller reset]")),
    );
    (cpu, work, heap).map(|(cpu, work, (triggered, live, goal_delta, cons_mark, reset))| CycleEnd {
        cpu_percent: cpu.0,
        cpu_goal_percent: cpu.1,
        heap_scan_bytes: work.0,
        stack_scan_bytes: work.1,
        globals_scan_bytes: work.2,
        scan_expected_bytes: work.3,
        triggered_bytes: triggered,
        heap_bytes: live,
        goal_delta_bytes: goal_delta,
        cons_mark,
        controller_reset: reset.is_some(),
    })
}

/// `H_m_prev=1 h_t=+8e-001 … u_a/u_g=+1e+000`.
fn old_cycle_end<'a>() -> impl Grammar<'a, OldCycleEnd> {
    let heap = (
        preceded(tag(b"H_m_prev="), unsigned()),
        preceded(tag(b" h_t="), full()),
        preceded(tag(b" H_T="), unsigned()),
        preceded(tag(b" h_a="), full()),
        preceded(tag(b" H_a="), unsigned()),
        preceded(tag(b" h_g="), full()),
        preceded(tag(b" H_g="), signed()),
    );
    let work = (
        preceded(tag(b" u_a="), full()),
        preceded(tag(b" u_g="), full()),
        preceded(tag(b" W_a="), signed()),
        preceded(tag(" goal\u{394}=".as_bytes()), full()),
        preceded(tag(" actual\u{394}=".as_bytes()), full()),
        preceded(tag(b" u_a/u_g="), full()),
    );
    (heap, work).map(|(heap, work)| OldCycleEnd {
        marked_before_bytes: heap.0,
        trigger_ratio: heap.1,
        trigger_bytes: heap.2,
        growth_ratio: heap.3,
        heap_bytes: heap.4,
        growth_goal_ratio: heap.5,
        goal_bytes: heap.6,
        utilization: work.0,
        utilization_goal: work.1,
        scan_bytes: work.2,
        goal_delta_ratio: work.3,
        actual_delta_ratio: work.4,
        utilization_ratio: work.5,
    })
}

#[cfg(test)]
mod tests {
    use super::super::primitive::{assert_begins, whole};
    use super::*;
    use proptest::prelude::*;

    const FORMS: [&str; 9] = [
        "pacer: assist ratio=+1.500816e+000 (scan 1 MB in 4->4 MB) workers=0+1",
        "pacer: assist ratio=+6.496277e-001 (scan 1 MB in 4->5 MB) workers=0++2.500000e-001",
        "pacer: assist ratio=3.170074462890625 (scan 0 MB in 4->4 MB) workers=0+0.25",
        "pacer: sweep done at heap size 2MB; allocated 0MB of spans; swept 534 pages",
        "pacer: sweep done at heap size 2MB; allocated 0MB of spans; swept 533 pages at +4.446410e-004 pages/byte",
        "pacer: sweep done at heap size 1MB; allocated 17592186044415MB during sweep; swept 517 pages at 1.00549e-05 pages/byte",
        "pacer: H_m_prev=2236962 h_t=+8.750000e-001 H_T=4194304 h_a=+9.098152e-001 H_a=4272184 h_g=+1.000000e+000 H_g=4473924 u_a=+3.228125e-001 u_g=+2.500000e-001 W_a=229472 goal\u{394}=+1.250000e-001 actual\u{394}=+3.481519e-002 u_a/u_g=+1.291250e+000",
        "pacer: 29% CPU (25 exp.) for 160952+23672+257552 B work (483216 B exp.) in 3987866 B -> 4144560 B (\u{2206}goal -49744, cons/mark +1.424059e-001)[controller reset]",
        "pacer: 30% CPU (25 exp.) for 183016+30136+207754 B work (390842 B exp.) in 4089056 B -> 4133856 B (\u{2206}goal 60448, cons/mark NaN)",
    ];

    fn pacer(text: &str) -> Pacer {
        whole(line(), text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
    }

    fn workers(text: &str) -> (Option<i64>, Option<Float>) {
        match pacer(text) {
            Pacer::AssistRatio(plan) => (plan.fractional_workers, plan.fractional_utilization_goal),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_form_is_read() {
        assert_eq!(workers(FORMS[0]), (Some(1), None));
        assert_eq!(workers(FORMS[1]), (None, Some(Float(0.25))));
        assert_eq!(workers(FORMS[2]), (None, Some(Float(0.25))));
        let Pacer::SweepDone(swept) = pacer(FORMS[3]) else { panic!() };
        assert_eq!((swept.swept_pages, swept.pages_per_byte), (534, None));
        let Pacer::SweepDone(swept) = pacer(FORMS[5]) else { panic!() };
        assert_eq!((swept.heap_mb, swept.pages_per_byte), (1, Some(Float(1.005_49e-5))));
        let Pacer::OldCycleEnd(old) = pacer(FORMS[6]) else { panic!() };
        assert_eq!(
            (old.heap_bytes, old.goal_bytes, old.scan_bytes),
            (4_272_184, 4_473_924, 229_472)
        );
        assert_eq!((old.utilization, old.utilization_ratio), (Float(0.322_812_5), Float(1.291_25)));
        let Pacer::CycleEnd(end) = pacer(FORMS[7]) else { panic!() };
        assert_eq!((end.goal_delta_bytes, end.controller_reset), (-49_744, true));
        assert_eq!((end.heap_scan_bytes, end.globals_scan_bytes), (160_952, 257_552));
        let Pacer::CycleEnd(end) = pacer(FORMS[8]) else { panic!() };
        assert!(end.cons_mark.0.is_nan() && !end.controller_reset);
    }

    #[test]
    fn where_no_float_tells_the_form_the_second_number_of_workers_is_not_known() {
        let unknown = "pacer: assist ratio=+Inf (scan 0 MB in 4->4 MB) workers=0+0";
        assert_eq!(workers(unknown), (None, None));
        let shortest = "pacer: assist ratio=3 (scan 0 MB in 4->4 MB) workers=2+0";
        assert_eq!(workers(shortest), (None, Some(Float(0.0))));
    }

    #[test]
    fn every_beginning_of_every_form_is_known_as_one() {
        assert_begins(line, &FORMS);
    }

    #[test]
    fn damaged_lines_do_not_fit() {
        for form in FORMS {
            for end in 7..form.len() {
                let (begin, rest) = form.as_bytes().split_at(end);
                let whole_too = rest == b"[controller reset]"
                    || rest.starts_with(b" at ")
                    || begin.windows(8).any(|word| word == b"workers=");
                assert!(whole_too || whole(line(), begin).is_none(), "{form} to {end}");
            }
        }
        for bad in ["pacer: ", "pacer: started", "pacer: 29% CPU", "pacer: assist ratio=fast"] {
            assert!(whole(line(), bad.as_bytes()).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(n in any::<[u32; 6]>(), delta in any::<i32>(), cons in 0.0..9e9f64) {
            let text = format!(
                "pacer: {}% CPU (25 exp.) for {}+{}+{} B work ({} B exp.) in {} B -> {} B (\u{2206}goal {delta}, cons/mark {cons})",
                n[0] % 100, n[1], n[2], n[3], n[4], n[5], n[0],
            );
            let Pacer::CycleEnd(end) = pacer(&text) else { panic!() };
            let expected = CycleEnd {
                cpu_percent: (n[0] % 100).into(),
                cpu_goal_percent: 25,
                heap_scan_bytes: n[1].into(),
                stack_scan_bytes: n[2].into(),
                globals_scan_bytes: n[3].into(),
                scan_expected_bytes: n[4].into(),
                triggered_bytes: n[5].into(),
                heap_bytes: n[0].into(),
                goal_delta_bytes: delta.into(),
                cons_mark: Float(cons),
                controller_reset: false,
            };
            prop_assert_eq!(end, expected);
        }
    }
}
