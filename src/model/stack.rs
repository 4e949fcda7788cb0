//! Stacks as `/debug/pprof` lists them.

/// One call of a stack (src/runtime/pprof/pprof.go, `printStackRecord`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// With its package's path: `net/http.(*conn).serve`.
    pub function: &'a str,
    /// As the compiler wrote it down: an absolute path, or one from the module's name with -trimpath.
    pub file: &'a str,
    /// Line in the file, from 1.
    pub line: u32,
}

/// Goroutines (or threads) with one and the same stack and labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stack<'a> {
    /// How many.
    pub count: u64,
    /// The innermost call first. The runtime leaves out its own functions at the inner end.
    pub frames: &'a [Frame<'a>],
    /// Profiler labels (runtime/pprof.Do), in the order of their names. Go 1.15 and newer.
    pub labels: &'a [(String, String)],
}
