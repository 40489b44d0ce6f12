//! The NVIDIA driver: a GPU, its memory, and a kernel on it.
//!
//! Its functions work on the context that is current in the calling thread, so a [`Gpu`] is made current before any of
//! them is called. All work of a context is done in the order in which it was given; copies to the host wait for it.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::plan::GpuSize;
use crate::train::device::nvidia::DRIVER;

type Handle = *mut c_void;
type Address = u64;

/// CU_DEVICE_ATTRIBUTE_…
const MULTIPROCESSORS: c_uint = 16;
const MAJOR: c_uint = 75;
const MINOR: c_uint = 76;
const SHARED_MULTIPROCESSOR: c_uint = 81;
const COOPERATIVE: c_uint = 95;
const SHARED_BLOCK: c_uint = 97;
/// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES.
const DYNAMIC_SHARED: c_uint = 8;

/// Calls a function of the driver, found by its name; a code that is not zero is an error with the driver's name for
/// it.
macro_rules! driver {
    ($name:ident($($argument:expr => $kind:ty),* $(,)?)) => {{
        type Function = unsafe extern "C" fn($($kind),*) -> c_uint;
        // SAFETY: the signatures are those of NVIDIA's header.
        match unsafe { DRIVER.function::<Function>(stringify!($name)) } {
            // SAFETY: the arguments are alive, and as large as they are said to be.
            Some(function) => checked(unsafe { function($($argument),*) }),
            None => Err(DRIVER.lacks(stringify!($name))),
        }
    }};
}

