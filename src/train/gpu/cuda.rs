//! The kernel on an NVIDIA GPU: compiled by NVRTC when a run is opened, with memory of its own.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::super::device::cuda_loader as nvidia;
use super::plan::{GpuSize, plan, training};
use super::{Parameters, StepRates, WholeStepEngine};
use crate::nn::graph::gpu::orders::{Orders, Rate};
use crate::nn::graph::gpu::sampling::Sampling;
use crate::nn::graph::gpu::source::Source;
use crate::optim::Optimiser;
use crate::preset::Preset;
use crate::task::StreamKey;

type Handle = *mut c_void;
type Address = u64;

/// Steps of one launch at most; of tasks that the host samples, fewer.
const AT_ONCE: usize = 128;
const ROWS_AT_ONCE: usize = 16;
/// Numbers that rows may take.
const ROWS: usize = 1 << 26;

/// CU_DEVICE_ATTRIBUTE_…
const MULTIPROCESSORS: c_uint = 16;
const MAJOR: c_uint = 75;
const MINOR: c_uint = 76;
const SHARED_MULTIPROCESSOR: c_uint = 81;
const COOPERATIVE: c_uint = 95;
const SHARED_BLOCK: c_uint = 97;
/// CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES.
const DYNAMIC_SHARED: c_uint = 8;

/// Calls a function of the driver, found by its name; a code that is not zero is an error with the driver's name for it.
macro_rules! driver {
    ($name:ident($($argument:expr => $kind:ty),* $(,)?)) => {{
        type Function = unsafe extern "C" fn($($kind),*) -> c_uint;
        // SAFETY: the signatures are those of NVIDIA's header.
        match unsafe { nvidia::driver_function::<Function>(stringify!($name)) } {
            // SAFETY: the arguments are alive, and as large as they are said to be.
            Some(function) => checked(unsafe { function($($argument),*) }),
            None => Err(anyhow!("the NVIDIA driver has no {}", stringify!($name))),
        }
    }};
}

