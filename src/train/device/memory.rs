//! How much memory a run on the CPU may use.

use std::fs;

/// Bytes that a run may use: half of the memory, because an error is better than a machine that swaps.
pub fn for_a_run() -> u128 {
    installed().min(container_limit().unwrap_or(u128::MAX)) / 2
}

#[cfg(target_os = "linux")]
fn installed() -> u128 {
    let system = rustix::system::sysinfo();
    system.totalram as u128 * u128::from(system.mem_unit)
}

/// A usual size, on systems without `sysinfo`.
#[cfg(not(target_os = "linux"))]
fn installed() -> u128 {
    16 << 30
}

/// The limit of the container that the program runs in, if it has one.
fn container_limit() -> Option<u128> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_run_may_use_100_mib() {
        assert!(super::for_a_run() > 100 << 20);
    }
}
