//! A model in training on one device.
//!
//! Owns the training step and what makes it repeatable: initial weights and batches are functions of the seed and the
//! step, so a checkpoint holds no generator.

use std::sync::Arc;

use anyhow::{Result, ensure};
use dfdx::prelude::{Axis, Backward, HasShape, MeanTo, Rank0, TryMul};
use dfdx::tensor::{NoneTape, OwnedTape, Tape};

use super::draw::GpuSampler;
use super::drawn::{Source, TrainBatch};
use super::held_out::HeldOut;
use super::gpu::{Ordering, Parameters, StepRates};
use super::host::device_error;
use super::{
    Checkpoint, Measurement, ReferenceResult, Run, SavedParameter, Scope, Snapshot, StepReport, measure, snapshot,
};
use crate::nn::model::{Architecture, GdConstants, Model};
use crate::nn::op::Scalar;
use crate::nn::{Device, GradTarget, Input, Matrix, Net};
use crate::nn::op::AdamStep;
use crate::optim::{Moments, Optim, Optimiser};
use crate::preset::Preset;
use crate::task::{Objective, Stream, StreamKey, Task, rng};

/// A run on a device.
pub struct Trainer<D: Device> {
    device: D,
    device_name: String,
    preset: Preset,
    source: Arc<Source>,
    model: Model<D>,
    optim: Optim<D>,
    seed: u64,
    step: u64,
    lr_factor: f64,
    held_out: HeldOut<D>,
    ordered: Vec<Ordered<D>>,
    /// An engine that trains by whole steps, where there is one.
    whole: Option<Ordering>,
    /// The batch of the next step, if it has been drawn already.
    drawn: Option<TrainBatch>,
}

/// A step that nobody has asked after yet, with its loss, which is still on the device.
struct Ordered<D: Device> {
    step: u64,
    loss: Scalar<D>,
    lr: f64,
}

impl<D: GpuSampler> Trainer<D> {
    /// A run at step 0. References choose their step sizes on tasks like `trained_on`.
    pub fn new(device: D, device_name: String, preset: Preset, trained_on: &Task) -> Result<Self> {
        let held_out = HeldOut::new(&device, &preset, trained_on)?;
        let seed = preset.train.seed;
        let model = build(&device, &preset, seed, held_out.gd_constants())?;
        let optim = Optim::new(&preset.train, &device, &model).map_err(device_error)?;
        let source = Arc::new(Source::of(&preset, &model));
        Ok(Self {
            device,
            device_name,
            preset,
            source,
            model,
            optim,
            seed,
            step: 0,
            lr_factor: 1.0,
            held_out,
            ordered: Vec::new(),
            drawn: None,
            whole: None,
        })
    }

    /// The same run, trained by whole steps of an engine.
    #[cfg(any(test, feature = "cuda"))]
    pub fn with_engine(mut self, engine: Box<dyn super::gpu::WholeSteps>) -> Self {
        self.whole = Some(Ordering::new(engine));
        self
    }

    /// The loss of the model on a batch, on a tape or not.
    fn loss<T: Tape<f32, D>>(&self, batch: TrainBatch) -> Result<Scalar<D, T>> {
        let (answer, target) = batch.answers(&self.device, &self.model).map_err(device_error)?;
        mean_loss(self.preset.task.objective(), answer, target).map_err(device_error)
    }

    /// The loss on the batch of a place, if the device has drawn it by itself.
    fn own_loss(&self, place: StreamKey) -> Result<Option<Scalar<D, OwnedTape<f32, D>>>> {
        let Some((tokens, target)) = self.device.draw(&self.source, place)? else { return Ok(None) };
        let input = Input { tokens: tokens.retaped(), grad_target: GradTarget::Weights };
        let answer = self.model.forward(input).map_err(device_error)?;
        mean_loss(self.preset.task.objective(), answer, target).map(Some).map_err(device_error)
    }

    /// Makes a step that lowers this loss.
    fn lower(&mut self, loss: Scalar<D, OwnedTape<f32, D>>) -> Result<()> {
        let lr = self.lr();
        let value = loss.retaped::<NoneTape>();
        let mut gradients = loss.try_backward().map_err(device_error)?;
        self.optim.update(&mut self.model, &mut gradients, lr, self.step + 1).map_err(device_error)?;
        self.step += 1;
        self.ordered.push(Ordered { step: self.step, loss: value, lr });
        Ok(())
    }

    /// What the optimiser multiplies by in the next step.
    fn rates(&self) -> StepRates {
        let lr = self.lr();
        let (rate, unbiased) = match self.preset.train.optimiser {
            Optimiser::Adam { beta1, beta2 } => AdamStep::new(lr, self.step + 1, [beta1, beta2]).rates(),
            Optimiser::Sgd => (lr as f32, 1.0),
        };
        StepRates { lr, rate, unbiased }
    }

