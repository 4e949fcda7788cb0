//! What a PromQL expression names. No parser: promtool has taken the expression already.

/// A metric, and the labels that its matchers name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    pub(crate) labels: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Expression {
    pub(crate) selectors: Vec<Selector>,
    /// The labels after by, without, on, ignoring, `group_left` and `group_right`.
    pub(crate) grouping: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Sign(char),
}

const BEFORE_LABELS: &[&str] = &["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Words that are no metric, even where no parenthesis follows.
const NO_METRICS: &[&str] = &[
    "and",
    "or",
    "unless",
    "atan2",
    "offset",
    "bool",
    "Inf",
    "NaN",
    "start",
    "end",
    "sum",
    "min",
    "max",
    "avg",
    "group",
    "stddev",
    "stdvar",
    "count",
    "count_values",
    "bottomk",
    "topk",
    "quantile",
];

impl Expression {
    pub(crate) fn read(text: &str) -> Self {
        let tokens = tokens(text);
        let mut found = Self::default();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += 1;
            let Token::Word(word) = *token else { continue };
            let next = tokens.get(at).copied();
            if BEFORE_LABELS.contains(&word) {
                if next == Some(Token::Sign('(')) {
                    found.grouping.extend(words_until(&tokens, &mut at, ')'));
                }
            } else if next == Some(Token::Sign('{')) {
                let labels = words_until(&tokens, &mut at, '}');
                found.selectors.push(Selector { metric: word.to_owned(), labels });
            } else if next != Some(Token::Sign('(')) && !NO_METRICS.contains(&word) {
                found.selectors.push(Selector { metric: word.to_owned(), labels: Vec::new() });
            }
        }
        found
    }
}

fn words_until(tokens: &[Token<'_>], at: &mut usize, end: char) -> Vec<String> {
    let rest = &tokens[*at..];
    let length = rest.iter().position(|token| *token == Token::Sign(end)).unwrap();
    *at += length + 1;
    let word = |token: &Token<'_>| match token {
        Token::Word(word) => Some((*word).to_owned()),
        Token::Sign(_) => None,
    };
    rest[..length].iter().filter_map(word).collect()
}

/// Without strings, numbers, durations and comments.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' | '\'' | '`' => string(rest, first),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            _ if in_word(first) => rest.find(|c| !in_word(c) && c != '.').unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let token = &rest[..length];
        if in_word(first) && !first.is_ascii_digit() {
            found.push(Token::Word(token));
        } else if length == 1 && !in_word(first) && !first.is_whitespace() {
            found.push(Token::Sign(first));
        }
        rest = &rest[length..];
    }
    found
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':')
}

fn string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped && quote != '`';
    }
    panic!("a string without an end: {text}");
}
