//! The dashboards: what dashboards/source says is what is committed, and that is right: it imports without a question,
//! explains itself, and asks only for what the exporter has. After a change: `BLESS=1 tests/run.sh dashboards`.

pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::alerts::{Known, judge, nameable};
use crate::support::prometheus::promtool;
use crate::support::promql::Expression;
use source::NAMES;

/// Counters whose sum is worth showing: an event in a process's life, not a rate.
const SHOWN_WHOLE: [&str; 4] = [
    "go_init_seconds_total",
    "go_init_allocated_bytes_total",
    "go_init_allocations_total",
    "go_crashes_by_function_total",
];

/// What may stand before a counter.
const BEFORE_COUNTERS: [&str; 4] =
    ["rate(", "increase(", "count(", "count by (namespace, service) ("];

fn committed(name: &str) -> Value {
    let file = source::folder().join(format!("{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

pub(crate) fn all() -> impl Iterator<Item = (&'static str, Value)> {
    NAMES.into_iter().map(|name| (name, committed(name)))
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Rows, and the panels in rows that are folded up too.
fn with_rows(dashboard: &Value) -> Vec<&Value> {
    let inner = |panel| array(panel).iter();
    let nested = |panel: &'_ Value| panel["panels"].is_array();
    let top = array(&dashboard["panels"]).iter();
    top.clone()
        .chain(top.filter(|panel| nested(panel)).flat_map(|row| inner(&row["panels"])))
        .collect()
}

pub(crate) fn panels(dashboard: &Value) -> Vec<&Value> {
    let mut found = with_rows(dashboard);
    found.retain(|panel| panel["type"] != "row");
    found
}

/// Of panels and annotations: where it stands, and it.
pub(crate) fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let of_panels = panels(dashboard).into_iter().flat_map(|panel| {
        array(&panel["targets"])
            .iter()
            .map(|target| (text(&panel["title"]).to_owned(), text(&target["expr"]).to_owned()))
    });
    let annotations = array(&dashboard["annotations"]["list"]).iter();
    let of_annotations =
        annotations.filter(|annotation| annotation["builtIn"].is_null()).map(|annotation| {
            (text(&annotation["name"]).to_owned(), text(&annotation["expr"]).to_owned())
        });
    of_panels.chain(of_annotations).collect()
}

/// As Grafana sends it when all is chosen.
pub(crate) fn asked(expression: &str, rate_interval: &str, range: &str) -> String {
    expression
        .replace("$__rate_interval", rate_interval)
        .replace("$__range", range)
        .replace("$namespace", ".*")
        .replace("$service", ".*")
        .replace("$pod", ".*")
        .replace("$instance", ".*")
}

fn sent(expression: &str) -> String {
    asked(expression, "1m", "1h")
}

#[test]
fn the_committed_json_is_what_the_source_says() {
    for name in NAMES {
        let file = source::folder().join(format!("{name}.json"));
        let expected = format!("{:#}\n", source::read(name).json());
        if std::env::var_os("BLESS").is_some() {
            // The other tests read it at this moment.
            let new = file.with_extension("new");
            std::fs::write(&new, &expected).unwrap();
            std::fs::rename(&new, &file).unwrap();
        }
        let found = std::fs::read_to_string(&file).unwrap_or_default();
        let mut lines = expected.lines().zip(found.lines());
        let differs = lines.find(|(expected, found)| expected != found);
        assert!(found == expected, "{name}: run with BLESS=1 and look: {differs:#?}");
    }
}

#[test]
fn they_import_without_a_question() {
    let mut uids = BTreeSet::new();
    for (name, dashboard) in all() {
        assert!(dashboard["__inputs"].is_null() && dashboard["id"].is_null(), "{name}");
        assert!(uids.insert(text(&dashboard["uid"]).to_owned()), "{name}: its uid is another's");
        assert!((39..=42).contains(&dashboard["schemaVersion"].as_u64().unwrap()), "{name}");
        assert_eq!(dashboard["editable"], false, "{name}");
        let list = array(&dashboard["templating"]["list"]);
        assert_eq!(list[0]["type"], "datasource", "{name}");
        let names: Vec<&str> = list.iter().map(|variable| text(&variable["name"])).collect();
        for needed in ["datasource", "namespace", "service", "pod"] {
            assert!(names.contains(&needed), "{name}: {needed}");
        }
        for variable in &list[1..] {
            for (key, expected) in [
                ("type", json!("query")),
                ("multi", json!(true)),
                ("allValue", json!(".*")),
                ("refresh", json!(2)),
                ("datasource", json!({"type": "prometheus", "uid": "${datasource}"})),
            ] {
                assert_eq!(variable[key], expected, "{name}: {}", variable["name"]);
            }
            let of_one = name == "service" && variable["name"] == "service";
            assert_eq!(variable["includeAll"], !of_one, "{name}: {}", variable["name"]);
        }
    }
}

#[test]
fn every_panel_explains_itself() {
    for (name, dashboard) in all() {
        for panel in panels(&dashboard) {
            let at = format!("{name}: {}", panel["title"]);
            assert!(!text(&panel["title"]).is_empty(), "{at}");
            let help = text(&panel["description"]);
            assert!(help.len() > 40 && help.ends_with('.'), "{at}: {help:?}");
            assert!(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "{at}: no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{at}");
            let targets = array(&panel["targets"]);
            assert!(!targets.is_empty(), "{at}");
            let mut ids = BTreeSet::new();
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{at}");
                assert!(ids.insert(text(&target["refId"])), "{at}");
            }
        }
    }
}

#[test]
fn a_panel_without_data_says_what_it_needs() {
    for (name, dashboard) in all() {
        let mut needs = false;
        for panel in array(&dashboard["panels"]) {
            if panel["type"] == "row" {
                needs = text(&panel["title"]).contains("(needs ");
            }
            let of_row = [panel].into_iter().filter(|panel| panel["type"] != "row");
            for panel in of_row.chain(panel["panels"].as_array().into_iter().flatten()) {
                let says = text(&panel["fieldConfig"]["defaults"]["noValue"]);
                assert!(!needs || !says.is_empty(), "{name}: {}", panel["title"]);
            }
        }
    }
}

#[test]
fn ids_are_unique_and_panels_cover_the_grid_once() {
    for (name, dashboard) in all() {
        let ids: Vec<u64> =
            with_rows(&dashboard).iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}");
        let top = array(&dashboard["panels"]);
        covers(name, top);
        for row in top.iter().filter(|panel| panel["type"] == "row") {
            let inner = array(&row["panels"]);
            assert_eq!(row["collapsed"].as_bool(), Some(!inner.is_empty()), "{name}: {row}");
            covers(name, inner);
        }
    }
}

/// Each cell from the first line to the last is one panel's.
fn covers(name: &str, panels: &[Value]) {
    let mut cells: BTreeMap<(u64, u64), &Value> = BTreeMap::new();
    for panel in panels {
        let of = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for (y, x) in (of("y")..of("y") + of("h"))
            .flat_map(|y| (of("x")..of("x") + of("w")).map(move |x| (y, x)))
        {
            assert!(x < 24, "{name}: {} is too wide", panel["title"]);
            let other = cells.insert((y, x), &panel["title"]);
            assert!(other.is_none(), "{name}: {} lies on {other:?}", panel["title"]);
        }
    }
    let lines: BTreeSet<u64> = cells.keys().map(|cell| cell.0).collect();
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return };
    assert_eq!(cells.len() as u64, (last - first + 1) * 24, "{name}: there is a hole");
}

