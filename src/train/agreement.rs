//! What a card computes equals what the CPU computes: every preset, step by step.
//!
//! A card computes by compositions of dfdx's operations. Those run on the CPU too, so the greater part of the agreement
//! is tested everywhere, and the rest where a card answers.
#![cfg(test)]

use dfdx::tensor::Cpu;

use super::trainer::Trainer;
use super::{Run, StepReport};
use crate::nn::op::check::on_a_card;
use crate::preset::{self, Preset};

const STEPS: u64 = 50;
/// Relative difference of the loss after any of the steps.
const TOLERANCE: f32 = 1e-3;

/// Every preset that the program was built with, with small batches.
fn presets() -> Vec<(String, Preset)> {
    let small = |entry: preset::Entry| {
        let mut preset = entry.preset.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        preset.train.batch = preset.train.batch.min(24);
        (entry.name, preset)
    };
    preset::all().into_iter().map(small).collect()
}

fn losses(run: &mut dyn Run) -> Vec<StepReport> {
    run.reset(3).unwrap();
    let step = |_| {
        run.step().unwrap();
        // As often as a card is asked.
        if run.steps_done().is_multiple_of(run.steps_ahead()) { run.reports().unwrap() } else { Vec::new() }
    };
    let mut reports: Vec<_> = (0..STEPS).flat_map(step).collect();
    reports.extend(run.reports().unwrap());
    reports
}

fn assert_agree(name: &str, found: &[StepReport], expected: &[StepReport]) {
    assert_eq!(found.len() as u64, STEPS);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found.step, expected.step);
        let difference = (found.loss / expected.loss - 1.0).abs();
        assert!(difference <= TOLERANCE, "{name}, step {}: {} against {}", found.step, found.loss, expected.loss);
    }
}

#[test]
fn what_a_card_would_compute_equals_what_the_cpu_computes() {
    for (name, preset) in presets() {
        let mut run = Trainer::new(Cpu::default(), "cpu".to_owned(), preset).unwrap();
        let expected = losses(&mut run);
        let found = on_a_card(|| losses(&mut run));
        let worst = found.iter().zip(&expected).map(|(f, e)| (f.loss / e.loss - 1.0).abs()).fold(0.0, f32::max);
        eprintln!("{name}: {worst:e} {} {}", found[0].loss, expected[49].loss);
        assert_agree(&name, &found, &expected);
    }
}
