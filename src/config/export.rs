//! The keys of one rule.

use std::sync::Arc;

use super::fields::Fields;
use super::node::Value;
use super::rules::whole;
use crate::model::service::Label;
use crate::model::variable::pattern::{Pattern, is_name};
use crate::model::variable::rule::{Export, Rule, SERIES_MAX, Target};
use crate::model::variable::template::Template;
use crate::model::variable::unit::{Conversion, Unit};

/// What other metrics of the page begin with.
const TAKEN_NAMES: [&str; 3] = ["go_", "godebug_exporter_", "process_"];

/// Labels that the exporter or Prometheus sets itself.
pub(super) const TAKEN_LABELS: [&str; 9] =
    ["service", "log", "le", "quantile", "job", "instance", "namespace", "pod", "container"];

const TYPES: &str = "must be counter, gauge, untyped, histogram or info";

/// Most series that one rule may have.
const SERIES_LIMIT: usize = 50_000;

/// Reads a rule. `own`: labels that every series of the service has.
pub(super) fn rule(mut fields: Fields<'_>, own: &[Label]) -> Option<Rule> {
    let pattern = fields.parsed("path", Pattern::new);
    if fields.get("path").is_none() {
        fields.problem(
            fields.line(),
            "path",
            "is missing; write it like \"http.responses.{code}\"",
        );
    }
    let drop_line = fields.get("drop").map(|node| node.line);
    let drop = fields.flag("drop");
    let export = export(&mut fields, pattern.as_ref(), own);
    let others = ["name", "type", "labels", "help", "unit", "scale", "buckets", "cumulative"];
    let first = others.into_iter().find(|key| fields.get(key).is_some());
    if let (true, Some(line), Some(first)) = (drop, drop_line, first) {
        fields.problem(line, "drop", format!("stands alone: what is dropped has no {first}"));
    }
    fields.finish();
    let (pattern, export) = (pattern?, export?);
    Some(if drop {
        Rule { pattern: pattern.and_below(), export: None }
    } else {
        Rule { pattern, export: Some(Box::new(export)) }
    })
}

fn export(fields: &mut Fields<'_>, pattern: Option<&Pattern>, own: &[Label]) -> Option<Export> {
    let name = name(fields, pattern);
    let to = target(fields);
    let mut labels = labels(fields, pattern, own, to == Some(Target::Info));
    if to == Some(Target::Info) && !labels.iter().any(|(_, value)| value.uses_value()) {
        labels.push((Template::fixed("value"), Template::value()));
    }
    for (place, capture) in pattern.map_or(&[][..], Pattern::captures).iter().enumerate() {
        let used = name.as_ref().is_some_and(|name| name.uses(place))
            || labels.iter().any(|(label, value)| label.uses(place) || value.uses(place));
        if used {
            continue;
        }
        if let Err(what) = check_label(capture, own) {
            let line = line_of(fields, "path");
            fields.problem(line, "path", format!("has {{{capture}}}: {what}"));
        }
        labels.push((Template::fixed(capture), Template::capture(place)));
    }
    let help = fields.parsed("help", |help| match help {
        "" => Err("must not be empty"),
        help => Ok(Arc::from(help)),
    });
    let conversion = conversion(fields, to.as_ref());
    let max_series = fields.parsed("max_series", |text| whole(text, SERIES_LIMIT));
    let path = pattern.map(ToString::to_string).unwrap_or_default();
    Some(Export {
        name,
        to: to?,
        labels,
        help: help.unwrap_or_else(|| format!("Variable {path} of /debug/vars.").into()),
        conversion,
        max_series: max_series.unwrap_or(SERIES_MAX),
    })
}

fn line_of(fields: &mut Fields<'_>, key: &'static str) -> u64 {
    fields.get(key).map_or(fields.line(), |node| node.line)
}

fn name(fields: &mut Fields<'_>, pattern: Option<&Pattern>) -> Option<Template> {
    // Of a wrong path nobody knows the names.
    let template = fields.parsed("name", |text| {
        pattern.map(|pattern| Template::new(text, pattern.captures())).transpose()
    })??;
    let what = match template.as_fixed() {
        _ if template.uses_value() => "has {value}, which can only be a label's",
        Some(fixed) if !is_name(fixed) => "must be letters, digits and `_`",
        Some(fixed) if TAKEN_NAMES.iter().any(|taken| fixed.starts_with(taken)) => {
            "must not begin with go_, process_ or godebug_exporter_: other metrics of the page have these names"
        }
        _ => return Some(template),
    };
    let line = line_of(fields, "name");
    fields.problem(line, "name", what);
    None
}

