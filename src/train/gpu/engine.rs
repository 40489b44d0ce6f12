//! Whole training steps on an NVIDIA GPU: the kernel, compiled when a run is opened, with memory of its own.

use anyhow::{Result, ensure};

use super::driver::{Gpu, KernelFunction, Memory};
use super::nvrtc;
use super::plan::{GpuMemory, blocks, plan, training};
use super::{Parameters, StepRates, WholeStepEngine};
use crate::nn::graph::gpu::orders::{Orders, Rate};
use crate::nn::graph::gpu::source::Source;
use crate::optim::Optimiser;
use crate::preset::Preset;
use crate::task::StreamKey;

/// The engine of one run. Fields are dropped in their order: the memory before the GPU.
pub struct Engine {
    preset: Preset,
    source: Source,
    kernel: KernelFunction,
    blocks: usize,
    at_once: usize,
    /// The number of steps that were ordered last.
    ordered: usize,
    /// Every weight, then the same with each matrix transposed.
    weights: Memory,
    first: Memory,
    second: Memory,
    transposed: Memory,
    gradients: Memory,
    partials: Memory,
    squares: Memory,
    losses: Memory,
    rates: Memory,
    scratch: Memory,
    barrier: Memory,
    /// Tokens and targets, where the host samples.
    rows: Option<[Memory; 2]>,
    gpu: Gpu,
}

impl Engine {
    /// Compiles the kernel of a preset for the GPU of a number, and takes its memory.
    ///
    /// # Errors
    /// The GPU does not answer, the kernel does not compile or fit, or there is no memory left.
    pub fn new(preset: &Preset, number: usize) -> Result<Self> {
        ensure!(preset.train.optimiser.descends(), "a step that solves for weights is no step of one batch");
        let gpu = Gpu::open(number)?;
        let training = training(preset)?;
        let source = plan(&training, preset.train.batch, gpu.size()?);
        let code = nvrtc::compile(&source.text, gpu.capability()?)?;
        let kernel = KernelFunction::load(&code, source.threads, source.shared)?;
        let most = kernel.resident()? * gpu.size()?.multiprocessors;
        let blocks = blocks(&source, preset.train.batch, most);
        let sizes = GpuMemory::of(&training, &source, preset.train.batch, blocks);
        tracing::info!(
            blocks,
            threads = source.threads,
            shared = source.shared,
            bytes = sizes.bytes(),
            "a kernel of whole steps"
        );
        let transposed = Memory::new(sizes.parameters)?;
        transposed.write(&source.transposed)?;
        Ok(Self {
            preset: preset.clone(),
            kernel,
            blocks,
            at_once: sizes.at_once,
            ordered: 0,
            weights: Memory::new(source.weights())?,
            first: Memory::new(sizes.parameters)?,
            second: Memory::new(sizes.parameters)?,
            transposed,
            gradients: Memory::new(sizes.parameters)?,
            partials: Memory::new(sizes.partials)?,
            squares: Memory::new(sizes.squares)?,
            losses: Memory::new(sizes.at_once)?,
            rates: Memory::new(2 * sizes.at_once)?,
            scratch: Memory::new(sizes.scratch)?,
            barrier: Memory::new(1)?,
            rows: match sizes.rows {
                Some([tokens, targets]) => Some([Memory::new(tokens)?, Memory::new(targets)?]),
                None => None,
            },
            source,
            gpu,
        })
    }

    fn orders(&self, StreamKey { seed, stream, step }: StreamKey, steps: usize) -> Orders {
        let (decay, fresh) = match self.preset.train.optimiser {
            Optimiser::Adam { beta1, beta2 } => {
                let betas = [beta1, beta2];
                (betas.map(|beta| beta as f32), betas.map(|beta| (1.0 - beta) as f32))
            }
            // The last two never come here.
            Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => ([0.0; 2], [1.0; 2]),
        };
        let [tokens, targets] = self.rows.as_ref().map(|rows| rows.each_ref().map(Memory::address)).unwrap_or_default();
        Orders {
            steps: steps as i32,
            decay,
            fresh,
            clip: self.preset.train.clip.unwrap_or(0.0) as f32,
            rates: self.rates.address(),
            transposed: self.transposed.address(),
            weights: self.weights.address(),
            first: self.first.address(),
            second: self.second.address(),
            partials: self.partials.address(),
            gradients: self.gradients.address(),
            squares: self.squares.address(),
            losses: self.losses.address(),
            scratch: self.scratch.address(),
            tokens,
            targets,
            barrier: self.barrier.address(),
            ..Orders::new([seed, stream as u64, step], self.preset.train.batch)
        }
    }

    /// Samples the batches of so many steps on the host, where the kernel does not.
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
        self.gpu.make_current()?;
        let count = self.source.parameters;
        ensure!(parameters.weights.len() == count, "{} weights, not {count}", parameters.weights.len());
        let mut weights = parameters.weights.clone();
        weights.resize(self.source.weights(), 0.0);
        for (weight, to) in parameters.weights.iter().zip(&self.source.transposed) {
            weights[count + *to as usize] = *weight;
        }
        self.weights.write(&weights)?;
        for (memory, values) in [(&self.first, &parameters.first), (&self.second, &parameters.second)] {
            memory.zero()?;
            memory.write(values)?;
        }
        Ok(())
    }

    fn order(&mut self, key: StreamKey, rates: &[StepRates]) -> Result<()> {
        self.gpu.make_current()?;
        ensure!(rates.len() <= self.at_once, "{} steps at once, not {}", self.at_once, rates.len());
        self.sample(key, rates.len())?;
        let numbers: Vec<Rate> = rates.iter().map(|now| Rate { rate: now.rate, unbiased: now.unbiased }).collect();
        self.rates.write(&numbers)?;
        self.barrier.zero()?;
        self.kernel.launch(self.blocks, self.orders(key, rates.len()))?;
        self.ordered = rates.len();
        Ok(())
    }

    fn losses(&mut self) -> Result<Vec<f32>> {
        self.gpu.make_current()?;
        self.losses.read(self.ordered)
    }

    fn read(&self) -> Result<Parameters> {
        self.gpu.make_current()?;
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

/// The driver frees memory of the context that is current in the thread.
impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.gpu.make_current();
    }
}
