//! The kernels on the host are held to the CPU: every preset, gradients and fifty steps.

mod host;
mod imitation;
mod memory;
mod whole_steps;

use std::sync::Arc;

use anyhow::Result;
use dfdx::tensor::Cpu;

use self::host::{Compiled, State, compiler};
use super::nvrtc;
use super::plan::{GpuSize, plan, training};
use super::{Parameters, StepRates, WholeStepEngine, WholeSteps};
use crate::nn::graph::gpu::orders::{Orders, Rate};
use crate::nn::graph::gpu::program::{Program, WeightSource};
use crate::nn::graph::gpu::sampling::Sampling;
use crate::nn::graph::gpu::source::{Cut, write};
use crate::nn::model::GdConstants;
use crate::optim::{AdamStep, Optimiser};
use crate::preset::{self, Preset};
use crate::task::{Stream, StreamKey};
use crate::train::trainer::{Run, Trainer};
use crate::train::{Checkpoint, SavedParameter};

const STEPS: u64 = 50;

fn presets() -> Vec<(String, Preset)> {
    let only = std::env::var("PRESET").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|only| only == name));
    let small = |entry: preset::Entry| {
        let mut preset = entry.preset.unwrap();
        preset.train.batch = 21;
        (entry.name, preset)
    };
    let all = preset::all().into_iter().filter(|entry| wanted(&entry.name)).map(small);
    all.filter(|(_, preset)| preset.train.optimiser.descends()).collect()
}

/// Rates of so many steps.
fn rates(preset: &Preset, steps: std::ops::Range<u64>) -> Vec<Rate> {
    let rate = |step: u64| match preset.train.optimiser {
        Optimiser::Adam { beta1, beta2 } => {
            let (rate, unbiased) = AdamStep::new(preset.train.lr_at(step), step + 1, [beta1, beta2]).rates();
            Rate { rate, unbiased }
        }
        Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => {
            Rate { rate: preset.train.lr_at(step) as f32, unbiased: 1.0 }
        }
    };
    steps.map(rate).collect()
}

fn orders(preset: &Preset, step: u64) -> Orders {
    let betas = match preset.train.optimiser {
        Optimiser::Adam { beta1, beta2 } => [beta1, beta2],
        Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => [0.0, 0.0],
    };
    Orders {
        decay: betas.map(|beta| beta as f32),
        fresh: betas.map(|beta| (1.0 - beta) as f32),
        clip: preset.train.clip.unwrap_or(0.0) as f32,
        ..Orders::new([preset.train.seed, Stream::Train as u64, step], preset.train.batch)
    }
}

/// Tokens and targets of a step, as rows.
fn rows(preset: &Preset, step: u64) -> (Vec<f32>, Vec<f32>) {
    let batch = preset.task.sample(preset.train.batch, preset.train.seed, Stream::Train, step);
    (preset.layout.encode(&batch), batch.target)
}

/// The host's kernel over some steps.
fn train(
    compiled: &Compiled,
    preset: &Preset,
    state: &mut State,
    steps: std::ops::Range<u64>,
    last_first: bool,
) -> Vec<f32> {
    let samples = matches!(Sampling::of(&preset.task, preset.layout), Sampling::Own(_));
    let blocks = 2;
    if samples {
        compiled.train(state, orders(preset, steps.start), (&rates(preset, steps), (&[], &[])), blocks, last_first);
        return state.losses.clone();
    }
    let step = |step: u64| {
        let (tokens, targets) = rows(preset, step);
        let rates = rates(preset, step..step + 1);
        compiled.train(state, orders(preset, step), (&rates, (&tokens, &targets)), blocks, last_first);
        state.losses[0]
    };
    steps.map(step).collect()
}

fn flat(parameters: &[SavedParameter], pick: fn(&SavedParameter) -> &Vec<f32>) -> Vec<f32> {
    parameters.iter().flat_map(|parameter| pick(parameter).clone()).collect()
}

/// The norm of the difference over that of the second.
fn apart(found: &[f32], expected: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
    norm(&mut found.iter().zip(expected).map(|(a, b)| a - b)) / norm(&mut expected.iter().copied())
}

