//! How far something was read, by which the place is found again after a rotation or our own death.

use serde::{Deserialize, Serialize};

/// Where reading goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In a file.
    File(Position),
    /// In a log that others keep.
    Log(LogPlace),
}

/// Behind which line of a log whose lines have times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPlace {
    /// Nanoseconds since 1970: no line of before is new.
    pub time_ns: u64,
    /// How many lines of that very time were read.
    pub lines: u32,
}

/// Where in which file the next byte stands.
///
/// Inodes are used again, and copytruncate keeps them: so the bytes around tell too whether it is
/// still the same file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The device that the file is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// Bytes before the next one.
    pub offset: u64,
    /// The first bytes of the file.
    pub head: Print,
    /// The last bytes before `offset`.
    pub before: Print,
}

/// What some bytes were, without the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Print {
    /// How many.
    pub bytes: u32,
    /// Their FNV-1a hash.
    pub hash: u64,
}

impl Print {
    /// Of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self { bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX), hash }
    }
}
