//! How ingest hands on what it read, without knowing what becomes of it.

/// Takes the bytes of one service's stderr, in order.
pub trait TraceSink: Send {
    /// Bytes of a file, pipe or stream, cut anywhere.
    fn bytes(&mut self, chunk: &[u8]);

    /// One packet of a packet-mode pipe: exactly one write(2) of the service.
    /// What is to be passed on is appended to `passed`.
    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>);

    /// The line at hand does not go on: what follows stands in another file or begins anew.
    fn break_line(&mut self);

    /// The stream ends: what follows, if anything, is another process's.
    fn end(&mut self, passed: &mut Vec<u8>);
}