fn on_cpu(preset: &Preset) -> Trainer<Cpu> {
    let gd_constants = GdConstants { step_size: 0.3, lambda: 0.1 };
    Trainer::new(Cpu::default(), Arc::new(preset.clone()), gd_constants).unwrap()
}

/// Queues steps.
fn steps(run: &mut dyn Run, preset: &Preset, steps: std::ops::Range<u64>) {
    for step in steps {
        let key = StreamKey { seed: preset.train.seed, stream: Stream::Train, step };
        run.step(key, preset.train.lr_at(step)).unwrap();
    }
}

/// The shapes of a program's parameters, in the network's order.
fn parameter_shapes(program: &Program) -> Vec<(usize, usize)> {
    let parameters = program.weights.iter().filter(|weight| matches!(weight.source, WeightSource::Parameter));
    parameters.map(|weight| weight.shape).collect()
}

fn agrees(name: &str, preset: &Preset, compiler: &str, cut: Cut) -> String {
    let training = training(preset).expect("a program");
    let mut run = on_cpu(preset);
    let start = run.parameters().unwrap();
    let shapes: Vec<_> = start.iter().map(|parameter| parameter.shape).collect();
    assert_eq!(parameter_shapes(&training.program), shapes, "{name}");
    let began = std::time::Instant::now();
    let compiled = Compiled::new(compiler, write(&training, cut));
    let took = began.elapsed();

    let weights = flat(&start, |parameter| &parameter.values);
    let mut one = State::new(weights.clone());
    train(&compiled, preset, &mut one, 0..1, false);
    steps(&mut run, preset, 0..1);
    let after = run.parameters().unwrap();
    // The first moment is a part of the gradient; plain descent keeps none, but moves along it.
    let gradient = match preset.train.optimiser {
        Optimiser::Adam { .. } => apart(&one.first, &flat(&after, |parameter| &parameter.moment1)),
        Optimiser::Sgd | Optimiser::Solve { .. } | Optimiser::LevenbergMarquardt { .. } => {
            let moved = |to: &[f32]| to.iter().zip(&weights).map(|(a, b)| a - b).collect::<Vec<f32>>();
            apart(&moved(&one.weights), &moved(&flat(&after, |parameter| &parameter.values)))
        }
    };
    steps(&mut run, preset, 1..STEPS);
    let expected: Vec<f32> = run.reports().unwrap().into_iter().map(|report| report.loss).collect();
    let mut all = State::new(weights.clone());
    let losses = train(&compiled, preset, &mut all, 0..STEPS, false);
    let worst = losses.iter().zip(&expected).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f32::max);
    let moved = |weights_after: &[f32]| weights_after.iter().zip(&weights).map(|(a, b)| a - b).collect::<Vec<f32>>();
    let end = flat(&run.parameters().unwrap(), |parameter| &parameter.values);
    let way = apart(&moved(&all.weights), &moved(&end));
    let mut again = State::new(weights.clone());
    train(&compiled, preset, &mut again, 0..5, false);
    let mut reversed = State::new(weights.clone());
    train(&compiled, preset, &mut reversed, 0..5, true);
    let same = again.weights == reversed.weights;
    let line = format!(
        "{name}: gradient {gradient:.1e}, losses {worst:.1e}, way {way:.1e}, order of threads {same}, {took:?}"
    );
    let good = gradient <= 1e-4 && worst <= 1e-3 && same;
    if good { line } else { format!("FAILED {line} {:?} {:?}", &losses[..3], &expected[..3]) }
}

#[test]
fn every_preset_trains_on_the_host_as_on_the_cpu() {
    let Some(compiler) = compiler() else {
        eprintln!("SKIPPED: no C++ compiler is found by CXX or in PATH");
        return;
    };
    let mut failed = 0;
    for (i, (name, preset)) in presets().into_iter().enumerate() {
        let (lanes, workers) = [(8, 8), (1, 48), (4, 20), (16, 4)][i % 4];
        let cut = Cut { lanes, workers, shared: 200_000, columns: 8, resident: 1 };
        let found = std::panic::catch_unwind(|| agrees(&name, &preset, &compiler, cut));
        let line = found.unwrap_or_else(|_| format!("FAILED {name}"));
        failed += usize::from(line.starts_with("FAILED"));
        eprintln!("{line}");
    }
    assert_eq!(failed, 0);
}

