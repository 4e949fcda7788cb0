//! dashboards/source/*.yaml, and the Grafana JSON that is made of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

/// Grafana 9.4 has 37; every later one brings an older dashboard up to its own.
const SCHEMA: u32 = 39;
/// What the panels' options are those of; every later Grafana migrates them from there.
const GRAFANA: &str = "9.4.0";
const WIDTH: u64 = 24;

/// Labels that are columns of tables, in their order.
const COLUMNS: [&str; 15] = [
    "namespace",
    "service",
    "pod",
    "instance",
    "source",
    "capability",
    "what",
    "function",
    "file",
    "line",
    "package",
    "min",
    "max",
    "version",
    "revision",
];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dashboard {
    pub(crate) uid: String,
    title: String,
    about: String,
    /// Label names; each has a variable of its name.
    variables: Vec<String>,
    #[serde(default = "an_hour")]
    from: String,
    rows: Vec<Row>,
}

fn an_hour() -> String {
    "now-1h".to_owned()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    row: String,
    /// The source without which its panels are empty.
    needs: Option<String>,
    #[serde(default)]
    collapsed: bool,
    panels: Vec<Panel>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Lines,
    Areas,
    Bars,
    Stat,
    Table,
    Heatmap,
    States,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    panel: String,
    is: Kind,
    /// WIDTHxHEIGHT, of 24 columns.
    size: String,
    unit: String,
    help: String,
    needs: Option<String>,
    /// What an empty panel says, where it is not for want of a source.
    none: Option<String>,
    min: Option<f64>,
    max: Option<f64>,
    decimals: Option<u64>,
    warn: Option<f64>,
    bad: Option<f64>,
    /// Below this is bad.
    below: Option<f64>,
    #[serde(default)]
    values: BTreeMap<String, String>,
    /// The column by which a table is sorted; the highest first, unless `ascending`.
    sort: Option<String>,
    #[serde(default)]
    ascending: bool,
    show: Vec<Query>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    expr: String,
    #[serde(default)]
    legend: String,
    /// Of a table: the heading of its value.
    column: Option<String>,
    /// A value at the end of the chosen time, not a curve.
    #[serde(default)]
    now: bool,
    /// A limit or a goal: dashed, and never stacked.
    #[serde(default)]
    dashed: bool,
    /// Native histograms, beside the classic ones of the first query.
    #[serde(default)]
    native: bool,
    unit: Option<String>,
    warn: Option<f64>,
    bad: Option<f64>,
    decimals: Option<u64>,
    below: Option<f64>,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// dashboards/ and the names in it.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

pub(crate) const NAMES: [&str; 4] = ["fleet", "service", "leaks", "exporter"];

pub(crate) fn read(name: &str) -> Dashboard {
    let file = folder().join("source").join(format!("{name}.yaml"));
    let text = std::fs::read_to_string(&file).unwrap();
    serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

impl Dashboard {
    pub(crate) fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": ["go", "godebug-exporter"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "time": {"from": self.from, "to": "now"},
            "timepicker": {},
            "timezone": "",
            "refresh": "30s",
            "fiscalYearStartMonth": 0,
            "liveNow": false,
            "weekStart": "",
            "links": [{
                "type": "dashboards",
                "title": "godebug-exporter",
                "tags": ["godebug-exporter"],
                "asDropdown": false,
                "includeVars": true,
                "keepTime": true,
                "targetBlank": false,
                "icon": "external link",
                "tooltip": "",
                "url": "",
            }],
            "templating": {"list": self.templating()},
            "annotations": {"list": self.annotations()},
            "panels": self.panels(),
        })
    }

    fn templating(&self) -> Vec<Value> {
        let mut list = vec![json!({
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "regex": "",
            "refresh": 1,
            "hide": 0,
            "includeAll": false,
            "multi": false,
            "options": [],
            "current": {},
            "skipUrlSync": false,
        })];
        for (at, name) in self.variables.iter().enumerate() {
            let before = &self.variables[..at];
            let metric =
                if name == "instance" || self.uid == "godebug-exporter" && name != "service" {
                    "godebug_exporter_build_info"
                } else if self.uid == "godebug-exporter" {
                    "godebug_exporter_capability"
                } else {
                    "go_process_starts_total"
                };
            // The sums of a service's dashboard are of one service, until somebody chooses more.
            let one = self.uid == "godebug-service" && name == "service";
            let all = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
            let query = format!("label_values({metric}{}, {name})", braced(&matchers(before)));
            list.push(json!({
                "name": name,
                "label": name,
                "type": "query",
                "datasource": datasource(),
                "definition": query,
                "query": {"query": query, "refId": "StandardVariableQuery"},
                "regex": "",
                "refresh": 2,
                "sort": 5,
                "hide": 0,
                "includeAll": !one,
                "multi": true,
                // Also what has no such label.
                "allValue": ".*",
                "options": [],
                "current": if one { json!({}) } else { all },
                "skipUrlSync": false,
            }));
        }
        list
    }

    fn annotations(&self) -> Vec<Value> {
        let of_panels = json!({
            "builtIn": 1,
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": true,
            "hide": true,
            "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts",
            "type": "dashboard",
        });
        let crashes = "go_crashes_by_function_total{what!=\"race\",$of}";
        let crashes = format!(
            "increase({crashes}[$R]) > 0 or {crashes} unless {crashes} offset $__rate_interval"
        );
        let ours = [
            (
                "Restarts",
                "blue",
                "{{service}} {{pod}} restarted",
                "increase(go_process_starts_total{$of}[$R]) > 0",
            ),
            ("Crashes", "red", "{{service}} {{pod}}: {{what}} in {{function}}", crashes.as_str()),
            (
                "Leaks",
                "orange",
                "{{service}} {{pod}}: goroutine leak suspected {{function}}",
                "go_goroutines_leak_blamed{$of} and ignoring (function, file, line) go_goroutines_leak_suspected{$of} == 1\n\
                 or go_goroutines_leak_suspected{$of} == 1 unless ignoring (function, file, line) go_goroutines_leak_blamed{$of}",
            ),
        ];
        let ours = ours.map(|(name, color, title, expr)| {
            json!({
                "name": name,
                "datasource": datasource(),
                "enable": true,
                "hide": false,
                "iconColor": color,
                "expr": self.expression(expr),
                "step": "",
                "titleFormat": title,
                "textFormat": "{{instance}}",
                "tagKeys": "",
                "useValueForTime": false,
            })
        });
        [of_panels].into_iter().chain(ours).collect()
    }

    fn panels(&self) -> Vec<Value> {
        let mut placed = Vec::new();
        let (mut ids, mut y) = (1.., 0);
        for row in &self.rows {
            let id: u64 = ids.next().unwrap();
            let title = match &row.needs {
                Some(needs) => format!("{} (needs {needs})", row.row),
                None => row.row.clone(),
            };
            let mut header = json!({
                "id": id,
                "type": "row",
                "title": title,
                "collapsed": row.collapsed,
                "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1},
                "panels": [],
            });
            let mut at = Place { x: 0, y: y + 1, line: 0 };
            let panels = row.panels.iter().map(|panel| {
                let mut json = self.panel(panel, row.needs.as_deref());
                json["id"] = ids.next().unwrap().into();
                json["gridPos"] = at.next(panel);
                json
            });
            let panels: Vec<Value> = panels.collect();
            assert_eq!(at.x, 0, "{}: the last line of row {:?} has a hole", self.uid, row.row);
            if row.collapsed {
                header["panels"] = panels.into();
                placed.push(header);
                y += 1;
            } else {
                placed.push(header);
                placed.extend(panels);
                y = at.y;
            }
        }
        placed
    }

    fn panel(&self, panel: &Panel, row_needs: Option<&str>) -> Value {
        let kind = panel.is;
        let needs = panel.needs.as_deref().or(row_needs);
        let none =
            panel.none.clone().or_else(|| needs.map(|needs| format!("no data: needs {needs}")));
        let mut defaults = json!({
            "unit": panel.unit,
            "thresholds": thresholds(panel.warn, panel.bad, panel.below),
            "mappings": mappings(&panel.values),
            "color": {"mode": if kind.is_graph() { "palette-classic" } else { "thresholds" }},
            "custom": kind.custom(panel.bad.is_some()),
        });
        let optional = [
            ("min", panel.min.map(Value::from)),
            ("max", panel.max.map(Value::from)),
            ("decimals", panel.decimals.map(Value::from)),
            ("noValue", none.map(Value::from)),
        ];
        for (key, value) in optional {
            if let Some(value) = value {
                defaults[key] = value;
            }
        }
        if kind == Kind::States {
            defaults["mappings"] = mappings(&BTreeMap::from([
                ("0".to_owned(), "no leak".to_owned()),
                ("1".to_owned(), "suspected".to_owned()),
            ]));
            defaults["thresholds"] = thresholds(None, Some(1.0), None);
        }
        let mut json = json!({
            "type": kind.plugin(),
            "pluginVersion": GRAFANA,
            "title": panel.panel,
            "description": panel.help,
            "datasource": datasource(),
            "fieldConfig": {"defaults": defaults, "overrides": overrides(panel)},
            "options": kind.options(panel),
            "targets": self.targets(panel),
        });
        if kind == Kind::Table {
            json["transformations"] = transformations(panel);
        }
        if kind == Kind::Bars {
            // An event is a bar: not one in each of the windows that have it.
            json["interval"] = "1m".into();
        }
        json
    }

    fn targets(&self, panel: &Panel) -> Vec<Value> {
        let queries = panel.show.iter().zip('A'..);
        let target = |(query, id): (&Query, char)| {
            let now = query.now || panel.is == Kind::Table;
            let format = match panel.is {
                Kind::Table => "table",
                // Before Grafana 10.3 the form heatmap spoils native histograms.
                Kind::Heatmap if !query.native => "heatmap",
                _ => "time_series",
            };
            let legend = if format == "heatmap" { "{{le}}" } else { &query.legend };
            let legend = legend
                .replace("$each", "{{service}} {{pod}} {{log}} {{instance}}")
                .replace("$name", "{{namespace}} {{service}}");
            json!({
                "refId": id.to_string(),
                "datasource": datasource(),
                "editorMode": "code",
                "expr": self.expression(&query.expr),
                "format": format,
                "instant": now,
                "range": !now,
                "legendFormat": if legend.is_empty() { "__auto" } else { legend.as_str() },
            })
        };
        queries.map(target).collect()
    }

    fn expression(&self, text: &str) -> String {
        let own: Vec<String> =
            self.variables.iter().filter(|name| *name != "service").cloned().collect();
        text.replace("$of", &matchers(&self.variables))
            .replace("$own", &matchers(&own))
            .replace("$R", "$__rate_interval")
    }
}

