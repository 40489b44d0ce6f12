//! A run whose steps are done many at a time by an engine, and whose network is only looked at.

use std::cell::RefCell;
use std::sync::Arc;

use anyhow::Result;

use super::super::trainer::{Run, StepProgress, StepReport};
use super::super::{Checkpoint, SavedParameter};
use crate::nn::{AttentionForm, Canonical, Latent, LayerStates};
use crate::optim::{AdamStep, Optimiser};
use crate::preset::Preset;
use crate::task::{Batch, StreamKey};

/// Weights and the two moments of each, in the network's order.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub weights: Vec<f32>,
    /// As many as there are weights; none if the optimiser keeps none.
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// A step's numbers for the optimiser.
#[derive(Clone, Copy, Debug)]
pub struct StepRates {
    /// The learning rate α.
    pub lr: f64,
    /// Of Adam α/(1 − β₁ᵗ), else α.
    pub rate: f32,
    /// 1/(1 − β₂ᵗ).
    pub unbiased: f32,
}

/// A device that trains by whole steps.
///
/// # Errors
/// Of every method: the device failed.
pub trait WholeStepEngine {
    /// Takes these weights and moments.
    fn load(&mut self, parameters: &Parameters) -> Result<()>;
    /// Does so many steps, the first on the batch of this key; returns the loss of each.
    fn train(&mut self, key: StreamKey, rates: &[StepRates]) -> Result<Vec<f32>>;
    /// The present weights and moments.
    fn read(&self) -> Result<Parameters>;
    /// Steps that are done in one launch, at most.
    fn steps_at_once(&self) -> usize;
}

/// The run. Steps are queued until their reports, or what follows from them, is asked for.
pub struct WholeSteps {
    state: RefCell<State>,
    optimiser: Optimiser,
    queue_limit: u64,
}

struct State {
    engine: Box<dyn WholeStepEngine>,
    /// The network, for everything but training.
    network: Box<dyn Run>,
    /// The batch of the first step that is queued.
    key: Option<StreamKey>,
    queued: Vec<StepRates>,
    done: Vec<StepReport>,
    /// Whether the engine has the network's weights.
    is_loaded: bool,
    /// Whether the engine has trained since the network had its weights.
    is_ahead: bool,
}

impl WholeSteps {
    /// A run of the same weights as `network`.
    pub fn new(engine: Box<dyn WholeStepEngine>, network: Box<dyn Run>, preset: &Arc<Preset>) -> Self {
        let queue_limit = engine.steps_at_once() as u64;
        let (queued, done) = Default::default();
        let state = State { engine, network, key: None, queued, done, is_loaded: false, is_ahead: false };
        Self { state: RefCell::new(state), optimiser: preset.train.optimiser.clone(), queue_limit }
    }

    /// What the optimiser multiplies by; `step` counts from 1.
    fn rates(&self, lr: f64, step: u64) -> StepRates {
        let (rate, unbiased) = match self.optimiser {
            Optimiser::Adam { beta1, beta2 } => AdamStep::new(lr, step, [beta1, beta2]).rates(),
            // The last two never come here: the engine refuses them.
            Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => (lr as f32, 1.0),
        };
        StepRates { lr, rate, unbiased }
    }

    /// Looks at the network with the newest weights.
    fn look<R>(&self, look: impl FnOnce(&dyn Run) -> Result<R>) -> Result<R> {
        let state = &mut *self.state.borrow_mut();
        state.refresh()?;
        look(&*state.network)
    }
}

impl State {
    /// Does what is queued.
    fn finish(&mut self) -> Result<()> {
        let Some(key) = self.key.take() else { return Ok(()) };
        let queued = std::mem::take(&mut self.queued);
        self.is_ahead = true;
        let losses = self.engine.train(key, &queued)?;
        let steps = (key.step + 1..).zip(queued.iter().zip(losses));
        self.done.extend(steps.map(|(step, (rates, loss))| StepReport { step, loss, lr: rates.lr }));
        Ok(())
    }

