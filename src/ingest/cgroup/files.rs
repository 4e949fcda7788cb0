//! The files of a cgroup, both versions (kernel: Documentation/admin-guide/cgroup-v2.rst,
//! cgroup-v1/memory.rst, scheduler/sched-bwc.rst), and where a process's cgroups are (`proc(5)`).

/// No limit, in cgroup v1: the largest page count, in bytes; what is near it is no limit either.
const UNLIMITED_BYTES: u64 = 1 << 60;

const NS_PER_US: u64 = 1000;

/// Nanoseconds in a unit.
#[derive(Debug, Clone, Copy)]
pub(super) enum Unit {
    /// `_usec`
    Microseconds,
    /// `_time` of v1
    Nanoseconds,
}

/// `cpu.max` of v2: cores, `None` without a limit.
#[must_use]
pub(super) fn cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim_end().split_once(' ')?;
    cores(quota, period)
}

/// Quota and period, both in microseconds; a quota of `max` or below 0 is no limit.
#[must_use]
pub(super) fn cores(quota: &str, period: &str) -> Option<f64> {
    let quota: u32 = quota.trim_end().parse().ok()?;
    let period: u32 = period.trim_end().parse().ok().filter(|period| *period > 0)?;
    Some(f64::from(quota) / f64::from(period))
}

/// A file that has one number; `max` is none.
#[must_use]
pub(super) fn number(text: &str) -> Option<u64> {
    text.trim_end().parse().ok()
}

/// A limit in bytes.
#[must_use]
pub(super) fn limit(text: &str) -> Option<u64> {
    number(text).filter(|bytes| *bytes < UNLIMITED_BYTES)
}

/// The value of a key in a file of `key value` lines.
#[must_use]
pub(super) fn value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| number(line.strip_prefix(key)?.strip_prefix(' ')?))
}

/// The same of a time, in nanoseconds.
#[must_use]
pub(super) fn time_ns(text: &str, key: &str, unit: Unit) -> Option<u64> {
    let time = value(text, key)?;
    match unit {
        Unit::Microseconds => time.checked_mul(NS_PER_US),
        Unit::Nanoseconds => Some(time),
    }
}

/// The path of a process in a hierarchy, from `/proc/PID/cgroup`; `None` for v2's own.
#[must_use]
pub(super) fn path_in<'t>(cgroup: &'t str, controller: Option<&str>) -> Option<&'t str> {
    cgroup.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            Some(wanted) => controllers.split(',').any(|controller| controller == wanted),
            None => controllers.is_empty(),
        };
        is_it.then_some(path)
    })
}

/// Where a hierarchy is mounted, and which of its folders: from `/proc/PID/mountinfo`.
#[must_use]
pub(super) fn mount_of<'t>(
    mountinfo: &'t str,
    controller: Option<&str>,
) -> Option<(&'t str, &'t str)> {
    mountinfo.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut system = system.split(' ');
        let (kind, options) = (system.next()?, system.nth(1)?);
        let is_it = match controller {
            Some(wanted) => kind == "cgroup" && options.split(',').any(|option| option == wanted),
            None => kind == "cgroup2",
        };
        is_it.then_some((root, point))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_their_absence() {
        assert_eq!(cpu_max("150000 100000\n"), Some(1.5));
        assert_eq!(cpu_max("max 100000\n"), None);
        assert_eq!(cores("-1\n", "100000\n"), None);
        assert_eq!(cores("1", "0"), None);
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("536870912\n"), Some(536_870_912));
    }

    #[test]
    fn keys_are_whole_words() {
        let stat = "nr_periods 10\nnr_throttled 3\nthrottled_usec 1500\ntotal_inactive_file 7\n";
        assert_eq!(value(stat, "nr_throttled"), Some(3));
        assert_eq!(value(stat, "nr_"), None);
        assert_eq!(value(stat, "inactive_file"), None);
        assert_eq!(time_ns(stat, "throttled_usec", Unit::Microseconds), Some(1_500_000));
        assert_eq!(value("oom_kill \u{e9}\n", "oom_kill"), None);
    }

    #[test]
    fn where_a_process_is() {
        let cgroup = "12:cpu,cpuacct:/a\n3:name=systemd:/b:c\n0::/d\n";
        assert_eq!(path_in(cgroup, Some("cpuacct")), Some("/a"));
        assert_eq!(path_in(cgroup, Some("memory")), None);
        assert_eq!(path_in(cgroup, None), Some("/d"));
        let mounts = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
             30 23 0:26 /docker/x /sys/fs/cgroup ro,nosuid shared:4 - cgroup2 cgroup rw,nsdelegate\n";
        assert_eq!(mount_of(mounts, Some("cpu")), Some(("/", "/sys/fs/cgroup/cpu")));
        assert_eq!(mount_of(mounts, Some("memory")), None);
        assert_eq!(mount_of(mounts, None), Some(("/docker/x", "/sys/fs/cgroup")));
    }
}
