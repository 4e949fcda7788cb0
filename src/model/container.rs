//! What the kernel says of a container: its limits, and what it uses of them.

/// One reading of a cgroup. What is `None` was not told: no limit, no such controller.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct ContainerUse {
    /// CPU that may be used, in cores: quota over period.
    pub cpu_limit: Option<f64>,
    /// CPU used since the cgroup was made, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Periods of the quota in which something ran.
    pub periods: Option<u64>,
    /// Periods in which it was made to wait because the quota was used up.
    pub throttled_periods: Option<u64>,
    /// How long it was made to wait, in nanoseconds, over all CPUs.
    pub throttled_ns: Option<u64>,
    /// Most memory, in bytes, before the kernel kills.
    pub memory_limit: Option<u64>,
    /// Memory charged to the cgroup, page cache included, in bytes.
    pub memory: Option<u64>,
    /// The same without the page cache that can go at once: what the kubelet compares.
    pub working_set: Option<u64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
}
