//! What the machine has.

use std::path::Path;

/// Mebibytes of memory that this process may take: the machine's, or those of the control group it is in; `None` where neither is known.
pub(crate) fn memory_mib() -> Option<usize> {
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let of_group = limits.iter().filter_map(|path| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok());
    let all = of_group.map(|bytes| bytes >> 20).chain(installed_mib(Path::new("/proc/meminfo")));
    all.min().and_then(|mib| usize::try_from(mib).ok())
}

/// `MemTotal` of Linux's figures of memory.
fn installed_mib(figures: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(figures).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib >> 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_mebibytes() {
        let folder = tempfile::tempdir().expect("folder");
        let figures = folder.path().join("meminfo");
        std::fs::write(&figures, "MemTotal:       24684092 kB\nMemFree:        16789632 kB\n").expect("written");
        assert_eq!(installed_mib(&figures), Some(24_105));
        assert_eq!(installed_mib(&folder.path().join("none")), None);
    }
}
