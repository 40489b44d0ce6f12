//! How much memory this machine has for a run on its processor.

use std::fs;

/// Bytes that a run may take: half of what there is, because a swapping machine is worse than an error.
pub fn for_a_run() -> u128 {
    installed().min(granted().unwrap_or(u128::MAX)) / 2
}

#[cfg(target_os = "linux")]
fn installed() -> u128 {
    let system = rustix::system::sysinfo();
    system.totalram as u128 * u128::from(system.mem_unit)
}

/// Where the system is not asked, as much as is usual.
#[cfg(not(target_os = "linux"))]
fn installed() -> u128 {
    16 << 30
}

/// What the container that the program runs in may take, if it is in one.
fn granted() -> Option<u128> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_room_for_the_lab() {
        assert!(super::for_a_run() > 100 << 20);
    }
}