    /// Forgets what was ordered.
    fn forget(&mut self) {
        self.ordered.clear();
        if let Some(whole) = &self.whole {
            whole.forget();
        }
    }

    /// Brings the network's tensors up to what the engine has.
    fn refresh(&mut self) -> Result<()> {
        let Some(whole) = &self.whole else { return Ok(()) };
        let Some(newer) = whole.newer()? else { return Ok(()) };
        let mut from = 0;
        for (i, param) in self.model.params_mut().into_iter().enumerate() {
            let shape = *param.value.shape();
            let part = from..from + shape.0 * shape.1;
            let tensor = |values: &[f32]| {
                self.device.try_tensor_from_vec(values[part.clone()].to_vec(), shape).map_err(device_error)
            };
            param.value = tensor(&newer.weights)?;
            if let Some(moments) = self.optim.moments.get_mut(i) {
                *moments = Moments { first: tensor(&newer.first)?, second: tensor(&newer.second)? };
            }
            from = part.end;
        }
        whole.in_step();
        Ok(())
    }

    /// Where the batch of the next step is drawn.
    fn place(&self) -> StreamKey {
        StreamKey { seed: self.seed, stream: Stream::Train, step: self.step }
    }
}

/// The memory that a device keeps for later would be lost when nobody has the device any more.
impl<D: Device> Drop for Trainer<D> {
    fn drop(&mut self) {
        self.device.close();
    }
}

/// The mean over the batch of [`Objective::loss`], on the answers' tape.
fn mean_loss<D: Device, T: Tape<f32, D>>(
    objective: Objective,
    answer: Matrix<D, T>,
    target: Matrix<D>,
) -> Result<Scalar<D, T>, D::Err> {
    match objective {
        Objective::SquaredError => target.device().clone().squared_error(answer, target),
        Objective::CrossEntropy => {
            let outputs = target.shape().1 as f32;
            answer.try_log_softmax::<Axis<1>>()?.try_mul(target)?.try_mean::<Rank0, _>()?.try_mul(-outputs)
        }
    }
}

/// The network with its initial weights.
fn build<D: Device>(device: &D, preset: &Preset, seed: u64, gd_constants: GdConstants) -> Result<Model<D>> {
    let sizes = (preset.task.shape(), preset.layout);
    preset.model.build(device, sizes, gd_constants, &mut rng(seed, Stream::Init, 0, 0)).map_err(device_error)
}

/// Refuses a checkpoint that is not of the preset's model, without a run.
pub fn fits<D: Device>(device: &D, preset: &Preset, checkpoint: &Checkpoint) -> Result<()> {
    compare(&build(device, preset, 0, GdConstants { step_size: 1.0, lambda: 1.0 })?, checkpoint)
}

fn compare<D: Device>(model: &Model<D>, checkpoint: &Checkpoint) -> Result<()> {
    checkpoint.fits(&model.params().iter().map(|p| (p.name.as_str(), *p.value.shape())).collect::<Vec<_>>())
}

/// All weights and moments of a network, one after the other.
fn flat<D: Device>(model: &Model<D>, optim: &Optim<D>) -> Parameters {
    let moments = |pick: fn(&Moments<D>) -> &Matrix<D>| optim.moments.iter().flat_map(|m| pick(m).as_vec()).collect();
    Parameters {
        weights: model.params().into_iter().flat_map(|param| param.value.as_vec()).collect(),
        first: moments(|m| &m.first),
        second: moments(|m| &m.second),
    }
}

/// The one number of a tensor.
fn number<D: Device, T>(tensor: &Scalar<D, T>) -> f32 {
    tensor.as_vec().first().copied().unwrap_or(f32::NAN)
}

impl<D: GpuSampler> Run for Trainer<D> {
    fn step(&mut self) -> Result<()> {
        let place = self.place();
        if let Some(whole) = &self.whole {
            whole.order(place, self.rates(), || flat(&self.model, &self.optim))?;
            self.step += 1;
            return Ok(());
        }
        if let Some(loss) = self.own_loss(place)? {
            return self.lower(loss);
        }
        let batch = self.drawn.take().filter(|drawn| drawn.place == place);
        let batch = batch.unwrap_or_else(|| TrainBatch::new(&self.source, place));
        // Another core draws the tasks of the next step meanwhile.
        let (source, next) = (Arc::clone(&self.source), StreamKey { step: place.step + 1, ..place });
        let mut drawn = None;
        let done = rayon::in_place_scope(|scope| {
            scope.spawn(|_| drawn = Some(TrainBatch::new(&source, next)));
            self.lower(self.loss(batch)?)
        });
        self.drawn = drawn;
        done
    }

