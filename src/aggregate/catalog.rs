//! Every metric of a service, declared once: name, type, help, labels.

use crate::model::metric::{Desc, Kind, Since};

macro_rules! catalog {
    ($($id:ident = $kind:ident $name:literal [$($label:literal),*] $($since:ident)? $(=> $collector:literal)? $help:literal;)*) => {
        /// A metric of the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Metric {
            $(#[doc = $help] $id,)*
        }

        /// All metrics, in the order of their ids and of the page.
        pub static METRICS: &[Desc] = &[
            $(Desc {
                name: $name,
                kind: Kind::$kind,
                help: $help,
                labels: &[$($label),*],
                since: since!($kind $($since)?),
                collector: collector!($($collector)?),
            },)*
        ];
    };
}

macro_rules! collector {
    () => {
        None
    };
    ($name:literal) => {
        Some($name)
    };
}

/// What is not `of_process` and counts, we count.
macro_rules! since {
    (Gauge) => {
        Since::Nothing
    };
    ($kind:ident) => {
        Since::Watching
    };
    ($kind:ident of_process) => {
        Since::Process
    };
}

catalog! {
    Goroutines = Gauge "go_goroutines" []
        "Number of goroutines that currently exist, without the runtime's own. From pprof, else from the variable of expvar that says it (goroutines, NumGoroutine, …), else from scheddetail.";
    GoroutinesGrowth = Gauge "go_goroutines_growth_per_second" []
        "How fast the least number of goroutines of each ten minutes grew: over the last hour, or while a leak is suspected over the window that shows it; absent in the first hour. From the leak detector (docs/LEAKS.md).";
    GoroutinesLeakSuspected = Gauge "go_goroutines_leak_suspected" []
        "1 while goroutines grow and do not go away, and neither bursts, daily waves, growing load, pools nor restarts explain it. From the leak detector (docs/LEAKS.md).";
    GoroutinesByFunction = Gauge "go_goroutines_by_function" ["function", "file", "line"]
        "Goroutines by where they wait: the innermost function of the service's own code, or else the function that the goroutine runs; the largest groups, `other` for the rest. From pprof.";
    GoroutinesOther = Counter "go_goroutines_function_other_total" []
        "Goroutines that were summed into the function `other`, over all reads of pprof.";
    GoroutinesLeaked = Gauge "go_goroutines_leaked" []
        "Goroutines that the runtime itself proved can never run again, at the last read. From the goroutineleak profile (Go 1.27; 1.26 with the experiment).";
    GoroutinesLeakedByFunction = Gauge "go_goroutines_leaked_by_function" ["function", "file", "line"]
        "Leaked goroutines by where they wait, as in go_goroutines_by_function. From the goroutineleak profile.";
    Threads = Gauge "go_threads" []
        "Number of OS threads created. From pprof (threadcreate).";
    GoroutinesLeakBlamed = Gauge "go_goroutines_leak_blamed" ["function", "file", "line"]
        "Goroutines gained by the function that gained most since the window began that makes a leak suspected; absent without a suspicion. From the leak detector and pprof (docs/LEAKS.md).";
    VersionRange = Gauge "go_version_range_info" ["min", "max"]
        "Always 1; the labels tell the first and the last Go release that can have printed the service's trace, by the forms of its lines. A plus: or a later one.";
    ProcessStarts = Counter "go_process_starts_total" []
        "Restarts of the service seen: its uptime, its GC number, its ticks or a total of memstats went back.";

    Panics = Counter "go_panics_total" []
        "Panics that nobody recovered and that ended the process. From stderr.";
    FatalErrors = Counter "go_fatal_errors_total" ["kind"]
        "Fatal errors of the Go runtime, by kind; each ended the process. From stderr.";
    SignalDumps = Counter "go_signal_dumps_total" ["signal"]
        "Processes that ended with a dump of their goroutines on a signal, by signal. From stderr.";
    DataRaces = Counter "go_data_races_total" []
        "Data races reported by the race detector. From stderr.";
    Crashes = Counter "go_crashes_by_function_total" ["what", "function"]
        "Panics, fatal errors, signal dumps and data races by the innermost function that is not the runtime's; at most 20 functions, `other` for more and `unknown` where it is not certain. From stderr.";
    CrashesOther = Counter "go_crashes_function_other_total" []
        "Crashes whose function was summed into `other`, because there were too many distinct ones. From stderr.";
    CrashGoroutines = Gauge "go_crash_goroutines" []
        "Goroutines that existed when the process last crashed; absent unless the dump listed them all (GOTRACEBACK=all, a signal, most fatal errors). From stderr.";

    SchedGomaxprocs = Gauge "go_sched_gomaxprocs_threads" []
        "The current runtime.GOMAXPROCS setting, or the number of operating system threads that can execute user-level Go code simultaneously. From schedtrace.";
    SchedIdleProcs = Gauge "go_sched_idle_procs" []
        "Ps without work at the last schedtrace sample (idleprocs).";
    SchedThreads = Gauge "go_sched_threads" []
        "OS threads (Ms) of the runtime at the last schedtrace sample (threads); until Go 1.9 all ever created.";
    SchedIdleThreads = Gauge "go_sched_idle_threads" []
        "Parked OS threads (Ms) at the last schedtrace sample (idlethreads).";
    SchedSpinningThreads = Gauge "go_sched_spinning_threads" []
        "OS threads (Ms) looking for work at the last schedtrace sample (spinningthreads).";
    SchedRunqueue = Gauge "go_sched_runqueue_goroutines" ["queue"]
        "Runnable goroutines at the last schedtrace sample: in the global run queue, and in the Ps' local ones together (without each P's next goroutine).";
    SchedRunqueueLocalMax = Gauge "go_sched_runqueue_local_max_goroutines" []
        "Runnable goroutines in the longest local run queue at the last schedtrace sample.";
    SchedRunqueueP = Gauge "go_sched_runqueue_p_goroutines" ["p"]
        "Runnable goroutines in a P's local run queue at the last schedtrace sample; off by default.";
    SchedRunnable = Histogram "go_sched_runnable_goroutines" []
        "Runnable goroutines in all run queues, one observation a schedtrace sample.";
    SchedBusyRatio = Histogram "go_sched_busy_procs_ratio" []
        "Share of Ps that have work (1 - idleprocs/gomaxprocs), one observation a schedtrace sample.";
    SchedSampleIntervalSeconds = Histogram "go_sched_sample_interval_seconds" []
        "Uptime between two consecutive schedtrace samples that were read. A long one means that samples are missing, or that the service was starved or stopped: the runtime promises no interval.";
    SchedSamples = Counter "go_sched_samples_total" []
        "Schedtrace samples read.";
    SchedSaturatedSamples = Counter "go_sched_saturated_samples_total" []
        "Schedtrace samples with goroutines waiting and no P idle; its rate over that of go_sched_samples_total is the share of time under pressure.";
    SchedTicks = Counter "go_sched_ticks_total" []
        "Scheduler ticks of all Ps since the exporter first saw them (schedticks, Go 1.25 on; schedtick of scheddetail).";
    SchedSyscallTicks = Counter "go_sched_syscall_ticks_total" []
        "System call ticks of all Ps since the exporter first saw them (syscalltick of scheddetail).";
    SchedGoroutines = Gauge "go_sched_goroutines" ["state", "reason"]
        "Goroutines by state and, while waiting, wait reason, at the last scheddetail block; the runtime's own and dead ones (kept for reuse) included.";
    SchedProcs = Gauge "go_sched_procs" ["status"]
        "Ps by status at the last scheddetail block.";
    SchedTimers = Gauge "go_sched_timers" []
        "Timers of all Ps at the last scheddetail block (timerslen, Go 1.14 on).";
    SchedBlockedThreads = Gauge "go_sched_blocked_threads" []
        "OS threads (Ms) that wait on a note at the last scheddetail block (blocked).";
    SchedGoroutinesCreated = Gauge "go_sched_goroutines_created" []
        "The highest goroutine id at the last scheddetail block: an upper estimate of all goroutines ever created.";
    SchedDetailStoppedRatio = Gauge "go_sched_detail_stopped_ratio" []
        "Share of time in which the scheduler stands still to print scheddetail, by estimate: 10 us for each goroutine that the last block lists, over the time between samples. Above 0.01, raise schedtrace or leave scheddetail out.";
    SchedReasonsOver = Counter "go_sched_goroutines_other_total" []
        "Goroutines of scheddetail blocks whose wait reason was summed into the reason `other`, because there were too many distinct ones.";

    GcDuration = Summary "go_gc_duration_seconds" [] of_process
        "A summary of the wall-time pause (stop-the-world) duration in garbage collection cycles. From memstats; the quantiles are those of the last 256 pauses.";
    GcCycles = Counter "go_gc_cycles_total" ["kind"]
        "GC cycles read from gctrace since the exporter started, by what began them.";
    GcCyclesAutomatic = Counter "go_gc_cycles_automatic_gc_cycles_total" [] of_process
        "Count of completed GC cycles generated by the Go runtime. From memstats (NumGC - NumForcedGC).";
    GcCyclesForced = Counter "go_gc_cycles_forced_gc_cycles_total" [] of_process => "process_runtime_memstats_num_forced_gc_bytes_total"
        "Count of completed GC cycles forced by the application. From memstats (NumForcedGC).";
    GcCyclesTotal = Counter "go_gc_cycles_total_gc_cycles_total" [] of_process => "process_runtime_memstats_num_gc_bytes_total"
        "Count of all completed GC cycles. From memstats (NumGC).";
    GcRecordsMissed = Counter "go_gc_records_missed_total" []
        "GC cycles that have no gctrace record: gaps in the runtime's own numbering.";
    GcPhaseSeconds = Histogram "go_gc_phase_seconds" ["phase"]
        "Wall time of a GC phase, one observation a gctrace record; sweep_termination and mark_termination stop the world.";
    GcStwSeconds = Histogram "go_gc_stw_seconds" []
        "Stop-the-world time of a GC cycle, each cycle once. From memstats (PauseNs) if the service has an expvar source, else from gctrace.";
    GcPausesMissed = Counter "go_gc_pauses_missed_total" []
        "GC pauses overwritten in the runtime's ring of 256 before they were read; read expvar more often.";
    GcCpuSeconds = Counter "go_gc_cpu_seconds_total" ["phase"]
        "CPU time spent in GC, by phase. From gctrace.";
    GcCpuRatio = Gauge "go_gc_cpu_ratio" []
        "Share of the available CPU time spent in GC since the program started. From memstats (GCCPUFraction), else from gctrace (whole percents).";
    GcHeapStartBytes = Gauge "go_gc_heap_start_bytes" []
        "Heap size at the start of the last GC cycle. From gctrace, in whole MiB.";
    GcHeapEndBytes = Gauge "go_gc_heap_end_bytes" []
        "Heap size at mark termination of the last GC cycle. From gctrace, in whole MiB.";
    GcHeapLiveBytes = Gauge "go_gc_heap_live_bytes" []
        "Live heap marked by the last GC cycle. From gctrace, in whole MiB.";
    GcHeapGoalBytes = Gauge "go_gc_heap_goal_bytes" []
        "Heap goal of the last GC cycle. From gctrace, in whole MiB; absent while there is none (GOGC=off).";
    GcStacksBytes = Gauge "go_gc_stacks_bytes" []
        "Scannable stack at the last GC cycle. From gctrace (Go 1.18 on), in whole MiB.";
    GcGlobalsBytes = Gauge "go_gc_globals_bytes" []
        "Scannable globals at the last GC cycle. From gctrace (Go 1.18 on), in whole MiB.";
    GcPeriodicTriggers = Counter "go_gc_periodic_triggers_total" []
        "Times the runtime asked for a GC cycle because there was none for two minutes (GC forced), since the exporter started. From gctrace.";
    GcScannedObjects = Counter "go_gc_scanned_objects_total" ["size_class"]
        "Objects scanned by the GC, by size class in bytes, or large. From gctrace=2 (Go 1.25 on).";
    GcFinalizerQueue = Gauge "go_gc_finalizer_queue_functions" ["kind"]
        "Finalizers and cleanups that waited to be run after the last GC cycle. From checkfinalizers (Go 1.25 on).";
    GcPacerCpuRatio = Histogram "go_gc_pacer_cpu_ratio" []
        "Share of the CPU used by a GC cycle while it marked, idle workers left out, one observation a cycle. From gcpacertrace.";
    GcPacerCpuGoalRatio = Gauge "go_gc_pacer_cpu_goal_ratio" []
        "Share of the CPU that the last GC cycle was to use. From gcpacertrace.";
    GcPacerAssistRatio = Gauge "go_gc_pacer_assist_ratio" []
        "Bytes of scan work that goroutines were to do for each byte they allocate, as the last GC cycle began. From gcpacertrace.";
    GcPacerScanBytes = Counter "go_gc_pacer_scan_bytes_total" ["area"]
        "Scan work done by GC cycles, by what was scanned (undivided until Go 1.17). From gcpacertrace.";
    GcPacerOvershoots = Counter "go_gc_pacer_goal_overshoots_total" []
        "GC cycles at whose end the heap was larger than its goal. From gcpacertrace.";
    GcPacerOvershootBytes = Gauge "go_gc_pacer_goal_overshoot_bytes" []
        "How far the heap was beyond its goal at the end of the last GC cycle; below 0: it stayed under. From gcpacertrace.";
    GcPacerSweptPages = Counter "go_gc_pacer_swept_pages_total" []
        "Heap pages (8 KiB) swept after GC cycles. From gcpacertrace.";

    ScavengerReleasedBytes = Counter "go_scavenger_released_bytes_total" ["kind"]
        "Memory released to the system: in the background, eagerly on allocation, forced by debug.FreeOSMemory; until Go 1.20 the first two are undivided. From scavtrace, in whole KiB a line.";
    ScavengerHeapInUseRatio = Gauge "go_scavenger_heap_in_use_ratio" []
        "Share of the heap's memory not released to the system that is in use. From scavtrace, in whole percents.";

    InitSeconds = Counter "go_init_seconds_total" ["package"]
        "Time spent initialising a package, over all starts; packages that took less than 0.1 ms and 64 KiB, or are too many, are summed as other. From inittrace.";
    InitAllocatedBytes = Counter "go_init_allocated_bytes_total" ["package"]
        "Heap allocated while a package was initialised, over all starts. From inittrace.";
    InitAllocations = Counter "go_init_allocations_total" ["package"]
        "Heap allocations made while a package was initialised, over all starts. From inittrace.";
    InitPackagesOther = Counter "go_init_packages_other_total" []
        "Initialisations of packages that were summed into the package `other`: quick ones, and those past the bound. From inittrace.";
    InitDoneSeconds = Gauge "go_init_done_seconds" []
        "Time from the program's start to the end of the last package initialisation seen. From inittrace.";
    GcIntervalSeconds = Histogram "go_gc_interval_seconds" []
        "Time between the starts of two consecutive GC cycles. From gctrace.";

    ContainerCpuLimit = Gauge "go_container_cpu_limit_cores" []
        "CPU that the service's container may use, in cores: the least quota over period of its cgroup and those above it, or what the config says; absent without a limit. More Ps (go_sched_gomaxprocs_threads) than these are throttled.";
    ContainerCpu = Counter "go_container_cpu_seconds_total" []
        "CPU time that the container used since the exporter first saw it. From its cgroup (cpu.stat, cpuacct.usage).";
    ContainerPeriods = Counter "go_container_cpu_periods_total" []
        "Periods of the CPU quota in which the container ran, since the exporter first saw it. From its cgroup (nr_periods).";
    ContainerThrottledPeriods = Counter "go_container_cpu_throttled_periods_total" []
        "Periods in which the container used up its CPU quota and had to wait, since the exporter first saw it. From its cgroup (nr_throttled).";
    ContainerThrottled = Counter "go_container_cpu_throttled_seconds_total" []
        "How long the container had to wait because its CPU quota was used up, over all CPUs, since the exporter first saw it. From its cgroup (throttled_usec, throttled_time).";
    ContainerMemoryLimit = Gauge "go_container_memory_limit_bytes" []
        "Memory that the container may use before the kernel kills: the least limit of its cgroup and those above it, or what the config says; absent without a limit.";
    ContainerMemory = Gauge "go_container_memory_usage_bytes" []
        "Memory charged to the container, page cache included. From its cgroup (memory.current, memory.usage_in_bytes).";
    ContainerWorkingSet = Gauge "go_container_memory_working_set_bytes" []
        "Memory charged to the container without the page cache that can go at once (inactive_file): what the kubelet compares with the limit. From its cgroup.";
    ContainerOomKills = Counter "go_container_oom_kills_total" []
        "Processes of the container that the kernel killed for want of memory, since the exporter first saw it. From its cgroup (oom_kill).";

    MemAlloc = Gauge "go_memstats_alloc_bytes" []
        "Number of bytes allocated in heap and currently in use. From memstats (Alloc).";
    MemAllocTotal = Counter "go_memstats_alloc_bytes_total" [] of_process => "process_runtime_memstats_alloc_bytes_total"
        "Total number of bytes allocated in heap until now, even if released already. From memstats (TotalAlloc).";
    MemBuckHashSys = Gauge "go_memstats_buck_hash_sys_bytes" [] => "process_runtime_memstats_buck_hash_sys_bytes"
        "Number of bytes used by the profiling bucket hash table. From memstats (BuckHashSys).";
    MemBySizeFrees = Counter "go_memstats_by_size_frees_total" ["size"] of_process
        "Heap objects freed, by size class in bytes; off by default. From memstats (BySize).";
    MemBySizeMallocs = Counter "go_memstats_by_size_mallocs_total" ["size"] of_process
        "Heap objects allocated, by size class in bytes; off by default. From memstats (BySize).";
    MemFrees = Counter "go_memstats_frees_total" [] of_process => "process_runtime_memstats_frees_total"
        "Total number of heap objects frees. From memstats (Frees).";
    MemGcCpuFraction = Gauge "go_memstats_gc_cpu_fraction" [] => "process_runtime_memstats_gc_cpu_fraction_ratio"
        "The fraction of this program's available CPU time used by the GC since the program started. From memstats (GCCPUFraction).";
    MemGcSys = Gauge "go_memstats_gc_sys_bytes" [] => "process_runtime_memstats_gc_sys_bytes"
        "Number of bytes used for garbage collection system metadata. From memstats (GCSys).";
    MemHeapAlloc = Gauge "go_memstats_heap_alloc_bytes" [] => "process_runtime_memstats_heap_alloc_bytes"
        "Number of heap bytes allocated and currently in use, same as go_memstats_alloc_bytes. From memstats (HeapAlloc).";
    MemHeapIdle = Gauge "go_memstats_heap_idle_bytes" [] => "process_runtime_memstats_heap_idle_bytes"
        "Number of heap bytes waiting to be used. From memstats (HeapIdle).";
    MemHeapInuse = Gauge "go_memstats_heap_inuse_bytes" [] => "process_runtime_memstats_heap_inuse_bytes"
        "Number of heap bytes that are in use. From memstats (HeapInuse).";
    MemHeapObjects = Gauge "go_memstats_heap_objects" [] => "process_runtime_memstats_heap_objects"
        "Number of currently allocated objects. From memstats (HeapObjects).";
    MemHeapReleased = Gauge "go_memstats_heap_released_bytes" [] => "process_runtime_memstats_heap_released_bytes"
        "Number of heap bytes released to OS. From memstats (HeapReleased), else from scavtrace (or, until Go 1.13, from gctrace in whole MiB).";
    MemHeapSys = Gauge "go_memstats_heap_sys_bytes" [] => "process_runtime_memstats_heap_sys_bytes"
        "Number of heap bytes obtained from system. From memstats (HeapSys).";
    MemLastGcTime = Gauge "go_memstats_last_gc_time_seconds" []
        "Number of seconds since 1970 of last garbage collection. From memstats (LastGC).";
    MemLookups = Counter "go_memstats_lookups_total" [] of_process => "process_runtime_memstats_lookups"
        "Total number of pointer lookups; always 0 from Go 1.11 on. From memstats (Lookups).";
    MemMallocs = Counter "go_memstats_mallocs_total" [] of_process => "process_runtime_memstats_mallocs_total"
        "Total number of heap objects allocated, both live and gc-ed. From memstats (Mallocs).";
    MemMcacheInuse = Gauge "go_memstats_mcache_inuse_bytes" [] => "process_runtime_memstats_mcache_inuse_bytes"
        "Number of bytes in use by mcache structures. From memstats (MCacheInuse).";
    MemMcacheSys = Gauge "go_memstats_mcache_sys_bytes" [] => "process_runtime_memstats_mcache_sys_bytes"
        "Number of bytes used for mcache structures obtained from system. From memstats (MCacheSys).";
    MemMspanInuse = Gauge "go_memstats_mspan_inuse_bytes" [] => "process_runtime_memstats_mspan_inuse_bytes"
        "Number of bytes in use by mspan structures. From memstats (MSpanInuse).";
    MemMspanSys = Gauge "go_memstats_mspan_sys_bytes" [] => "process_runtime_memstats_mspan_sys_bytes"
        "Number of bytes used for mspan structures obtained from system. From memstats (MSpanSys).";
    MemNextGc = Gauge "go_memstats_next_gc_bytes" [] => "process_runtime_memstats_next_gc_bytes"
        "Number of heap bytes when next garbage collection will take place. From memstats (NextGC).";
    MemOtherSys = Gauge "go_memstats_other_sys_bytes" [] => "process_runtime_memstats_other_sys_bytes"
        "Number of bytes used for other system allocations. From memstats (OtherSys).";
    MemStackInuse = Gauge "go_memstats_stack_inuse_bytes" [] => "process_runtime_memstats_stack_inuse_bytes"
        "Number of bytes obtained from system for stack allocator in non-CGO environments. From memstats (StackInuse).";
    MemStackSys = Gauge "go_memstats_stack_sys_bytes" [] => "process_runtime_memstats_stack_sys_bytes"
        "Number of bytes obtained from system for stack allocator. From memstats (StackSys).";
    MemSys = Gauge "go_memstats_sys_bytes" [] => "process_runtime_memstats_sys_bytes"
        "Number of bytes obtained from system. From memstats (Sys).";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_counters_end_in_total() {
        let mut names: Vec<&str> = METRICS.iter().map(|desc| desc.name).collect();
        for desc in METRICS {
            assert_eq!(desc.kind == Kind::Counter, desc.name.ends_with("_total"), "{}", desc.name);
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
