//! Solved weights are the least-squares solutions of problems that are written down here, independently.

use dfdx::tensor::{Cpu, OwnedTape};
use nalgebra::DMatrix;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::nn::Net;
use crate::nn::check::on_portable_path;
use crate::nn::model::{Architecture, GdConstants, Setting};
use crate::optim::{Block, BlockEquations, Jacobian};
use crate::preset;
use crate::session::Session;
use crate::task::{Batch, Stream, rng};
use crate::train::{DeviceChoice, Experiment};

fn changed(name: &str, settings: &[(&str, &str)]) -> Preset {
    preset::set(&preset::find(name).unwrap().1, settings.iter().copied()).unwrap()
}

fn model(preset: &Preset) -> Model<Cpu> {
    let gd_constants = GdConstants { step_size: 0.3, lambda: 0.1 };
    let setting = Setting { shape: preset.task.shape(), layout: preset.layout, gd_constants };
    preset.model.build(&Cpu::default(), setting, &mut rng(3, Stream::Init, 0, 0)).unwrap()
}

fn finish(solver: &mut Solver, model: &mut Model<Cpu>, preset: &Preset, step: u64) -> f32 {
    let (device, sampler) = (Cpu::default(), BatchSampler::new(preset));
    let key = StreamKey { seed: 5, stream: Stream::Train, step };
    std::iter::repeat_with(|| solver.advance(model, key, 1.0, (&device, &sampler, preset)).unwrap())
        .find_map(|loss| loss)
        .unwrap()
}

fn numbers_of(model: &Model<Cpu>, name: &str) -> DMatrix<f64> {
    let param = model.params().into_iter().find(|param| param.name == name).unwrap();
    let values = param.value.as_vec().into_iter().map(f64::from);
    let (rows, columns) = *dfdx::prelude::HasShape::shape(&param.value);
    DMatrix::from_row_iterator(rows, columns, values)
}

/// The window after pair n of one task, in f64: rows x_n, y_n and the next x.
fn window(tasks: &Batch, task: usize, n: usize) -> DMatrix<f64> {
    let (d, pairs) = (tasks.shape.dim, tasks.shape.context);
    let x = |n: usize| &tasks.x[(task * pairs + n) * d..][..d];
    let next = if n + 1 == pairs { &tasks.query[task * d..][..d] } else { x(n + 1) };
    let y = &tasks.y[(task * pairs + n) * d..][..d];
    DMatrix::from_row_iterator(3, d, [x(n), y, next].concat().into_iter().map(f64::from))
}

/// The equations of GD-SSM with Λ = 1 for one of its blocks, by its definition ŷ = C Σ Xᵀ Q X X_Nᵀ D: a row for each
/// output of each task.
fn design(block: &str, tasks: &Batch, [c, q, d]: [&DMatrix<f64>; 3]) -> DMatrix<f64> {
    let (dim, pairs) = (tasks.shape.dim, tasks.shape.context);
    let answer = |task: usize, c: &DMatrix<f64>, q: &DMatrix<f64>, d: &DMatrix<f64>| {
        let windows = (0..pairs).map(|n| window(tasks, task, n));
        let state = windows.map(|x| x.transpose() * q * x).fold(DMatrix::zeros(dim, dim), |sum, part| sum + part);
        c * state * window(tasks, task, pairs - 1).transpose() * d
    };
    let unknowns = match block {
        "C" => dim * dim,
        "D" => 3,
        _ => 9,
    };
    let mut rows = DMatrix::zeros(tasks.size * dim, unknowns);
    for task in 0..tasks.size {
        for unknown in 0..unknowns {
            let unit = |rows: usize, columns: usize| {
                DMatrix::from_fn(rows, columns, |i, j| f64::from(u8::from(i * columns + j == unknown)))
            };
            let column = match block {
                "C" => answer(task, &unit(dim, dim), q, d),
                "D" => answer(task, c, q, &unit(3, 1)),
                _ => answer(task, c, &unit(3, 3), d),
            };
            rows.view_mut((task * dim, unknown), (dim, 1)).copy_from(&column);
        }
    }
    rows
}

