//! Lists of targets, in the form of Prometheus' `file_sd` and `http_sd`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::TARGETS_MAX;
use crate::model::target::Target;

/// Longest address: a host has 255 bytes at most.
const ADDRESS_MAX_BYTES: usize = 500;

#[derive(Debug, Deserialize)]
struct Group {
    targets: Vec<String>,
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// Reads a list in JSON.
///
/// # Errors
/// It is none, in one line.
pub(super) fn json(text: &[u8]) -> Result<Vec<Target>, String> {
    let groups: Vec<Group> = serde_json::from_slice(text).map_err(|error| {
        format!(
            "is no list of targets, [{{\"targets\": [\"host:port\"], \"labels\": {{}}}}]: {error}"
        )
    })?;
    targets(groups)
}

/// Reads a list in YAML.
///
/// # Errors
/// It is none, in one line.
pub(super) fn yaml(text: &str) -> Result<Vec<Target>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let groups: Vec<Group> = serde_yaml::from_str(text).map_err(|error| {
        let error = error.to_string();
        let first = error.lines().next().unwrap_or_default();
        format!("is no list of targets, - targets: [\"host:port\"]: {first}")
    })?;
    targets(groups)
}

fn targets(groups: Vec<Group>) -> Result<Vec<Target>, String> {
    let mut all = Vec::new();
    for Group { targets, labels } in groups {
        let labels = labels.unwrap_or_default();
        for address in targets {
            if !is_address(&address) {
                return Err(format!("has {address:?}, which is no host and port"));
            }
            if all.len() == TARGETS_MAX {
                return Err(format!("has more than {TARGETS_MAX} targets"));
            }
            all.push(Target::at(&address, labels.clone()));
        }
    }
    Ok(all)
}

fn is_address(text: &str) -> bool {
    let is_good = |c: char| !c.is_control() && !c.is_whitespace() && !"/?#@".contains(c);
    !text.is_empty() && text.len() <= ADDRESS_MAX_BYTES && text.chars().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let from_json = json(
            br#"[{"targets":["a:1","b:2"],"labels":{"app":"x","__scheme__":"https"}},{"targets":[]},{"targets":["c:3"],"labels":null}]"#,
        )
        .unwrap();
        let from_yaml = yaml("- targets: [\"a:1\", \"b:2\"]\n  labels: {app: x, __scheme__: https}\n- targets: []\n- targets: ['c:3']\n").unwrap();
        assert_eq!(from_json, from_yaml);
        let addresses: Vec<_> = from_json.iter().map(Target::address).collect();
        assert_eq!(addresses, ["a:1", "b:2", "c:3"]);
        let label = |n: usize, name: &str| from_json[n].labels.get(name).map(String::as_str);
        assert_eq!((label(0, "app"), label(0, "__scheme__")), (Some("x"), Some("https")));
        assert_eq!((label(2, "app"), label(2, "__scheme__")), (None, Some("http")));
        assert_eq!(yaml("").unwrap(), yaml("[]").unwrap());
    }

    #[test]
    fn what_is_no_list_is_told_in_one_line() {
        for bad in [&b"{}"[..], b"[{\"labels\":{}}]", b"[{\"targets\":[\"http://a\"]}]", b"[", b"x"]
        {
            let told = json(bad).unwrap_err();
            assert!(!told.contains('\n'), "{told}");
            let text = std::str::from_utf8(bad).unwrap();
            assert!(!yaml(text).unwrap_err().contains('\n'), "{text}");
        }
    }
}
