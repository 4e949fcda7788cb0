//! Patterns of variables' paths: `http.responses.{code}`.
//!
//! A dot is a step into a map or an array, or a dot in a key: `requests.count` is the variable
//! `requests.count` and the key `count` of the map `requests`. `*` is any text within a key, `{name}` the
//! same with a name, `**` any text and any steps. A backslash makes the next letter an ordinary one. Each
//! of them takes as little as it can.

use std::fmt;
use std::ops::Range;

use memchr::memmem::Finder;

/// Between two keys in a path; no byte of UTF-8.
pub const STEP: u8 = 0xff;

/// Longest pattern in bytes; longer ones are mistakes, and matching recurses.
const PATTERN_BYTES_MAX: usize = 500;

/// A checked pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: Box<str>,
    tokens: Box<[Token]>,
    captures: Box<[Box<str>]>,
    /// The longest text in it: a path without it needs no closer look.
    needle: Finder<'static>,
    below: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Text(Box<[u8]>),
    Dot,
    /// Within a key; with the place of its name.
    Key(Option<usize>),
    /// Over keys.
    Deep,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Pattern {
    /// The needle is one of the tokens.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.tokens == other.tokens
    }
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        Reader::default().read(text, true)
    }

    /// Reads a path in which only dots and `\.` mean something, as expvarmon does.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn plain(text: &str) -> Result<Self, String> {
        Reader::default().read(text, false)
    }

    /// Also takes everything below what it matches.
    #[must_use]
    pub fn and_below(self) -> Self {
        Self { below: true, ..self }
    }

    /// The names of its `{name}`s, in order.
    #[must_use]
    pub fn captures(&self) -> &[Box<str>] {
        &self.captures
    }

    /// Whether a path matches as a whole. `found` then has what each `{name}` took.
    pub fn matches(&self, path: &[u8], found: &mut Found) -> bool {
        match self.tokens.first() {
            Some(Token::Text(head)) if !path.starts_with(head) => return false,
            _ => {}
        }
        match self.tokens.last() {
            Some(Token::Text(tail)) if !self.below && !path.ends_with(tail) => return false,
            _ => {}
        }
        if self.needle.find(path).is_none() {
            return false;
        }
        found.begin(self);
        Matcher { pattern: self, path, found }.at(0, 0)
    }
}

/// What the `{name}`s of a pattern took; kept to be used again.
#[derive(Debug, Default)]
pub struct Found {
    spans: Vec<Range<usize>>,
    /// For each token, where it was tried in vain last: a wildcard that leads nowhere from one place leads
    /// nowhere from a later one that it could have come to. So matching takes tokens times bytes.
    failed: Vec<Range<usize>>,
}

impl Found {
    fn begin(&mut self, pattern: &Pattern) {
        self.spans.clear();
        self.spans.resize(pattern.captures.len(), 0..0);
        self.failed.clear();
        self.failed.resize(pattern.tokens.len(), 0..0);
    }

    /// Where in the path each of them stands.
    #[must_use]
    pub fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }
}

struct Matcher<'a> {
    pattern: &'a Pattern,
    path: &'a [u8],
    found: &'a mut Found,
}

impl Matcher<'_> {
    fn at(&mut self, mut token: usize, mut at: usize) -> bool {
        let pattern = self.pattern;
        loop {
            let rest = self.path.get(at..).unwrap_or_default();
            match pattern.tokens.get(token) {
                None => {
                    return rest.is_empty() || (pattern.below && rest.first() == Some(&STEP));
                }
                Some(Token::Text(text)) if rest.starts_with(text) => at += text.len(),
                Some(Token::Dot) if matches!(rest.first(), Some(b'.' | &STEP)) => at += 1,
                Some(Token::Text(_) | Token::Dot) => return false,
                Some(Token::Key(name)) => return self.wildcard(token, at, *name, false),
                Some(Token::Deep) => return self.wildcard(token, at, None, true),
            }
            token += 1;
        }
    }

    fn wildcard(&mut self, token: usize, from: usize, name: Option<usize>, deep: bool) -> bool {
        if self.found.failed.get(token).is_some_and(|failed| failed.contains(&from)) {
            return false;
        }
        let rest = self.path.get(from..).unwrap_or_default();
        let in_key = rest.iter().position(|byte| *byte == STEP).unwrap_or(rest.len());
        let last = from + if deep { rest.len() } else { in_key };
        for end in from..=last {
            if self.at(token + 1, end) {
                if let Some(span) = name.and_then(|name| self.found.spans.get_mut(name)) {
                    *span = from..end;
                }
                return true;
            }
        }
        if let Some(failed) = self.found.failed.get_mut(token) {
            *failed = from..last + 1;
        }
        false
    }
}

