//! Optimisers whose whole state can be saved, and the schedule of their learning rate.

pub use crate::nn::op::Moments;

use dfdx::prelude::{Gradients, TryMul, TrySub};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::nn::op::AdamStep;
use crate::nn::{Device, DeviceResult, Matrix, Net, Param};

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Sequences in a batch.
    #[serde(deserialize_with = "bounds::batch")]
    pub batch: usize,
    /// The step to stop at.
    #[serde(deserialize_with = "bounds::steps")]
    pub steps: u64,
    /// The greatest learning rate of the schedule.
    #[serde(deserialize_with = "bounds::rate")]
    pub lr: f64,
    /// Names the run's luck: initial weights and training tasks.
    pub seed: u64,
    /// Steps over which the learning rate rises from zero.
    #[serde(default)]
    pub warmup: u64,
    /// What share of `lr` is left at the last step; in between it falls along half a cosine. 1: constant.
    #[serde(default = "whole", deserialize_with = "bounds::fraction")]
    pub final_lr: f64,
    #[serde(default)]
    pub optimiser: Optimiser,
    /// The greatest norm of the whole gradient; a longer one is scaled down to it.
    #[serde(default, deserialize_with = "bounds::optional_scale")]
    pub clip: Option<f64>,
    /// Steps between two measurements of how equal the model is to the references.
    #[serde(deserialize_with = "bounds::interval")]
    pub measure_every: u64,
    /// Steps per second that the lab begins with, so that people can watch. None: as fast as the machine can.
    #[serde(default, deserialize_with = "bounds::optional_scale")]
    pub pace: Option<f64>,
}

/// The rule that turns a gradient into a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Optimiser {
    /// Kingma & Ba 2014.
    Adam {
        #[serde(default = "beta1", deserialize_with = "bounds::decay")]
        beta1: f64,
        #[serde(default = "beta2", deserialize_with = "bounds::decay")]
        beta2: f64,
    },
    /// Plain stochastic gradient descent.
    Sgd,
}

impl Default for Optimiser {
    fn default() -> Self {
        Self::Adam { beta1: beta1(), beta2: beta2() }
    }
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn whole() -> f64 {
    1.0
}

impl TrainSpec {
    /// The learning rate of a step (from 0), before what the person at the keys multiplies it by.
    pub fn lr_at(&self, step: u64) -> f64 {
        let warm = if step < self.warmup { (step + 1) as f64 / self.warmup as f64 } else { 1.0 };
        let along = (step as f64 / self.steps.max(1) as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * along).cos());
        self.lr * warm * (self.final_lr + (1.0 - self.final_lr) * cosine)
    }
}

/// The optimiser of one network: its rule and what it remembers.
#[derive(Clone, Debug)]
pub struct Optim<D: Device> {
    rule: Optimiser,
    clip: Option<f64>,
    /// One for each parameter, in the network's order; empty where the rule keeps none.
    pub moments: Vec<Moments<D>>,
}

impl<D: Device> Optim<D> {
    /// An optimiser before its first step.
    pub fn new(spec: &TrainSpec, device: &D, net: &impl Net<D>) -> DeviceResult<Self, D> {
        let moments = match spec.optimiser {
            Optimiser::Adam { .. } => {
                net.params().into_iter().map(|param| Moments::zero(device, &param.value)).collect::<Result<_, _>>()?
            }
            Optimiser::Sgd => Vec::new(),
        };
        Ok(Self { rule: spec.optimiser.clone(), clip: spec.clip, moments })
    }

    /// Moves every parameter of a network; `step` counts from 1.
    pub fn update(
        &mut self,
        net: &mut impl Net<D>,
        gradients: &mut Gradients<f32, D>,
        lr: f64,
        step: u64,
    ) -> DeviceResult<(), D> {
        let mut params = net.params_mut();
        let Some(device) = params.first().map(|param| param.value.device().clone()) else { return Ok(()) };
        let mut grads = params.iter().map(|param| slope(gradients, param)).collect::<Result<Vec<_>, _>>()?;
        if let Some(most) = self.clip {
            device.clip(&mut grads, most as f32)?;
        }
        match self.rule {
            Optimiser::Adam { beta1, beta2 } => {
                let step = AdamStep::new(lr, step, [beta1, beta2]);
                for ((param, slope), moments) in params.iter_mut().zip(grads).zip(&mut self.moments) {
                    device.adam(&mut param.value, moments, slope, step)?;
                }
            }
            Optimiser::Sgd => {
                for (param, slope) in params.iter_mut().zip(grads) {
                    param.value = param.value.clone().try_sub(slope.try_mul(lr as f32)?)?;
                }
            }
        }
        Ok(())
    }
}

/// The gradient by a parameter; zero where the loss does not depend on it.
fn slope<D: Device>(gradients: &mut Gradients<f32, D>, param: &Param<D>) -> DeviceResult<Matrix<D>, D> {
    gradients.try_alloc_for(&param.value)?;
    Ok(gradients.get(&param.value))
}
