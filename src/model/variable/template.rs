//! Texts with `{name}` in them: a metric's name, a label's value.

use super::pattern::is_name;

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// What the pattern's `{name}` at this place took.
    Capture(usize),
    /// The variable's own value, a text.
    Value,
}

impl Template {
    /// Reads a template for a pattern with these names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str, captures: &[Box<str>]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.into()));
            }
            let (name, after) = after.split_once('}').ok_or("has a { without }")?;
            parts.push(match captures.iter().position(|known| **known == *name) {
                Some(place) => Part::Capture(place),
                None if name == "value" => Part::Value,
                None => return Err(unknown(name, captures)),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Ok(Self(parts.into()))
    }

    /// What the `{name}` at this place took.
    #[must_use]
    pub fn capture(place: usize) -> Self {
        Self([Part::Capture(place)].into())
    }

    /// The variable's own value.
    #[must_use]
    pub fn value() -> Self {
        Self([Part::Value].into())
    }

    /// A text as it is.
    #[must_use]
    pub fn fixed(text: &str) -> Self {
        Self([Part::Text(text.into())].into())
    }

    /// Its text, if nothing is to be put in.
    #[must_use]
    pub fn as_fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it has what the `{name}` at this place took.
    #[must_use]
    pub fn uses(&self, place: usize) -> bool {
        self.0.contains(&Part::Capture(place))
    }

    /// Whether it has anything that a `{name}` took.
    #[must_use]
    pub fn uses_captures(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Capture(_)))
    }

    /// Whether it has the variable's own value.
    #[must_use]
    pub fn uses_value(&self) -> bool {
        self.0.contains(&Part::Value)
    }

    /// The text: `captured` gives what a `{name}` took.
    #[must_use]
    pub fn render<'a>(&'a self, captured: impl Fn(usize) -> &'a str, value: &'a str) -> String {
        let text = |part: &'a Part| match part {
            Part::Text(text) => text,
            Part::Capture(place) => captured(*place),
            Part::Value => value,
        };
        self.0.iter().map(text).collect()
    }
}

fn unknown(name: &str, captures: &[Box<str>]) -> String {
    if !is_name(name) {
        return format!("has {{{name}}}, which is no name");
    }
    match captures {
        [] => format!("has {{{name}}}, but the path has no {{{name}}}"),
        known => format!("has {{{name}}}; the path has {{{}}}", known.join("}, {")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in_and_unknown_ones_refused() {
        let captures: Vec<Box<str>> = vec!["a".into(), "b".into()];
        let template = Template::new("x_{b}_{a}_{value}", &captures).unwrap();
        assert_eq!(template.render(|place| ["1", "2"][place], "v"), "x_2_1_v");
        assert_eq!(Template::new("x", &captures).unwrap().as_fixed(), Some("x"));
        for (text, expected) in
            [("{c}", "the path has {a}, {b}"), ("{", "without }"), ("{ }", "no name")]
        {
            let error = Template::new(text, &captures).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