    fn reports(&mut self) -> Result<Vec<StepReport>> {
        if let Some(whole) = &self.whole {
            return whole.reports();
        }
        let report = |Ordered { step, loss, lr }: Ordered<D>| StepReport { step, loss: number(&loss), lr };
        Ok(self.ordered.drain(..).map(report).collect())
    }

    fn steps_ahead(&self) -> u64 {
        self.whole.as_ref().map_or_else(|| self.device.steps_ahead(), |whole| whole.at_once() as u64)
    }

    fn measure(&mut self, scope: Scope) -> Result<Measurement> {
        self.refresh()?;
        measure::measure(&self.model, (&self.preset, &self.held_out), self.step, scope)
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        self.refresh()?;
        snapshot::take(&self.model, &self.preset, &self.held_out, self.step)
    }

    fn batch_loss(&mut self) -> Result<f32> {
        self.refresh()?;
        Ok(number(&self.loss::<NoneTape>(TrainBatch::new(&self.source, self.place()))?))
    }

    fn checkpoint(&self) -> Result<Checkpoint> {
        let newer = self.whole.as_ref().map(Ordering::newer).transpose()?.flatten();
        let all = newer.unwrap_or_else(|| flat(&self.model, &self.optim));
        let mut from = 0;
        let parameters = self.model.params().into_iter().map(|param| {
            let shape = *param.value.shape();
            let part = from..from + shape.0 * shape.1;
            from = part.end;
            // Plain descent keeps no moments.
            let of = |values: &[f32]| if self.optim.moments.is_empty() { Vec::new() } else { values[part.clone()].to_vec() };
            SavedParameter {
                name: param.name.clone(),
                shape,
                values: all.weights[part.clone()].to_vec(),
                moment1: of(&all.first),
                moment2: of(&all.second),
            }
        });
        Ok(Checkpoint { seed: self.seed, step: self.step, lr_factor: self.lr_factor, parameters: parameters.collect() })
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let mut model = build(&self.device, &self.preset, checkpoint.seed, self.held_out.gd_constants())?;
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
        (self.seed, self.step, self.lr_factor) = (checkpoint.seed, checkpoint.step, checkpoint.lr_factor);
        self.forget();
        Ok(())
    }

    fn reset(&mut self, seed: u64) -> Result<()> {
        self.model = build(&self.device, &self.preset, seed, self.held_out.gd_constants())?;
        self.optim = Optim::new(&self.preset.train, &self.device, &self.model).map_err(device_error)?;
        (self.seed, self.step, self.lr_factor) = (seed, 0, 1.0);
        self.forget();
        Ok(())
    }

    fn release(&mut self) {
        self.forget();
        self.drawn = None;
        self.device.release();
    }

    fn scale_lr(&mut self, factor: f64) -> f64 {
        self.lr_factor *= factor;
        self.lr_factor
    }

    fn lr(&self) -> f64 {
        self.preset.train.lr_at(self.step) * self.lr_factor
    }

    fn steps_done(&self) -> u64 {
        self.step
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn device(&self) -> &str {
        &self.device_name
    }

    fn references(&self) -> &[ReferenceResult] {
        self.held_out.references()
    }
}

#[cfg(test)]
mod tests {
    use dfdx::prelude::{Cpu, TensorFromVec, Trace};

    use super::*;

    #[test]
    fn the_loss_on_tensors_is_the_loss_in_numbers() {
        let device = Cpu::default();
        let answers = vec![0.3, -1.2, 2.0, 0.0, 0.7, -0.4];
        let targets = vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        for objective in [Objective::SquaredError, Objective::CrossEntropy] {
            let losses = objective.losses(&answers, &targets, 3);
            let matrix = |values: &Vec<f32>| device.tensor_from_vec(values.clone(), (2, 3));
            let loss = mean_loss(objective, matrix(&answers), matrix(&targets)).unwrap();
            assert!((f64::from(number(&loss)) - 0.5 * (losses[0] + losses[1])).abs() < 1e-6, "{objective:?}");
            let traced = matrix(&answers);
            let gradients = mean_loss(objective, traced.leaky_trace(), matrix(&targets)).unwrap().backward();
            for (i, slope) in gradients.get(&traced).as_vec().into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut answers = answers.clone();
                    answers[i] += by;
                    objective.losses(&answers, &targets, 3).iter().sum::<f64>() / 2.0
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((f64::from(slope) - expected).abs() < 1e-4, "{objective:?} {i}: {slope} not {expected}");
            }
        }
    }
}
