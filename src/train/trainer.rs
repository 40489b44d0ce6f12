//! A model in training on one device.
//!
//! Initial weights and training batches are functions of the seed and the step, so a checkpoint stores no random
//! generator. What is measured, and when, is decided in `experiment.rs` and `eval/`.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use anyhow::{Result, ensure};
use dfdx::prelude::{Backward, HasShape, Rank0, SumTo, Trace, TryMul};
use dfdx::tensor::{Cpu, NoneTape, OwnedTape, Tape};

use super::batch::{BatchSampler, GpuSampler, TrainBatch};
#[cfg(feature = "cuda")]
use super::device::is_out_of_memory;
use super::device::{OpenDevice, device_error};
#[cfg(feature = "cuda")]
use super::gpu::{Engine, WholeSteps};
use super::loss::{mean_loss, number};
use super::solver::{Solved, Solver};
use super::{Checkpoint, SavedParameter};
use crate::nn::model::{Architecture, GdConstants, Model, Setting};
use crate::nn::{
    AttentionForm, Canonical, Device, GradTarget, Input, Latent, LayerStates, Matrix, Net, Scalar, Tensor3, numbers,
};
use crate::optim::{Moments, Optim, OptimDevice};
use crate::preset::Preset;
use crate::task::{Batch, Shape, Stream, StreamKey, rng};

/// Tasks on which the loss of a batch is measured, at most. A GPU trains on batches that need not fit into memory.
const LOSS_TASKS: usize = 4096;

/// One training step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Loss of this step's batch, before its update.
    pub loss: f32,
    /// Learning rate that the step used.
    pub lr: f64,
}

/// Whether a call of [`Run::step`] completed its step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepProgress {
    Complete,
    /// The same step has to be called for again.
    Partial,
}

/// A model in training: what depends on the device, and nothing else.
///
/// # Errors
/// Of every method: the device failed. Some failures are panics of dfdx; [`super::device::catch_panic`] makes them
/// errors.
pub trait Run {
    /// Queues one training step on the batch of a key, with a learning rate; or does a part of a long one, and has to
    /// be called again. The first step has `key.step` 0.
    fn step(&mut self, key: StreamKey, lr: f64) -> Result<StepProgress>;
    /// Begins steps that are likely to be asked for next, the first on the batch of this key, where the device trains
    /// while the processor measures. Nothing that can be read changes until they are asked for.
    fn begin_early(&mut self, _key: StreamKey, _lrs: &[f64]) -> Result<()> {
        Ok(())
    }
    /// Waits for all queued steps and returns them in their order. A loss that is not finite is reported, not an error.
    fn reports(&mut self) -> Result<Vec<StepReport>>;
    /// Steps that may be queued before [`reports`](Self::reports) is called.
    fn queue_limit(&self) -> u64;
    /// Loss of the present weights on the batch of a key, of a large one on its first [`LOSS_TASKS`].
    fn batch_loss(&self, key: StreamKey) -> Result<f32>;
    /// Answers of the present weights: (B, d_out). Contexts may be shorter than those that the model is trained on.
    fn predict(&self, tasks: &Batch) -> Result<Vec<f32>>;
    /// ∂(Σ w f)/∂x_q of each task, (B, d), for weights w of the outputs f, (B, d_out).
    fn query_gradient(&self, tasks: &Batch, output_weights: Vec<f32>) -> Result<Vec<f32>>;
    /// Hidden states of every layer.
    fn states(&self, tasks: &Batch) -> Result<Vec<LayerStates>>;
    /// The query's token between layers: see [`Net::latents`].
    fn latents(&self, tasks: &Batch) -> Result<Vec<Latent>>;
    /// The answers in both forms: see [`Net::attention_form`].
    fn attention_form(&self, tasks: &Batch) -> Result<Option<AttentionForm>>;
    /// The weights without their symmetries, beside the construction's: see [`Net::canonical`].
    fn canonical(&self) -> Vec<Canonical>;
    /// What the last step solved for, if it did.
    fn solved(&self) -> Option<Solved> {
        None
    }
    /// Floating-point operations of a step (from 0), about. A backward pass counts as two forward passes.
    fn operations(&self, step: u64) -> f64;
    /// The damping of Levenberg–Marquardt, where the run has one; with it a checkpoint continues.
    fn damping(&self) -> Option<f64> {
        None
    }
    /// Weights, and the optimiser's moments.
    fn parameters(&self) -> Result<Vec<SavedParameter>>;
    /// Replaces weights and moments by those of a checkpoint, or leaves them as they are if it does not fit the model.
    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()>;
    /// Replaces weights and moments by the initial ones of a seed.
    fn initialise(&mut self, seed: u64) -> Result<()>;
    /// After a failure: drops queued steps, and frees the memory that the device keeps for reuse.
    fn release(&mut self);
}

