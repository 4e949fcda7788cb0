//! The dashboards as pictures, drawn from the same queries: `DRAW=DIRECTORY tests/run.sh stack` writes a page for each,
//! after DRAW_SECONDS more of data. A browser makes a picture of it (CONTRIBUTING.md).

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::dashboards::{self, asked};
use crate::support::prometheus::Prometheus;

const PAGE: &str = include_str!("draw.html");

pub(super) fn if_asked(prometheus: &Prometheus) {
    let Some(folder) = std::env::var_os("DRAW").map(PathBuf::from) else { return };
    let seconds: u32 = std::env::var("DRAW_SECONDS").map_or(0, |text| text.parse().unwrap());
    std::thread::sleep(Duration::from_secs(seconds.into()));
    let now = prometheus.query("vector(time())").unwrap().floor();
    for (name, dashboard) in dashboards::all() {
        let panels: Vec<Value> = dashboards::panels(&dashboard)
            .into_iter()
            .map(|panel| {
                let targets = panel["targets"].as_array().unwrap().iter();
                // Its sums are of one service, as it opens in Grafana.
                let service = if name == "service" { "storm" } else { ".*" };
                let step = if panel["interval"].is_null() { 2 } else { 10 };
                let ask = |target| answer(prometheus, target, service, (now, seconds, step));
                let data: Vec<Value> = targets.map(ask).collect();
                json!({"id": panel["id"], "data": data})
            })
            .collect();
        let page = PAGE
            .replace("DASHBOARD_JSON", &dashboard.to_string())
            .replace("DATA_JSON", &Value::from(panels).to_string());
        std::fs::write(folder.join(format!("{name}.html")), page).unwrap();
    }
}

fn answer(
    prometheus: &Prometheus,
    target: &Value,
    service: &str,
    (now, seconds, step): (f64, u32, u64),
) -> Value {
    let range = format!("{}s", seconds.max(120));
    let expression = asked(target["expr"].as_str().unwrap(), "10s", &range);
    let expression = expression.replace("service=~\".*\"", &format!("service=~\"{service}\""));
    if target["instant"] == true {
        return prometheus.results(&expression, Some(now)).into();
    }
    let start = now - f64::from(seconds.max(120));
    prometheus.range(&expression, start, now, step).into()
}
