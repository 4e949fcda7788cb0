//! The record of gctrace=2's scan lines.

use serde::Serialize;

/// One scan line, Go 1.25 on (src/runtime/mgcmark_greenteagc.go and mgcmark_nogreenteagc.go,
/// `dumpScanStats`): objects that a cycle marked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GcScan {
    /// Which objects.
    pub scope: ScanScope,
    /// Size of the class, if it is one.
    pub class_bytes: Option<u32>,
    /// Objects scanned.
    pub objects: u64,
    /// With Green Tea only: how.
    #[serde(flatten)]
    pub green_tea: GreenTea,
}

/// Which objects a scan line counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScanScope {
    /// All.
    #[default]
    Total,
    /// Those larger than any size class.
    Large,
    /// Those of a size class.
    Class,
}

/// How the Green Tea collector scanned (Go 1.26's default; in 1.25 an experiment).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct GreenTea {
    /// One by one.
    pub sparse_objects: Option<u64>,
    /// With their span, of which few were marked.
    pub span_sparse_objects: Option<u64>,
    /// With their span, of which many were marked.
    pub span_dense_objects: Option<u64>,
    /// Spans of which few objects were marked.
    pub sparse_spans: Option<u64>,
    /// Spans of which many objects were marked.
    pub dense_spans: Option<u64>,
    /// Both.
    pub spans: Option<u64>,
}