/// A run, and what is to be said of how it trains.
pub struct StartedRun {
    pub run: Box<dyn Run>,
    /// Why the run is slower than it could be on its device.
    pub note: Option<String>,
}

/// Starts a run at step 0 with the seed of its preset.
pub fn start(device: OpenDevice, preset: Arc<Preset>, gd_constants: GdConstants) -> Result<StartedRun> {
    Ok(match device {
        OpenDevice::Cpu => {
            StartedRun { run: Box::new(Trainer::new(Cpu::default(), preset, gd_constants)?), note: None }
        }
        #[cfg(feature = "cuda")]
        OpenDevice::Cuda { device, number } => match Engine::new(&preset, number) {
            // The network is what is measured. The processor's kernels are faster at that than many small ones on the
            // GPU, which is free to train.
            Ok(engine) => {
                let network = Box::new(Trainer::new(Cpu::default(), Arc::clone(&preset), gd_constants)?);
                StartedRun { run: Box::new(WholeSteps::new(Box::new(engine), network, &preset)), note: None }
            }
            // Compositions of dfdx's operations take more memory still.
            Err(why) if is_out_of_memory(&why) => return Err(why),
            // The same results, more slowly.
            Err(why) => {
                let note = format!("cuda:{number} trains by dfdx's own kernels, which is slower, because {why:#}");
                StartedRun { run: Box::new(Trainer::new(device, preset, gd_constants)?), note: Some(note) }
            }
        },
    })
}

/// The run of a preset that is measured and not trained.
pub fn start_measuring(device: OpenDevice, preset: Arc<Preset>, gd_constants: GdConstants) -> Result<Box<dyn Run>> {
    Ok(match device {
        OpenDevice::Cpu => Box::new(Trainer::new(Cpu::default(), preset, gd_constants)?),
        #[cfg(feature = "cuda")]
        OpenDevice::Cuda { device, .. } => Box::new(Trainer::new(device, preset, gd_constants)?),
    })
}

/// Checks that a checkpoint is of the preset's model, without a run.
///
/// # Errors
/// Names, shapes or lengths of its parameters are not those of the model, or a number is not finite.
pub fn fits(preset: &Preset, checkpoint: &Checkpoint) -> Result<()> {
    let gd_constants = GdConstants { step_size: 1.0, lambda: 1.0 };
    compare(&build(&Cpu::default(), preset, preset.task.shape(), gd_constants, 0)?, checkpoint)
}

fn compare<D: Device>(model: &Model<D>, checkpoint: &Checkpoint) -> Result<()> {
    checkpoint.fits(&model.params().iter().map(|p| (p.name.as_str(), *p.value.shape())).collect::<Vec<_>>())
}

/// A network with its initial weights.
pub(super) fn build<D: Device>(
    device: &D,
    preset: &Preset,
    shape: Shape,
    gd_constants: GdConstants,
    seed: u64,
) -> Result<Model<D>> {
    let rng = &mut rng(seed, Stream::Init, 0, 0);
    preset.model.build(device, Setting { shape, layout: preset.layout, gd_constants }, rng).map_err(device_error)
}

/// The one implementation of [`Run`].
pub struct Trainer<D: Device> {
    device: D,
    preset: Arc<Preset>,
    gd_constants: GdConstants,
    sampler: BatchSampler,
    model: Model<D>,
    optim: Optim<D>,
    /// Takes the steps of an optimiser that does not descend.
    solver: Option<Solver>,
    queued: Vec<QueuedStep<D>>,
    /// The batch of the next step, if it has been sampled already.
    next_batch: Option<TrainBatch>,
}

/// A step whose loss has not been read back from the device.
struct QueuedStep<D: Device> {
    step: u64,
    loss: Scalar<D>,
    lr: f64,
}

impl<D: GpuSampler + OptimDevice> Trainer<D> {
    pub fn new(device: D, preset: Arc<Preset>, gd_constants: GdConstants) -> Result<Self> {
        let model = build(&device, &preset, preset.task.shape(), gd_constants, preset.train.seed)?;
        let optim = Optim::new(&preset.train, &device, &model).map_err(device_error)?;
        let solver = Solver::of(&preset, &model)?;
        let sampler = BatchSampler::new(&preset);
        Ok(Self { device, preset, gd_constants, sampler, model, optim, solver, queued: Vec::new(), next_batch: None })
    }