#[derive(Default)]
struct Reader {
    tokens: Vec<Token>,
    captures: Vec<Box<str>>,
    text: Vec<u8>,
}

impl Reader {
    fn read(mut self, text: &str, wildcards: bool) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("must not be empty".into());
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("must be at most {PATTERN_BYTES_MAX} bytes long"));
        }
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            rest = rest.get(letter.len_utf8()..).unwrap_or_default();
            match letter {
                '\\' => rest = self.escaped(rest)?,
                '.' => self.push(Token::Dot),
                '*' if wildcards => rest = self.star(rest)?,
                '{' if wildcards => rest = self.name(rest)?,
                other => self.letter(other),
            }
        }
        self.flush();
        let texts = self.tokens.iter().map(|token| match token {
            Token::Text(text) => &**text,
            _ => &[],
        });
        let longest = texts.max_by_key(|text| text.len()).unwrap_or_default();
        Ok(Pattern {
            needle: Finder::new(longest).into_owned(),
            text: text.into(),
            tokens: self.tokens.into(),
            captures: self.captures.into(),
            below: false,
        })
    }

    fn letter(&mut self, letter: char) {
        self.text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn escaped<'a>(&mut self, rest: &'a str) -> Result<&'a str, String> {
        let letter = rest.chars().next().ok_or("ends with a backslash; write \\\\ for one")?;
        self.letter(letter);
        Ok(rest.get(letter.len_utf8()..).unwrap_or_default())
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.tokens.push(Token::Text(std::mem::take(&mut self.text).into()));
        }
    }

    fn push(&mut self, token: Token) {
        self.flush();
        self.tokens.push(token);
    }

    fn wildcard(&mut self, token: Token) -> Result<(), String> {
        self.flush();
        if matches!(self.tokens.last(), Some(Token::Key(_) | Token::Deep)) {
            return Err(
                "has two wildcards side by side: nothing says where the first one ends".into()
            );
        }
        self.tokens.push(token);
        Ok(())
    }

    fn star<'a>(&mut self, rest: &'a str) -> Result<&'a str, String> {
        match rest.strip_prefix('*') {
            Some(rest) => self.wildcard(Token::Deep).map(|()| rest),
            None => self.wildcard(Token::Key(None)).map(|()| rest),
        }
    }

    fn name<'a>(&mut self, rest: &'a str) -> Result<&'a str, String> {
        let (name, rest) =
            rest.split_once('}').ok_or("has a { without }; write \\{ for the letter itself")?;
        if !is_name(name) {
            return Err(format!(
                "has {{{name}}}: a name is letters, digits and `_`, and does not begin with a digit"
            ));
        }
        if name == "value" {
            return Err(
                "has {value}, which is the variable's own value; choose another name".into()
            );
        }
        if self.captures.iter().any(|known| **known == *name) {
            return Err(format!("has {{{name}}} twice"));
        }
        self.wildcard(Token::Key(Some(self.captures.len())))?;
        self.captures.push(name.into());
        Ok(rest)
    }
}

