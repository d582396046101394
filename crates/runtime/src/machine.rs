//! What this machine has, as far as its control groups let this process use it.
//!
//! Control groups of both versions are read, from the own one up to the root of what is mounted: the smallest limit counts.

use std::path::{Path, PathBuf};

/// What there is for this process, whoever uses it now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Memory of the machine or, if less, of the control group.
    pub memory_bytes: u64,
    /// Thousandths of a core.
    pub cpu_millis: u64,
    /// Most descriptors of this process.
    pub descriptors: u64,
    /// Size of `/dev/shm`.
    pub shm_bytes: u64,
}

/// This machine.
#[derive(Clone, Debug)]
pub struct Machine {
    proc: PathBuf,
    /// Control groups that may limit memory, the own one first.
    memory: Vec<MemoryGroup>,
    /// The same of cores.
    cpu: Vec<CpuGroup>,
}

#[derive(Clone, Debug)]
struct MemoryGroup {
    dir: PathBuf,
    files: &'static MemoryFiles,
}

/// What the files of a version are called.
#[derive(Debug)]
struct MemoryFiles {
    limit: &'static str,
    usage: &'static str,
    /// In `memory.stat`: caches that are given up when memory gets short.
    reclaimable: &'static [&'static str],
}

const MEMORY_V1: MemoryFiles = MemoryFiles {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaimable: &["total_inactive_file", "total_active_file"],
};
const MEMORY_V2: MemoryFiles = MemoryFiles {
    limit: "memory.max",
    usage: "memory.current",
    reclaimable: &["inactive_file", "active_file", "slab_reclaimable"],
};
/// What version 1 says when there is no limit is beyond this.
const NO_LIMIT: u64 = 1 << 60;

#[derive(Clone, Debug)]
enum CpuGroup {
    V1(PathBuf),
    V2(PathBuf),
}

impl Machine {
    /// The one that this process runs on, and the control groups that it is in now.
    #[must_use]
    pub fn here() -> Self {
        Self::at(Path::new("/proc"), Path::new("/sys/fs/cgroup"))
    }

    fn at(proc: &Path, cgroup: &Path) -> Self {
        let membership = std::fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
        let (mut memory, mut cpu) = (Vec::new(), Vec::new());
        for (controllers, path) in membership.lines().filter_map(member) {
            match controllers {
                "" if cgroup.join("cgroup.controllers").exists() => {
                    let levels = levels(cgroup, path);
                    memory.extend(levels.iter().map(|dir| MemoryGroup { dir: dir.clone(), files: &MEMORY_V2 }));
                    cpu.extend(levels.into_iter().map(CpuGroup::V2));
                }
                _ => {
                    if let Some(root) = mount(cgroup, controllers, "memory") {
                        let group = |dir| MemoryGroup { dir, files: &MEMORY_V1 };
                        memory.extend(levels(&root, path).into_iter().map(group));
                    }
                    if let Some(root) = mount(cgroup, controllers, "cpu") {
                        cpu.extend(levels(&root, path).into_iter().map(CpuGroup::V1));
                    }
                }
            }
        }
        Self { proc: proc.to_owned(), memory, cpu }
    }

    /// What there is. Blocks for some file reads.
    #[must_use]
    pub fn size(&self) -> Size {
        let shm_bytes = rustix::fs::statvfs("/dev/shm").map_or(0, |shm| shm.f_blocks.saturating_mul(shm.f_frsize));
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
        Size { memory_bytes: self.memory_bytes(), cpu_millis: self.cpu_millis(cores), descriptors, shm_bytes }
    }

    /// Memory that can still be had, by the machine and by every control group. None if the machine does not say. Blocks
    /// for some file reads.
    #[must_use]
    pub fn available_bytes(&self) -> Option<u64> {
        let machine = self.meminfo("MemAvailable:")?;
        Some(self.memory.iter().filter_map(MemoryGroup::left).fold(machine, u64::min))
    }

    fn memory_bytes(&self) -> u64 {
        let machine = self.meminfo("MemTotal:").unwrap_or(0);
        self.memory.iter().filter_map(MemoryGroup::limit).fold(machine, u64::min)
    }

    fn cpu_millis(&self, cores: u64) -> u64 {
        let quota = self.cpu.iter().filter_map(CpuGroup::quota_millis).min();
        match quota {
            // The number of cores is that of the quota already, rounded down.
            Some(quota) if quota / 1_000 == cores => quota,
            Some(quota) => quota.min(cores * 1_000),
            None => cores * 1_000,
        }
    }

    fn meminfo(&self, name: &str) -> Option<u64> {
        let text = std::fs::read_to_string(self.proc.join("meminfo")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1_024)
    }
}

impl MemoryGroup {
    fn limit(&self) -> Option<u64> {
        number(&self.dir.join(self.files.limit)).filter(|limit| *limit < NO_LIMIT)
    }