    /// The loss of the model on a batch from the host.
    fn loss<T: Tape<f32, D>>(&self, batch: TrainBatch) -> Result<Scalar<D, T>> {
        let (answer, target) = batch.answers(&self.device, &self.model).map_err(device_error)?;
        mean_loss(self.preset.task.objective(), answer, target).map_err(device_error)
    }

    /// The loss on the batch of a key, if the device can sample it.
    fn loss_on_device(&self, key: StreamKey) -> Result<Option<Scalar<D, OwnedTape<f32, D>>>> {
        let Some((tokens, target)) = self.device.sample_batch(&self.sampler, key)? else { return Ok(None) };
        let input = Input::rows(tokens.retaped(), GradTarget::Weights);
        let answer = self.model.forward(input).map_err(device_error)?;
        mean_loss(self.preset.task.objective(), answer, target).map(Some).map_err(device_error)
    }

    /// Backward pass and update.
    fn update(&mut self, loss: Scalar<D, OwnedTape<f32, D>>, step: u64, lr: f64) -> Result<()> {
        let value = loss.retaped::<NoneTape>();
        let mut gradients = loss.try_backward().map_err(device_error)?;
        self.optim.update(&mut self.model, &mut gradients, lr, step).map_err(device_error)?;
        self.queued.push(QueuedStep { step, loss: value, lr });
        Ok(())
    }

    /// A part of a step of the solver; `None` if it descends.
    fn solve(&mut self, key: StreamKey, lr: f64) -> Result<Option<StepProgress>> {
        let Some(solver) = &mut self.solver else { return Ok(None) };
        let with = (&self.device, &self.sampler, &*self.preset);
        let Some(loss) = solver.advance(&mut self.model, key, lr, with)? else {
            return Ok(Some(StepProgress::Partial));
        };
        let loss = self.device.try_tensor_from_vec(vec![loss], ()).map_err(device_error)?;
        self.queued.push(QueuedStep { step: key.step + 1, loss, lr });
        Ok(Some(StepProgress::Complete))
    }

    /// Tokens of a batch on the device: (B, tokens, width).
    fn tokens(&self, tasks: &Batch) -> Result<Tensor3<D>> {
        let layout = self.preset.layout;
        let shape = (tasks.size, layout.tokens(tasks.shape), layout.width(tasks.shape));
        self.device.try_tensor_from_vec(layout.encode(tasks), shape).map_err(device_error)
    }

    /// A network of the same weights for tasks of another shape: the place of the query is part of a network.
    fn resized(&self, shape: Shape) -> Result<Model<D>> {
        let mut model = build(&self.device, &self.preset, shape, self.gd_constants, 0)?;
        for (copy, param) in model.params_mut().into_iter().zip(self.model.params()) {
            copy.value = param.value.clone();
        }
        Ok(model)
    }
}

/// The memory that a device keeps for reuse is freed with the run.
impl<D: Device> Drop for Trainer<D> {
    fn drop(&mut self) {
        self.device.close();
    }
}

impl<D: GpuSampler + OptimDevice> Run for Trainer<D> {
    fn step(&mut self, key: StreamKey, lr: f64) -> Result<StepProgress> {
        if let Some(progress) = self.solve(key, lr)? {
            return Ok(progress);
        }
        if let Some(loss) = self.loss_on_device(key)? {
            self.update(loss, key.step + 1, lr)?;
            return Ok(StepProgress::Complete);
        }
        let batch = self.next_batch.take().filter(|batch| batch.key == key);
        let batch = batch.unwrap_or_else(|| self.sampler.sample(key));
        // Another core samples the batch of the next step meanwhile.
        let (sampler, next) = (self.sampler.clone(), StreamKey { step: key.step + 1, ..key });
        let mut next_batch = None;
        let done = rayon::in_place_scope(|scope| {
            scope.spawn(|_| next_batch = Some(sampler.sample(next)));
            self.update(self.loss(batch)?, next.step, lr)
        });
        self.next_batch = next_batch;
        done.map(|()| StepProgress::Complete)
    }

    fn reports(&mut self) -> Result<Vec<StepReport>> {
        let report = |QueuedStep { step, loss, lr }: QueuedStep<D>| StepReport { step, loss: number(&loss), lr };
        Ok(self.queued.drain(..).map(report).collect())
    }

    fn queue_limit(&self) -> u64 {
        self.device.steps_ahead()
    }

    fn batch_loss(&self, key: StreamKey) -> Result<f32> {
        Ok(number(&self.loss::<NoneTape>(self.sampler.first(LOSS_TASKS).sample(key))?))
    }

