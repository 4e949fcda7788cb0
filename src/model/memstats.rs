//! `runtime.MemStats` as expvar serves it (formats: src/runtime/mstats.go).

/// One class of `BySize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SizeClass {
    /// Largest object of the class, in bytes.
    pub size: u64,
    /// Objects allocated so far.
    pub mallocs: u64,
    /// Objects freed so far.
    pub frees: u64,
}

/// Every scalar of `MemStats`; a field the service did not send is `None`.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    missing_docs,
    reason = "the names are those of runtime.MemStats, in snake case; units there"
)]
pub struct MemStats {
    pub alloc: Option<u64>,
    pub total_alloc: Option<u64>,
    pub sys: Option<u64>,
    pub lookups: Option<u64>,
    pub mallocs: Option<u64>,
    pub frees: Option<u64>,
    pub heap_alloc: Option<u64>,
    pub heap_sys: Option<u64>,
    pub heap_idle: Option<u64>,
    pub heap_inuse: Option<u64>,
    pub heap_released: Option<u64>,
    pub heap_objects: Option<u64>,
    pub stack_inuse: Option<u64>,
    pub stack_sys: Option<u64>,
    pub mspan_inuse: Option<u64>,
    pub mspan_sys: Option<u64>,
    pub mcache_inuse: Option<u64>,
    pub mcache_sys: Option<u64>,
    pub buck_hash_sys: Option<u64>,
    pub gc_sys: Option<u64>,
    pub other_sys: Option<u64>,
    pub next_gc: Option<u64>,
    pub last_gc_ns: Option<u64>,
    pub pause_total_ns: Option<u64>,
    pub num_gc: Option<u64>,
    pub num_forced_gc: Option<u64>,
    pub gc_cpu_fraction: Option<f64>,
    /// Ring of the last pauses; the newest is at `(num_gc + 255) % 256`.
    pub pause_ns: Vec<u64>,
    /// When each pause of the ring ended, in nanoseconds since 1970.
    pub pause_end_ns: Vec<u64>,
    pub by_size: Vec<SizeClass>,
}