const H200: GpuSize = GpuSize { multiprocessors: 132, shared_block: 232_448, shared_multiprocessor: 233_472 };

/// By the compiler that GPUs use, which needs no GPU: `CUDA_PATH=… cargo test --lib by_nvrtc -- --ignored --nocapture`.
#[test]
#[ignore = "needs NVRTC, and takes minutes"]
fn every_preset_compiles_by_nvrtc() {
    for (name, mut preset) in presets() {
        for batch in [64, 16_384] {
            preset.train.batch = batch;
            let source = plan(&training(&preset).expect("a program"), batch, H200);
            let began = std::time::Instant::now();
            let code = nvrtc::compile(&source.text, 90).unwrap_or_else(|error| panic!("{name} {batch}: {error:#}"));
            eprintln!("{name} {batch}: {} bytes in {:.1} s", code.len(), began.elapsed().as_secs_f64());
        }
    }
}

/// NVRTC takes a function that does not say so as one of the host, and refuses the kernel.
#[test]
fn every_function_of_the_kernels_text_says_that_it_runs_on_the_gpu() {
    let (_, preset) = preset::find("gd-ssm").unwrap();
    let text = plan(&training(&preset).expect("a program"), 64, H200).text;
    let functions: Vec<&str> =
        text.lines().filter(|line| line.starts_with(char::is_alphabetic) && line.contains(") {")).collect();
    assert!(functions.len() > 100);
    for line in functions {
        // Functions of the host alone are `static inline`; a loop stands in a function.
        let marks = ["DEVICE", "SIZES", "extern \"C\"", "static inline", "for "];
        assert!(marks.iter().any(|mark| line.starts_with(mark)), "{line}");
    }
}

/// Writes kernels, as DUMP/list says: a line has a name, a preset, lanes, workers, bytes of shared memory and columns;
/// with no lanes, as they are planned for a batch in place of the workers.
#[test]
#[ignore]
fn dump_kernels() {
    let folder = std::env::var("DUMP").unwrap();
    let list = std::fs::read_to_string(format!("{folder}/list")).unwrap();
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let mut known = std::collections::BTreeSet::new();
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [name, preset_name, numbers @ ..] = &words[..] else { continue };
        let numbers: Vec<usize> = numbers.iter().map(|word| word.parse().unwrap()).collect();
        let (_, mut preset) = preset::find(preset_name).unwrap();
        preset.train.batch = 64;
        let training = training(&preset).expect("a program");
        let source = match numbers[0] {
            0 => plan(&training, numbers[1], H200),
            lanes => write(
                &training,
                Cut { lanes, workers: numbers[1], shared: numbers[2], columns: numbers[3], resident: numbers[4] },
            ),
        };
        let shape = preset.task.shape();
        let meta = format!(
            "{name} {preset_name} {} {} {} {} {} {} {} {}\n",
            source.lanes,
            source.threads,
            source.shared,
            source.scratch,
            source.parameters,
            source.chunks,
            usize::from(training.clips),
            shape.outputs,
        );
        std::fs::write(format!("{folder}/{name}.meta"), meta).unwrap();
        std::fs::write(format!("{folder}/{name}.cu"), &source.text).unwrap();
        let transposed: Vec<u8> = source.transposed.iter().flat_map(|i| i.to_le_bytes()).collect();
        std::fs::write(format!("{folder}/{preset_name}.transposed"), transposed).unwrap();
        if known.insert(preset_name.to_string()) && std::env::var("STATES").is_ok() {
            let mut run = on_cpu(&preset);
            let start = run.parameters().unwrap();
            self::steps(&mut run, &preset, 0..STEPS);
            let losses: Vec<f32> = run.reports().unwrap().into_iter().map(|report| report.loss).collect();
            let rates: Vec<f32> = rates(&preset, 0..STEPS).into_iter().flat_map(|r| [r.rate, r.unbiased]).collect();
            let file = |ending: &str, values: &[f32]| {
                std::fs::write(format!("{folder}/{preset_name}.{ending}"), bytes(values)).unwrap();
            };
            file("weights", &flat(&start, |parameter| &parameter.values));
            file("losses", &losses);
            file("rates", &rates);
            file("clip", &[preset.train.clip.unwrap_or(0.0) as f32]);
        }
    }
}