    /// The engine's weights and moments under the network's names.
    fn parameters(&mut self) -> Result<Vec<SavedParameter>> {
        self.finish()?;
        let mut saved = self.network.parameters()?;
        if self.is_ahead {
            let newest = self.engine.read()?;
            let mut from = 0;
            for parameter in &mut saved {
                let part = from..from + parameter.values.len();
                parameter.values.copy_from_slice(&newest.weights[part.clone()]);
                if !parameter.moment1.is_empty() {
                    parameter.moment1.copy_from_slice(&newest.first[part.clone()]);
                    parameter.moment2.copy_from_slice(&newest.second[part.clone()]);
                }
                from = part.end;
            }
        }
        Ok(saved)
    }

    /// Gives the network the newest weights.
    fn refresh(&mut self) -> Result<()> {
        let parameters = self.parameters()?;
        if self.is_ahead {
            self.network.restore(&Checkpoint { seed: 0, step: 0, lr_factor: 1.0, damping: None, parameters })?;
            self.is_ahead = false;
        }
        Ok(())
    }

    /// Gives the engine the network's weights.
    fn load(&mut self) -> Result<()> {
        let saved = self.network.parameters()?;
        let all = |pick: fn(&SavedParameter) -> &Vec<f32>| saved.iter().flat_map(|p| pick(p).clone()).collect();
        let parameters =
            Parameters { weights: all(|p| &p.values), first: all(|p| &p.moment1), second: all(|p| &p.moment2) };
        self.engine.load(&parameters)?;
        (self.is_loaded, self.is_ahead) = (true, false);
        Ok(())
    }

    /// Drops what is queued, and the engine's weights.
    fn forget(&mut self) {
        self.queued.clear();
        self.done.clear();
        (self.key, self.is_loaded, self.is_ahead) = (None, false, false);
    }
}

impl Run for WholeSteps {
    fn step(&mut self, key: StreamKey, lr: f64) -> Result<StepProgress> {
        let rates = self.rates(lr, key.step + 1);
        let state = self.state.get_mut();
        let follows = |first: StreamKey| key == StreamKey { step: first.step + state.queued.len() as u64, ..first };
        if !state.key.is_none_or(follows) || state.queued.len() as u64 >= self.queue_limit {
            state.finish()?;
        }
        if !state.is_loaded {
            state.load()?;
        }
        state.key.get_or_insert(key);
        state.queued.push(rates);
        Ok(StepProgress::Complete)
    }

    fn operations(&self, step: u64) -> f64 {
        self.state.borrow().network.operations(step)
    }

    fn reports(&mut self) -> Result<Vec<StepReport>> {
        let state = self.state.get_mut();
        state.finish()?;
        Ok(std::mem::take(&mut state.done))
    }

    fn queue_limit(&self) -> u64 {
        self.queue_limit
    }

    fn batch_loss(&self, key: StreamKey) -> Result<f32> {
        self.look(|network| network.batch_loss(key))
    }

    fn predict(&self, tasks: &Batch) -> Result<Vec<f32>> {
        self.look(|network| network.predict(tasks))
    }

    fn query_gradient(&self, tasks: &Batch, output_weights: Vec<f32>) -> Result<Vec<f32>> {
        self.look(|network| network.query_gradient(tasks, output_weights))
    }

    fn states(&self, tasks: &Batch) -> Result<Vec<LayerStates>> {
        self.look(|network| network.states(tasks))
    }

    fn latents(&self, tasks: &Batch) -> Result<Vec<Latent>> {
        self.look(|network| network.latents(tasks))
    }

    fn attention_form(&self, tasks: &Batch) -> Result<Option<AttentionForm>> {
        self.look(|network| network.attention_form(tasks))
    }

    fn canonical(&self) -> Vec<Canonical> {
        self.look(|network| Ok(network.canonical())).unwrap_or_default()
    }

    fn parameters(&self) -> Result<Vec<SavedParameter>> {
        self.state.borrow_mut().parameters()
    }

    fn restore(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let state = self.state.get_mut();
        state.network.restore(checkpoint)?;
        state.forget();
        Ok(())
    }

    fn initialise(&mut self, seed: u64) -> Result<()> {
        let state = self.state.get_mut();
        state.network.initialise(seed)?;
        state.forget();
        Ok(())
    }

    fn release(&mut self) {
        let state = self.state.get_mut();
        state.forget();
        state.network.release();
    }
}