    fn left(&self) -> Option<u64> {
        let limit = self.limit()?;
        let usage = number(&self.dir.join(self.files.usage))?;
        let stat = std::fs::read_to_string(self.dir.join("memory.stat")).unwrap_or_default();
        let figures = stat.lines().filter_map(|line| line.split_once(' '));
        let reclaimable = figures.filter(|(name, _)| self.files.reclaimable.contains(name));
        let reclaimable = reclaimable.filter_map(|(_, bytes)| bytes.trim().parse().ok()).fold(0, u64::saturating_add);
        Some(limit.saturating_sub(usage.saturating_sub(reclaimable)))
    }
}

impl CpuGroup {
    fn quota_millis(&self) -> Option<u64> {
        let (quota, period): (u64, u64) = match self {
            Self::V1(dir) => (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?),
            Self::V2(dir) => {
                let text = std::fs::read_to_string(dir.join("cpu.max")).ok()?;
                let (quota, period) = text.trim().split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            }
        };
        quota.saturating_mul(1_000).checked_div(period)
    }
}

/// Controllers and path of a line of `/proc/self/cgroup`.
fn member(line: &str) -> Option<(&str, &str)> {
    line.split_once(':')?.1.split_once(':')
}

/// Where a controller of version 1 is mounted, if it is one of these.
fn mount(cgroup: &Path, controllers: &str, wanted: &str) -> Option<PathBuf> {
    let one_of_them = controllers.split(',').any(|controller| controller == wanted);
    let places = one_of_them.then(|| [cgroup.join(controllers), cgroup.join(wanted)])?;
    places.into_iter().find(|place| place.is_dir())
}

/// The group at `path` and all above it, as far as they can be seen: in a container the path may be that of the machine.
fn levels(root: &Path, path: &str) -> Vec<PathBuf> {
    let own = root.join(path.trim_start_matches('/'));
    own.ancestors().take_while(|dir| dir.starts_with(root)).filter(|dir| dir.is_dir()).map(Path::to_owned).collect()
}

/// A file with a number in it. None for `max` and `-1`.
fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// `/proc` and `/sys/fs/cgroup` of a machine with 8 GiB, of which 6 can be had.
    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let dir = tempfile::tempdir().unwrap();
        let meminfo = format!("MemTotal: {} kB\nMemAvailable:   {} kB\n", 8 << 20, 6 << 20);
        for (path, text) in [("proc/meminfo", meminfo.as_str())].iter().chain(files) {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = Machine::at(&dir.path().join("proc"), &dir.path().join("cgroup"));
        (dir, machine)
    }

    #[test]
    fn without_control_groups_it_is_the_machine() {
        let (_dir, machine) = machine(&[]);
        assert_eq!((machine.memory_bytes(), machine.available_bytes()), (8 * GIB, Some(6 * GIB)));
        assert_eq!(machine.cpu_millis(4), 4_000);
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_counts_in_version_2() {
        let (_dir, machine) = machine(&[
            ("proc/self/cgroup", "0::/pod/worker\n"),
            ("cgroup/cgroup.controllers", "cpu memory\n"),
            ("cgroup/pod/memory.max", "2147483648\n"),
            ("cgroup/pod/memory.current", "1610612736\n"),
            (
                "cgroup/pod/memory.stat",
                "anon 5\ninactive_file 268435456\nactive_file 134217728\nslab_reclaimable 134217728\n",
            ),
            ("cgroup/pod/cpu.max", "150000 100000\n"),
            ("cgroup/pod/worker/memory.max", "max\n"),
            ("cgroup/pod/worker/cpu.max", "max 100000\n"),
        ]);
        assert_eq!((machine.memory_bytes(), machine.available_bytes()), (2 * GIB, Some(GIB)));
        assert_eq!((machine.cpu_millis(1), machine.cpu_millis(8)), (1_500, 1_500));
    }

    #[test]
    fn version_1_is_read_also_where_the_path_is_not_to_be_seen() {
        let (_dir, machine) = machine(&[
            ("proc/self/cgroup", "5:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "3221225472\n"),
            ("cgroup/memory/memory.usage_in_bytes", "1073741824\n"),
            ("cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 1048576\ntotal_active_file 1048576\n"),
            ("cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!((machine.memory_bytes(), machine.available_bytes()), (3 * GIB, Some(2 * GIB + (2 << 20))));
        assert_eq!(machine.cpu_millis(2), 500);
    }

    #[test]
    fn no_limit_is_none_in_version_1() {
        let (_dir, machine) = machine(&[
            ("proc/self/cgroup", "4:memory:/\n2:cpu:/\n"),
            ("cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("cgroup/memory/memory.usage_in_bytes", "1\n"),
            ("cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!((machine.memory_bytes(), machine.available_bytes()), (8 * GIB, Some(6 * GIB)));
        assert_eq!(machine.cpu_millis(2), 2_000);
    }

    #[test]
    fn this_machine_has_something() {
        let machine = Machine::here();
        let size = machine.size();
        assert!(size.memory_bytes > 0 && size.cpu_millis > 0 && size.descriptors > 0, "{size:?}");
        assert!(machine.available_bytes().unwrap() <= size.memory_bytes.max(1) * 2);
    }
}