    fn predict(&self, tasks: &Batch) -> Result<Vec<f32>> {
        let input = Input::rows(self.tokens(tasks)?, GradTarget::Weights);
        let answer = match tasks.shape == self.preset.task.shape() {
            true => self.model.forward(input),
            false => self.resized(tasks.shape)?.forward(input),
        };
        answer.and_then(|answer| numbers(&answer)).map_err(device_error)
    }

    fn query_gradient(&self, tasks: &Batch, output_weights: Vec<f32>) -> Result<Vec<f32>> {
        let tokens = self.tokens(tasks)?;
        let input = Input::rows(tokens.leaky_trace(), GradTarget::Query);
        let answer = self.model.forward(input).map_err(device_error)?;
        let weights: Matrix<D> =
            self.device.try_tensor_from_vec(output_weights, *answer.shape()).map_err(device_error)?;
        let sum = answer.try_mul(weights).and_then(|weighted| weighted.try_sum::<Rank0, _>());
        let mut gradients = sum.and_then(|sum| sum.try_backward()).map_err(device_error)?;
        gradients.try_alloc_for(&tokens).map_err(device_error)?;
        let gradient = numbers(&gradients.get(&tokens)).map_err(device_error)?;
        Ok(self.preset.layout.query_part(tasks.shape, &gradient))
    }

    fn states(&self, tasks: &Batch) -> Result<Vec<LayerStates>> {
        Ok(self.model.states(&self.tokens(tasks)?))
    }

    fn latents(&self, tasks: &Batch) -> Result<Vec<Latent>> {
        self.model.latents(&self.tokens(tasks)?).map_err(device_error)
    }

    fn attention_form(&self, tasks: &Batch) -> Result<Option<AttentionForm>> {
        self.model.attention_form(&self.tokens(tasks)?).map_err(device_error)
    }

    fn canonical(&self) -> Vec<Canonical> {
        self.model.canonical(self.gd_constants)
    }

    fn solved(&self) -> Option<Solved> {
        self.solver.as_ref().and_then(Solver::last).cloned()
    }

    fn operations(&self, step: u64) -> f64 {
        let preset = &self.preset;
        let descent = || 3.0 * preset.train.batch as f64 * preset.query_flops().unwrap_or(0) as f64;
        self.solver.as_ref().map_or_else(descent, |solver| solver.operations(step, preset))
    }

    fn damping(&self) -> Option<f64> {
        self.solver.as_ref().and_then(Solver::damping)
    }

    fn parameters(&self) -> Result<Vec<SavedParameter>> {
        let moments = |i: usize, pick: fn(&Moments<D>) -> &Matrix<D>| {
            self.optim.moments.get(i).map(|moments| pick(moments).as_vec()).unwrap_or_default()
        };
        let parameters = self.model.params().into_iter().enumerate().map(|(i, param)| SavedParameter {
            name: param.name.clone(),
            shape: *param.value.shape(),
            values: param.value.as_vec(),
            moment1: moments(i, |m| &m.first),
            moment2: moments(i, |m| &m.second),
        });
        Ok(parameters.collect())
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let shape = self.preset.task.shape();
        let mut model = build(&self.device, &self.preset, shape, self.gd_constants, checkpoint.seed)?;
        let mut optim = Optim::new(&self.preset.train, &self.device, &model).map_err(device_error)?;
        compare(&model, checkpoint)?;
        for (i, (param, saved)) in model.params_mut().into_iter().zip(&checkpoint.parameters).enumerate() {
            let tensor =
                |values: &Vec<f32>| self.device.try_tensor_from_vec(values.clone(), saved.shape).map_err(device_error);
            param.value = tensor(&saved.values)?;
            if let Some(moments) = optim.moments.get_mut(i) {
                ensure!(!saved.moment1.is_empty(), "parameter {} has no moments, which Adam needs", saved.name);
                *moments = Moments { first: tensor(&saved.moment1)?, second: tensor(&saved.moment2)? };
            }
        }
        (self.model, self.optim) = (model, optim);
        if let Some(solver) = &mut self.solver {
            solver.restart(checkpoint.damping);
        }
        self.queued.clear();
        Ok(())
    }

    fn initialise(&mut self, seed: u64) -> Result<()> {
        self.model = build(&self.device, &self.preset, self.preset.task.shape(), self.gd_constants, seed)?;
        self.optim = Optim::new(&self.preset.train, &self.device, &self.model).map_err(device_error)?;
        if let Some(solver) = &mut self.solver {
            solver.restart(None);
        }
        self.queued.clear();
        Ok(())
    }

    fn release(&mut self) {
        self.queued.clear();
        self.next_batch = None;
        self.device.release();
    }
}