/// Whether it can be a label's name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(keys: &[&str]) -> Vec<u8> {
        keys.iter().map(|key| key.as_bytes()).collect::<Vec<_>>().join(&STEP)
    }

    fn found(pattern: &str, keys: &[&str]) -> Option<Vec<String>> {
        let (pattern, path) = (Pattern::new(pattern).unwrap(), path(keys));
        let mut found = Found::default();
        pattern.matches(&path, &mut found).then(|| {
            let text =
                |span: &Range<usize>| String::from_utf8(path[span.clone()].to_vec()).unwrap();
            found.spans().iter().map(text).collect()
        })
    }

    #[test]
    fn a_dot_is_a_step_or_a_dot_and_a_name_takes_as_little_as_it_can() {
        let yes: &[(&str, &[&str], &[&str])] = &[
            ("requests", &["requests"], &[]),
            ("requests.count", &["requests.count"], &[]),
            ("requests.count", &["requests", "count"], &[]),
            ("hosts.{host}", &["hosts", "example.com"], &["example.com"]),
            ("{metric}.count", &["http.latency.count"], &["http.latency"]),
            ("{metric}.count", &["latency", "count"], &["latency"]),
            ("{a}.{b}", &["x.y", "z"], &["x.y", "z"]),
            ("{a}.{b}", &["x.y"], &["x", "y"]),
            (
                "counter_labelmap_{label}_{m}.{key}",
                &["counter_labelmap_code_http_in", "200"],
                &["code", "http_in", "200"],
            ),
            ("a.*.c", &["a", "b", "c"], &[]),
            ("debug.**", &["debug", "a", "b", "c"], &[]),
            ("**.count", &["a", "b", "count"], &[]),
            ("**", &["a", "b"], &[]),
            ("a\\.b", &["a.b"], &[]),
            ("\\*\\{\\\\", &["*{\\"], &[]),
            ("ü.{x}", &["ü", "é"], &["é"]),
            ("http*", &["http"], &[]),
            ("{a}b", &["abb"], &["ab"]),
        ];
        for (pattern, keys, expected) in yes {
            assert_eq!(
                found(pattern, keys).as_deref(),
                Some(expected.map_owned().as_slice()),
                "{pattern} {keys:?}"
            );
        }
        let no: &[(&str, &[&str])] = &[
            ("requests", &["requests", "count"]),
            ("requests.*", &["requests", "a", "b"]),
            ("requests", &["Requests"]),
            ("debug.**", &["debug"]),
            ("a\\.b", &["a", "b"]),
            ("a.*.c", &["a", "b", "d"]),
            ("*", &["a", "b"]),
        ];
        for (pattern, keys) in no {
            assert_eq!(found(pattern, keys), None, "{pattern} {keys:?}");
        }
    }

    trait MapOwned {
        fn map_owned(&self) -> Vec<String>;
    }

    impl MapOwned for &[&str] {
        fn map_owned(&self) -> Vec<String> {
            self.iter().map(ToString::to_string).collect()
        }
    }

    #[test]
    fn what_is_below_belongs_to_it_if_asked_for() {
        let pattern = Pattern::new("debug").unwrap().and_below();
        let mut found = Found::default();
        for (keys, expected) in [
            (&["debug"][..], true),
            (&["debug", "a", "b"], true),
            (&["debugger"], false),
            (&["debug.a"], false),
        ] {
            assert_eq!(pattern.matches(&path(keys), &mut found), expected, "{keys:?}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for (pattern, expected) in [
            ("", "empty"),
            ("a.{", "without }"),
            ("a.{x y}", "letters, digits"),
            ("{1}", "letters, digits"),
            ("{a}.{a}", "twice"),
            ("{a}*", "side by side"),
            ("***", "side by side"),
            ("{value}", "own value"),
            ("a\\", "backslash"),
            (&"x".repeat(501), "500 bytes"),
        ] {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }

    #[test]
    fn many_wildcards_do_not_take_for_ever() {
        let key = "a".repeat(1500);
        for pattern in ["*a".repeat(80), "**a".repeat(80), "*a**a".repeat(80)] {
            let pattern = Pattern::new(&(pattern + "b*")).unwrap();
            assert!(!pattern.matches(key.as_bytes(), &mut Found::default()));
        }
    }

    /// The same by trying everything.
    fn slow(tokens: &[Token], path: &[u8]) -> bool {
        let Some((first, rest)) = tokens.split_first() else { return path.is_empty() };
        match first {
            Token::Text(text) => path.strip_prefix(&**text).is_some_and(|path| slow(rest, path)),
            Token::Dot => {
                path.first().is_some_and(|b| [b'.', STEP].contains(b)) && slow(rest, &path[1..])
            }
            Token::Key(_) | Token::Deep => (0..=path.len()).any(|end| {
                (*first == Token::Deep || !path[..end].contains(&STEP)) && slow(rest, &path[end..])
            }),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn it_matches_what_trying_everything_matches(
            pattern in "[ab.*]{1,9}",
            keys in prop::collection::vec("[ab.]{0,5}", 1..5),
        ) {
            let Ok(pattern) = Pattern::new(&pattern) else { return Ok(()) };
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let path = path(&keys);
            let expected = slow(&pattern.tokens, &path);
            prop_assert_eq!(pattern.matches(&path, &mut Found::default()), expected);
        }
    }
}
