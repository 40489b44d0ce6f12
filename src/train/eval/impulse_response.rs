//! The impulse response of a network on a sampled signal, beside those of the best linear filters.
//!
//! The network's answer to a sequence in which one number is 1 and all others are 0, less its answer to zeros. Of a
//! linear network this is all there is to know: its answer to any signal is the sum of these responses. Of another
//! network it says how it answers to this one size of impulse.

use anyhow::Result;

use super::super::trainer::Run;
use super::held_out::HeldOut;
use crate::preset::Preset;
use crate::task::{Batch, Task};

/// Tokens of the filters that a network is compared with.
pub const FILTERS: [usize; 2] = [2, 3];

/// The answer to impulses at every token of the first channel, at the first output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Response {
    /// To an impulse in u, 0, 1, … tokens before the query.
    pub signal: Vec<f64>,
    /// To one in du/dt, 1, 2, … tokens before the query, whose own is not known.
    pub slope: Vec<f64>,
}

/// The impulse response of a network, and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub struct ImpulseResponse {
    pub model: Response,
    pub filters: Vec<FilterResponse>,
    /// Mean loss of the backward difference u(t) − u(t − 1).
    pub difference_loss: f64,
}

/// The best linear filter of so many tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct FilterResponse {
    pub tokens: usize,
    pub response: Response,
    /// Mean loss on the held-out tasks.
    pub loss: f64,
}

/// That of the present weights; `None` where inputs are no signal.
pub fn measure(run: &dyn Run, preset: &Preset, held_out: &HeldOut) -> Result<Option<ImpulseResponse>> {
    let Task::Differentiation(_) = &preset.task else { return Ok(None) };
    let shape = preset.task.shape();
    let (dim, outputs, pairs) = (shape.dim, shape.outputs, shape.context);
    // Zeros, then an impulse in u at every token, the newest first, then one in du/dt.
    let mut tasks = Batch::zeros(2 * pairs + 2, shape);
    tasks.query[dim] = 1.0;
    for back in 1..=pairs {
        let at = pairs - back;
        tasks.x[((1 + back) * pairs + at) * dim] = 1.0;
        tasks.y[((1 + pairs + back) * pairs + at) * outputs] = 1.0;
    }
    let answers: Vec<f64> = run.predict(&tasks)?.into_iter().step_by(outputs).map(f64::from).collect();
    let responses = |from: usize, count: usize| answers[from..][..count].iter().map(|y| y - answers[0]).collect();
    let model = Response { signal: responses(1, pairs + 1), slope: responses(pairs + 2, pairs) };
    let filters = FILTERS.map(|tokens| {
        let (signal, slope) = held_out.fir(tokens).impulse();
        FilterResponse { tokens, response: Response { signal, slope }, loss: held_out.fir_loss(tokens) }
    });
    Ok(Some(ImpulseResponse { model, filters: filters.into(), difference_loss: difference_loss(held_out.batch()) }))
}

/// The mean loss of x_q − x_N as the slope at the query.
fn difference_loss(batch: &Batch) -> f64 {
    let (dim, pairs) = (batch.shape.dim, batch.shape.context);
    let last = |task: usize| &batch.x[((task + 1) * pairs - 1) * dim..][..dim];
    let square = |task: usize| {
        let answers = batch.query[task * dim..][..dim].iter().zip(last(task)).map(|(new, old)| new - old);
        let errors = answers.zip(&batch.target[task * dim..][..dim]).map(|(answer, target)| f64::from(answer - target));
        errors.map(|error| error * error).sum::<f64>()
    };
    (0..batch.size).map(square).sum::<f64>() / (2 * dim * batch.size) as f64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dfdx::prelude::Cpu;

    use super::super::super::trainer::Trainer;
    use super::*;
    use crate::nn::model::GdConstants;
    use crate::preset;
    use crate::task::{Shape, Stream};

    /// The bare LRU is linear, so that its answers follow from its impulse response.
    #[test]
    fn the_answers_of_a_linear_network_are_sums_of_its_impulse_response() {
        let (_, preset) = preset::find("differentiation").unwrap();
        let run = Trainer::new(Cpu::default(), Arc::new(preset.clone()), GdConstants::default()).unwrap();
        let held_out = HeldOut::watched(&preset, &preset.task, &|_| true).unwrap();
        let Response { signal, slope } = measure(&run, &preset, &held_out).unwrap().unwrap().model;
        let (tasks, pairs) = (preset.task.sample(5, 3, Stream::HeldOut, 0), preset.task.shape().context);
        let answers = run.predict(&tasks).unwrap();
        for (task, answer) in answers.iter().enumerate() {
            let (x, y) = (&tasks.x[task * pairs..][..pairs], &tasks.y[task * pairs..][..pairs]);
            let of = |response: &[f64], newest_first: &mut dyn Iterator<Item = &f32>| -> f64 {
                response.iter().zip(newest_first).map(|(h, x)| h * f64::from(*x)).sum()
            };
            let newest = std::iter::once(&tasks.query[task]);
            let sum = of(&signal, &mut newest.chain(x.iter().rev())) + of(&slope, &mut y.iter().rev());
            assert!((sum - f64::from(*answer)).abs() < 1e-4, "{task}: {sum} {answer}");
        }
    }

    #[test]
    fn a_ramp_has_a_slope_that_the_difference_finds() {
        let shape = Shape { dim: 1, outputs: 1, context: 2 };
        let mut batch = Batch::zeros(1, shape);
        (batch.x, batch.query, batch.target) = (vec![1.0, 3.0], vec![5.0], vec![2.0]);
        assert_eq!(difference_loss(&batch), 0.0);
        batch.target = vec![1.0];
        assert_eq!(difference_loss(&batch), 0.5);
    }
}
