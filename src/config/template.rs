//! A service with `${label}` in it, and what becomes of it for a target.

use std::sync::Arc;

use super::fields::{Fields, Problems};
use super::node::{Node, Value};
use super::{Service, file, kubernetes};
use crate::model::leak::Params;
use crate::model::service::Label;
use crate::model::target::Target;

/// Longest value of a label that is put in: names of services are shorter.
const VALUE_MAX_BYTES: usize = 500;

/// Keys below which a value is a part of a path or a word of a command, and must not leave it.
const CONFINED: [&str; 2] = ["trace", "http"];

/// What stands for every label when a template is checked without a target: good as a port, a
/// name, a part of a path.
const SAMPLE: &str = "1";

/// What services that are found are made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    node: Node,
    /// The targets are containers: what is known of one is added.
    of_containers: bool,
    leaks: Arc<Params>,
}

/// Where a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Free,
    Confined,
}

impl Template {
    /// Reads the key `service` of a discovery.
    pub(super) fn read(
        node: &Node,
        path: &str,
        leaks: &Arc<Params>,
        problems: &Problems,
    ) -> Option<Self> {
        let value = |name: &str| match name {
            "__address__" => Some("127.0.0.1:6060"),
            "__scheme__" => Some("http"),
            _ => Some(SAMPLE),
        };
        let filled = match fill(node, &value, Place::Free) {
            Ok(filled) => filled,
            Err(what) => {
                problems.add(node.line, path, what);
                return None;
            }
        };
        if reads_stdin(&filled) {
            problems.add(node.line, path, "stdin is one; a service that is found cannot read it");
            return None;
        }
        file::service(Fields::of(&filled, path, problems)?, leaks)?;
        Some(Self { node: node.clone(), of_containers: false, leaks: Arc::clone(leaks) })
    }

    /// The same for containers; what it leaves out is known of each.
    pub(super) fn of_containers(
        node: &Node,
        path: &str,
        leaks: &Arc<Params>,
        problems: &Problems,
    ) -> Option<Self> {
        let sources = ["file", "fifo", "stdin", "command", "kubernetes"];
        let trace = below(node, "trace");
        if sources.iter().any(|key| trace.as_ref().is_some_and(|it| below(it, key).is_some())) {
            problems.add(
                node.line,
                path,
                "a container's trace is in its log; leave out its source",
            );
            return None;
        }
        let samples = kubernetes::SAMPLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let target = Target { labels: samples.into() };
        let value = |name: &str| target.labels.get(name).map_or(Some(SAMPLE), |it| Some(it));
        let mut filled = match fill(node, &value, Place::Free) {
            Ok(filled) => filled,
            Err(what) => {
                problems.add(node.line, path, what);
                return None;
            }
        };
        kubernetes::complete(&mut filled, &target);
        file::service(Fields::of(&filled, path, problems)?, leaks)?;
        Some(Self { node: node.clone(), of_containers: true, leaks: Arc::clone(leaks) })
    }

    /// The service that a target is.
    ///
    /// # Errors
    /// What of the target does not fit, in one line.
    pub fn service(&self, target: &Target) -> Result<Service, String> {
        let value = |name: &str| target.labels.get(name).map(String::as_str);
        let mut filled = fill(&self.node, &value, Place::Free)?;
        add_labels(&mut filled, target);
        if self.of_containers {
            kubernetes::complete(&mut filled, target);
        }
        let problems = Problems::default();
        let service = Fields::of(&filled, "", &problems).and_then(|fields| {
            let service = file::service(fields, &self.leaks)?;
            problems.is_empty().then_some(service)
        });
        let settled = service.map(|mut service| {
            if self.of_containers {
                kubernetes::settle(&mut service, target);
            }
            service
        });
        settled.ok_or_else(|| {
            let told = problems.into_sorted();
            let told: Vec<_> =
                told.iter().map(|problem| format!("{}: {}", problem.path, problem.what)).collect();
            told.join("; ")
        })
    }
}

/// A target's own labels are the service's too, unless they are nobody's or the template has them.
fn add_labels(service: &mut Node, target: &Target) {
    let line = service.line;
    let Value::Map(keys) = &mut service.value else { return };
    let text = |text: &str| Node { line, value: Value::Text(text.to_owned()) };
    let is_labels = |key: &Node| key.value == Value::Text("labels".to_owned());
    if !keys.iter().any(|(key, value)| is_labels(key) && value.value != Value::Null) {
        keys.retain(|(key, _)| !is_labels(key));
        keys.push((text("labels"), Node { line, value: Value::Map(Vec::new()) }));
    }
    let labels = keys.iter_mut().find(|(key, _)| is_labels(key));
    let Some((_, Node { value: Value::Map(labels), .. })) = labels else { return };
    for (name, value) in &target.labels {
        let is_there = labels.iter().any(|(key, _)| key.value == Value::Text(name.clone()));
        if !is_there && Label::new(name, value).is_ok() {
            labels.push((text(name), text(value)));
        }
    }
}

