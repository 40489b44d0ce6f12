//! Optimisers whose whole state can be saved, and the schedule of their learning rate.
//!
//! Adam's update (`adam.rs`) and clipping (`clip.rs`) have a form for any device and a fast one for the CPU
//! ([`OptimDevice`]).

mod adam;
mod clip;
mod device;
mod schedule;
mod solve;

pub use adam::{AdamStep, Moments};
pub use device::OptimDevice;
pub use solve::{Block, BlockEquations, Damping, Jacobian, MOST_UNKNOWNS, NormalEquations};

use dfdx::prelude::{Gradients, TryMul, TrySub};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::nn::{Device, DeviceResult, Matrix, Net, Param};

/// How a model is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// Sequences in a batch.
    #[serde(deserialize_with = "bounds::batch")]
    pub batch: usize,
    /// Training steps.
    #[serde(deserialize_with = "bounds::steps")]
    pub steps: u64,
    /// The greatest learning rate of the schedule.
    #[serde(deserialize_with = "bounds::rate")]
    pub lr: f64,
    /// The seed of the initial weights and of the training tasks.
    pub seed: u64,
    /// Steps over which the learning rate rises linearly from zero.
    #[serde(default)]
    pub warmup: u64,
    /// The learning rate at the last step, as a fraction of `lr`; it falls along half a cosine. 1: constant.
    #[serde(default = "bounds::one", deserialize_with = "bounds::fraction")]
    pub final_lr: f64,
    #[serde(default)]
    pub optimiser: Optimiser,
    /// The greatest norm of the gradient over all parameters; a longer one is scaled down to it. None: no clipping.
    #[serde(default, deserialize_with = "bounds::optional_scale")]
    pub clip: Option<f64>,
    /// Steps between two measurements on the held-out tasks.
    #[serde(deserialize_with = "bounds::interval")]
    pub measure_every: u64,
    /// Steps per second at which the lab starts, slow enough to watch. None: as fast as possible.
    #[serde(default, deserialize_with = "bounds::optional_scale")]
    pub pace: Option<f64>,
    /// When the lab trains more slowly than its pace, so that one can watch.
    #[serde(default)]
    pub slow_down: SlowDown,
}

/// When a run in the lab slows down by itself. A run without a limit, and one without a screen, never does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum SlowDown {
    /// While the loss falls fast.
    #[default]
    WhileFalling,
    /// Between these steps.
    Between {
        first: u64,
        last: u64,
    },
    Never,
}

/// The update rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Optimiser {
    /// Adam with bias correction, without weight decay (Kingma & Ba 2014).
    Adam {
        #[serde(default = "beta1", deserialize_with = "bounds::decay")]
        beta1: f64,
        #[serde(default = "beta2", deserialize_with = "bounds::decay")]
        beta2: f64,
    },
    /// Plain stochastic gradient descent.
    Sgd,
    /// Each step solves for one block of weights in which the answers are linear, one block after the other, by least
    /// squares on fresh tasks (of the cross-entropy: one step of iteratively reweighted least squares). The learning
    /// rate is the part of the way to the solution that the weights go: 1 is all of it.
    Solve {
        /// Equations of a step for each unknown weight: each output of a task is one. They determine how many fresh
        /// tasks a step takes.
        #[serde(default = "equations", deserialize_with = "bounds::equations")]
        equations: usize,
        /// Tasks of a step at least: the equations of one task are not independent, because they share its inputs.
        #[serde(default = "least_tasks", deserialize_with = "bounds::tasks")]
        least_tasks: usize,
        /// λ of the penalty λ ‖w‖², relative to the mean of the diagonal of the normal equations.
        #[serde(default = "ridge", deserialize_with = "bounds::relative")]
        ridge: f64,
    },
    /// Each step solves the least-squares problem of the linearised answers for all weights at once, damped (Levenberg
    /// 1944, Marquardt 1963). The learning rate is the part of the way to the solution, as above.
    LevenbergMarquardt {
        /// Fresh tasks of a step.
        #[serde(default = "tasks", deserialize_with = "bounds::tasks")]
        tasks: usize,
        /// The damping at the start, relative to the mean of the diagonal of the normal equations. It is adapted from
        /// step to step.
        #[serde(default = "damping", deserialize_with = "bounds::relative")]
        damping: f64,
    },
}

impl Optimiser {
    /// Whether a step goes along the gradient of one batch; else it solves equations of many.
    pub fn descends(&self) -> bool {
        match self {
            Self::Adam { .. } | Self::Sgd => true,
            Self::Solve { .. } | Self::LevenbergMarquardt { .. } => false,
        }
    }
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

fn equations() -> usize {
    400
}

fn least_tasks() -> usize {
    1000
}

fn ridge() -> f64 {
    1e-9
}

fn tasks() -> usize {
    2000
}

fn damping() -> f64 {
    1e-2
}

/// The optimiser of one network: its rule and its state.
#[derive(Clone, Debug)]
pub struct Optim<D: Device> {
    rule: Optimiser,
    clip: Option<f64>,
    /// Adam's moments of each parameter, in the network's order; empty for other rules.
    pub moments: Vec<Moments<D>>,
}

impl<D: OptimDevice> Optim<D> {
    /// An optimiser before its first step.
    pub fn new(spec: &TrainSpec, device: &D, net: &impl Net<D>) -> DeviceResult<Self, D> {
        let moments = match spec.optimiser {
            Optimiser::Adam { .. } => {
                net.params().into_iter().map(|param| Moments::zero(device, &param.value)).collect::<Result<_, _>>()?
            }
            Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => Vec::new(),
        };
        Ok(Self { rule: spec.optimiser.clone(), clip: spec.clip, moments })
    }

    /// Updates every parameter of a network; `step` counts from 1.
    pub fn update(
        &mut self,
        net: &mut impl Net<D>,
        gradients: &mut Gradients<f32, D>,
        lr: f64,
        step: u64,
    ) -> DeviceResult<(), D> {
        let mut params = net.params_mut();
        let Some(device) = params.first().map(|param| param.value.device().clone()) else { return Ok(()) };
        let mut grads = params.iter().map(|param| grad(gradients, param)).collect::<Result<Vec<_>, _>>()?;
        if let Some(most) = self.clip {
            device.clip(&mut grads, most as f32)?;
        }
        match self.rule {
            Optimiser::Adam { beta1, beta2 } => {
                let step = AdamStep::new(lr, step, [beta1, beta2]);
                for ((param, grad), moments) in params.iter_mut().zip(grads).zip(&mut self.moments) {
                    device.adam(&mut param.value, moments, grad, step)?;
                }
            }
            Optimiser::Sgd => {
                for (param, grad) in params.iter_mut().zip(grads) {
                    param.value = param.value.clone().try_sub(grad.try_mul(lr as f32)?)?;
                }
            }
            // They do not move along the gradient of a batch: see `solve/`.
            Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => {}
        }
        Ok(())
    }
}

/// The gradient of a parameter; zero if the loss does not depend on it.
fn grad<D: Device>(gradients: &mut Gradients<f32, D>, param: &Param<D>) -> DeviceResult<Matrix<D>, D> {
    gradients.try_alloc_for(&param.value)?;
    Ok(gradients.get(&param.value))
}