/// Where the next panel goes.
struct Place {
    x: u64,
    y: u64,
    /// The height of the panels in this line.
    line: u64,
}

impl Place {
    fn next(&mut self, panel: &Panel) -> Value {
        let (w, h) = panel.size.split_once('x').unwrap();
        let (w, h): (u64, u64) = (w.parse().unwrap(), h.parse().unwrap());
        assert!(self.x == 0 || self.line == h, "{}: not as high as its line", panel.panel);
        assert!(self.x + w <= WIDTH, "{}: does not fit into its line", panel.panel);
        let place = json!({"x": self.x, "y": self.y, "w": w, "h": h});
        self.line = h;
        self.x += w;
        if self.x == WIDTH {
            self.x = 0;
            self.y += h;
        }
        place
    }
}

impl Kind {
    fn is_graph(self) -> bool {
        matches!(self, Self::Lines | Self::Areas | Self::Bars)
    }

    fn plugin(self) -> &'static str {
        match self {
            Self::Lines | Self::Areas | Self::Bars => "timeseries",
            Self::Stat => "stat",
            Self::Table => "table",
            Self::Heatmap => "heatmap",
            Self::States => "state-timeline",
        }
    }

    fn custom(self, has_limit: bool) -> Value {
        match self {
            Self::Lines | Self::Areas | Self::Bars => json!({
                "drawStyle": if self == Self::Bars { "bars" } else { "line" },
                "lineWidth": 1,
                "fillOpacity": match self { Self::Lines => 0, Self::Areas => 30, _ => 80 },
                "stacking": {"group": "A", "mode": if self == Self::Lines { "none" } else { "normal" }},
                "showPoints": "never",
                "spanNulls": false,
                "axisPlacement": "auto",
                "thresholdsStyle": {"mode": if has_limit { "dashed" } else { "off" }},
            }),
            Self::Table => json!({"align": "auto", "filterable": true}),
            Self::States => json!({"lineWidth": 0, "fillOpacity": 70}),
            Self::Heatmap => json!({"scaleDistribution": {"type": "linear"}}),
            Self::Stat => json!({}),
        }
    }

    fn options(self, panel: &Panel) -> Value {
        match self {
            Self::Lines | Self::Areas | Self::Bars => json!({
                "legend": {"showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": []},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
            Self::Stat => json!({
                "colorMode": "value",
                "graphMode": if panel.show.iter().any(|query| query.now) { "none" } else { "area" },
                "justifyMode": "auto",
                "orientation": "auto",
                "textMode": if panel.show.len() > 1 { "value_and_name" } else { "value" },
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            }),
            Self::Table => {
                let sort = panel
                    .sort
                    .iter()
                    .map(|column| json!({"displayName": column, "desc": !panel.ascending}));
                json!({
                    "showHeader": true,
                    "cellHeight": "sm",
                    "frameIndex": 0,
                    "sortBy": sort.collect::<Vec<_>>(),
                })
            }
            Self::Heatmap => json!({
                "calculate": false,
                "cellGap": 1,
                "cellValues": {"unit": "short"},
                "color": {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "fill": "orange", "reverse": false, "scale": "exponential", "steps": 64},
                "filterValues": {"le": 1e-9},
                "legend": {"show": true},
                "rowsFrame": {"layout": "auto"},
                "showValue": "never",
                "tooltip": {"show": true, "mode": "single", "yHistogram": false},
                "yAxis": {"axisPlacement": "left", "reverse": false, "unit": panel.unit},
            }),
            Self::States => json!({
                "alignValue": "left",
                "legend": {"showLegend": false, "displayMode": "list", "placement": "bottom", "calcs": []},
                "mergeValues": true,
                "rowHeight": 0.8,
                "showValue": "auto",
                "tooltip": {"mode": "single", "sort": "none"},
            }),
        }
    }
}

fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn matchers(names: &[String]) -> String {
    let matcher = |name: &String| format!("{name}=~\"${name}\"");
    names.iter().map(matcher).collect::<Vec<_>>().join(",")
}

fn braced(matchers: &str) -> String {
    if matchers.is_empty() { String::new() } else { format!("{{{matchers}}}") }
}

/// Named colours: each theme has its own of them.
fn thresholds(warn: Option<f64>, bad: Option<f64>, below: Option<f64>) -> Value {
    let base = match (warn, bad, below) {
        (None, None, None) => "text",
        (_, _, Some(_)) => "red",
        _ => "green",
    };
    let mut steps = vec![json!({"color": base, "value": null})];
    steps.extend(below.map(|value| json!({"color": "green", "value": value})));
    steps.extend(warn.map(|value| json!({"color": "orange", "value": value})));
    steps.extend(bad.map(|value| json!({"color": "red", "value": value})));
    json!({"mode": "absolute", "steps": steps})
}

fn mappings(values: &BTreeMap<String, String>) -> Value {
    if values.is_empty() {
        return json!([]);
    }
    let options = values.iter().zip(0..).map(|((value, text), index): (_, u64)| {
        (value.clone(), json!({"index": index, "text": text}))
    });
    json!([{"type": "value", "options": options.collect::<serde_json::Map<_, _>>()}])
}

fn overrides(panel: &Panel) -> Vec<Value> {
    let mut found = Vec::new();
    for (query, id) in panel.show.iter().zip('A'..) {
        if query.dashed {
            found.push(json!({
                "matcher": {"id": "byFrameRefID", "options": id.to_string()},
                "properties": [
                    {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [10, 10]}},
                    {"id": "custom.fillOpacity", "value": 0},
                    {"id": "custom.stacking", "value": {"group": "A", "mode": "none"}},
                ],
            }));
        }
        if let Some(column) = &query.column {
            found.push(column_override(panel, query, column));
        }
    }
    if panel.is == Kind::Table {
        found.push(json!({
            "matcher": {"id": "byName", "options": "Service"},
            "properties": [{"id": "links", "value": [
                {"title": "What its runtime does", "url": "/d/godebug-service?${datasource:queryparam}&var-service=${__value.raw}&${__url_time_range}"},
                {"title": "Its goroutines", "url": "/d/godebug-leaks?${datasource:queryparam}&var-service=${__value.raw}&${__url_time_range}"},
            ]}],
        }));
    }
    found
}