#[test]
fn a_solved_block_is_the_least_squares_solution_of_its_definition() {
    let preset = changed(
        "gd-ssm-solved",
        &[
            ("task.dim", "3"),
            ("task.context", "5"),
            ("train.batch", "64"),
            ("train.optimiser", "Solve(equations: 2, least_tasks: 200)"),
        ],
    );
    let mut model = model(&preset);
    let mut solver = Solver::of(&preset, &model).unwrap().unwrap();
    for (step, name) in ["C", "D", "Q"].into_iter().enumerate() {
        let [c, q, d] = ["C", "Q", "D"].map(|name| numbers_of(&model, name));
        finish(&mut solver, &mut model, &preset, step as u64);
        assert_eq!(solver.last(), Some(&Solved { weights: name.to_owned(), tasks: 200 }));
        // The batches of the step: three of 64 tasks and one of 8.
        let (mut equations, mut targets) = (Vec::new(), Vec::new());
        for (number, size) in [64, 64, 64, 8].into_iter().enumerate() {
            let tasks = preset.task.sample(size, 5, Stream::Train, ((step as u64) << 24) + number as u64);
            equations.push(design(name, &tasks, [&c, &q, &d]));
            targets.extend(tasks.target.into_iter().map(f64::from));
        }
        let rows: Vec<_> = equations.iter().flat_map(|part| part.row_iter()).collect();
        let expected = DMatrix::from_rows(&rows).svd(true, true).solve(&DMatrix::from_vec(600, 1, targets), 1e-14);
        let expected = expected.unwrap();
        let found = numbers_of(&model, name);
        let norm = if name == "C" { 1.0 } else { expected.norm() };
        let found = DMatrix::from_iterator(expected.len(), 1, found.transpose().iter().copied());
        let apart = (found * norm - &expected).norm() / expected.norm();
        assert!(apart < 1e-6, "{name}: {apart}");
        // The factor's norm went into C.
        if name != "C" {
            assert!((numbers_of(&model, "C") - c * norm).norm() < 1e-6 * norm);
        }
    }
}

/// On both paths of the CPU: whatever the block's weights are, the equations give the network's answers.
#[test]
fn every_declared_block_is_linear_and_its_equations_are_the_network() {
    let presets = preset::all().into_iter().map(|entry| (entry.name, entry.preset.unwrap()));
    for (name, mut preset) in presets {
        preset.train.batch = 5;
        let device = Cpu::default();
        let batch = BatchSampler::new(&preset).sample(StreamKey { seed: 1, stream: Stream::Train, step: 0 });
        let outputs = preset.task.shape().outputs;
        let answers = |net: &Model<Cpu>| numbers(&batch.forward::<Cpu, NoneTape>(&device, net)?);
        for form in preset.model.linear_blocks() {
            let mut net = model(&preset);
            let block = Block::locate(form, &net, outputs).unwrap();
            let equations = || block.equations(&net, true, &answers).unwrap();
            let BlockEquations { rows, offset } = equations();
            let portable = on_portable_path(equations).rows;
            let most = rows.abs().max();
            assert!((&rows - portable).abs().max() <= 1e-4 * most, "{name}, {}: portable", block.name());
            let mut random = ChaCha8Rng::seed_from_u64(7);
            let weights = DMatrix::from_fn(block.unknowns(), block.sides(), |_, _| random.gen_range(-1.0..1.0));
            block.set(&mut net, &weights).unwrap();
            let expected = answers(&net).unwrap();
            let product = if rows.ncols() == 5 * outputs && block.sides() == 1 {
                rows.tr_mul(&weights)
            } else {
                weights.tr_mul(&rows)
            };
            let scale = expected.iter().fold(1e-6f64, |most, answer| most.max(f64::from(answer.abs())));
            for (i, answer) in product.iter().enumerate() {
                let found = answer + offset.as_ref().map_or(0.0, |offset| f64::from(offset[i]));
                let apart = (found - f64::from(expected[i])).abs();
                assert!(apart <= 1e-3 * scale, "{name}, {}: {found} against {}", block.name(), expected[i]);
            }
        }
    }
}

#[test]
fn the_jacobian_equals_finite_differences() {
    for (name, more) in [("gd-ssm", None), ("gru", Some(("model.units", "3"))), ("classification", None)] {
        let small = [("task.dim", "3"), ("task.context", "3")];
        let preset = changed(name, &small.into_iter().chain(more).collect::<Vec<_>>());
        let (device, net, outputs) = (Cpu::default(), model(&preset), preset.task.shape().outputs);
        let batch = BatchSampler::new(&preset).sample_some(StreamKey { seed: 1, stream: Stream::Train, step: 0 }, 2);
        let task = batch.singles().nth(1).unwrap();
        let forward = || task.forward::<Cpu, OwnedTape<f32, Cpu>>(&device, &net);
        let Jacobian { rows, answer } = Jacobian::of(&net, outputs, &forward).unwrap();
        let of = |net: &Model<Cpu>| numbers(&task.forward::<Cpu, NoneTape>(&device, net).unwrap()).unwrap();
        assert_eq!(answer, of(&net), "{name}");
        let most = rows.abs().max();
        let mut weight = 0;
        for (index, param) in net.params().into_iter().enumerate() {
            for place in 0..param.value.as_vec().len() {
                let moved = |by: f32| {
                    let mut net = net.clone();
                    let param = net.params_mut().swap_remove(index);
                    let mut values = param.value.as_vec();
                    values[place] += by;
                    param.value.copy_from(&values);
                    of(&net)
                };
                let h = 1e-2;
                for (output, (up, down)) in moved(h).into_iter().zip(moved(-h)).enumerate() {
                    let expected = f64::from(up - down) / f64::from(2.0 * h);
                    let apart = (rows[(weight, output)] - expected).abs();
                    assert!(apart <= 2e-3 * most, "{name}, {} {place}, output {output}: {apart}", param.name);
                }
                weight += 1;
            }
        }
    }
}

