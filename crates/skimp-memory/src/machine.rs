//! How much memory there is.

use std::path::Path;

use crate::Size;

/// Memory of the machine, or of the control group (container) that the process is confined to if that is less. `None`
/// where the system does not say: it is read from Linux's `/proc` and `/sys/fs/cgroup`.
pub fn machine() -> Option<Size> {
    let total = total(&std::fs::read_to_string("/proc/meminfo").ok()?)?;
    let group = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Some(Size(group_limit(&group, Path::new("/sys/fs/cgroup")).map_or(total, |limit| limit.min(total))))
}

/// `MemTotal` in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The least limit of the process's control groups and those above them: version 2 in one tree, version 1 under
/// `memory`. In a container the group's path may be the host's; the limit then stands at the root that it sees.
fn group_limit(groups: &str, root: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        let (folder, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            named if named.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => return None,
        };
        let limit = |path: &Path| std::fs::read_to_string(folder.join(path).join(file)).ok()?.trim().parse().ok();
        Path::new(path).ancestors().filter_map(limit).min()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        assert_eq!(total("MemTotal:       24000000 kB\nMemFree: 1 kB\n"), Some(24_000_000 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        #[cfg(target_os = "linux")]
        assert!(machine().unwrap() > Size(1 << 26));
    }

    #[test]
    fn the_least_limit_of_the_groups_above_holds() {
        let root = tempfile_folder();
        let put = |path: &str, file: &str, text: &str| {
            std::fs::create_dir_all(root.join(path)).unwrap();
            std::fs::write(root.join(path).join(file), text).unwrap();
        };
        assert_eq!(group_limit("0::/user/run\n", &root), None);
        put("user/run", "memory.max", "max\n");
        assert_eq!(group_limit("0::/user/run\n", &root), None);
        put("user", "memory.max", "1000\n");
        put("", "memory.max", "2000\n");
        assert_eq!(group_limit("0::/user/run\n", &root), Some(1000));
        // A path of the host, seen from within a container.
        assert_eq!(group_limit("0::/docker/abc\n", &root), Some(2000));
        put("memory/job", "memory.limit_in_bytes", "500\n");
        assert_eq!(group_limit("5:cpu,cpuacct:/job\n4:memory:/job\n", &root), Some(500));
        std::fs::remove_dir_all(&root).unwrap();
    }

    fn tempfile_folder() -> std::path::PathBuf {
        let folder = std::env::temp_dir().join(format!("skimp-memory-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
}