#[test]
fn promtool_takes_every_expression() {
    let mut rules = String::from("groups:\n- name: dashboards\n  rules:\n");
    for (name, dashboard) in all() {
        for (number, (_, expression)) in expressions(&dashboard).into_iter().enumerate() {
            let expression = Value::from(sent(&expression));
            writeln!(rules, "  - {{record: '{name}:{number}', expr: {expression}}}").unwrap();
        }
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules).unwrap();
    promtool(&["check", "rules", "--lint=none"], &[file.path().to_path_buf()]);
}

/// What Prometheus may add to every series of a target.
fn with_target_labels() -> Known {
    let mut known = nameable();
    for labels in known.values_mut() {
        labels.extend(["namespace", "pod", "job", "instance"].map(str::to_owned));
    }
    known
}

#[test]
fn they_ask_only_for_what_is_exported() {
    let known = with_target_labels();
    for (name, dashboard) in all() {
        for (title, expression) in expressions(&dashboard) {
            let (unknown, _) = judge(&sent(&expression), &known);
            assert!(unknown.is_empty(), "{name}: {title}: {unknown:?} in {expression}");
        }
        for variable in &array(&dashboard["templating"]["list"])[1..] {
            let query = text(&variable["definition"]);
            let inner = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
            let (selector, label) = inner.rsplit_once(", ").unwrap();
            let (unknown, labels) = judge(&sent(selector), &known);
            assert!(unknown.is_empty() && labels.contains(label), "{name}: {query}");
        }
    }
}

