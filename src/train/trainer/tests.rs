//! A GPU computes what the CPU computes: every preset, step by step.
//!
//! A GPU computes by compositions of dfdx's operations. Those run on the CPU too, so most of the agreement is tested on
//! every machine, and the rest on machines with a GPU.

use std::sync::Arc;

use dfdx::tensor::Cpu;

use super::*;
use crate::nn::check::on_portable_path;
use crate::preset;
use crate::train::{DeviceChoice, Experiment};

const SEED: u64 = 3;
const STEPS: u64 = 50;
/// Relative difference of the loss after any of the steps.
const TOLERANCE: f32 = 1e-3;
/// Distance of the final weights, relative to the distance that they moved. Adam moves a weight whose true gradient is
/// zero, such as the key bias of an attention, by full steps that come from rounding alone.
const APART: f32 = 1e-2;
const GD_CONSTANTS: GdConstants = GdConstants { step_size: 0.3, lambda: 0.1 };

/// Every preset that the program was built with and that descends, with small batches. Steps that solve are tested in
/// `solver/tests.rs`.
fn presets() -> Vec<(String, Preset)> {
    let small = |entry: preset::Entry| {
        let mut preset = entry.preset.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        preset.train.batch = preset.train.batch.min(24);
        (entry.name, preset)
    };
    preset::all().into_iter().map(small).filter(|(_, preset)| preset.train.optimiser.descends()).collect()
}

fn on_cpu(preset: &Preset) -> Trainer<Cpu> {
    Trainer::new(Cpu::default(), Arc::new(preset.clone()), GD_CONSTANTS).unwrap()
}

fn key(step: u64) -> StreamKey {
    StreamKey { seed: SEED, stream: Stream::Train, step }
}

struct Trained {
    reports: Vec<StepReport>,
    /// Final weights minus initial weights.
    moved: Vec<f32>,
}

fn train(run: &mut dyn Run, preset: &Preset) -> Trained {
    run.initialise(SEED).unwrap();
    let before = weights(run);
    let step = |step: u64| {
        run.step(key(step), preset.train.lr_at(step)).unwrap();
        if (step + 1).is_multiple_of(run.queue_limit()) { run.reports().unwrap() } else { Vec::new() }
    };
    let mut reports: Vec<_> = (0..STEPS).flat_map(step).collect();
    reports.extend(run.reports().unwrap());
    let moved = weights(run).iter().zip(&before).map(|(after, before)| after - before).collect();
    Trained { reports, moved }
}

fn weights(run: &dyn Run) -> Vec<f32> {
    run.parameters().unwrap().into_iter().flat_map(|parameter| parameter.values).collect()
}

fn assert_agree(name: &str, found: &Trained, expected: &Trained) {
    assert_eq!(found.reports.len() as u64, STEPS);
    for (found, expected) in found.reports.iter().zip(&expected.reports) {
        assert_eq!((found.step, found.lr), (expected.step, expected.lr));
        let difference = (found.loss / expected.loss - 1.0).abs();
        assert!(difference <= TOLERANCE, "{name}, step {}: {} against {}", found.step, found.loss, expected.loss);
    }
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    let distance = norm(&mut found.moved.iter().zip(&expected.moved).map(|(a, b)| a - b));
    let apart = distance / norm(&mut expected.moved.iter().copied());
    assert!(apart <= APART, "{name}: the weights end {apart} of their way apart");
}

#[test]
fn the_portable_path_equals_the_cpu_kernels() {
    for (name, preset) in presets() {
        let mut run = on_cpu(&preset);
        let expected = train(&mut run, &preset);
        assert_agree(&name, &on_portable_path(|| train(&mut run, &preset)), &expected);
    }
}

/// A GPU may train on batches that fit nowhere: their loss is that of the first tasks.
#[test]
fn the_loss_of_a_large_batch_is_that_of_its_first_tasks() {
    for name in ["first-look", "gd-ssm-sine"] {
        let (_, mut preset) = preset::find(name).unwrap();
        let loss = |preset: &Preset| on_cpu(preset).batch_loss(key(7)).unwrap();
        preset.train.batch = LOSS_TASKS;
        let few = loss(&preset);
        preset.train.batch = 2 * LOSS_TASKS + 5;
        assert_eq!(loss(&preset), few, "{name}");
    }
}

#[test]
fn queued_steps_equal_steps_that_are_waited_for() {
    let (name, preset) = presets().into_iter().find(|(name, _)| name == "gd-ssm").unwrap();
    let history = |most| {
        on_portable_path(|| {
            let mut experiment = Experiment::start(&name, preset.clone(), DeviceChoice::Cpu).unwrap();
            while experiment.step() < 230 {
                let left = 230 - experiment.step();
                assert!(experiment.advance(left.min(most)).unwrap().diverged.is_none());
            }
            // As text, in which NaN equals NaN.
            format!("{:?} {:?}", experiment.history, experiment.checkpoint().unwrap())
        })
    };
    assert!(history(u64::MAX) == history(1));
}

