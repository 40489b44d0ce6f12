//! What a card computes equals what the CPU computes: every preset, step by step.
//!
//! A card computes by compositions of dfdx's operations. Those run on the CPU too, so the greater part of the agreement
//! is tested everywhere, and the rest where a card answers.
#![cfg(test)]

use dfdx::tensor::Cpu;

#[cfg(feature = "cuda")]
use super::open;
use super::trainer::Trainer;
use super::{DeviceChoice, Experiment, Run, StepReport};
use crate::nn::op::check::on_portable_path;
use crate::preset::{self, Preset};

const STEPS: u64 = 50;
/// Relative difference of the loss after any of the steps.
const TOLERANCE: f32 = 1e-3;
/// How far apart the weights may end, of the way that they moved. Adam gives a weight whose true gradient is zero, as that
/// of an attention's key bias is, a step of full length by the noise of rounding alone.
const APART: f32 = 1e-2;

/// Every preset that the program was built with, with small batches.
fn presets() -> Vec<(String, Preset)> {
    let small = |entry: preset::Entry| {
        let mut preset = entry.preset.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        preset.train.batch = preset.train.batch.min(24);
        (entry.name, preset)
    };
    preset::all().into_iter().map(small).collect()
}

/// What each of the steps came to, and how far the weights moved by them.
fn train(run: &mut dyn Run) -> (Vec<StepReport>, Vec<f32>) {
    run.reset(3).unwrap();
    let before = weights(run);
    let step = |_| {
        run.step().unwrap();
        // As often as a card is asked.
        if run.steps_done().is_multiple_of(run.steps_ahead()) { run.reports().unwrap() } else { Vec::new() }
    };
    let mut reports: Vec<_> = (0..STEPS).flat_map(step).collect();
    reports.extend(run.reports().unwrap());
    let moved = weights(run).iter().zip(&before).map(|(after, before)| after - before).collect();
    (reports, moved)
}

fn weights(run: &dyn Run) -> Vec<f32> {
    run.checkpoint().unwrap().parameters.into_iter().flat_map(|parameter| parameter.values).collect()
}

fn assert_agree(name: &str, (found, moved): (Vec<StepReport>, Vec<f32>), expected: &(Vec<StepReport>, Vec<f32>)) {
    assert_eq!(found.len() as u64, STEPS);
    for (found, expected) in found.iter().zip(&expected.0) {
        assert_eq!((found.step, found.lr), (expected.step, expected.lr));
        let difference = (found.loss / expected.loss - 1.0).abs();
        assert!(difference <= TOLERANCE, "{name}, step {}: {} against {}", found.step, found.loss, expected.loss);
    }
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    let apart = norm(&mut moved.iter().zip(&expected.1).map(|(a, b)| a - b)) / norm(&mut expected.1.iter().copied());
    assert!(apart <= APART, "{name}: the weights end {apart} of their way apart");
}

#[test]
fn what_a_card_would_compute_equals_what_the_cpu_computes() {
    for (name, preset) in presets() {
        let task = preset.task.clone();
        let mut run = Trainer::new(Cpu::default(), "cpu".to_owned(), preset, &task).unwrap();
        let expected = train(&mut run);
        assert_agree(&name, on_portable_path(|| train(&mut run)), &expected);
    }
}

#[test]
fn steps_that_are_ordered_ahead_come_to_the_same_as_those_that_are_waited_for() {
    let (name, preset) = presets().into_iter().find(|(name, _)| name == "gd-ssm").unwrap();
    let history = |most| {
        on_portable_path(|| {
            let mut experiment = Experiment::start(&name, preset.clone(), DeviceChoice::Cpu).unwrap();
            while experiment.step() < 230 {
                let left = 230 - experiment.step();
                assert!(experiment.advance(left.min(most)).unwrap().diverged.is_none());
            }
            // As text, for a NaN equals itself there.
            format!("{:?} {:?}", experiment.history, experiment.checkpoint().unwrap())
        })
    };
    assert!(history(u64::MAX) == history(1));
}

#[test]
fn a_divergence_among_steps_that_are_ordered_ahead_is_seen() {
    let (name, preset) = presets().into_iter().find(|(name, _)| name == "gd-ssm").unwrap();
    on_portable_path(|| {
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        while experiment.step() < 150 {
            assert!(experiment.advance(150 - experiment.step()).unwrap().diverged.is_none());
        }
        experiment.scale_lr(1e30);
        let diverged = (0..1_000).find_map(|_| experiment.advance(u64::MAX).unwrap().diverged);
        assert!(diverged.is_some_and(|step| step > 150), "{diverged:?}");
        assert_eq!(experiment.step(), 100, "the last state that was kept");
        assert!(experiment.checkpoint().unwrap().check().is_ok());
    });
}

/// On a machine with a card.
#[cfg(feature = "cuda")]
#[test]
fn the_card_says_who_it_is() {
    match super::Gpu::of("cuda:0").and_then(|card| card.status()) {
        Some(card) => {
            println!("NVML: {}, {} of {} bytes, busy {} %", card.name, card.used, card.total, card.busy);
            assert!(!card.name.is_empty() && card.used <= card.total && card.busy <= 100);
            let describe = DeviceChoice::Cuda(0).describe();
            assert!(describe.contains(&card.name), "{outlook}");
        }
        None => println!("NVML: does not answer"),
    }
}

/// On a machine with a card: `cargo test --features cuda --lib agreement`.
#[cfg(feature = "cuda")]
#[test]
fn what_the_card_computes_equals_what_the_cpu_computes() {
    for (name, preset) in presets() {
        let mut card = match open(&preset, DeviceChoice::Cuda(0)) {
            Ok(run) => run,
            Err(error) => {
                eprintln!("SKIPPED, because no card answers: {error:#}");
                return;
            }
        };
        let task = preset.task.clone();
        let mut run = Trainer::new(Cpu::default(), "cpu".to_owned(), preset, &task).unwrap();
        let expected = train(&mut run);
        assert_agree(&name, train(&mut *card), &expected);
        // What was saved on the one goes on on the other.
        let saved = card.checkpoint().unwrap();
        run.restore(&saved).unwrap();
        assert_eq!(run.checkpoint().unwrap(), saved);
        let (there, here) = (card.batch_loss().unwrap(), run.batch_loss().unwrap());
        assert!((there / here - 1.0).abs() <= TOLERANCE, "{name}: {there} against {here}");
        card.restore(&run.checkpoint().unwrap()).unwrap();
        assert_eq!(card.checkpoint().unwrap(), saved);
    }
}