fn column_override(panel: &Panel, query: &Query, column: &str) -> Value {
    let warn = query.warn.or(panel.warn);
    let bad = query.bad.or(panel.bad);
    let unit = query.unit.as_ref().unwrap_or(&panel.unit);
    let mut properties = vec![json!({"id": "unit", "value": unit})];
    if warn.or(bad).or(query.below).is_some() {
        properties.push(json!({"id": "thresholds", "value": thresholds(warn, bad, query.below)}));
        // The first is the name of Grafana 9.4, the second that of its successors; each ignores the other.
        properties.push(json!({"id": "custom.displayMode", "value": "color-text"}));
        properties.push(json!({"id": "custom.cellOptions", "value": {"type": "color-text"}}));
    }
    if !query.values.is_empty() {
        properties.push(json!({"id": "mappings", "value": mappings(&query.values)}));
    }
    if let Some(decimals) = query.decimals {
        properties.push(json!({"id": "decimals", "value": decimals}));
    }
    json!({"matcher": {"id": "byName", "options": column}, "properties": properties})
}

/// One table of all queries: labels first, then values, with headings.
fn transformations(panel: &Panel) -> Value {
    let (mut renamed, mut order) = (serde_json::Map::new(), serde_json::Map::new());
    for label in COLUMNS {
        let mut heading = label.to_owned();
        heading[..1].make_ascii_uppercase();
        renamed.insert(label.to_owned(), heading.into());
        order.insert(label.to_owned(), order.len().into());
    }
    for (query, id) in panel.show.iter().zip('A'..) {
        let column = query.column.clone().expect("a column of a table has a heading");
        let value = if panel.show.len() == 1 { "Value".to_owned() } else { format!("Value #{id}") };
        order.insert(value.clone(), order.len().into());
        renamed.insert(value, column.into());
    }
    let hidden = ["Time", "__name__", "job", "log"].map(|name| (name.to_owned(), true.into()));
    let hidden: serde_json::Map<String, Value> = hidden.into_iter().collect();
    json!([
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": order, "renameByName": renamed}},
    ])
}
