//! The key `pprof`: a service's `/debug/pprof`.

use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;

use super::endpoint::{Endpoint, Kind, ScrapeWhen};
use super::fields::Fields;
use super::node::Value;
use super::units::duration;
use crate::model::service::Label;

/// `/debug/pprof`. A read of the goroutine profile stops the world for a moment (until Go 1.18 as long as
/// it takes to gather all stacks) and takes the service some 3 µs of CPU a goroutine (28 ms for 10,000), so
/// it is read less often than expvar; a line of a stack has 80 bytes, and distinct stacks are some hundreds.
pub const PPROF: Kind = Kind {
    path: "/debug/pprof",
    interval: Duration::from_secs(30),
    timeout: Duration::from_secs(10),
    max_body_bytes: 32 * 1024 * 1024,
    // Of one core at most, since a read of many goroutines is CPU of the service: 3 s for a million.
    max_share: 0.01,
    accept: "text/plain",
};

/// Functions that have series: more than one looks at, few enough for thousands of services.
const FUNCTIONS: usize = 20;

/// Most that can be asked for.
const FUNCTIONS_MAX: usize = 1000;

/// Most profiler labels: each multiplies the places.
const LABELS_MAX: usize = 8;

/// Smallest share: a read of a millisecond every ten seconds.
const SHARE_MIN: f64 = 0.0001;

/// How often leaks are looked for, where it is not said: each read is a full GC of the service.
const LEAKS_INTERVAL: Duration = Duration::from_secs(600);

/// Shortest interval of it.
const LEAKS_INTERVAL_MIN: Duration = Duration::from_secs(60);

/// How long a look for leaks may take: a full GC of a large heap and a stack for each goroutine.
const LEAKS_TIMEOUT: Duration = Duration::from_secs(60);

/// The heap profile is read for memstats no more often than this: the service writes a stack for each
/// place that allocates (2 ms for a small program), and stops its world for memstats.
const HEAP_INTERVAL_MIN: Duration = Duration::from_secs(60);

/// A service's `/debug/pprof`.
#[derive(Debug, Clone, PartialEq)]
pub struct Pprof {
    /// Its address, without the name of a profile.
    pub endpoint: Endpoint,
    /// Most functions that have series, of each profile.
    pub functions: usize,
    /// Profiler labels (keys) by which goroutines are told apart too.
    pub labels: Arc<[Box<str>]>,
    /// What they are called as labels of series, in the same order.
    pub label_names: Arc<[Box<str>]>,
    /// How often goroutineleak is read, if it is.
    pub leaks: Option<Duration>,
    /// Take memstats from the heap profile if there is no expvar.
    pub heap: bool,
}

impl Pprof {
    /// With every default.
    #[must_use]
    pub fn at(url: Uri) -> Self {
        Self::of(PPROF.at(url))
    }

