//! Training steps that solve for weights: the equations of fresh tasks are gathered batch by batch, and control returns
//! after each, so that a run can be paused and ended while they gather.
//!
//! A step that is not done leaves no trace in a checkpoint: it is begun again, on the same tasks.

mod blocks;
mod gathering;
mod levenberg_marquardt;
#[cfg(test)]
mod tests;

use std::fmt;

use anyhow::Result;
use dfdx::tensor::NoneTape;

use self::blocks::{Blocks, Plan};
use self::gathering::Gathering;
use self::levenberg_marquardt::LevenbergMarquardt;
use super::batch::{BatchSampler, TrainBatch};
use super::device::device_error;
use crate::nn::model::Model;
use crate::nn::{Device, numbers};
use crate::numbers::count;
use crate::optim::Optimiser;
use crate::preset::Preset;
use crate::task::{Objective, StreamKey};

/// What a step solved for.
#[derive(Clone, Debug, PartialEq)]
pub struct Solved {
    /// "C", "Wo, bo", "all weights".
    pub weights: String,
    /// Tasks that the equations are of.
    pub tasks: usize,
}

impl fmt::Display for Solved {
    /// "solved C from 4,000 tasks".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "solved {} from {} tasks", self.weights, count(self.tasks as u64))
    }
}

/// What is solved for.
enum Method {
    Blocks(Blocks),
    LevenbergMarquardt(LevenbergMarquardt),
}

/// Solves for the weights of one model.
pub struct Solver {
    method: Method,
    /// The equations of the step that is under way.
    gathering: Option<Gathering>,
    last: Option<Solved>,
}

/// How much a step computes.
struct Work {
    tasks: usize,
    /// Passes of each task through the model.
    passes: usize,
    equations: usize,
    unknowns: usize,
}

/// What a step is done with.
struct Context<'a, D: Device> {
    device: &'a D,
    sampler: &'a BatchSampler,
    objective: Objective,
    /// d_out.
    outputs: usize,
    /// The part of the way to the solution that the weights go.
    lr: f64,
}

impl<D: Device> Context<'_, D> {
    /// The answers to a batch, (B, w) row-major.
    fn answers(&self, model: &Model<D>, batch: &TrainBatch) -> Result<Vec<f32>, D::Err> {
        numbers(&batch.forward::<D, NoneTape>(self.device, model)?)
    }

    /// The sum of the losses of these answers, (B, d_out).
    fn loss(&self, answers: &[f32], batch: &TrainBatch) -> f64 {
        self.objective.losses(answers, batch.target(), self.outputs).iter().sum()
    }
}

impl Solver {
    /// `None` if the preset trains by descent.
    ///
    /// # Errors
    /// The model lacks a weight that it declares to be linear.
    pub fn of<D: Device>(preset: &Preset, model: &Model<D>) -> Result<Option<Self>> {
        let method = match preset.train.optimiser {
            Optimiser::Adam { .. } | Optimiser::Sgd => return Ok(None),
            Optimiser::Solve { equations, least_tasks, ridge } => {
                Method::Blocks(Blocks::of(preset, model, Plan { equations, least_tasks, ridge })?)
            }
            Optimiser::LevenbergMarquardt { tasks, damping } => {
                Method::LevenbergMarquardt(LevenbergMarquardt::new(tasks, damping))
            }
        };
        Ok(Some(Self { method, gathering: None, last: None }))
    }

    /// What the last step solved for.
    pub fn last(&self) -> Option<&Solved> {
        self.last.as_ref()
    }

    /// The damping of the next step, if there is one.
    pub fn damping(&self) -> Option<f64> {
        match &self.method {
            Method::Blocks(_) => None,
            Method::LevenbergMarquardt(method) => Some(method.damping()),
        }
    }

    /// Begins afresh, with the damping of a checkpoint or else with that of the preset.
    pub fn restart(&mut self, damping: Option<f64>) {
        (self.gathering, self.last) = (None, None);
        match &mut self.method {
            Method::Blocks(_) => {}
            Method::LevenbergMarquardt(method) => method.restart(damping),
        }
    }

    /// Floating-point operations of a step (from 0), about: passes through the model, sums over equations, and their
    /// solution. A backward pass counts as two passes.
    pub fn operations(&self, step: u64, preset: &Preset) -> f64 {
        let outputs = preset.task.shape().outputs;
        let Work { tasks, passes, equations, unknowns } = match &self.method {
            Method::Blocks(method) => method.work(step, preset),
            Method::LevenbergMarquardt(method) => method.work(preset.parameters(), outputs),
        };
        let pass = preset.query_flops().unwrap_or(0) as f64;
        let (tasks, equations, unknowns) = (tasks as f64, equations as f64, unknowns as f64);
        tasks * passes as f64 * pass + 2.0 * equations * unknowns.powi(2) + unknowns.powi(3) / 3.0
    }

    /// Does a part of the step of a key: gathers the equations of one batch, or solves them. Returns the mean loss
    /// before the step once it is done.
    pub fn advance<D: Device>(
        &mut self,
        model: &mut Model<D>,
        key: StreamKey,
        lr: f64,
        (device, sampler, preset): (&D, &BatchSampler, &Preset),
    ) -> Result<Option<f32>> {
        let (objective, outputs) = (preset.task.objective(), preset.task.shape().outputs);
        let context = &Context { device, sampler, objective, outputs, lr };
        let mut gathering = match self.gathering.take().filter(|gathering| gathering.key == key) {
            Some(gathering) => gathering,
            None => match &mut self.method {
                Method::Blocks(method) => method.begin(key, context),
                Method::LevenbergMarquardt(method) => method.begin(key, model, context),
            },
        };
        let done = match gathering.next_batch(sampler) {
            Some(batch) => {
                let added = match &self.method {
                    Method::Blocks(method) => method.add(&mut gathering, model, &batch, context),
                    Method::LevenbergMarquardt(method) => method.add(&mut gathering, model, &batch, context),
                };
                added.map_err(device_error)?;
                false
            }
            None => match &mut self.method {
                Method::Blocks(method) => method.solve(&gathering, model, context).map(|()| true),
                Method::LevenbergMarquardt(method) => method.solve(&gathering, model, context),
            }
            .map_err(device_error)?,
        };
        if !done {
            self.gathering = Some(gathering);
            return Ok(None);
        }
        let weights = match &self.method {
            Method::Blocks(method) => method.block(key.step).name(),
            Method::LevenbergMarquardt(_) => "all weights".to_owned(),
        };
        self.last = Some(Solved { weights, tasks: gathering.tasks() });
        Ok(Some(gathering.mean_loss() as f32))
    }
}
