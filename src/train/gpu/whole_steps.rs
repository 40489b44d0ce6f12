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
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Orders so many steps, at most [`Self::steps_at_once`], the first on the batch of this key, and returns: the
    /// device does them while the processor does something else.
    fn order(&mut self, key: StreamKey, rates: &[StepRates]) -> Result<()>;
    /// Waits for the steps that were ordered last; returns the loss of each.
    fn losses(&mut self) -> Result<Vec<f32>>;
    /// The present weights and moments, after all steps that were ordered.
    fn read(&self) -> Result<Parameters>;
    /// Steps that one order may have.
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
    queued: Option<Steps>,
    done: Vec<StepReport>,
    engine_has: EngineHas,
}

/// The engine's weights, compared with the network's.
enum EngineHas {
    /// Others, or none.
    Nothing,
    SameWeights,
    /// Those after steps that were queued.
    NewerWeights,
    /// Those after steps that were not asked for yet: it does them while the network is measured.
    EarlySteps(Steps),
}

/// Steps that follow each other.
struct Steps {
    /// The batch of the first one.
    key: StreamKey,
    rates: Vec<StepRates>,
}

impl WholeSteps {
    /// A run of the same weights as `network`.
    pub fn new(engine: Box<dyn WholeStepEngine>, network: Box<dyn Run>, preset: &Arc<Preset>) -> Self {
        let queue_limit = engine.steps_at_once() as u64;
        let state = State { engine, network, queued: None, done: Vec::new(), engine_has: EngineHas::Nothing };
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
    /// Does what is queued. Steps that the engine has done early count if they are what was asked for.
    fn finish(&mut self) -> Result<()> {
        let Some(Steps { key, rates }) = self.queued.take() else { return Ok(()) };
        let mut losses = match std::mem::replace(&mut self.engine_has, EngineHas::Nothing) {
            EngineHas::EarlySteps(early) if early.key == key && rates.starts_with(&early.rates) => {
                self.engine.losses()?
            }
            EngineHas::Nothing | EngineHas::EarlySteps(_) => {
                self.load()?;
                Vec::new()
            }
            EngineHas::SameWeights | EngineHas::NewerWeights => Vec::new(),
        };
        self.engine_has = EngineHas::NewerWeights;
        for rates in rates[losses.len()..].chunks(self.engine.steps_at_once()) {
            self.engine.order(StreamKey { step: key.step + losses.len() as u64, ..key }, rates)?;
            losses.extend(self.engine.losses()?);
        }
        let steps = (key.step + 1..).zip(rates.iter().zip(losses));
        self.done.extend(steps.map(|(step, (rates, loss))| StepReport { step, loss, lr: rates.lr }));
        Ok(())
    }

    /// The engine's weights and moments under the network's names.
    fn parameters(&mut self) -> Result<Vec<SavedParameter>> {
        self.finish()?;
        let mut saved = self.network.parameters()?;
        if let EngineHas::NewerWeights = self.engine_has {
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
        self.finish()?;
        if let EngineHas::NewerWeights = self.engine_has {
            let parameters = self.parameters()?;
            self.network.restore(&Checkpoint { seed: 0, step: 0, lr_factor: 1.0, damping: None, parameters })?;
            self.engine_has = EngineHas::SameWeights;
        }
        Ok(())
    }

    /// Gives the engine the network's weights.
    fn load(&mut self) -> Result<()> {
        let saved = self.network.parameters()?;
        let all = |pick: fn(&SavedParameter) -> &Vec<f32>| saved.iter().flat_map(|p| pick(p).clone()).collect();
        let parameters =
            Parameters { weights: all(|p| &p.values), first: all(|p| &p.moment1), second: all(|p| &p.moment2) };
        self.engine.load(&parameters)
    }

    /// Drops what is queued, and the engine's weights.
    fn forget(&mut self) {
        self.done.clear();
        (self.queued, self.engine_has) = (None, EngineHas::Nothing);
    }
}

impl Run for WholeSteps {
    fn step(&mut self, key: StreamKey, lr: f64) -> Result<StepProgress> {
        let (rates, limit) = (self.rates(lr, key.step + 1), self.queue_limit);
        let state = self.state.get_mut();
        let fits = |queued: &Steps| {
            let count = queued.rates.len() as u64;
            count < limit && key == StreamKey { step: queued.key.step + count, ..queued.key }
        };
        if !state.queued.as_ref().is_none_or(fits) {
            state.finish()?;
        }
        state.queued.get_or_insert(Steps { key, rates: Vec::new() }).rates.push(rates);
        Ok(StepProgress::Complete)
    }

    fn begin_early(&mut self, key: StreamKey, lrs: &[f64]) -> Result<()> {
        let rates: Vec<_> = (key.step + 1..).zip(lrs).map(|(step, lr)| self.rates(*lr, step)).collect();
        let state = self.state.get_mut();
        state.refresh()?;
        match state.engine_has {
            EngineHas::EarlySteps(_) => return Ok(()),
            EngineHas::Nothing => state.load()?,
            EngineHas::SameWeights | EngineHas::NewerWeights => {}
        }
        state.engine.order(key, &rates)?;
        state.engine_has = EngineHas::EarlySteps(Steps { key, rates });
        Ok(())
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
