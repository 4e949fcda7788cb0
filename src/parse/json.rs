//! JSON as expvar really writes it: valid, and then some.
//!
//! `NaN`, `+Inf` and `-Inf` stand where expvar.Float had them, a value may be missing where
//! `json.Marshal` failed, and until Go 1.21 keys are quoted by `%q` (`\x00`, `\a`). Integers are
//! kept exact.

use crate::model::json::Json;
use crate::model::snapshot::Number;

/// Deepest nesting read; what is deeper is passed over.
const DEPTH_MAX: usize = 64;

/// A place in the text; moves on as values are read.
#[derive(Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// At the beginning of `text`.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// What is still to be read.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Passes over blanks.
    pub fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    /// Takes `text` if it stands here.
    pub fn take(&mut self, text: &[u8]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Passes over everything before the next `mark`, or to the end.
    pub fn skip_to(&mut self, mark: &[u8]) {
        let at = memchr::memmem::find(self.rest, mark).unwrap_or(self.rest.len());
        self.advance(at);
    }

    fn advance(&mut self, by: usize) {
        self.rest = self.rest.get(by..).unwrap_or_default();
    }

    /// Reads a value; `None` where none stands or it is not understood.
    pub fn value(&mut self) -> Option<Json> {
        self.value_at(0)
    }

    fn value_at(&mut self, depth: usize) -> Option<Json> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.skip_blanks();
        match self.rest.first()? {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => self.string().map(Json::Text),
            _ => self.bare(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.take(b"{");
        let mut entries = Vec::new();
        loop {
            self.skip_blanks();
            if self.take(b"}") {
                return Some(Json::Object(entries));
            }
            let key = self.string()?;
            self.skip_blanks();
            if !self.take(b":") {
                return None;
            }
            self.skip_blanks();
            // A missing value is an entry less, not the end of the object.
            if !matches!(self.rest.first(), Some(b',' | b'}')) {
                entries.push((key, self.value_at(depth + 1)?));
            }
            self.end_of_item(b"}")?;
        }
    }

    fn array(&mut self, depth: usize) -> Option<Json> {
        self.take(b"[");
        let mut items = Vec::new();
        loop {
            self.skip_blanks();
            if self.take(b"]") {
                return Some(Json::Array(items));
            }
            items.push(self.value_at(depth + 1)?);
            self.end_of_item(b"]")?;
        }
    }

    fn end_of_item(&mut self, close: &[u8]) -> Option<()> {
        self.skip_blanks();
        (self.take(b",") || self.rest.starts_with(close)).then_some(())
    }

    /// Reads a quoted string.
    pub fn string(&mut self) -> Option<String> {
        if !self.take(b"\"") {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            let at = memchr::memchr2(b'"', b'\\', self.rest)?;
            let (plain, rest) = self.rest.split_at_checked(at)?;
            bytes.extend_from_slice(plain);
            self.rest = rest;
            if self.take(b"\"") {
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            self.escape(&mut bytes)?;
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let kind = *self.rest.get(1)?;
        self.advance(2);
        match kind {
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'r' => bytes.push(b'\r'),
            b'a' => bytes.push(7),
            b'b' => bytes.push(8),
            b'f' => bytes.push(12),
            b'v' => bytes.push(11),
            b'x' => bytes.push(u8::try_from(self.hex(2)?).ok()?),
            b'u' => self.utf16(bytes)?,
            b'U' => push_char(bytes, self.hex(8)?),
            other => bytes.push(other),
        }
        Some(())
    }

    fn utf16(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let high = self.hex(4)?;
        let paired = (0xd800..0xdc00).contains(&high) && self.take(b"\\u");
        let code = if paired {
            0x10000 + ((high - 0xd800) << 10) + (self.hex(4)?.wrapping_sub(0xdc00) & 0x3ff)
        } else {
            high
        };
        push_char(bytes, code);
        Some(())
    }

    fn hex(&mut self, digits: usize) -> Option<u32> {
        let text = std::str::from_utf8(self.rest.get(..digits)?).ok()?;
        let code = u32::from_str_radix(text, 16).ok()?;
        self.advance(digits);
        Some(code)
    }

    fn bare(&mut self) -> Option<Json> {
        let end = self
            .rest
            .iter()
            .position(|b| matches!(b, b',' | b'}' | b']') || b.is_ascii_whitespace());
        let (word, rest) = self.rest.split_at_checked(end.unwrap_or(self.rest.len()))?;
        let value = match word {
            b"null" => Json::Null,
            b"true" => Json::Bool(true),
            b"false" => Json::Bool(false),
            b"NaN" => Json::Number(Number::Float(f64::NAN)),
            b"+Inf" | b"Inf" | b"Infinity" => Json::Number(Number::Float(f64::INFINITY)),
            b"-Inf" | b"-Infinity" => Json::Number(Number::Float(f64::NEG_INFINITY)),
            _ => Json::Number(number(word)?),
        };
        self.rest = rest;
        Some(value)
    }
}

fn push_char(bytes: &mut Vec<u8>, code: u32) {
    let symbol = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    bytes.extend_from_slice(symbol.encode_utf8(&mut [0; 4]).as_bytes());
}

fn number(word: &[u8]) -> Option<Number> {
    let text = std::str::from_utf8(word).ok()?;
    if !text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    if let Ok(n) = text.parse::<u64>() {
        return Some(Number::Unsigned(n));
    }
    if let Ok(n) = text.parse::<i64>() {
        return Some(Number::Signed(n));
    }
    text.parse::<f64>().ok().map(Number::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<Json> {
        Cursor::new(text.as_bytes()).value()
    }

    #[test]
    fn integers_stay_exact_and_what_is_not_json_is_read() {
        assert_eq!(value("18446744073709551615"), Some(Json::Number(Number::Unsigned(u64::MAX))));
        assert_eq!(
            value("9007199254740993"),
            Some(Json::Number(Number::Unsigned(9_007_199_254_740_993)))
        );
        assert_eq!(value("-5"), Some(Json::Number(Number::Signed(-5))));
        assert_eq!(value("1e+21"), Some(Json::Number(Number::Float(1e21))));
        assert_eq!(value("+Inf"), Some(Json::Number(Number::Float(f64::INFINITY))));
        assert!(matches!(value("NaN"), Some(Json::Number(Number::Float(x))) if x.is_nan()));
        for bad in ["", "nul", "0x12", "1.2.3", "[1,", "{\"a\"", "\"a", "-"] {
            assert_eq!(value(bad), None, "{bad}");
        }
    }

    #[test]
    fn strings_know_both_ways_of_escaping() {
        assert_eq!(value(r#""a\u003c\ud83d\ude00\n\\\"""#), Some(Json::Text("a<😀\n\\\"".into())));
        assert_eq!(value(r#""\x00\a\U0001F600""#), Some(Json::Text("\0\u{7}😀".into())));
    }

    #[test]
    fn a_missing_value_is_an_entry_less() {
        let expected = Json::Object(vec![("b".into(), Json::Number(Number::Unsigned(1)))]);
        assert_eq!(value(r#"{"a": , "b": 1}"#), Some(expected));
    }

    #[test]
    fn nesting_without_end_is_refused() {
        assert_eq!(value(&"[".repeat(100_000)), None);
    }
}