fn below(node: &Node, name: &str) -> Option<Node> {
    let Value::Map(entries) = &node.value else { return None };
    let found = entries.iter().find(|(key, _)| key.value == Value::Text(name.to_owned()));
    found.map(|(_, value)| value.clone())
}

fn reads_stdin(service: &Node) -> bool {
    below(service, "trace")
        .and_then(|trace| below(&trace, "stdin"))
        .is_some_and(|stdin| stdin.value == Value::Bool(true))
}

/// The tree with every `${label}` replaced.
fn fill<'v>(
    node: &Node,
    value: &impl Fn(&str) -> Option<&'v str>,
    place: Place,
) -> Result<Node, String> {
    let filled = match &node.value {
        Value::Text(text) => Value::Text(fill_text(text, value, place)?),
        Value::List(items) => {
            let items: Result<_, _> = items.iter().map(|item| fill(item, value, place)).collect();
            Value::List(items?)
        }
        Value::Map(entries) => {
            let entry = |(key, below): &(Node, Node)| {
                let confined =
                    matches!(&key.value, Value::Text(name) if CONFINED.contains(&name.as_str()));
                let place = if confined { Place::Confined } else { place };
                Ok::<_, String>((key.clone(), fill(below, value, place)?))
            };
            Value::Map(entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    };
    Ok(Node { line: node.line, value: filled })
}

fn fill_text<'v>(
    text: &str,
    value: &impl Fn(&str) -> Option<&'v str>,
    place: Place,
) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) =
            after.split_once('}').ok_or_else(|| format!("{text:?} has a ${{ without a }}"))?;
        let value = value(name).ok_or_else(|| format!("it has no label {name}"))?;
        check(name, value, place)?;
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn check(name: &str, value: &str, place: Place) -> Result<(), String> {
    if value.is_empty() || value.len() > VALUE_MAX_BYTES || value.chars().any(char::is_control) {
        return Err(format!(
            "its label {name} is empty, longer than {VALUE_MAX_BYTES} bytes or not one line of text"
        ));
    }
    let leaves = value.starts_with(['-', '.']) || value.contains(['/', '*', '?', '[']);
    if place == Place::Confined && leaves {
        return Err(format!("its label {name} is {value:?}, which is no part of a file's name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::node;

    fn template(text: &str) -> Result<Template, Vec<String>> {
        let (problems, node) = (Problems::default(), node::read(text).unwrap());
        let template = Template::read(&node, "discovery[0].service", &Arc::default(), &problems);
        let told = problems.into_sorted();
        match template {
            Some(template) if told.is_empty() => Ok(template),
            _ => Err(told.iter().map(ToString::to_string).collect()),
        }
    }

    fn target(labels: &[(&str, &str)]) -> Target {
        let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        Target::at("10.0.0.7:6060", labels.collect())
    }

    #[test]
    fn a_target_becomes_a_service() {
        let template = template(
            "name: ${app}-${__address__}\nlabels: {zone: \"z-${zone}\"}\nexpvar: {url: \"${__scheme__}://${__address__}\"}\ntrace: {file: \"/var/log/${app}/err.log\"}",
        )
        .unwrap();
        let found = template
            .service(&target(&[("app", "a"), ("zone", "1"), ("team", "t"), ("job", "j")]))
            .unwrap();
        assert_eq!(found.identity.service.as_str(), "a-10.0.0.7:6060");
        let labels: Vec<_> =
            found.identity.labels.iter().map(|label| (label.name(), label.value())).collect();
        // `job` belongs to whoever scrapes us.
        assert_eq!(labels, [("zone", "z-1"), ("app", "a"), ("team", "t")]);
        assert_eq!(found.expvar.unwrap().endpoint.url, "http://10.0.0.7:6060/debug/vars");
        assert_eq!(found.trace.unwrap().source.to_string(), "/var/log/a/err.log");
    }

    #[test]
    fn a_target_that_does_not_fit_is_told_why() {
        let template = template("name: ${app}\ntrace: {file: \"/var/log/${app}.log\"}").unwrap();
        let why = |labels: &[(&str, &str)]| template.service(&target(labels)).unwrap_err();
        assert_eq!(why(&[]), "it has no label app");
        for leaves in ["../../etc/shadow", "..", "-rf", "*", "a/b"] {
            assert!(why(&[("app", leaves)]).contains("no part of a file's name"), "{leaves}");
        }
        assert!(why(&[("app", "a\nb")]).contains("one line"));
        assert!(why(&[("app", "")]).contains("empty"));
    }

    #[test]
    fn mistakes_of_a_template_are_told_with_the_config() {
        let check = |text: &str, expected: &str| {
            let told = template(text).unwrap_err();
            assert!(told.iter().any(|told| told.contains(expected)), "{told:?}");
        };
        check("name: a", "has no source");
        check("name: a\nexpvar: {url: \"${__address__}\"}", "must begin with http://");
        check("name: ${app\nexpvar: {url: \"http://a\"}", "without a }");
        check("name: a\ntrace: {stdin: true}", "stdin is one");
        check("name: a\nexpvar: {url: \"http://a\", intervall: 1s}", "did you mean interval?");
    }
}
