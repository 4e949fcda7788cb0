//! The keys that say how a service's own expvar variables become series.

use std::collections::HashMap;

use super::export::{self, TAKEN_LABELS};
use super::expvarmon;
use super::fields::Fields;
use super::node::{Node, Value};
use crate::model::metric::Kind;
use crate::model::service::Label;
use crate::model::variable::pattern::Pattern;
use crate::model::variable::rule::{Rule, Rules};

/// Most series that may be asked for: the page is made anew for each scrape.
const VARIABLES_LIMIT: usize = 50_000;

/// Most maps in maps that may be asked for; the reader of JSON goes no deeper.
const DEPTH_LIMIT: usize = 60;

/// Reads them. `own`: labels that every series of the service has.
pub(super) fn read(fields: &mut Fields<'_>, own: &[Label]) -> Rules {
    let default = Rules::default();
    let max_variables = fields.parsed("max_variables", |text| whole(text, VARIABLES_LIMIT));
    let max_depth = fields.parsed("max_depth", |text| whole(text, DEPTH_LIMIT));
    let goroutines = fields.parsed("goroutines", goroutines).unwrap_or(default.goroutines);
    let mut rules = rules(fields, own);
    let vars = vars(fields);
    let others = vars.is_none();
    rules.extend(vars.unwrap_or_default());
    Rules {
        rules,
        others,
        max_variables: max_variables.unwrap_or(default.max_variables),
        max_depth: max_depth.unwrap_or(default.max_depth),
        goroutines,
        taken_labels: TAKEN_LABELS
            .into_iter()
            .chain(own.iter().map(Label::name))
            .map(Into::into)
            .collect(),
    }
}

fn rules(fields: &mut Fields<'_>, own: &[Label]) -> Vec<Rule> {
    let Some(items) = fields.list("rules") else { return Vec::new() };
    let mut lines_by_path: HashMap<String, u64> = HashMap::new();
    let mut types_by_name: HashMap<String, (Option<Kind>, u64)> = HashMap::new();
    let mut rules = Vec::new();
    for (place, item) in items.iter().enumerate() {
        let Some(rule) = fields.item("rules", place, item) else { continue };
        let Some(rule) = export::rule(rule, own) else { continue };
        if let Some(first) = lines_by_path.insert(rule.pattern.to_string(), item.line) {
            let what = format!("the rule at line {first} has this path; only the first one counts");
            fields.problem(item.line, &format!("rules[{place}].path"), what);
        }
        if let Some((name, kind)) = rule.export.as_ref().and_then(|export| export.fixed_name()) {
            let (first, line) = *types_by_name.entry(name).or_insert((kind, item.line));
            if first != kind {
                let what = format!("is the name of another type at line {line}");
                fields.problem(item.line, &format!("rules[{place}].name"), what);
            }
        }
        rules.push(rule);
    }
    rules
}

/// expvarmon's `-vars`: one text, or a list of them.
fn vars(fields: &mut Fields<'_>) -> Option<Vec<Rule>> {
    let node = fields.get("vars")?;
    let texts: Vec<&Node> = match &node.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![node],
    };
    let mut rules = Vec::new();
    for node in texts {
        let Value::Text(text) = &node.value else {
            let what =
                "must be text as expvarmon's -vars takes it, like \"mem:cache.Size,requests\"";
            fields.problem(node.line, "vars", what);
            continue;
        };
        for spec in text.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
            match expvarmon::rule(spec) {
                Ok(rule) => rules.extend(rule),
                Err(what) => fields.problem(node.line, "vars", what),
            }
        }
    }
    Some(rules)
}

fn goroutines(text: &str) -> Result<Vec<Pattern>, String> {
    if text == "none" {
        return Ok(Vec::new());
    }
    Pattern::plain(text).map(|path| vec![path])
}

/// A whole number from 1 to `limit`.
pub(super) fn whole(text: &str, limit: usize) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=limit).contains(number));
    number.ok_or_else(|| format!("must be a whole number from 1 to {limit}"))
}

#[cfg(test)]
mod tests {
    use crate::config::file;
    use crate::model::variable::rule::{Rules, Target};

    fn config(keys: &str) -> String {
        format!("services:\n- name: s\n  labels: {{team: a}}\n  expvar:\n    url: http://h\n{keys}")
    }

    fn rules(keys: &str) -> std::sync::Arc<Rules> {
        let mut config = file::read(&config(keys)).unwrap();
        config.services.remove(0).expvar.unwrap().variables
    }

    fn problems(keys: &str) -> Vec<String> {
        let problems = file::read(&config(keys)).expect_err("the rules have problems");
        let short = |problem: &crate::config::Problem| {
            format!(
                "{}: {}: {}",
                problem.line,
                problem.path.replace("services[0].expvar.", ""),
                problem.what
            )
        };
        problems.iter().map(short).collect()
    }

    #[test]
    fn nothing_said_is_the_default() {
        let rules = rules("");
        assert!(rules.rules.is_empty() && rules.others);
        assert_eq!((rules.max_variables, rules.max_depth), (500, 8));
        assert_eq!(rules.goroutines.len(), 12);
        assert!(rules.taken_labels.iter().any(|label| **label == *"team"));
    }

