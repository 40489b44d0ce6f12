//! Training by whole steps on a GPU: so many at a time, in one launch of one kernel.
//!
//! The GPU then has the newest weights and moments. The network's tensors get them when they are asked for: to measure, to
//! look at states, and to save.

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(any(test, feature = "cuda"))]
pub mod plan;

#[cfg(test)]
mod tests;

use std::cell::RefCell;

use anyhow::Result;

use crate::task::StreamKey;
use crate::train::StepReport;

/// Weights, and the two moments of each, in the network's order.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    pub weights: Vec<f32>,
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

/// A step's numbers for the optimiser.
#[derive(Clone, Copy, Debug)]
pub struct StepRates {
    /// α of the report.
    pub lr: f64,
    /// Of Adam α/(1 − β₁ᵗ), else α.
    pub rate: f32,
    /// 1/(1 − β₂ᵗ).
    pub unbiased: f32,
}

/// A device that trains by whole steps.
pub trait WholeSteps {
    /// Takes these weights and moments.
    fn load(&mut self, parameters: &Parameters) -> Result<()>;
    /// Does so many steps, the first on the batch of this key; returns the loss of each.
    fn train(&mut self, key: StreamKey, rates: &[StepRates]) -> Result<Vec<f32>>;
    /// The present weights and moments.
    fn read(&self) -> Result<Parameters>;
    /// Steps that are done in one launch, at most.
    fn steps_at_once(&self) -> usize;
}

/// Whole steps, ordered first and done when somebody asks what came of them.
pub struct Ordering {
    inner: RefCell<Inner>,
    at_once: usize,
}

struct Inner {
    engine: Box<dyn WholeSteps>,
    /// Of the first step that is ordered.
    key: Option<StreamKey>,
    ordered: Vec<StepRates>,
    done: Vec<StepReport>,
    /// Whether the engine has been given the weights of the network.
    loaded: bool,
    /// Whether it has trained since the network had them.
    ahead: bool,
}

impl Ordering {
    #[cfg(any(test, feature = "cuda"))]
    pub fn new(engine: Box<dyn WholeSteps>) -> Self {
        let at_once = engine.steps_at_once();
        let inner =
            Inner { engine, key: None, ordered: Vec::new(), done: Vec::new(), loaded: false, ahead: false };
        Self { inner: RefCell::new(inner), at_once }
    }

    pub fn at_once(&self) -> usize {
        self.at_once
    }

    /// Orders a step. `parameters` are asked for where the engine does not have them.
    pub fn order(&self, key: StreamKey, rates: StepRates, parameters: impl FnOnce() -> Parameters) -> Result<()> {
        let inner = &mut *self.inner.borrow_mut();
        if !inner.loaded {
            inner.engine.load(&parameters())?;
            (inner.loaded, inner.ahead) = (true, false);
        }
        inner.key.get_or_insert(key);
        inner.ordered.push(rates);
        if inner.ordered.len() >= self.at_once { inner.finish() } else { Ok(()) }
    }

    /// What came of all steps since the last call.
    pub fn reports(&self) -> Result<Vec<StepReport>> {
        let inner = &mut *self.inner.borrow_mut();
        inner.finish()?;
        Ok(std::mem::take(&mut inner.done))
    }

    /// The weights and moments, if they are newer than the network's.
    pub fn newer(&self) -> Result<Option<Parameters>> {
        let inner = &mut *self.inner.borrow_mut();
        inner.finish()?;
        if inner.ahead { inner.engine.read().map(Some) } else { Ok(None) }
    }

    /// The network has what the engine has.
    pub fn in_step(&self) {
        self.inner.borrow_mut().ahead = false;
    }

    /// The network's weights have been changed: what was ordered is forgotten.
    pub fn forget(&self) {
        let inner = &mut *self.inner.borrow_mut();
        inner.ordered.clear();
        inner.done.clear();
        (inner.key, inner.loaded, inner.ahead) = (None, false, false);
    }
}

impl Inner {
    fn finish(&mut self) -> Result<()> {
        let Some(key) = self.key.take() else { return Ok(()) };
        let ordered = std::mem::take(&mut self.ordered);
        self.ahead = true;
        let losses = self.engine.train(key, &ordered)?;
        let steps = (key.step + 1..).zip(ordered.iter().zip(losses));
        self.done.extend(steps.map(|(step, (rates, loss))| StepReport { step, loss, lr: rates.lr }));
        Ok(())
    }
}
