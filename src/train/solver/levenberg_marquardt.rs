//! Levenberg–Marquardt: all weights at once, towards the solution of the linearised least-squares problem. A step that
//! does not lower the loss of its own tasks is tried again, with more damping.

use dfdx::prelude::HasShape;
use dfdx::tensor::OwnedTape;
use nalgebra::DMatrix;

use super::blocks::add_logistic;
use super::{Context, Gathering, Work};
use crate::nn::model::Model;
use crate::nn::{Device, DeviceResult, Net, numbers};
use crate::optim::{Damping, Jacobian, NormalEquations};
use crate::task::{Objective, StreamKey};
use crate::train::batch::TrainBatch;

/// The method, and its damping.
pub struct LevenbergMarquardt {
    tasks: usize,
    /// The damping of a run's first step.
    first: f64,
    /// The damping with which the present step began: a step that is not done can be begun again.
    before: f64,
    /// The damping of the next trial.
    damping: Damping,
}

impl LevenbergMarquardt {
    pub fn new(tasks: usize, damping: f64) -> Self {
        Self { tasks, first: damping, before: damping, damping: Damping::new(damping) }
    }

    /// The damping with which the next step begins, or with which the present one began.
    pub fn damping(&self) -> f64 {
        self.before
    }

    /// Begins with the damping of a checkpoint, or else with the first one.
    pub fn restart(&mut self, damping: Option<f64>) {
        self.before = damping.unwrap_or(self.first);
        self.damping = Damping::new(self.before);
    }

    /// What a step of a model with so many weights computes: a forward and a backward pass for each output, and a
    /// trial.
    pub fn work(&self, weights: usize, outputs: usize) -> Work {
        Work { tasks: self.tasks, passes: 3 * outputs + 1, equations: self.tasks * outputs, unknowns: weights }
    }

    pub fn begin<D: Device>(&mut self, key: StreamKey, model: &Model<D>, context: &Context<'_, D>) -> Gathering {
        self.damping = Damping::new(self.before);
        let unknowns = model.params().iter().map(|param| param.value.shape().0 * param.value.shape().1).sum();
        Gathering::new(key, NormalEquations::new(unknowns, 1), self.tasks, context.sampler, context.outputs)
    }

    pub fn add<D: Device>(
        &self,
        gathering: &mut Gathering,
        model: &Model<D>,
        batch: &TrainBatch,
        context: &Context<'_, D>,
    ) -> DeviceResult<(), D> {
        let outputs = context.outputs;
        let mut rows = DMatrix::zeros(gathering.equations.unknowns(), batch.target().len());
        let mut answers = Vec::with_capacity(batch.target().len());
        for (number, task) in batch.singles().enumerate() {
            let forward = || task.forward::<D, OwnedTape<f32, D>>(context.device, model);
            let linearised = Jacobian::of(model, outputs, &forward)?;
            rows.columns_mut(number * outputs, outputs).copy_from(&linearised.rows);
            answers.extend(linearised.answer);
        }
        gathering.loss += context.loss(&answers, batch);
        let answers: Vec<f64> = answers.into_iter().map(f64::from).collect();
        match context.objective {
            Objective::SquaredError => {
                let residuals = batch.target().iter().zip(&answers).map(|(y, answer)| f64::from(*y) - answer);
                gathering.equations.add(&rows, &DMatrix::from_iterator(answers.len(), 1, residuals));
            }
            Objective::CrossEntropy => {
                add_logistic(&mut gathering.equations, &rows, &answers, batch.target(), outputs);
            }
        }
        Ok(())
    }

    /// Tries one step; returns whether it is the last trial.
    pub fn solve<D: Device>(
        &mut self,
        gathering: &Gathering,
        model: &mut Model<D>,
        context: &Context<'_, D>,
    ) -> DeviceResult<bool, D> {
        let last = match self.improved(gathering, model, context)? {
            Some(improved) => {
                *model = improved;
                self.damping.succeed();
                true
            }
            None => !self.damping.fail(),
        };
        if last {
            self.before = self.damping.value;
        }
        Ok(last)
    }

    /// The model after a step with the present damping, if that lowers the loss of the step's tasks.
    fn improved<D: Device>(
        &self,
        gathering: &Gathering,
        model: &Model<D>,
        context: &Context<'_, D>,
    ) -> DeviceResult<Option<Model<D>>, D> {
        let Some(change) = gathering.equations.damped_change(self.damping.value) else { return Ok(None) };
        let candidate = moved(model, change.as_slice(), context.lr)?;
        let mut loss = 0.0;
        for batch in gathering.batches(context.sampler) {
            loss += context.loss(&context.answers(&candidate, &batch)?, &batch);
        }
        // False for NaN.
        Ok((loss < gathering.loss).then_some(candidate))
    }
}

/// The model with its weights moved by `lr` times a change, in the network's order.
fn moved<D: Device>(model: &Model<D>, change: &[f64], lr: f64) -> DeviceResult<Model<D>, D> {
    let mut moved = model.clone();
    let mut changes = change.iter();
    for param in moved.params_mut() {
        let values = numbers(&param.value)?;
        let values = values.into_iter().zip(changes.by_ref()).map(|(w, change)| (f64::from(w) + lr * change) as f32);
        param.value = param.value.device().try_tensor_from_vec(values.collect(), *param.value.shape())?;
    }
    Ok(moved)
}