#[test]
fn a_divergence_among_queued_steps_is_seen() {
    let (name, preset) = presets().into_iter().find(|(name, _)| name == "gd-ssm").unwrap();
    on_portable_path(|| {
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        while experiment.step() < 150 {
            assert!(experiment.advance(150 - experiment.step()).unwrap().diverged.is_none());
        }
        experiment.scale_lr(1e30);
        let diverged = (0..1_000).find_map(|_| experiment.advance(u64::MAX).unwrap().diverged);
        assert!(diverged.as_ref().is_some_and(|divergence| divergence.step > 150), "{diverged:?}");
        assert_eq!(experiment.step(), 100, "the last state that was kept");
        assert!(experiment.checkpoint().unwrap().check().is_ok());
    });
}

/// On a machine with a GPU.
#[cfg(feature = "cuda")]
#[test]
fn a_gpu_has_a_name_and_a_load() {
    match crate::train::Gpu::of("cuda:0").and_then(|gpu| gpu.status()) {
        Some(gpu) => {
            println!("NVML: {}, {} of {} bytes, busy {:?} %", gpu.name, gpu.used, gpu.total, gpu.busy);
            assert!(!gpu.name.is_empty() && gpu.used <= gpu.total && gpu.busy.is_none_or(|busy| busy <= 100));
            let describe = DeviceChoice::Cuda(0).describe();
            assert!(describe.contains(&gpu.name), "{describe}");
        }
        None => println!("NVML: does not answer"),
    }
}

/// The GPU, on a machine that has one.
#[cfg(feature = "cuda")]
fn gpu(preset: &Preset) -> Option<OpenDevice> {
    let opened = DeviceChoice::Cuda(0).open(preset);
    opened.inspect_err(|error| eprintln!("SKIPPED, because no GPU answers: {error:#}")).ok().map(|opened| opened.device)
}

/// On a machine with a GPU: `cargo test --features cuda --lib a_gpu`.
#[cfg(feature = "cuda")]
#[test]
fn a_gpu_equals_the_cpu() {
    let all = presets();
    // Compiling takes longest: in parallel.
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for part in all.chunks(all.len().div_ceil(threads)) {
            scope.spawn(|| a_gpu_trains_as_the_cpu(part));
        }
    });
}

#[cfg(feature = "cuda")]
fn a_gpu_trains_as_the_cpu(presets: &[(String, Preset)]) {
    for (name, preset) in presets {
        let Some(device) = gpu(preset) else { return };
        let StartedRun { run: mut gpu, note } = start(device, Arc::new(preset.clone()), GD_CONSTANTS).unwrap();
        assert_eq!(note, None, "{name}: whole steps");
        let mut cpu = on_cpu(preset);
        let expected = train(&mut cpu, preset);
        let found = train(&mut *gpu, preset);
        assert_agree(name, &found, &expected);
        let again = train(&mut *gpu, preset);
        assert!(found.reports == again.reports && found.moved == again.moved, "{name}: the same bits twice");
        // What is saved on one device continues on the other.
        let checkpoint = |run: &dyn Run| Checkpoint {
            seed: SEED,
            step: STEPS,
            lr_factor: 1.0,
            damping: None,
            parameters: run.parameters().unwrap(),
        };
        let saved = checkpoint(&*gpu);
        cpu.restore(&saved).unwrap();
        assert_eq!(checkpoint(&cpu), saved);
        let (on_gpu, on_cpu) = (gpu.batch_loss(key(STEPS)).unwrap(), cpu.batch_loss(key(STEPS)).unwrap());
        assert!((on_gpu / on_cpu - 1.0).abs() <= TOLERANCE, "{name}: {on_gpu} against {on_cpu}");
        gpu.restore(&checkpoint(&cpu)).unwrap();
        assert_eq!(checkpoint(&*gpu), saved);
    }
}

/// What a GPU trains by where its kernel cannot be compiled.
#[cfg(feature = "cuda")]
#[test]
fn compositions_on_a_gpu_equal_the_cpu() {
    for (name, preset) in presets() {
        let Some(OpenDevice::Cuda { device, .. }) = gpu(&preset) else { return };
        let mut gpu = Trainer::new(device, Arc::new(preset.clone()), GD_CONSTANTS).unwrap();
        assert_agree(&name, &train(&mut gpu, &preset), &train(&mut on_cpu(&preset), &preset));
    }
}
