//! States of a run that it can go back to, in bounded memory: many where the loss changes fast, fewer elsewhere.
//!
//! Knows nothing of time: the caller decides how often a state is added.

use std::mem::size_of;
use std::sync::Arc;

use super::{Checkpoint, History};
use crate::series::Series;

/// Bytes of all states at most.
const BYTES: usize = 64 << 20;
/// States at most: a screen could not show more as separate points.
const MOST: usize = 200;
/// What all steps so far count as beside the changes of ln(loss), when the distance between two states is measured.
const STEPS: f64 = 3.0;
/// The weight of a new batch in the smoothed loss.
const SMOOTHING: f64 = 0.1;

/// A run at one step, and what it has reported until then.
#[derive(Clone, Debug)]
pub struct RunState {
    pub checkpoint: Checkpoint,
    pub history: History,
}

impl RunState {
    /// Bytes of memory, about.
    fn bytes(&self) -> usize {
        let numbers = |p: &super::SavedParameter| p.values.len() + p.moment1.len() + p.moment2.len();
        let parameters: usize = self.checkpoint.parameters.iter().map(numbers).sum();
        let curves: usize = self.history.named().map(|(_, series)| Series::bytes(series)).sum();
        size_of::<Self>() + size_of::<f32>() * parameters + curves
    }
}

struct Kept {
    state: Arc<RunState>,
    /// ln of the smoothed training loss.
    log_loss: f64,
    bytes: usize,
}

impl Kept {
    fn step(&self) -> u64 {
        self.state.checkpoint.step
    }
}

/// The states of one run, by step.
#[derive(Default)]
pub struct KeptStates {
    states: Vec<Kept>,
    bytes: usize,
    /// ln of the loss, smoothed over batches; `None` before the first.
    log_loss: Option<f64>,
}

impl KeptStates {
    /// Takes in the training loss of a step.
    pub fn observe(&mut self, loss: f32) {
        let log_loss = f64::from(loss).ln();
        if log_loss.is_finite() {
            let before = self.log_loss.unwrap_or(log_loss);
            self.log_loss = Some(before + SMOOTHING * (log_loss - before));
        }
    }

    /// Adds a state. Where they become too many or too large, those go that differ least from their neighbours in step
    /// and loss; the first and the last stay.
    pub fn add(&mut self, state: RunState) {
        let (step, bytes) = (state.checkpoint.step, state.bytes());
        let Err(place) = self.states.binary_search_by_key(&step, Kept::step) else { return };
        let log_loss = self.log_loss.unwrap_or(0.0);
        self.bytes += bytes;
        self.states.insert(place, Kept { state: Arc::new(state), log_loss, bytes });
        while self.states.len() > 2 && (self.states.len() > MOST || self.bytes > BYTES) {
            self.remove_least();
        }
    }

    fn remove_least(&mut self) {
        let all = self.states.last().map_or(1.0, |last| last.step().max(1) as f64);
        let distance =
            |a: &Kept, b: &Kept| STEPS * (b.step() - a.step()) as f64 / all + (b.log_loss - a.log_loss).abs();
        let gaps = self.states.windows(3).map(|w| distance(&w[0], &w[1]) + distance(&w[1], &w[2]));
        let least = gaps.enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(before, _)| before + 1);
        if let Some(least) = least {
            self.bytes -= self.states.remove(least).bytes;
        }
    }

    /// Bytes of memory of all states, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The steps of all states, in order.
    pub fn steps(&self) -> Vec<u64> {
        self.states.iter().map(Kept::step).collect()
    }

    /// The state at exactly this step.
    pub fn at(&self, step: u64) -> Option<Arc<RunState>> {
        let found = self.states.binary_search_by_key(&step, Kept::step).ok()?;
        self.states.get(found).map(|kept| Arc::clone(&kept.state))
    }

    /// Drops the states after a step: the run takes another way from there, or diverged.
    pub fn forget_after(&mut self, step: u64) {
        self.states.retain(|kept| kept.step() <= step);
        self.bytes = self.states.iter().map(|kept| kept.bytes).sum();
    }

    /// Drops all states.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::SavedParameter;

    fn state(step: u64, parameters: usize) -> RunState {
        let values = vec![0.5; parameters];
        let parameter =
            SavedParameter { name: "W".to_owned(), shape: (1, parameters), values, moment1: vec![], moment2: vec![] };
        let checkpoint = Checkpoint { seed: 0, step, lr_factor: 1.0, damping: None, parameters: vec![parameter] };
        RunState { checkpoint, history: History::default() }
    }

    #[test]
    fn states_are_dense_where_the_loss_falls_and_the_first_and_the_last_stay() {
        let mut states = KeptStates::default();
        for step in 0..=10_000u64 {
            // A plateau, a fall by a factor of 50 within 300 steps, and a plateau.
            let fallen = (step as f32 - 5_000.0).clamp(0.0, 300.0) / 300.0;
            states.observe((-fallen * 50f32.ln()).exp());
            states.add(state(step, 10));
        }
        let steps = states.steps();
        assert_eq!((steps.len(), steps[0], steps[MOST - 1]), (MOST, 0, 10_000));
        let within = |low: u64, high: u64| steps.iter().filter(|step| (low..high).contains(step)).count();
        assert!(within(5_000, 5_400) > 40, "{steps:?}");
        assert!(within(0, 5_000) > 20 && within(5_400, 10_000) > 20, "{steps:?}");
        assert_eq!(states.at(10_000).map(|state| state.checkpoint.step), Some(10_000));
        assert!(states.at(10_001).is_none());
    }

    #[test]
    fn memory_is_bounded_by_bytes_too() {
        let mut states = KeptStates::default();
        for step in 0..100 {
            states.add(state(step, 1 << 20));
            let bytes: usize = states.states.iter().map(|kept| kept.state.bytes()).sum();
            assert!(bytes <= BYTES && bytes == states.bytes, "{bytes}");
        }
        let steps = states.steps();
        assert!(steps.len() > 10 && steps[0] == 0 && steps[steps.len() - 1] == 99, "{steps:?}");
        states.forget_after(50);
        assert!(states.steps().iter().all(|step| *step <= 50));
        // A state that is there already is not added twice.
        let before = states.steps();
        states.add(state(0, 1 << 20));
        assert_eq!(states.steps(), before);
    }
}