    /// With every default but the endpoint's.
    #[must_use]
    pub fn of(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            functions: FUNCTIONS,
            labels: Arc::default(),
            label_names: Arc::default(),
            leaks: None,
            heap: true,
        }
    }

    /// The endpoint of one profile, in the form that we read.
    #[must_use]
    pub fn profile(&self, name: &str) -> Endpoint {
        self.with_path(&format!("/{name}?debug=1"))
    }

    fn with_path(&self, rest: &str) -> Endpoint {
        let mut endpoint = self.endpoint.clone();
        let path = format!("{}{rest}", self.endpoint.url.path().trim_end_matches('/'));
        let mut parts = self.endpoint.url.clone().into_parts();
        parts.path_and_query = path.parse().ok();
        if let Ok(url) = Uri::from_parts(parts) {
            endpoint.url = url;
        }
        endpoint
    }

    /// The endpoint of the page that lists the profiles.
    #[must_use]
    pub fn index(&self) -> Endpoint {
        Endpoint { accept: "text/html", ..self.with_path("/") }
    }

    /// The endpoint of the goroutineleak profile.
    #[must_use]
    pub fn leak_profile(&self) -> Endpoint {
        let timeout = self.endpoint.timeout.max(LEAKS_TIMEOUT);
        Endpoint { timeout, ..self.profile("goroutineleak") }
    }

    /// The endpoint of the heap profile.
    #[must_use]
    pub fn heap_profile(&self) -> Endpoint {
        let every = match self.endpoint.when {
            ScrapeWhen::Every(every) => every.max(HEAP_INTERVAL_MIN),
            ScrapeWhen::OnScrape => HEAP_INTERVAL_MIN,
        };
        Endpoint { when: ScrapeWhen::Every(every), ..self.profile("heap") }
    }

    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let endpoint = PPROF.read(&mut fields);
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.url.query().is_some()) {
            fields.problem(fields.line(), "url", "must not have a query");
        }
        let functions = fields.parsed("functions", functions);
        let max_share = fields.parsed("max_share", share);
        let leaks = word(&mut fields, "goroutineleak", leaks);
        let heap = word(&mut fields, "heap", heap);
        let labels = labels(&mut fields);
        fields.finish();
        let mut endpoint = endpoint?;
        endpoint.max_share = max_share.unwrap_or(endpoint.max_share);
        let (labels, label_names): (Vec<_>, Vec<_>) = labels.into_iter().unzip();
        Some(Self {
            endpoint,
            functions: functions.unwrap_or(FUNCTIONS),
            labels: labels.into(),
            label_names: label_names.into(),
            leaks: leaks.unwrap_or_default(),
            heap: heap.unwrap_or(true),
        })
    }
}

/// A text, or one of those that YAML may take for true and false.
fn word<T, E: ToString>(
    fields: &mut Fields<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let node = fields.get(key)?;
    let Value::Bool(yes) = node.value else { return fields.parsed(key, parse) };
    let text = if yes { "true" } else { "false" };
    parse(text).map_err(|error| fields.problem(node.line, key, error.to_string())).ok()
}

fn functions(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=FUNCTIONS_MAX).contains(n))
        .ok_or_else(|| format!("must be a number from 1 to {FUNCTIONS_MAX}"))
}

/// `1%`
fn share(text: &str) -> Result<f64, &'static str> {
    let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse::<f64>().ok());
    let share = number.map(|percent| percent / 100.0);
    share
        .filter(|share| (SHARE_MIN..=1.0).contains(share))
        .ok_or("must be from 0.01% to 100%, which is no bound")
}

fn leaks(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "off" | "false" => return Ok(None),
        "on" | "true" => return Ok(Some(LEAKS_INTERVAL)),
        _ => {}
    }
    match duration(text) {
        Ok(every) if every >= LEAKS_INTERVAL_MIN => Ok(Some(every)),
        Ok(_) => Err("must be at least 1m: each read is a full GC of the service".into()),
        Err(error) => Err(format!("{error}; or off, or on for 10m")),
    }
}

fn heap(text: &str) -> Result<bool, &'static str> {
    match text {
        "auto" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err("must be auto or off"),
    }
}

