//! Training batches sampled on the GPU that trains on them: copying one from the host takes longer than a training
//! step.
//!
//! The kernels in `sampler.cu` give the same batch as `src/task`, bit by bit.

use anyhow::Result;
use dfdx::tensor::Cpu;

use super::BatchSampler;
use crate::nn::{Device, Matrix, Tensor3};
use crate::task::StreamKey;

/// Tokens, (B, tokens, width), and targets, (B, d_out).
pub type OnDevice<D> = (Tensor3<D>, Matrix<D>);

/// A device that may be able to sample its batches.
pub trait GpuSampler: Device {
    /// The batch of a key. `None` if the host has to sample it: always on the CPU, and for tasks without a kernel.
    fn sample_batch(&self, _sampler: &BatchSampler, _key: StreamKey) -> Result<Option<OnDevice<Self>>> {
        Ok(None)
    }
}

impl GpuSampler for Cpu {}

#[cfg(feature = "cuda")]
mod cuda {
    use std::sync::Arc;

    use anyhow::{Context, Result, anyhow};
    use cudarc::driver::{CudaDevice, DevicePtrMut, DeviceRepr, LaunchAsync, LaunchConfig};
    use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
    use dfdx::prelude::{Cuda, Gradients, Shape as Sizes, Tensor, ZerosTensor};

    use super::{BatchSampler, GpuSampler, OnDevice, StreamKey};
    use crate::task::{InputDistribution, Task};
    use crate::train::device::device_error;

    const MODULE: &str = "innerloop_sampler";
    const KERNELS: [&str; 2] = ["sample_numbers", "sample_tokens"];
    const THREADS: u32 = 128;

    /// The argument of both kernels: see `Params` in `sampler.cu`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Params {
        key: [u32; 6],
        tasks: u32,
        blocks: u32,
        dim: u32,
        outputs: u32,
        pairs: u32,
        inputs: u32,
        query: u32,
        normal: u32,
        weight_scale: f32,
        spread: f32,
        sequence: u32,
        first_x: u32,
        first_y: u32,
        stride: u32,
        at_query: u32,
    }

    // SAFETY: plain numbers, laid out as C does.
    unsafe impl DeviceRepr for Params {}

    impl Params {
        /// `None` for a task that the kernels do not sample.
        fn new(
            BatchSampler { task, layout, size, .. }: &BatchSampler,
            StreamKey { seed, stream, step }: StreamKey,
        ) -> Option<Self> {
            let Task::Linear(task) = task else { return None };
            let shape = task.shape();
            let strides =
                layout.strides(shape).filter(|_| task.is_plain() && task.is_standard() && task.noise == 0.0)?;
            let small = |number: usize| u32::try_from(number).ok();
            let [weights, inputs, query] = task.words();
            let blocks = (weights + inputs + query).div_ceil(16);
            // Threads are numbered in 32 bits.
            small(size * blocks.max((shape.context + 1) * (shape.dim + shape.outputs)) + THREADS as usize)?;
            let halves = |word: u64| [word as u32, (word >> 32) as u32];
            let [seed, stream, step] = [seed, stream as u64, step].map(halves);
            Some(Self {
                key: [seed[0], seed[1], stream[0], stream[1], step[0], step[1]],
                tasks: small(*size)?,
                blocks: small(blocks)?,
                dim: small(shape.dim)?,
                outputs: small(shape.outputs)?,
                pairs: small(shape.context)?,
                inputs: small(weights)?,
                query: small(weights + inputs)?,
                normal: u32::from(task.inputs == InputDistribution::Normal),
                weight_scale: task.weight_scale as f32,
                spread: match task.inputs {
                    InputDistribution::Uniform => task.range as f32,
                    InputDistribution::Normal => InputDistribution::std(task.range),
                },
                sequence: small(layout.tokens(shape) * layout.width(shape))?,
                first_x: small(strides.x)?,
                first_y: small(strides.y)?,
                stride: small(strides.pair)?,
                at_query: small(strides.query)?,
            })
        }
    }

    impl GpuSampler for Cuda {
        fn sample_batch(&self, sampler: &BatchSampler, key: StreamKey) -> Result<Option<OnDevice<Self>>> {
            let Some(params) = Params::new(sampler, key) else { return Ok(None) };
            let (size, shape) = (sampler.size, sampler.task.shape());
            let tokens = Slot::new(self, (size, sampler.layout.tokens(shape), sampler.layout.width(shape)))?;
            let target = Slot::new(self, (size, shape.outputs))?;
            let numbers = Slot::new(self, (size, params.blocks as usize * 16))?;
            let (mut tokens, mut target, mut numbers) = (tokens, target, numbers);
            let (gpu, to_numbers) = numbers.address()?;
            let (to_tokens, to_target) = (tokens.address()?.1, target.address()?.1);
            let launch = |kernel: usize, threads: u32| -> Result<_> {
                let grid = LaunchConfig {
                    grid_dim: (threads.div_ceil(THREADS), 1, 1),
                    block_dim: (THREADS, 1, 1),
                    shared_mem_bytes: 0,
                };
                Ok((function(&gpu, KERNELS[kernel])?, grid))
            };
            let (kernel, grid) = launch(0, params.tasks * params.blocks)?;
            // SAFETY: the signatures are those of `sampler.cu`, and the memory is as large as they take it to be.
            unsafe { kernel.launch(grid, (params, to_numbers)) }.map_err(device_error)?;
            let positions = params.pairs + 1;
            let (kernel, grid) = launch(1, params.tasks * positions * (params.dim + params.outputs))?;
            // SAFETY: as above; kernels of one stream run one after the other.
            unsafe { kernel.launch(grid, (params, to_numbers, to_tokens, to_target)) }.map_err(device_error)?;
            Ok(Some((tokens.tensor(), target.tensor())))
        }
    }

    /// GPU memory for a kernel to write to. dfdx gives the address of a tensor's gradient, but not of a tensor; so the
    /// kernel writes to the gradient of a tensor, which is then read as a tensor.
    struct Slot<S: Sizes> {
        like: Tensor<S, f32, Cuda>,
        held: Gradients<f32, Cuda>,
    }

    impl<S: Sizes> Slot<S> {
        fn new(device: &Cuda, sizes: S) -> Result<Self> {
            let like = device.try_zeros_like(&sizes).map_err(device_error)?;
            let mut held = Gradients::leaky();
            held.try_alloc_for(&like).map_err(device_error)?;
            Ok(Self { like, held })
        }

        /// The GPU, and the address on it.
        fn address(&mut self) -> Result<(Arc<CudaDevice>, u64)> {
            let slot = self.held.get_or_alloc_mut(&self.like).map_err(device_error)?;
            Ok((slot.device(), *slot.device_ptr_mut()))
        }

        fn tensor(&self) -> Tensor<S, f32, Cuda> {
            self.held.get(&self.like)
        }
    }

    /// A kernel, compiled at its first use.
    fn function(gpu: &Arc<CudaDevice>, name: &str) -> Result<cudarc::driver::CudaFunction> {
        if !gpu.has_func(MODULE, name) {
            let options = CompileOptions { fmad: Some(false), ..CompileOptions::default() };
            let compiled = compile_ptx_with_opts(include_str!("sampler.cu"), options);
            let compiled = compiled.map_err(|error| anyhow!("sampler.cu does not compile: {error:?}"))?;
            gpu.load_ptx(compiled, MODULE, &KERNELS).map_err(device_error)?;
        }
        gpu.get_func(MODULE, name).with_context(|| format!("sampler.cu has no kernel {name}"))
    }
}
