//! Which metrics of the catalogue have a name in OpenTelemetry's semantic conventions for the Go runtime.
//!
//! Only those that mean exactly what the conventions say, by the metric of runtime/metrics that they name.
//! Not among them, and why:
//! - go.memory.allocations leaves tiny allocations out, which Mallocs counts (src/runtime/mstats.go);
//! - go.memory.gc.pause.duration is of single pauses, PauseNs and gctrace are of cycles, which have two;
//! - go.memory.gc.goal is the goal now, gctrace's is that of the last cycle, and in whole MiB;
//! - go.cpu.time is of all of the program's CPU, gctrace tells the GC's, of the cycles that were read;
//! - go.memory.limit, go.config.gogc, go.schedule.duration: nobody says them outside of the process.

use opentelemetry_semantic_conventions::attribute::GO_MEMORY_TYPE;
use opentelemetry_semantic_conventions::metric::{
    GO_GOROUTINE_COUNT, GO_MEMORY_ALLOCATED, GO_MEMORY_GC_CYCLES, GO_MEMORY_GC_GOAL,
    GO_MEMORY_USED, GO_PROCESSOR_LIMIT,
};

use super::catalog::Metric;
use crate::model::otlp::Semantic;
use crate::model::snapshot::MetricId;

/// The table; series of one metric stand together.
pub static SEMANTICS: &[Semantic] = &[
    // /sched/goroutines:goroutines
    Semantic {
        name: GO_GOROUTINE_COUNT,
        unit: "{goroutine}",
        description: "Count of live goroutines.",
        ..of(Metric::Goroutines)
    },
    // /sched/gomaxprocs:threads
    Semantic {
        name: GO_PROCESSOR_LIMIT,
        unit: "{thread}",
        description: "The number of OS threads that can execute user-level Go code simultaneously.",
        ..of(Metric::SchedGomaxprocs)
    },
    // /memory/classes/heap/stacks:bytes
    Semantic { attributes: &[(GO_MEMORY_TYPE, "stack")], ..memory_used(Metric::MemStackInuse) },
    // The rest of /memory/classes/total:bytes without /memory/classes/heap/released:bytes
    Semantic {
        attributes: &[(GO_MEMORY_TYPE, "other")],
        less: &[id(Metric::MemHeapReleased), id(Metric::MemStackInuse)],
        replaces: false,
        ..memory_used(Metric::MemSys)
    },
    // /gc/heap/allocs:bytes
    Semantic {
        name: GO_MEMORY_ALLOCATED,
        unit: "By",
        description: "Memory allocated to the heap by the application.",
        monotonic: true,
        ..of(Metric::MemAllocTotal)
    },
    // /gc/heap/goal:bytes
    Semantic {
        name: GO_MEMORY_GC_GOAL,
        unit: "By",
        description: "Heap size target for the end of the GC cycle.",
        ..of(Metric::MemNextGc)
    },
    // /gc/cycles/total:gc-cycles
    Semantic {
        name: GO_MEMORY_GC_CYCLES,
        unit: "{gc_cycle}",
        description: "Number of completed GC cycles.",
        monotonic: true,
        ..of(Metric::GcCyclesTotal)
    },
];

const fn id(metric: Metric) -> MetricId {
    MetricId(metric as u16)
}

const fn of(metric: Metric) -> Semantic {
    Semantic {
        name: "",
        unit: "",
        description: "",
        monotonic: false,
        attributes: &[],
        of: id(metric),
        less: &[],
        replaces: true,
    }
}

const fn memory_used(metric: Metric) -> Semantic {
    Semantic {
        name: GO_MEMORY_USED,
        unit: "By",
        description: "Memory used by the Go runtime.",
        ..of(metric)
    }
}
