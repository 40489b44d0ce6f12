//! Training batches, drawn on the device that trains on them where it can.
//!
//! A batch that a card draws need not cross to it, which takes longer than a training step. It is the same batch, to the
//! last bit: the kernels in `draw.cu` do what `src/task` does.

use anyhow::Result;
use dfdx::tensor::Cpu;

use super::drawn::Source;
use crate::nn::{Device, Matrix, Tensor3};
use crate::task::StreamKey;

/// Tokens, (B, tokens, width), and targets, (B, d_out).
pub type OnDevice<D> = (Tensor3<D>, Matrix<D>);

/// A device that may draw its batches.
pub trait GpuSampler: Device {
    /// The batch of a place; none where the host has to draw it.
    fn draw(&self, _source: &Source, _place: StreamKey) -> Result<Option<OnDevice<Self>>> {
        Ok(None)
    }
}

impl GpuSampler for Cpu {}

#[cfg(feature = "cuda")]
mod card {
    use std::sync::Arc;

    use anyhow::{Context, Result, anyhow};
    use cudarc::driver::{CudaDevice, DevicePtrMut, DeviceRepr, LaunchAsync, LaunchConfig};
    use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
    use dfdx::prelude::{Cuda, Gradients, Shape as Sizes, Tensor, ZerosTensor};

    use super::super::host::device_error;
    use super::{GpuSampler, OnDevice, Source, StreamKey};
    use crate::task::{InputDistribution, Task};

    const MODULE: &str = "innerloop_draw";
    const KERNELS: [&str; 2] = ["draw_numbers", "draw_tokens"];
    const THREADS: u32 = 128;

    /// What the kernels are told: see `draw.cu`.
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Drawing {
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
    unsafe impl DeviceRepr for Drawing {}

    impl Drawing {
        /// None where the kernels do not know the task.
        fn of(Source { task, layout, size, .. }: &Source, StreamKey { seed, stream, step }: StreamKey) -> Option<Self> {
            let Task::Linear(task) = task else { return None };
            let shape = task.shape();
            let strides = layout.strides(shape).filter(|_| task.is_plain() && task.noise == 0.0)?;
            let small = |number: usize| u32::try_from(number).ok();
            let [weights, inputs, query] = task.words();
            let blocks = (weights + inputs + query).div_ceil(16);
            // Every thread has a number of 32 bits.
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
                    InputDistribution::Normal => InputDistribution::spread(task.range),
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
        fn draw(&self, source: &Source, place: StreamKey) -> Result<Option<OnDevice<Self>>> {
            let Some(drawing) = Drawing::of(source, place) else { return Ok(None) };
            let (size, shape) = (source.size, source.task.shape());
            let tokens = Slot::new(self, (size, source.layout.tokens(shape), source.layout.width(shape)))?;
            let target = Slot::new(self, (size, shape.outputs))?;
            let numbers = Slot::new(self, (size, drawing.blocks as usize * 16))?;
            let (mut tokens, mut target, mut numbers) = (tokens, target, numbers);
            let (card, to_numbers) = numbers.place()?;
            let (to_tokens, to_target) = (tokens.place()?.1, target.place()?.1);
            let launch = |kernel: usize, threads: u32| -> Result<_> {
                let grid = LaunchConfig {
                    grid_dim: (threads.div_ceil(THREADS), 1, 1),
                    block_dim: (THREADS, 1, 1),
                    shared_mem_bytes: 0,
                };
                Ok((function(&card, KERNELS[kernel])?, grid))
            };
            let (kernel, grid) = launch(0, drawing.tasks * drawing.blocks)?;
            // SAFETY: the signatures are those of `draw.cu`, and the memory is as large as they take it to be.
            unsafe { kernel.launch(grid, (drawing, to_numbers)) }.map_err(device_error)?;
            let places = drawing.pairs + 1;
            let (kernel, grid) = launch(1, drawing.tasks * places * (drawing.dim + drawing.outputs))?;
            // SAFETY: as above; the card does one after the other.
            unsafe { kernel.launch(grid, (drawing, to_numbers, to_tokens, to_target)) }.map_err(device_error)?;
            Ok(Some((tokens.tensor(), target.tensor())))
        }
    }

    /// Memory of a card that a kernel may write to. dfdx shows where a tensor's gradient lies, and not where a tensor
    /// does; so it is written to the gradient of a tensor, which then is taken for a tensor.
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

        /// The card, and the address on it.
        fn place(&mut self) -> Result<(Arc<CudaDevice>, u64)> {
            let slot = self.held.get_or_alloc_mut(&self.like).map_err(device_error)?;
            Ok((slot.device(), *slot.device_ptr_mut()))
        }

        fn tensor(&self) -> Tensor<S, f32, Cuda> {
            self.held.get(&self.like)
        }
    }

    /// A kernel, compiled when it is first wanted.
    fn function(card: &Arc<CudaDevice>, name: &str) -> Result<cudarc::driver::CudaFunction> {
        if !card.has_func(MODULE, name) {
            let options = CompileOptions { fmad: Some(false), ..CompileOptions::default() };
            let compiled = compile_ptx_with_opts(include_str!("draw.cu"), options);
            let compiled = compiled.map_err(|error| anyhow!("draw.cu does not compile: {error:?}"))?;
            card.load_ptx(compiled, MODULE, &KERNELS).map_err(device_error)?;
        }
        card.get_func(MODULE, name).with_context(|| format!("draw.cu has no kernel {name}"))
    }
}
