//! Which signals end a run, and which are left alone.
//!
//! Owns the list of them. A signal that is ignored when the program starts (`nohup`, a job in the background of a
//! script) stays ignored. Knows nothing of what is done about a signal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::flag;

/// Upon these a run is saved, and the program ends with 128 + the number. Slurm and grid engines announce a time limit
/// by USR1, USR2 or XCPU.
const ENDING: [(i32, &str); 7] = [
    (SIGINT, "INT"),
    (SIGTERM, "TERM"),
    (SIGHUP, "HUP"),
    (SIGQUIT, "QUIT"),
    (SIGUSR1, "USR1"),
    (SIGUSR2, "USR2"),
    (SIGXCPU, "XCPU"),
];

/// Those that a person sends by a key. A second one ends the program at once; batch systems repeat the others.
pub const FROM_KEYS: [i32; 2] = [SIGINT, SIGQUIT];

/// The terminal has another size.
pub const RESIZED: i32 = SIGWINCH;
/// The process was stopped and goes on.
pub const CONTINUED: i32 = SIGCONT;
/// The process is to stop until it is continued.
pub const SUSPENDED: i32 = SIGTSTP;

/// The signals that end a run, without those that are ignored. To be called before handlers are installed.
pub fn ending() -> Vec<i32> {
    ENDING.iter().map(|(number, _)| *number).filter(|number| !is_ignored(*number)).collect()
}

/// The name of a signal of [`ending`], without SIG.
pub fn name(number: i32) -> Option<&'static str> {
    ENDING.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
}

/// Whether the process ignores a signal.
#[allow(unsafe_code, reason = "no safe crate reads a signal's action without changing it")]
pub fn is_ignored(number: i32) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: with a null new action, sigaction(2) only writes the present one to `action`, which is large enough and
    // valid when zeroed.
    let action = unsafe {
        if libc::sigaction(number, std::ptr::null(), action.as_mut_ptr()) != 0 {
            return false;
        }
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Makes a write beyond the limit on file sizes (`ulimit -f`) an error instead of the end of the process.
pub fn survive_file_size_limit() -> io::Result<()> {
    // A handler that does nothing is enough: the write fails with EFBIG then.
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_run_has_a_name_and_standard_output_s_pipe_is_ignored() {
        assert!(ending().iter().all(|number| name(*number).is_some()));
        assert_eq!(name(SIGTERM), Some("TERM"));
        assert_eq!(name(SIGWINCH), None);
        // Rust's runtime ignores it before main.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(SIGWINCH));
    }
}