fn checked(code: c_uint) -> Result<()> {
    if code == 0 {
        return Ok(());
    }
    type Name = unsafe extern "C" fn(c_uint, *mut *const c_char) -> c_uint;
    let mut text = null();
    // SAFETY: the name is a constant of the driver.
    let name = unsafe {
        DRIVER.function::<Name>("cuGetErrorName").map(|function| function(code, &mut text));
        if text.is_null() { format!("error {code}") } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Err(anyhow!("the device could not compute: {name}"))
}

/// A GPU and the program's one context on it, which is kept as long as this exists.
pub struct Gpu {
    device: c_int,
    context: Handle,
}

impl Gpu {
    /// The GPU of a number in CUDA, made current in this thread.
    pub fn open(number: usize) -> Result<Self> {
        driver!(cuInit(0 => c_uint))?;
        let (mut device, mut context) = (0, null_mut());
        driver!(cuDeviceGet(&mut device => *mut c_int, number.try_into()? => c_int))?;
        driver!(cuDevicePrimaryCtxRetain(&mut context => *mut Handle, device => c_int))?;
        let gpu = Self { device, context };
        gpu.make_current()?;
        ensure!(gpu.attribute(COOPERATIVE)? == 1, "the GPU cannot hold all blocks of a kernel at once");
        Ok(gpu)
    }

    /// Makes the GPU current in this thread.
    pub fn make_current(&self) -> Result<()> {
        driver!(cuCtxSetCurrent(self.context => Handle))
    }

    pub fn size(&self) -> Result<GpuSize> {
        Ok(GpuSize {
            multiprocessors: self.attribute(MULTIPROCESSORS)?,
            shared_block: self.attribute(SHARED_BLOCK)?,
            shared_multiprocessor: self.attribute(SHARED_MULTIPROCESSOR)?,
        })
    }

    /// The compute capability: 90 for 9.0.
    pub fn capability(&self) -> Result<usize> {
        Ok(10 * self.attribute(MAJOR)? + self.attribute(MINOR)?)
    }

    fn attribute(&self, which: c_uint) -> Result<usize> {
        let mut value = 0;
        driver!(cuDeviceGetAttribute(&mut value => *mut c_int, which => c_uint, self.device => c_int))?;
        Ok(value.max(0) as usize)
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let _ = driver!(cuDevicePrimaryCtxRelease_v2(self.device => c_int));
    }
}

/// Memory of the GPU that is current, in values of four bytes; it begins as zeros.
pub struct Memory {
    address: Address,
    count: usize,
}

impl Memory {
    pub fn new(count: usize) -> Result<Self> {
        // The driver gives no empty memory.
        let count = count.max(1);
        let mut address = 0;
        driver!(cuMemAlloc_v2(&mut address => *mut Address, 4 * count => usize))?;
        let memory = Self { address, count };
        memory.zero()?;
        Ok(memory)
    }

    pub fn address(&self) -> u64 {
        self.address
    }

    pub fn zero(&self) -> Result<()> {
        driver!(cuMemsetD8_v2(self.address => Address, 0 => u8, 4 * self.count => usize))
    }

    /// Copies values to the start of the memory.
    pub fn write<T: Copy>(&self, values: &[T]) -> Result<()> {
        let bytes = size_of_val(values);
        ensure!(bytes <= 4 * self.count, "{bytes} bytes do not fit");
        if bytes == 0 {
            return Ok(());
        }
        driver!(cuMemcpyHtoD_v2(self.address => Address, values.as_ptr().cast() => *const c_void, bytes => usize))
    }

    /// The first `count` values, once all that was ordered before is done.
    pub fn read(&self, count: usize) -> Result<Vec<f32>> {
        ensure!(count <= self.count, "there are {} values, not {count}", self.count);
        let mut values = vec![0f32; count];
        if count > 0 {
            driver!(
                cuMemcpyDtoH_v2(values.as_mut_ptr().cast() => *mut c_void, self.address => Address, 4 * count => usize)
            )?;
        }
        Ok(values)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A GPU that is lost has lost this too.
        let _ = driver!(cuMemFree_v2(self.address => Address));
    }
}

/// A kernel, loaded on the GPU that is current.
pub struct KernelFunction {
    module: Handle,
    function: Handle,
    threads: c_uint,
    /// Bytes of shared memory of a block.
    shared: c_uint,
}

impl KernelFunction {
    /// Loads machine code, or PTX that ends with a zero byte, and prepares its kernel `train`.
    pub fn load(code: &[u8], threads: usize, shared: usize) -> Result<Self> {
        let (threads, shared) = (threads.try_into()?, shared.try_into()?);
        let mut module = null_mut();
        driver!(cuModuleLoadData(&mut module => *mut Handle, code.as_ptr().cast() => *const c_void))?;
        let mut kernel = Self { module, function: null_mut(), threads, shared };
        let name = CString::new("train").context("the kernel's name")?;
        driver!(cuModuleGetFunction(
            &mut kernel.function => *mut Handle, kernel.module => Handle, name.as_ptr() => *const c_char,
        ))?;
        driver!(cuFuncSetAttribute(
            kernel.function => Handle, DYNAMIC_SHARED => c_uint, c_int::try_from(shared)? => c_int,
        ))?;
        Ok(kernel)
    }

    /// Blocks that a multiprocessor holds at once.
    pub fn resident(&self) -> Result<usize> {
        let mut blocks = 0;
        driver!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
            &mut blocks => *mut c_int, self.function => Handle, self.threads.try_into()? => c_int,
            self.shared as usize => usize,
        ))?;
        ensure!(blocks > 0, "a block of the kernel does not fit into a multiprocessor");
        Ok(blocks as usize)
    }

    /// Orders a launch of so many blocks, all at once, and returns.
    pub fn launch<T: Copy>(&self, blocks: usize, mut argument: T) -> Result<()> {
        // The driver copies the argument before it returns.
        let mut arguments = [(&raw mut argument).cast::<c_void>()];
        driver!(cuLaunchCooperativeKernel(
            self.function => Handle,
            blocks.try_into()? => c_uint, 1 => c_uint, 1 => c_uint,
            self.threads => c_uint, 1 => c_uint, 1 => c_uint,
            self.shared => c_uint,
            null_mut() => Handle,
            arguments.as_mut_ptr() => *mut Handle,
        ))
    }
}

impl Drop for KernelFunction {
    fn drop(&mut self) {
        let _ = driver!(cuModuleUnload(self.module => Handle));
    }
}
