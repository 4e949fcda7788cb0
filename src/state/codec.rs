//! Saved state as bytes: one line that says what it is, then JSON.
//!
//! ```text
//! godebug-exporter state 1 4711 8c2f0a1b2c3d4e5f
//! {"service":"checkout",…}
//! ```
//!
//! The line has the format, and length and hash of what follows. A field that a release does not
//! know is passed over, and one that it misses has its default, so that neighbouring releases read
//! each other; where that would be wrong, [`FORMAT`] must rise.

use std::str::from_utf8;

use serde::{Serialize, de::DeserializeOwned};

use crate::model::position::Print;

/// Rises when what is saved means something else.
pub const FORMAT: u32 = 1;

const NAME: &[u8] = b"godebug-exporter state ";

/// Longest head: the name and three numbers.
const HEAD_BYTES_MAX: usize = 96;

/// Why bytes are not a state that can be used.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Another program's, or none at all.
    #[error("this is not the state of godebug-exporter")]
    Foreign,
    /// A later release wrote it.
    #[error("a newer release wrote it: it has format {0}, this release reads up to {FORMAT}")]
    Newer(u32),
    /// Length or hash are not those in its head.
    #[error("it is damaged or cut off")]
    Damaged,
    /// It is whole, but not what this release saves.
    #[error("it is whole, but its content cannot be read")]
    Content(#[source] serde_json::Error),
}

/// Makes bytes of a state.
///
/// # Errors
/// It has a map whose keys are no text: a defect of its type.
pub fn encode(state: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let body = serde_json::to_vec(state)?;
    let mut bytes = head(&body);
    bytes.extend_from_slice(&body);
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads what [`encode`] made; accepts nothing else.
///
/// # Errors
/// Why it cannot be used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let Some(rest) = bytes.strip_prefix(NAME) else {
        let cut = NAME.starts_with(bytes);
        return Err(if cut { DecodeError::Damaged } else { DecodeError::Foreign });
    };
    match format(rest) {
        Some(newer) if newer > FORMAT => return Err(DecodeError::Newer(newer)),
        Some(FORMAT) => {}
        _ => return Err(DecodeError::Damaged),
    }
    let window = bytes.get(..HEAD_BYTES_MAX).unwrap_or(bytes);
    let end = memchr::memchr(b'\n', window).ok_or(DecodeError::Damaged)?;
    let body = bytes.get(end + 1..).and_then(|body| body.strip_suffix(b"\n"));
    let body = body.ok_or(DecodeError::Damaged)?;
    if !bytes.starts_with(&head(body)) {
        return Err(DecodeError::Damaged);
    }
    serde_json::from_slice(body).map_err(DecodeError::Content)
}

fn head(body: &[u8]) -> Vec<u8> {
    let name = from_utf8(NAME).unwrap_or_default();
    format!("{name}{FORMAT} {} {:016x}\n", body.len(), Print::of(body).hash).into_bytes()
}

fn format(rest: &[u8]) -> Option<u32> {
    let digits = rest.get(..memchr::memchr(b' ', rest)?)?;
    from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type State = Vec<(String, u64)>;

    fn state() -> State {
        vec![("checkout".into(), u64::MAX), ("größe\n".into(), 0)]
    }

    #[test]
    fn what_is_saved_is_read_and_stays_readable() {
        let bytes = encode(&state()).unwrap();
        assert_eq!(decode::<State>(&bytes).unwrap(), state());
        assert!(bytes.starts_with(b"godebug-exporter state 1 "));
    }

    #[test]
    fn what_it_is_not_is_told() {
        let whole = encode(&state()).unwrap();
        let newer = [b"godebug-exporter state 2 ", &whole[25..]].concat();
        let told = |bytes: &[u8]| decode::<State>(bytes).unwrap_err().to_string();
        assert_eq!(
            told(&newer),
            "a newer release wrote it: it has format 2, this release reads up to 1"
        );
        assert_eq!(told(b"{\"version\": 1}\n"), "this is not the state of godebug-exporter");
        for damaged in [&whole[..0], &whole[..10], &whole[..40], &whole[..whole.len() - 1]] {
            assert_eq!(told(damaged), "it is damaged or cut off");
        }
        let other = encode(&"text").unwrap();
        assert_eq!(told(&other), "it is whole, but its content cannot be read");
    }

    #[test]
    fn no_flipped_bit_is_accepted() {
        let whole = encode(&state()).unwrap();
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert!(decode::<State>(&flipped).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_other_bytes_are_accepted(
            mut bytes in Just(encode(&state()).unwrap()),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
            length in any::<prop::sample::Index>(),
        ) {
            let whole = bytes.clone();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.truncate(length.index(bytes.len() + 1));
            prop_assert_eq!(decode::<State>(&bytes).is_ok(), bytes == whole);
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode::<State>(&bytes).is_err());
        }
    }
}