    #[test]
    fn a_rule_has_every_key() {
        let rules = rules(
            "    max_variables: 2000\n    max_depth: 3\n    goroutines: stats.g\n    rules:\n    \
             - {path: \"http.{code}.{method}\", name: \"http_{method}\", type: counter, labels: {tier: web}, help: Requests., max_series: 7}\n    \
             - {path: latency, type: histogram, buckets: [1, 2.5], cumulative: true, unit: ms}\n    \
             - {path: debug, drop: true}\n",
        );
        assert_eq!((rules.max_variables, rules.max_depth, rules.goroutines.len()), (2000, 3, 1));
        let [first, second, third] = &rules.rules[..] else { panic!("{rules:?}") };
        let export = first.export.as_ref().unwrap();
        assert_eq!(
            (&export.to, &*export.help, export.max_series),
            (&Target::Counter, "Requests.", 7)
        );
        // The name has the method, so the code alone becomes a label.
        let labels: Vec<String> =
            export.labels.iter().map(|(name, _)| name.as_fixed().unwrap().to_owned()).collect();
        assert_eq!(labels, ["tier", "code"]);
        let histogram = Target::Histogram { bounds: Some([1.0, 2.5].into()), cumulative: true };
        assert_eq!(second.export.as_ref().unwrap().to, histogram);
        assert!(third.export.is_none());
    }

    #[test]
    fn expvarmons_vars_are_taken_as_they_are_and_nothing_else_is_then_exported() {
        for keys in [
            "    vars: \"mem:memstats.Alloc,duration:memstats.PauseTotalNs,memstats.NumGC,duration:Response.Mean,Counter,str:version\"\n",
            "    vars: [\"mem:memstats.Alloc,duration:Response.Mean\", Counter, \"str:version\"]\n",
        ] {
            let rules = rules(keys);
            assert!(!rules.others);
            let found: Vec<String> =
                rules.rules.iter().map(|rule| rule.pattern.to_string()).collect();
            assert_eq!(
                found,
                ["Response.Mean", "Counter", "version"],
                "memstats have series of their own"
            );
            assert_eq!(rules.rules[2].export.as_ref().unwrap().to, Target::Info);
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_line_and_what_would_be_right() {
        let keys = "    rules:\n    \
            - {path: \"a.{x\"}\n    \
            - {name: b}\n    \
            - {path: c, type: rate}\n    \
            - {path: d, name: go_d, typ: gauge}\n    \
            - {path: \"e.{service}\"}\n    \
            - {path: f, name: \"{g}\"}\n    \
            - {path: h, buckets: [1]}\n    \
            - {path: i, type: histogram, buckets: [2, 1]}\n    \
            - {path: j, drop: true, type: gauge}\n    \
            - {path: k, unit: fortnight, scale: -1}\n    \
            - {path: l, labels: {team: b, 1a: c, ok: 1}}\n    \
            - {path: l}\n    \
            - {path: m, name: a-b}\n    \
            - {path: nn, type: info, unit: s}\n    \
            - {path: o, cumulative: true, max_series: 0}\n    \
            - 7\n    \
            - {path: p, name: same, type: gauge}\n    \
            - {path: q, name: same, type: histogram}\n    \
            - {path: r, labels: {text: \"{value}\"}}\n    \
            vars: \"men:a,mem:memstats.Aloc\"\n    max_variables: many\n    goroutines: \"\"\n";
        let expected = [
            "7: rules[0].path: has a { without }; write \\{ for the letter itself",
            "8: rules[1].path: is missing; write it like \"http.responses.{code}\"",
            "9: rules[2].type: must be counter, gauge, untyped, histogram or info; a rate is a counter here, and PromQL's rate() makes the rate",
            "10: rules[3].name: must not begin with go_, process_ or godebug_exporter_: other metrics of the page have these names",
            "10: rules[3].typ: is not a key; did you mean type?",
            "11: rules[4].path: has {service}: the exporter or Prometheus sets this label itself; choose another name",
            "12: rules[5].name: has {g}, but the path has no {g}",
            "13: rules[6].buckets: belongs to type: histogram only",
            "14: rules[7].buckets: must be a list of numbers that rise: [0.01, 0.1, 1]",
            "15: rules[8].drop: stands alone: what is dropped has no type",
            "16: rules[9].unit: \"fortnight\" is no unit; it says what the variable is in: ns, us, ms, s, min, h, B, kB, MB, GB, KiB, MiB, GiB, percent, ratio",
            "16: rules[9].scale: must be a number more than 0",
            "17: rules[10].labels.1a: a label name is letters, digits and `_`, and does not begin with a digit",
            "17: rules[10].labels.ok: must be text, is a number; put it in quotes",
            "17: rules[10].labels.team: every series of the service has this label already",
            "18: rules[11].path: the rule at line 17 has this path; only the first one counts",
            "19: rules[12].name: must be letters, digits and `_`",
            "20: rules[13].unit: belongs to numbers; type: info exports a text",
            "21: rules[14].max_series: must be a whole number from 1 to 50000",
            "21: rules[14].cumulative: belongs to type: histogram only",
            "22: rules[15]: must be a map of keys, is a number",
            "24: rules[17].name: is the name of another type at line 23",
            "25: rules[18].labels.text: has {value}, which belongs to type: info only",
            "26: vars: \"men:a\": the kind must be mem, duration or str",
            "26: vars: \"mem:memstats.Aloc\": memstats has no Aloc; did you mean Alloc?",
            "27: max_variables: must be a whole number from 1 to 50000",
            "28: goroutines: must not be empty",
        ];
        let mut found = problems(keys);
        let mut expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{found:#?}");
    }
}
