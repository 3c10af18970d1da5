//! The memory available to this process: the least of the machine's, its control group's limit and
//! its own.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes of memory that there are for this process; `None` where nothing tells.
pub fn memory() -> Option<usize> {
    let bounds = [
        machine(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        control_group(),
        rlimit::Resource::AS.get_soft().ok(),
    ];
    let least = bounds.into_iter().flatten().min()?;
    Some(usize::try_from(least).unwrap_or(usize::MAX))
}

/// `MemTotal:       16384 kB`
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The least bound of the process's control group and those that it is in.
fn control_group() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let files = groups.lines().filter_map(bounds_of);
    let bounds = files.flatten().filter_map(|file| {
        // `max` is no bound, and version 1 has a huge number for it.
        fs::read_to_string(file).ok()?.trim().parse().ok()
    });
    bounds.min()
}

/// The files with the bounds of a line of `/proc/self/cgroup`: `0::/a/b`, or `4:memory:/a/b` in
/// version 1. In a container the path may be another's, and the bound stands at the top.
fn bounds_of(line: &str) -> Option<Vec<PathBuf>> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|name| name == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let path = Path::new(path.trim_start_matches('/'));
    let groups = path
        .ancestors()
        .map(|group| Path::new(root).join(group).join(file));
    Some(groups.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_tells() {
        assert_eq!(
            machine("MemTotal:       16384 kB\nMemFree: 1 kB\n"),
            Some(16 << 20)
        );
        assert_eq!(machine(""), None);
        assert!(memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn groups_are_bounded_by_those_that_they_are_in() {
        let shown = |line| {
            let files = bounds_of(line)?;
            Some(
                files
                    .iter()
                    .map(|file| file.display().to_string())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            shown("0::/a/b").expect("version 2"),
            [
                "/sys/fs/cgroup/a/b/memory.max",
                "/sys/fs/cgroup/a/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        let first = shown("4:cpu,memory:/a").expect("version 1");
        assert_eq!(first[0], "/sys/fs/cgroup/memory/a/memory.limit_in_bytes");
        assert_eq!(shown("5:cpu:/a"), None);
        assert_eq!(shown(""), None);
    }
}