#[test]
fn every_selector_follows_the_variables() {
    for (name, dashboard) in all() {
        let list = &array(&dashboard["templating"]["list"])[1..];
        let variables: Vec<&str> = list.iter().map(|variable| text(&variable["name"])).collect();
        for (title, expression) in expressions(&dashboard) {
            for selector in Expression::read(&sent(&expression)).selectors {
                if !selector.metric.starts_with("go_") {
                    continue;
                }
                let has = |variable: &&str| selector.labels.iter().any(|label| label == variable);
                assert!(variables.iter().all(has), "{name}: {title}: {expression}");
            }
        }
    }
}

#[test]
fn counters_stand_in_rates_of_the_right_window() {
    for (name, dashboard) in all() {
        for (title, expression) in expressions(&dashboard) {
            let at = format!("{name}: {title}: {expression}");
            assert!(wrong_counters(&expression).is_empty(), "{at}");
            assert!(!has_fixed_window(&expression), "{at}");
            assert!(!has_integer_matcher(&expression), "{at}");
        }
    }
}

fn wrong_counters(expression: &str) -> Vec<String> {
    let selectors = Expression::read(&sent(expression)).selectors;
    let counters = selectors.into_iter().map(|selector| selector.metric).filter(|metric| {
        let counts =
            ["_total", "_bucket", "_sum", "_count"].iter().any(|end| metric.ends_with(end));
        counts && !SHOWN_WHOLE.contains(&metric.as_str())
    });
    let is_wrong = |metric: &String| {
        expression.match_indices(metric.as_str()).any(|(at, _)| {
            let before = &expression[..at];
            !BEFORE_COUNTERS.iter().any(|allowed| before.ends_with(allowed))
        })
    };
    counters.filter(is_wrong).collect()
}

/// A rate over a window that does not follow the time between scrapes.
fn has_fixed_window(expression: &str) -> bool {
    ["rate(", "increase("].iter().any(|function| {
        expression.split(function).skip(1).any(|rest| {
            let window = rest.split('[').nth(1).unwrap();
            !window.starts_with("$__rate_interval]") && !window.starts_with("$__range]")
        })
    })
}

/// `le="1"` matches nothing in Prometheus 3, which says `le="1.0"`.
fn has_integer_matcher(expression: &str) -> bool {
    ["le", "quantile"]
        .iter()
        .flat_map(|label| ["=", "!=", "=~", "!~"].map(|op| format!("{label}{op}\"")))
        .any(|start| {
            expression.split(&start).skip(1).any(|rest| {
                let value = rest.split('"').next().unwrap();
                !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())
            })
        })
}

#[test]
fn the_lint_finds_what_is_wrong() {
    assert_eq!(wrong_counters("sum(go_panics_total)"), ["go_panics_total"]);
    assert_eq!(
        wrong_counters("rate(go_panics_total[5m]) + go_panics_total"),
        ["go_panics_total", "go_panics_total"]
    );
    assert!(wrong_counters("sum(increase(go_panics_total[5m]))").is_empty());
    assert!(has_fixed_window("rate(go_panics_total[5m])"));
    assert!(!has_fixed_window("rate(go_panics_total[$__rate_interval])"));
    assert!(
        has_integer_matcher("x_bucket{le=\"1\"}") && !has_integer_matcher("x_bucket{le=\"1.0\"}")
    );
}

#[test]
fn links_lead_to_dashboards() {
    let uids: Vec<String> =
        all().map(|(_, dashboard)| text(&dashboard["uid"]).to_owned()).collect();
    let mut linked = BTreeSet::new();
    for (name, dashboard) in all() {
        assert_eq!(array(&dashboard["links"]).len(), 1, "{name}: the links between them");
        let json = dashboard.to_string();
        for rest in json.split("\"/d/").skip(1) {
            let uid = rest.split('?').next().unwrap().to_owned();
            assert!(uids.contains(&uid), "{name}: {uid}");
            linked.insert(uid);
        }
    }
    assert_eq!(linked.len(), 2, "{linked:?}");
}

#[test]
fn they_suit_light_and_dark() {
    for (name, dashboard) in all() {
        let json = Value::from(array(&dashboard["panels"]).to_vec()).to_string();
        // A colour by number is one theme's.
        assert!(!json.contains("\"#") && !json.contains("rgb"), "{name}");
    }
}