/// Keys, and the names that Prometheus takes.
fn labels(fields: &mut Fields<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut labels: Vec<(Box<str>, Box<str>)> = Vec::new();
    for item in fields.list("labels").unwrap_or_default() {
        let Value::Text(key) = &item.value else {
            fields.problem(
                item.line,
                "labels",
                format!("must be texts, has {}", item.value.kind()),
            );
            continue;
        };
        let name: String =
            key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if let Err(what) = Label::new(&name, "") {
            fields.problem(item.line, "labels", format!("{key:?}: {what}"));
        } else if labels.iter().any(|(_, taken)| **taken == *name) {
            fields.problem(item.line, "labels", format!("{key:?}: {name} is there twice"));
        } else if labels.len() == LABELS_MAX {
            fields.problem(item.line, "labels", format!("must be at most {LABELS_MAX}"));
            break;
        } else {
            labels.push((key.as_str().into(), name.into()));
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    fn check(keys: &str) -> Result<Pprof, Vec<String>> {
        let text = format!("services: [{{name: a, labels: {{team: x}}, pprof: {{{keys}}}}}]\n");
        match file::read(&text) {
            Ok(config) => Ok(config.services.into_iter().next().unwrap().pprof.unwrap()),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    #[test]
    fn an_address_alone_has_every_default() {
        let pprof = check("url: 'http://h:1'").unwrap();
        assert_eq!((pprof.functions, pprof.leaks, pprof.heap), (20, None, true));
        assert_eq!(pprof.endpoint.when, ScrapeWhen::Every(Duration::from_secs(30)));
        let url = |endpoint: Endpoint| endpoint.url.to_string();
        assert_eq!(url(pprof.profile("goroutine")), "http://h:1/debug/pprof/goroutine?debug=1");
        let pprof = check("url: 'http://h:1/x/'").unwrap();
        assert_eq!(url(pprof.index()), "http://h:1/x/");
        assert_eq!(url(pprof.leak_profile()), "http://h:1/x/goroutineleak?debug=1");
    }

    #[test]
    fn what_costs_the_service_much_is_asked_for_seldom() {
        let pprof =
            check("url: 'http://h', interval: scrape, timeout: 2s, goroutineleak: on").unwrap();
        assert_eq!(pprof.heap_profile().when, ScrapeWhen::Every(Duration::from_secs(60)));
        assert_eq!(pprof.leaks, Some(Duration::from_secs(600)));
        assert_eq!(pprof.leak_profile().timeout, Duration::from_secs(60));
        for (value, expected) in
            [("off", None), ("2m", Some(120)), ("true", Some(600)), ("false", None)]
        {
            let pprof =
                check(&format!("url: 'http://h', interval: 5m, goroutineleak: {value}")).unwrap();
            assert_eq!(pprof.leaks, expected.map(Duration::from_secs));
            assert_eq!(pprof.heap_profile().when, ScrapeWhen::Every(Duration::from_secs(300)));
        }
    }

    #[test]
    fn reads_take_a_bounded_share_of_the_time() {
        for (keys, share) in [("", 0.01), (", max_share: 100%", 1.0), (", max_share: 0.5%", 0.005)]
        {
            let pprof = check(&format!("url: 'http://h'{keys}")).unwrap();
            for endpoint in [pprof.profile("goroutine"), pprof.heap_profile(), pprof.leak_profile()]
            {
                assert!((endpoint.max_share - share).abs() < 1e-9, "{keys}");
            }
        }
        for wrong in ["0%", "101%", "5", "x%", "-1%", "nan%"] {
            let found = check(&format!("url: 'http://h', max_share: {wrong}")).unwrap_err();
            assert!(found[0].contains("pprof.max_share: must be from 0.01%"), "{found:?}");
        }
    }

    #[test]
    fn labels_become_names_that_prometheus_takes() {
        let pprof = check("url: 'http://h', labels: [tenant, http.path]").unwrap();
        assert_eq!(*pprof.labels, ["tenant".into(), "http.path".into()]);
        assert_eq!(*pprof.label_names, ["tenant".into(), "http_path".into()]);
    }

    #[test]
    fn every_problem_is_told() {
        let keys = "url: 'http://h/?x=1', functions: 0, goroutineleak: 5s, heap: on, labels: [function, a.b, a-b, '']";
        let found = check(keys).unwrap_err().join("\n");
        for part in [
            "pprof.url: must not have a query",
            "pprof.functions: must be a number from 1 to 1000",
            "pprof.goroutineleak: must be at least 1m: each read is a full GC of the service",
            "pprof.heap: must be auto or off",
            "pprof.labels: \"function\": this label is set by the exporter itself",
            "pprof.labels: \"a-b\": a_b is there twice",
            "pprof.labels: \"\": a label name is letters",
        ] {
            assert!(found.contains(part), "{part}\n{found}");
        }
        let found = check("labels: [team]").unwrap_err().join("\n");
        assert!(found.contains("services[0].pprof.url: is missing"), "{found}");
        assert!(
            check("url: 'http://h', labels: [team]").unwrap_err()[0]
                .contains("team is a label of the service")
        );
    }
}
