//! Recall, false alarms and time to detect of the leak detector, beside the rules people use today.
//!
//! `cargo bench --bench leaks [-- SEEDS]`; `cargo bench --bench leaks -- SEEDS alerts`: the alerts of deploy/prometheus.

#![expect(clippy::print_stdout, reason = "a table is what this is for")]
#![expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    reason = "simulated data of known shape"
)]

mod alerts;
mod replay;
mod rules;
mod workloads;

use rules::{Expression, Rule};
use workloads::{HEALTHY, HOUR, LEAKING, Sample, Workload};

/// What a rule did with all records.
#[derive(Default)]
struct Total {
    records: usize,
    found: usize,
    too_early: usize,
    /// Seconds from the leak's beginning to the alarm; infinite where it was missed.
    times: Vec<f64>,
    false_alarms: usize,
    months: f64,
}

impl Total {
    fn leaking(&mut self, workload: &Workload, alarms: &[f64]) {
        let from = workload.leaks_from.unwrap_or_default();
        self.records += 1;
        self.too_early += usize::from(alarms.iter().any(|at| *at < from));
        let first = alarms.iter().find(|at| **at >= from);
        self.found += usize::from(first.is_some());
        self.times.push(first.map_or(f64::INFINITY, |at| at - from));
    }

    fn healthy(&mut self, workload: &Workload, alarms: &[f64]) {
        self.false_alarms += alarms.len();
        self.months += workload.months();
    }

    fn print(mut self, name: &str) {
        self.times.sort_by(f64::total_cmp);
        let hours = |share: f64| {
            let at = self.times[((self.times.len() - 1) as f64 * share) as usize] / HOUR;
            if at.is_finite() { format!("{at:.1} h") } else { "never".to_owned() }
        };
        println!(
            "| {name} | {:.3} | {:.3} | {} | {} |",
            self.found as f64 / self.records as f64,
            (self.false_alarms + self.too_early) as f64 / self.months,
            hours(0.5),
            hours(0.9),
        );
    }
}

struct Record {
    workload: &'static Workload,
    samples: Vec<Sample>,
}

fn records(workloads: &'static [Workload], seeds: u64) -> Vec<Record> {
    let numbered = || workloads.iter().zip(1_u64..);
    (0..seeds)
        .flat_map(|seed| numbered().map(move |(workload, n)| (workload, seed * 1000 + n)))
        .map(|(workload, seed)| Record { workload, samples: workload.run(seed, 1.0) })
        .collect()
}

fn measure(
    leaking: &[Record],
    healthy: &[Record],
    alarms: impl Fn(&[Sample]) -> Vec<f64>,
) -> Total {
    let mut total = Total::default();
    for record in leaking {
        total.leaking(record.workload, &alarms(&record.samples));
    }
    for record in healthy {
        total.healthy(record.workload, &alarms(&record.samples));
    }
    total
}

/// The moments at which a rule begins to fire.
fn fires(scores: &[(f64, f64)], threshold: f64) -> Vec<f64> {
    let mut firing = false;
    let mut begins = |(at, score): &(f64, f64)| {
        let began = *score > threshold && !firing;
        firing = *score > threshold;
        began.then_some(*at)
    };
    scores.iter().filter_map(&mut begins).collect()
}

fn as_used(leaking: &[Record], healthy: &[Record], rule: Rule, threshold: f64) {
    let total = measure(leaking, healthy, |samples| fires(&rule.scores(samples), threshold));
    total.print(&format!("`{} > {threshold}`", rule.text()));
}

/// The rule with the lowest threshold at which no healthy service raises it: the comparison at
/// equal false alarms, tuned with knowledge that nobody has.
fn without_false_alarms(leaking: &[Record], healthy: &[Record], rule: Rule) {
    let highest = |record: &Record| {
        rule.scores(&record.samples).iter().map(|score| score.1).fold(f64::MIN, f64::max)
    };
    let threshold = healthy.iter().map(highest).fold(f64::MIN, f64::max);
    let total = measure(leaking, healthy, |samples| fires(&rule.scores(samples), threshold));
    total.print(&format!("`{} > {threshold:.3}`", rule.text()));
}

fn each_workload(records: &[Record]) {
    for workload in LEAKING.iter().chain(HEALTHY) {
        let mut mine =
            records.iter().filter(|record| record.workload.name == workload.name).peekable();
        if mine.peek().is_none() {
            continue;
        }
        let alarms: Vec<f64> = mine
            .flat_map(|record| replay::alarms(&record.samples).into_iter().take(1))
            .map(|at| (at - workload.leaks_from.unwrap_or_default()) / HOUR)
            .collect();
        let is_right = workload.leaks_from.is_some() != alarms.is_empty();
        if !is_right || workload.leaks_from.is_some() {
            println!("  {:40} {:.1?}", workload.name, alarms);
        }
    }
}

fn main() {
    let seeds = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(3);
    let (leaking, healthy) = (records(LEAKING, seeds), records(HEALTHY, seeds));
    if std::env::args().any(|arg| arg == "alerts") {
        return alerts::print(&leaking, &healthy);
    }
    println!("| rule | recall | false alarms a service-month | median time to detect | 9 of 10 |");
    println!("|---|---|---|---|---|");
    measure(&leaking, &healthy, replay::alarms).print("this detector");
    let value = Rule { expression: Expression::Value, holds: 0.0 };
    let deriv =
        |hours, holds| Rule { expression: Expression::Deriv(hours * HOUR), holds: holds * HOUR };
    let predict = |hours, ahead, holds| Rule {
        expression: Expression::PredictLinear(hours * HOUR, ahead * HOUR),
        holds: holds * HOUR,
    };
    as_used(&leaking, &healthy, value, 1000.0);
    as_used(&leaking, &healthy, deriv(1.0, 0.0), 0.0);
    as_used(&leaking, &healthy, deriv(1.0, 6.0), 0.0);
    as_used(&leaking, &healthy, predict(1.0, 4.0, 0.0), 5000.0);
    println!("\nTuned so that none of these healthy services raises it:\n");
    for rule in [
        value,
        Rule { holds: 6.0 * HOUR, ..value },
        Rule { holds: 24.0 * HOUR, ..value },
        deriv(1.0, 0.0),
        deriv(1.0, 6.0),
        deriv(6.0, 0.0),
        deriv(24.0, 0.0),
        deriv(24.0, 24.0),
        predict(1.0, 4.0, 0.0),
        predict(6.0, 24.0, 0.0),
        predict(24.0, 96.0, 0.0),
    ] {
        without_false_alarms(&leaking, &healthy, rule);
    }
    println!("\nThis detector, hours to each first alarm:\n");
    each_workload(&leaking);
    each_workload(&healthy);
}
