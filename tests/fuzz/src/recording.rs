//! The packets that real services of six Go releases wrote (tests/fixtures/packets), cut where a
//! record begins.

use std::sync::LazyLock;

use crate::seeds::fixtures;

/// The writes of one service, in order: pieces of trace lines, nothing else.
pub struct Recording {
    packets: Vec<Vec<u8>>,
    /// Where in `packets` a record begins, and the end.
    records: Vec<usize>,
}

/// All recordings, in the order of their names.
pub static RECORDINGS: LazyLock<Vec<Recording>> = LazyLock::new(|| {
    let all: Vec<Recording> =
        fixtures("packets", ".rec").iter().map(|r| Recording::read(r)).collect();
    assert_eq!(all.len(), 12);
    all
});

impl Recording {
    fn read(bytes: &[u8]) -> Self {
        let mut rest = bytes.strip_prefix(b"godebug-exporter recording 1\n").unwrap();
        let mut packets: Vec<Vec<u8>> = Vec::new();
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
            let words: Vec<&str> = std::str::from_utf8(&rest[..end]).unwrap().split(' ').collect();
            let length: usize = words[2].parse().unwrap();
            let body = &rest[end + 1..end + 1 + length];
            rest = &rest[end + 2 + length..];
            if words[1] == "packet" {
                packets.push(body.to_vec());
            }
        }
        let begins = |at: usize| matches!(packets[at].as_slice(), b"SCHED " | b"gc ");
        let records = (0..packets.len()).filter(|at| begins(*at)).collect();
        Self { packets, records }
    }

    /// Some records in a row: `count` of them from the one with the number `first` on, without the
    /// last one of the recording, which may be cut.
    pub fn window(&self, first: usize, count: usize) -> &[Vec<u8>] {
        let last = self.records.len() - 1;
        let first = first % last;
        let end = (first + count.max(1)).min(last);
        &self.packets[self.records[first]..self.records[end]]
    }
}
