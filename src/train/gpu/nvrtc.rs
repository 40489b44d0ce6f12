//! NVRTC: the kernel's text to machine code of a GPU.

use std::collections::HashMap;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};

use super::kernel_cache::KernelCache;
use crate::train::device::nvidia::NVRTC;

type Handle = *mut c_void;

/// Calls a function of NVRTC, found by its name; its codes have no names here.
macro_rules! nvrtc {
    ($name:ident($($argument:expr => $kind:ty),* $(,)?)) => {{
        type Function = unsafe extern "C" fn($($kind),*) -> c_uint;
        // SAFETY: the signatures are those of NVIDIA's header.
        match unsafe { NVRTC.function::<Function>(stringify!($name)) } {
            // SAFETY: the arguments are alive, and as large as they are said to be.
            Some(function) => Ok(unsafe { function($($argument),*) }),
            None => Err(NVRTC.lacks(stringify!($name))),
        }
    }};
}

/// What a kernel is compiled to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Target {
    /// Machine code of a compute capability.
    Machine(usize),
    /// Code for this capability and later ones, which the driver translates: a GPU that is newer than NVRTC.
    Portable(usize),
}

impl Target {
    /// The target for a GPU of this capability, of those that NVRTC knows.
    fn of(capability: usize, known: &[usize]) -> Option<Self> {
        let best = known.iter().copied().filter(|known| *known <= capability).max()?;
        Some(if best == capability { Self::Machine(best) } else { Self::Portable(best) })
    }

    fn option(self) -> String {
        match self {
            Self::Machine(capability) => format!("--gpu-architecture=sm_{capability}"),
            Self::Portable(capability) => format!("--gpu-architecture=compute_{capability}"),
        }
    }
}

/// Code by the text and the target that it was compiled for.
type Compiled = HashMap<(String, Target), Vec<u8>>;

/// A text as NVRTC has it.
struct Program(Handle);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = nvrtc!(nvrtcDestroyProgram(&mut self.0 => *mut Handle));
    }
}

/// Code of a kernel for GPUs of a compute capability, as the driver loads it; compiled once for each text, and kept on
/// disk for later runs.
///
/// # Errors
/// There is no NVRTC, it does not know GPUs this old, or the text does not compile.
pub fn compile(text: &str, capability: usize) -> Result<Vec<u8>> {
    static COMPILED: Mutex<Option<Compiled>> = Mutex::new(None);
    let known = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Target::of(capability, &capabilities()?)
        .with_context(|| format!("NVRTC compiles nothing for GPUs of compute capability {capability}"))?;
    let key = (text.to_owned(), target);
    if let Some(code) = known().as_ref().and_then(|compiled| compiled.get(&key)) {
        return Ok(code.clone());
    }
    let code = from_disk_or(text, target, || compile_for(text, target))?;
    known().get_or_insert_default().insert(key, code.clone());
    Ok(code)
}

/// The code of an earlier run, or else what `compile` makes, which is kept for later runs.
fn from_disk_or(text: &str, target: Target, compile: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let Some(cache) = KernelCache::of_user(|name| std::env::var_os(name)).filter(|_| !cfg!(test)) else {
        return compile();
    };
    let origin = format!("NVRTC {:?} {}\n{text}", version()?, target.option());
    if let Some(code) = cache.find(&origin) {
        return Ok(code);
    }
    let code = compile()?;
    if let Err(error) = cache.keep(&origin, &code) {
        tracing::warn!(%error, "the compiled kernel is not kept");
    }
    Ok(code)
}

/// NVRTC's version.
fn version() -> Result<[c_int; 2]> {
    let mut version = [0; 2];
    let [major, minor] = &mut version;
    ensure!(nvrtc!(nvrtcVersion(major => *mut c_int, minor => *mut c_int))? == 0, "NVRTC does not answer");
    Ok(version)
}

/// The compute capabilities that this NVRTC knows.
fn capabilities() -> Result<Vec<usize>> {
    let mut count: c_int = 0;
    ensure!(nvrtc!(nvrtcGetNumSupportedArchs(&mut count => *mut c_int))? == 0, "NVRTC does not answer");
    let mut all: Vec<c_int> = vec![0; count.max(0) as usize];
    ensure!(nvrtc!(nvrtcGetSupportedArchs(all.as_mut_ptr() => *mut c_int))? == 0, "NVRTC does not answer");
    Ok(all.into_iter().map(|one| one.max(0) as usize).collect())
}

fn compile_for(text: &str, target: Target) -> Result<Vec<u8>> {
    let source = CString::new(text).context("the kernel's text")?;
    let name = CString::new("train.cu").context("the kernel's name")?;
    let mut program = Program(null_mut());
    let created = nvrtc!(nvrtcCreateProgram(
        &mut program.0 => *mut Handle, source.as_ptr() => *const c_char, name.as_ptr() => *const c_char,
        0 => c_int, null() => *const *const c_char, null() => *const *const c_char,
    ))?;
    ensure!(created == 0, "NVRTC does not take the kernel: error {created}");
    // Divisions and roots to the last bit cost more than they are worth here; sums and products are exact anyway.
    let options = [&target.option(), "--std=c++17", "--prec-div=false", "--prec-sqrt=false"];
    let options = options.map(|option| CString::new(option).unwrap_or_default());
    let pointers = options.each_ref().map(|option| option.as_ptr());
    let done = nvrtc!(nvrtcCompileProgram(
        program.0 => Handle, pointers.len().try_into()? => c_int, pointers.as_ptr() => *const *const c_char,
    ))?;
    if done != 0 {
        let mut size = 0usize;
        let sized = nvrtc!(nvrtcGetProgramLogSize(program.0 => Handle, &mut size => *mut usize))?;
        let mut log = vec![0u8; if sized == 0 { size } else { 0 }];
        if !log.is_empty() {
            nvrtc!(nvrtcGetProgramLog(program.0 => Handle, log.as_mut_ptr().cast() => *mut c_char))?;
        }
        let log = String::from_utf8_lossy(&log);
        tracing::error!(%log, "NVRTC");
        let first = log.lines().find(|line| line.contains("error")).unwrap_or("no reason given").to_owned();
        bail!("the kernel does not compile: {first}");
    }
    let mut size = 0usize;
    let sized = match target {
        Target::Machine(_) => nvrtc!(nvrtcGetCUBINSize(program.0 => Handle, &mut size => *mut usize))?,
        Target::Portable(_) => nvrtc!(nvrtcGetPTXSize(program.0 => Handle, &mut size => *mut usize))?,
    };
    ensure!(sized == 0 && size > 0, "NVRTC gives no code for {}", target.option());
    let mut code = vec![0u8; size];
    let written = match target {
        Target::Machine(_) => nvrtc!(nvrtcGetCUBIN(program.0 => Handle, code.as_mut_ptr().cast() => *mut c_char))?,
        Target::Portable(_) => nvrtc!(nvrtcGetPTX(program.0 => Handle, code.as_mut_ptr().cast() => *mut c_char))?,
    };
    ensure!(written == 0, "NVRTC gives no code for {}", target.option());
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_is_newer_than_nvrtc_gets_portable_code() {
        let known = [75, 80, 86, 89, 90];
        assert_eq!(Target::of(90, &known), Some(Target::Machine(90)));
        assert_eq!(Target::of(120, &known), Some(Target::Portable(90)));
        assert_eq!(Target::of(87, &known), Some(Target::Portable(86)));
        assert_eq!(Target::of(61, &known), None);
    }
}