/// The same for NVRTC, whose codes have no names here.
macro_rules! nvrtc {
    ($name:ident($($argument:expr => $kind:ty),* $(,)?)) => {{
        type Function = unsafe extern "C" fn($($kind),*) -> c_uint;
        // SAFETY: as above.
        match unsafe { nvidia::nvrtc_function::<Function>(stringify!($name)) } {
            // SAFETY: as above.
            Some(function) => unsafe { function($($argument),*) },
            None => bail!("NVRTC has no {}", stringify!($name)),
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
        nvidia::driver_function::<Name>("cuGetErrorName").map(|function| function(code, &mut text));
        if text.is_null() { format!("error {code}") } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
    };
    Err(anyhow!("the device could not compute: {name}"))
}

/// Memory of the GPU.
struct Memory {
    address: Address,
    numbers: usize,
}

impl Memory {
    fn new(numbers: usize) -> Result<Self> {
        let mut address = 0;
        let bytes = 4 * numbers.max(1);
        driver!(cuMemAlloc_v2(&mut address => *mut Address, bytes => usize))?;
        let memory = Self { address, numbers };
        memory.zero()?;
        Ok(memory)
    }

    fn zero(&self) -> Result<()> {
        driver!(cuMemsetD8_v2(self.address => Address, 0 => u8, 4 * self.numbers.max(1) => usize))
    }

    /// Copies values of four bytes to the start of the memory.
    fn write<T>(&self, values: &[T]) -> Result<()> {
        let bytes = size_of_val(values);
        ensure!(bytes <= 4 * self.numbers, "{bytes} bytes do not fit");
        if bytes == 0 {
            return Ok(());
        }
        driver!(cuMemcpyHtoD_v2(self.address => Address, values.as_ptr().cast() => *const c_void, bytes => usize))
    }

    fn read(&self, numbers: usize) -> Result<Vec<f32>> {
        let mut values = vec![0f32; numbers.min(self.numbers)];
        let bytes = 4 * values.len();
        if bytes > 0 {
            driver!(cuMemcpyDtoH_v2(values.as_mut_ptr().cast() => *mut c_void, self.address => Address, bytes => usize))?;
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

/// A loaded kernel.
struct Module {
    handle: Handle,
    function: Handle,
}

impl Drop for Module {
    fn drop(&mut self) {
        let _ = driver!(cuModuleUnload(self.handle => Handle));
    }
}

/// The engine of one run.
pub struct Engine {
    preset: Preset,
    source: Source,
    module: Module,
    blocks: usize,
    at_once: usize,
    weights: Memory,
    first: Memory,
    second: Memory,
    turned: Memory,
    gradients: Memory,
    partials: Memory,
    squares: Memory,
    losses: Memory,
    rates: Memory,
    scratch: Memory,
    barrier: Memory,
    /// Tokens and targets, where the host samples.
    rows: Option<[Memory; 2]>,
}

fn attribute(device: c_int, which: c_uint) -> Result<usize> {
    let mut value = 0;
    driver!(cuDeviceGetAttribute(&mut value => *mut c_int, which => c_uint, device => c_int))?;
    Ok(value.max(0) as usize)
}

impl Engine {
    /// Compiles the kernel of a preset for a GPU whose context is current, and takes its memory.
    pub fn new(preset: &Preset, number: usize) -> Result<Self> {
        ensure!(preset.train.optimiser.descends(), "a step that solves for weights is no step of one batch");
        let mut device = 0;
        driver!(cuDeviceGet(&mut device => *mut c_int, number as c_int => c_int))?;
        ensure!(attribute(device, COOPERATIVE)? == 1, "the GPU cannot hold all blocks of a kernel at once");
        let gpu = GpuSize {
            multiprocessors: attribute(device, MULTIPROCESSORS)?,
            shared_block: attribute(device, SHARED_BLOCK)?,
            shared_multiprocessor: attribute(device, SHARED_MULTIPROCESSOR)?,
        };
        let training = training(preset);
        let batch = preset.train.batch;
        let source = plan(&training, batch, gpu);
        let architecture = format!("sm_{}{}", attribute(device, MAJOR)?, attribute(device, MINOR)?);
        let module = load(&compile(&source.text, &architecture)?)?;
        let blocks = resident(&module, &source, batch, gpu.multiprocessors)?;
        let size = training.program.nodes[0].size.count();
        let (at_once, rows) = match training.sampling {
            Sampling::Own(_) => (AT_ONCE, None),
            Sampling::Rows => {
                let at_once = (ROWS / (batch * size).max(1)).clamp(1, ROWS_AT_ONCE);
                let tokens = Memory::new(at_once * batch * size)?;
                (at_once, Some([tokens, Memory::new(at_once * batch * training.outputs)?]))
            }
        };
        let parameters = source.parameters;
        let turned = Memory::new(parameters)?;
        turned.write(&source.turned)?;
        Ok(Self {
            preset: preset.clone(),
            module,
            blocks,
            at_once,
            weights: Memory::new(2 * parameters)?,
            first: Memory::new(parameters)?,
            second: Memory::new(parameters)?,
            turned,
            gradients: Memory::new(parameters)?,
            partials: Memory::new(blocks * (parameters + 1))?,
            squares: Memory::new(source.chunks)?,
            losses: Memory::new(at_once)?,
            rates: Memory::new(2 * at_once)?,
            scratch: Memory::new(blocks * source.scratch)?,
            barrier: Memory::new(1)?,
            rows,
            source,
        })
    }

    fn orders(&self, StreamKey { seed, stream, step }: StreamKey, steps: usize) -> Orders {
        let (decay, fresh) = match self.preset.train.optimiser {
            Optimiser::Adam { beta1, beta2 } => {
                let betas = [beta1, beta2];
                (betas.map(|beta| beta as f32), betas.map(|beta| (1.0 - beta) as f32))
            }
            Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => ([0.0; 2], [1.0; 2]),
        };
        let address = |memory: &Memory| memory.address;
        let rows = self.rows.as_ref().map(|rows| rows.each_ref().map(address)).unwrap_or_default();
        Orders {
            steps: steps as i32,
            decay,
            fresh,
            clip: self.preset.train.clip.unwrap_or(0.0) as f32,
            rates: self.rates.address,
            turned: self.turned.address,
            weights: self.weights.address,
            first: self.first.address,
            second: self.second.address,
            partials: self.partials.address,
            gradients: self.gradients.address,
            squares: self.squares.address,
            losses: self.losses.address,
            scratch: self.scratch.address,
            tokens: rows[0],
            targets: rows[1],
            barrier: self.barrier.address,
            ..Orders::new([seed, stream as u64, step], self.preset.train.batch)
        }
    }

    /// Samples the batches of so many steps on the host.
    fn sample(&self, key: StreamKey, steps: usize) -> Result<()> {
        let Some([tokens, targets]) = &self.rows else { return Ok(()) };
        let (mut all, mut wanted) = (Vec::new(), Vec::new());
        for step in key.step..key.step + steps as u64 {
            let batch = self.preset.task.sample(self.preset.train.batch, key.seed, key.stream, step);
            all.extend(self.preset.layout.encode(&batch));
            wanted.extend(batch.target);
        }
        tokens.write(&all)?;
        targets.write(&wanted)
    }
}

impl WholeStepEngine for Engine {
    fn load(&mut self, parameters: &Parameters) -> Result<()> {
        let count = self.source.parameters;
        ensure!(parameters.weights.len() == count, "{} weights, not {count}", parameters.weights.len());
        let mut weights = parameters.weights.clone();
        weights.resize(2 * count, 0.0);
        for (i, to) in self.source.turned.iter().enumerate() {
            weights[count + *to as usize] = parameters.weights[i];
        }
        self.weights.write(&weights)?;
        for (memory, values) in [(&self.first, &parameters.first), (&self.second, &parameters.second)] {
            memory.zero()?;
            memory.write(values)?;
        }
        Ok(())
    }

    fn train(&mut self, key: StreamKey, rates: &[StepRates]) -> Result<Vec<f32>> {
        let mut losses = Vec::with_capacity(rates.len());
        for (part, rates) in rates.chunks(self.at_once).enumerate() {
            let key = StreamKey { step: key.step + (part * self.at_once) as u64, ..key };
            self.sample(key, rates.len())?;
            let numbers: Vec<Rate> = rates.iter().map(|now| Rate { rate: now.rate, unbiased: now.unbiased }).collect();
            self.rates.write(&numbers)?;
            self.barrier.zero()?;
            let mut orders = self.orders(key, rates.len());
            let mut arguments = [(&raw mut orders).cast::<c_void>()];
            driver!(cuLaunchCooperativeKernel(
                self.module.function => Handle,
                self.blocks as c_uint => c_uint, 1 => c_uint, 1 => c_uint,
                self.source.threads as c_uint => c_uint, 1 => c_uint, 1 => c_uint,
                self.source.shared as c_uint => c_uint,
                null_mut() => Handle,
                arguments.as_mut_ptr() => *mut Handle,
            ))?;
            losses.extend(self.losses.read(rates.len())?);
        }
        Ok(losses)
    }

    fn read(&self) -> Result<Parameters> {
        let count = self.source.parameters;
        Ok(Parameters {
            weights: self.weights.read(count)?,
            first: self.first.read(count)?,
            second: self.second.read(count)?,
        })
    }

    fn steps_at_once(&self) -> usize {
        self.at_once
    }
}

/// Machine code of a kernel; compiled once for each text.
fn compile(text: &str, architecture: &str) -> Result<Vec<u8>> {
    static COMPILED: Mutex<Option<HashMap<(String, String), Vec<u8>>>> = Mutex::new(None);
    let key = (text.to_owned(), architecture.to_owned());
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = compiled.get_or_insert_default();
    if let Some(code) = known.get(&key) {
        return Ok(code.clone());
    }
    let source = CString::new(text).context("the kernel's text")?;
    let name = CString::new("train.cu").context("the kernel's name")?;
    let mut program: Handle = null_mut();
    let created = nvrtc!(nvrtcCreateProgram(
        &mut program => *mut Handle, source.as_ptr() => *const c_char, name.as_ptr() => *const c_char,
        0 => c_int, null() => *const *const c_char, null() => *const *const c_char,
    ));
    ensure!(created == 0, "NVRTC does not take the kernel: error {created}");
    let options =
        [&format!("--gpu-architecture={architecture}"), "--std=c++17", "--prec-div=false", "--prec-sqrt=false"];
    let options = options.map(|option| CString::new(option).unwrap_or_default());
    let pointers = options.each_ref().map(|option| option.as_ptr());
    let done = nvrtc!(nvrtcCompileProgram(
        program => Handle, pointers.len() as c_int => c_int, pointers.as_ptr() => *const *const c_char,
    ));
    let mut code = Vec::new();
    let mut size = 0usize;
    if done == 0 {
        let _ = nvrtc!(nvrtcGetCUBINSize(program => Handle, &mut size => *mut usize));
        code.resize(size, 0u8);
        let _ = nvrtc!(nvrtcGetCUBIN(program => Handle, code.as_mut_ptr().cast() => *mut c_char));
    }
    let mut log = Vec::new();
    if done != 0 {
        let _ = nvrtc!(nvrtcGetProgramLogSize(program => Handle, &mut size => *mut usize));
        log.resize(size, 0u8);
        let _ = nvrtc!(nvrtcGetProgramLog(program => Handle, log.as_mut_ptr().cast() => *mut c_char));
    }
    let _ = nvrtc!(nvrtcDestroyProgram(&mut program => *mut Handle));
    ensure!(done == 0, "the kernel does not compile: {}", String::from_utf8_lossy(&log));
    ensure!(!code.is_empty(), "NVRTC compiles no machine code for {architecture}");
    known.insert(key, code.clone());
    Ok(code)
}

fn load(code: &[u8]) -> Result<Module> {
    let mut module = Module { handle: null_mut(), function: null_mut() };
    driver!(cuModuleLoadData(&mut module.handle => *mut Handle, code.as_ptr().cast() => *const c_void))?;
    let name = CString::new("train").context("the kernel's name")?;
    driver!(cuModuleGetFunction(
        &mut module.function => *mut Handle, module.handle => Handle, name.as_ptr() => *const c_char,
    ))?;
    Ok(module)
}

/// Blocks that the GPU holds at once, as many as share the batch evenly.
fn resident(module: &Module, source: &Source, batch: usize, multiprocessors: usize) -> Result<usize> {
    let shared = source.shared;
    driver!(cuFuncSetAttribute(module.function => Handle, DYNAMIC_SHARED => c_uint, shared as c_int => c_int))?;
    let mut each = 0;
    driver!(cuOccupancyMaxActiveBlocksPerMultiprocessor(
        &mut each => *mut c_int, module.function => Handle, source.threads as c_int => c_int, shared => usize,
    ))?;
    ensure!(each > 0, "a block of the kernel does not fit into a multiprocessor");
    let (groups, most) = (batch.div_ceil(source.lanes), each as usize * multiprocessors);
    Ok(groups.div_ceil(groups.div_ceil(most)))
}
