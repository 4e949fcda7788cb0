//! How ingest hands on what it read, without knowing what becomes of it.

/// Takes the bytes of one service's stderr, in order.
pub trait TraceSink: Send {
    /// Bytes of a file, pipe or stream, cut anywhere.
    fn bytes(&mut self, chunk: &[u8]);

    /// One packet of a packet-mode pipe: exactly one write(2) of the service.
    /// What is to be passed on is appended to `passed`.
    fn packet(&mut self, packet: &[u8], passed: &mut Vec<u8>);

    /// The stream breaks here: what follows does not continue what came before
    /// (another file, a truncation, a new process).
    fn cut(&mut self, passed: &mut Vec<u8>);
}