fn small(name: &str, optimiser: &str) -> Preset {
    // As many inputs as there are classes.
    let dim = if name == "classification" { "3" } else { "2" };
    let settings = [("task.dim", dim), ("task.context", "4"), ("train.batch", "16"), ("train.optimiser", optimiser)];
    changed(name, &settings)
}

/// Resumed in the middle of a run and in the middle of a step.
#[test]
fn a_resumed_run_solves_exactly_as_an_uninterrupted_one() {
    for (name, optimiser) in [
        ("gd-ssm-solved", "Solve(equations: 3, least_tasks: 40)"),
        ("gd-ssm-lm", "LevenbergMarquardt(tasks: 40, damping: 1e-6)"),
        ("classification", "LevenbergMarquardt(tasks: 40)"),
    ] {
        let preset = small(name, optimiser);
        let mut run = Experiment::start(name, preset.clone(), DeviceChoice::Cpu).unwrap();
        let to = |run: &mut Experiment, step: u64| {
            while run.step() < step {
                assert!(run.advance(1).unwrap().diverged.is_none());
            }
        };
        to(&mut run, 4);
        let session = Session::of(&run).unwrap();
        to(&mut run, 9);
        let mut resumed = session.resume(DeviceChoice::Cpu).unwrap();
        to(&mut resumed, 9);
        assert_eq!(resumed.checkpoint().unwrap(), run.checkpoint().unwrap(), "{name}");
        assert_eq!(format!("{:?}", resumed.history), format!("{:?}", run.history), "{name}");

        // A part of a step leaves no trace.
        let key = StreamKey { seed: 1, stream: Stream::Train, step: 0 };
        let (mut model, mut whole) = (model(&preset), model(&preset));
        let (device, sampler) = (Cpu::default(), BatchSampler::new(&preset));
        let mut solver = Solver::of(&preset, &model).unwrap().unwrap();
        let damping = solver.damping();
        assert_eq!(solver.advance(&mut model, key, 1.0, (&device, &sampler, &preset)).unwrap(), None);
        assert_eq!(solver.damping(), damping);
        let other = StreamKey { step: 1, ..key };
        while solver.advance(&mut model, other, 1.0, (&device, &sampler, &preset)).unwrap().is_none() {}
        let mut fresh = Solver::of(&preset, &whole).unwrap().unwrap();
        while fresh.advance(&mut whole, other, 1.0, (&device, &sampler, &preset)).unwrap().is_none() {}
        let weights = |model: &Model<Cpu>| model.params().iter().map(|p| p.value.as_vec()).collect::<Vec<_>>();
        assert_eq!(weights(&model), weights(&whole), "{name}");
    }
}

#[test]
fn solving_lowers_the_cross_entropy_and_the_squared_error() {
    let loss = |preset: &Preset, steps: u64| {
        let mut model = model(preset);
        let mut solver = Solver::of(preset, &model).unwrap().unwrap();
        (0..steps).map(|step| finish(&mut solver, &mut model, preset, step)).collect::<Vec<f32>>()
    };
    let classes = small("classification", "Solve(equations: 20, least_tasks: 400)");
    let losses = loss(&classes, 9);
    assert!(losses[8] < 0.9 * losses[0], "{losses:?}");
    let losses = loss(&small("gd-ssm-lm", "LevenbergMarquardt(tasks: 200)"), 12);
    assert!(losses[11] < 0.7 * losses[0], "{losses:?}");
}

#[test]
fn what_cannot_be_solved_for_is_refused_with_the_reason() {
    let refused = |name: &str, settings: &[(&str, &str)]| {
        preset::set(&preset::find(name).unwrap().1, settings.iter().copied()).unwrap_err().to_string()
    };
    let nothing = refused("ridge-layer", &[("train.optimiser", "Solve()")]);
    assert!(nothing.contains("train.optimiser: Solve needs weights in which the answer is linear"), "{nothing}");
    let large = refused("transformer", &[("train.optimiser", "LevenbergMarquardt()"), ("train.clip", "None")]);
    assert!(large.contains("at most 2000 weights, and this model has 25729"), "{large}");
    let clip = refused("gru", &[("train.optimiser", "Solve()")]);
    assert!(clip.contains("train.clip: "), "{clip}");
}
