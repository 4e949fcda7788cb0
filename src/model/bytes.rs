//! Bytes as text that is saved: each byte is the character of its number (ISO 8859-1), so that
//! nothing is lost and a log line stays readable.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// For `#[serde(with)]`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
    to.serialize_str(&text)
}

/// For `#[serde(with)]`.
///
/// # Errors
/// It is no text, or has a character that is no byte.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    let byte = |c: char| u8::try_from(c).map_err(|_above| D::Error::custom("no byte"));
    text.chars().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Text(#[serde(with = "super")] Vec<u8>);

    #[test]
    fn every_byte_comes_back() {
        let all = Text((0..=255).collect());
        let saved = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<Text>(&saved).unwrap(), all);
        assert!(serde_json::from_str::<Text>("\"Ā\"").is_err());
    }
}
