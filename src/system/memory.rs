//! How much memory a run on this machine's processor may take.
//!
//! The least of what is installed, what the control groups around the process allow (containers and batch systems set
//! these), what Slurm has granted, and the process's own limit on its address space.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// A number of bytes, and who limits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    pub bytes: u128,
    pub by: &'static str,
}

/// The bytes that a run may take: half of what the process may, because a machine that swaps or a process that is
/// killed is worse than an error.
pub fn for_a_run() -> MemoryLimit {
    let variable = |name: &str| std::env::var_os(name);
    let limits = [installed(), address_space(), granted_by_slurm(variable), allowed_by_cgroups(Path::new("/"))];
    let least = limits.into_iter().flatten().min_by_key(|limit| limit.bytes);
    let MemoryLimit { bytes, by } = least.unwrap_or(UNKNOWN);
    MemoryLimit { bytes: bytes / 2, by }
}

/// Where the system does not say: as much as is usual.
const UNKNOWN: MemoryLimit = MemoryLimit { bytes: 16 << 30, by: "this machine" };

#[cfg(target_os = "linux")]
fn installed() -> Option<MemoryLimit> {
    let system = rustix::system::sysinfo();
    Some(MemoryLimit { bytes: system.totalram as u128 * u128::from(system.mem_unit), by: "this machine" })
}

#[cfg(not(target_os = "linux"))]
fn installed() -> Option<MemoryLimit> {
    None
}

/// `ulimit -v`.
fn address_space() -> Option<MemoryLimit> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As);
    limit.current.map(|bytes| MemoryLimit { bytes: bytes.into(), by: "ulimit -v" })
}

/// What Slurm has granted on this node, which it may enforce by killing. Its variables are in MiB; 0 means all that the
/// node has.
fn granted_by_slurm(variable: impl Fn(&str) -> Option<OsString>) -> Option<MemoryLimit> {
    let number = |name: &str| variable(name)?.to_str()?.trim().parse::<u64>().ok().filter(|number| *number > 0);
    let times = |each: &str, count: &str| Some(number(each)?.saturating_mul(number(count).unwrap_or(1)));
    let mebibytes = number("SLURM_MEM_PER_NODE")
        .or_else(|| times("SLURM_MEM_PER_CPU", "SLURM_CPUS_ON_NODE"))
        .or_else(|| times("SLURM_MEM_PER_GPU", "SLURM_GPUS_ON_NODE"))?;
    Some(MemoryLimit { bytes: u128::from(mebibytes) << 20, by: "Slurm" })
}

/// The least limit of the control groups that the process is in and of all groups around them. `root` is the root of
/// the file system.
fn allowed_by_cgroups(root: &Path) -> Option<MemoryLimit> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mount = root.join("sys/fs/cgroup");
    // A line is number:controllers:path. Version 2 has the number 0 and no controllers.
    let versions = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            // In the hybrid form, version 2 is mounted beside version 1.
            "" => Some((vec![mount.clone(), mount.join("unified")], path, &["memory.max", "memory.high"][..])),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                Some((vec![mount.join("memory")], path, &["memory.limit_in_bytes"][..]))
            }
            _ => None,
        }
    });
    let limits = versions.flat_map(|(mounts, path, files)| {
        let folders = mounts.into_iter().flat_map(|mount| ancestors(&mount, path));
        folders.flat_map(|folder| files.iter().map(move |file| folder.join(file)))
    });
    // "max" is no number and no limit; version 1 has a huge number then.
    let least = limits.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok()).min()?;
    Some(MemoryLimit { bytes: least.into(), by: "a control group (container or batch system)" })
}

/// A group's folder and those of all groups around it, up to the mount. In a container the path may be one of the host,
/// which does not exist here; the mount itself always does.
fn ancestors(mount: &Path, path: &str) -> Vec<PathBuf> {
    let group = mount.join(path.trim_start_matches('/'));
    group.ancestors().take_while(|folder| folder.starts_with(mount)).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_memory_for_the_lab() {
        assert!(for_a_run().bytes > 100 << 20);
    }

    /// The limit in a file system with these files.
    fn limit(files: &[(&str, &str)]) -> Option<u128> {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        allowed_by_cgroups(root.path()).map(|limit| limit.bytes)
    }

    #[test]
    fn the_least_limit_of_all_groups_around_the_process_counts() {
        let own = ("proc/self/cgroup", "0::/slurm/job_7/step_0\n");
        let outer = ("sys/fs/cgroup/slurm/job_7/memory.max", "1000000\n");
        let inner = ("sys/fs/cgroup/slurm/job_7/step_0/memory.max", "max\n");
        assert_eq!(limit(&[own, outer, inner]), Some(1_000_000));
        let lower = ("sys/fs/cgroup/slurm/memory.high", "900000\n");
        assert_eq!(limit(&[own, outer, inner, lower]), Some(900_000));
        assert_eq!(limit(&[own, inner]), None);
        // In a container the process sees its own group as the mount.
        assert_eq!(limit(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "5000\n")]), Some(5000));
        assert_eq!(limit(&[own, ("sys/fs/cgroup/memory.max", "5000\n")]), Some(5000));
        assert_eq!(limit(&[]), None);
    }

    #[test]
    fn version_1_and_the_hybrid_are_known() {
        let own = ("proc/self/cgroup", "12:cpu,cpuacct:/a\n9:memory:/docker/abc\n0::/docker/abc\n");
        let unlimited = ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "9223372036854771712\n");
        let outer = ("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "2000000\n");
        assert_eq!(limit(&[own, unlimited, outer]), Some(2_000_000));
        let unified = ("sys/fs/cgroup/unified/docker/memory.max", "1000\n");
        assert_eq!(limit(&[own, unlimited, outer, unified]), Some(1000));
    }

    #[test]
    fn slurm_s_variables_are_read() {
        let granted = |variables: &'static [(&str, &str)]| {
            let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
            granted_by_slurm(variable).map(|limit| limit.bytes >> 20)
        };
        assert_eq!(granted(&[("SLURM_MEM_PER_NODE", "4096")]), Some(4096));
        assert_eq!(granted(&[("SLURM_MEM_PER_CPU", "500"), ("SLURM_CPUS_ON_NODE", "8")]), Some(4000));
        assert_eq!(granted(&[("SLURM_MEM_PER_GPU", "500"), ("SLURM_GPUS_ON_NODE", "2")]), Some(1000));
        assert_eq!(granted(&[("SLURM_MEM_PER_NODE", "0")]), None);
        assert_eq!(granted(&[("SLURM_MEM_PER_NODE", "all")]), None);
        assert_eq!(granted(&[]), None);
    }
}