fn target(fields: &mut Fields<'_>) -> Option<Target> {
    let kind = fields.parsed("type", |text| match text {
        "counter" | "gauge" | "untyped" | "histogram" | "info" => Ok(text.to_owned()),
        "rate" => {
            Err(format!("{TYPES}; a rate is a counter here, and PromQL's rate() makes the rate"))
        }
        _ => Err(TYPES.into()),
    });
    let bounds = bounds(fields);
    let cumulative_line = fields.get("cumulative").map(|node| node.line);
    let cumulative = fields.flag("cumulative");
    if kind.as_deref() != Some("histogram") {
        for (key, line) in
            [("buckets", bounds.as_ref().map(|(line, _)| *line)), ("cumulative", cumulative_line)]
        {
            if let Some(line) = line {
                fields.problem(line, key, "belongs to type: histogram only");
            }
        }
    }
    if kind.is_none() && fields.get("type").is_some() {
        return None;
    }
    Some(match kind.as_deref() {
        Some("counter") => Target::Counter,
        Some("gauge") => Target::Gauge,
        Some("untyped") => Target::Untyped,
        Some("info") => Target::Info,
        Some("histogram") => {
            Target::Histogram { bounds: bounds.map(|(_, bounds)| bounds), cumulative }
        }
        _ => Target::Inferred,
    })
}

fn bounds(fields: &mut Fields<'_>) -> Option<(u64, Arc<[f64]>)> {
    let line = line_of(fields, "buckets");
    let items = fields.list("buckets")?;
    let numbers = items.iter().map(|item| match item.value {
        #[expect(clippy::cast_precision_loss, reason = "a bound that people write")]
        Value::Integer(n) => Some(n as f64),
        Value::Decimal(x) => Some(x).filter(|x| x.is_finite()),
        _ => None,
    });
    let bounds: Option<Arc<[f64]>> = numbers.collect();
    let rises =
        |bounds: &Arc<[f64]>| bounds.iter().is_sorted_by(|a, b| a < b) && !bounds.is_empty();
    match bounds.filter(rises) {
        Some(bounds) => Some((line, bounds)),
        None => {
            let what = "must be a list of numbers that rise: [0.01, 0.1, 1]";
            fields.problem(line, "buckets", what);
            None
        }
    }
}

fn labels(
    fields: &mut Fields<'_>,
    pattern: Option<&Pattern>,
    own: &[Label],
    is_info: bool,
) -> Vec<(Template, Template)> {
    let (Some(labels), Some(pattern)) = (fields.map("labels"), pattern) else { return Vec::new() };
    let mut read: Vec<(Template, Template)> = Vec::new();
    for (name, value) in labels.entries() {
        let Value::Text(name_text) = &name.value else {
            let what = format!("a label's name must be text, is {}", name.value.kind());
            labels.problem(name.line, "?", what);
            continue;
        };
        let Value::Text(value_text) = &value.value else {
            let what = format!("must be text, is {}; put it in quotes", value.value.kind());
            labels.problem(value.line, name_text, what);
            continue;
        };
        let captures = pattern.captures();
        let template = Template::new(value_text, captures).and_then(|template| {
            if template.uses_value() && !is_info {
                return Err("has {value}, which belongs to type: info only".into());
            }
            Ok((Template::new(name_text, captures)?, template))
        });
        let checked = template.and_then(|(label, value)| {
            label.as_fixed().map_or(Ok(()), |label| check_label(label, own))?;
            Ok((label, value))
        });
        match checked {
            Ok(label) => read.push(label),
            Err(what) => labels.problem(name.line, name_text, what),
        }
    }
    read
}

fn check_label(label: &str, own: &[Label]) -> Result<(), String> {
    if !is_name(label) {
        return Err(
            "a label name is letters, digits and `_`, and does not begin with a digit".into()
        );
    }
    if TAKEN_LABELS.contains(&label) || label.starts_with("__") {
        return Err("the exporter or Prometheus sets this label itself; choose another name".into());
    }
    if own.iter().any(|known| known.name() == label) {
        return Err("every series of the service has this label already".into());
    }
    Ok(())
}

fn conversion(fields: &mut Fields<'_>, to: Option<&Target>) -> Conversion {
    let unit = fields.parsed("unit", str::parse::<Unit>);
    let scale = fields.number("scale");
    if scale.is_some_and(|scale| scale <= 0.0) {
        let line = line_of(fields, "scale");
        fields.problem(line, "scale", "must be a number more than 0");
    }
    if to == Some(&Target::Info) {
        for key in ["unit", "scale"] {
            if let Some(line) = fields.get(key).map(|node| node.line) {
                fields.problem(line, key, "belongs to numbers; type: info exports a text");
            }
        }
    }
    Conversion::new(unit, scale)
}
