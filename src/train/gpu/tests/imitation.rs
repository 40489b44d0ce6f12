//! The engine with an imitated driver: what it asks of the driver, in which order, and that it gives all of it back.
//!
//! Libraries are opened once for each process, so the imitation has one of its own.
#![cfg(test)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use libloading::os::unix::{Library, Symbol};

use super::super::Engine;
use super::host::compiler;
use super::*;
use crate::task::Stream;
use crate::train::device::explained;

const FOLDER: &str = "INNERLOOP_IMITATION";
const OUT_OF_MEMORY: u32 = 2;
const ILLEGAL_ADDRESS: u32 = 700;

/// Builds the libraries in a folder, laid out as a CUDA toolkit.
fn build(compiler: &str, folder: &Path) {
    let libraries = folder.join("lib64");
    std::fs::create_dir_all(&libraries).unwrap();
    let text = concat!(env!("CARGO_MANIFEST_DIR"), "/src/train/gpu/tests/imitation.cpp");
    let driver = libraries.join("libcuda.so.1");
    let built = Command::new(compiler)
        .args(["-std=c++17", "-O1", "-Wall", "-Werror", "-fPIC", "-shared", text, "-ldl", "-o"])
        .arg(&driver)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    std::os::unix::fs::symlink(&driver, libraries.join("libnvrtc.so.13")).unwrap();
}

fn in_own_process(test: &str) {
    let Some(compiler) = compiler() else {
        eprintln!("SKIPPED: no C++ compiler is found by CXX or in PATH");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    build(&compiler, folder.path());
    let done = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("train::gpu::tests::imitation::{test}"), "--ignored", "--nocapture"])
        .env("CUDA_PATH", folder.path())
        .env("IMITATION_COMPILER", compiler)
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

/// What a test asks of the imitation.
struct Imitation(Library);

impl Imitation {
    /// `None` outside of its process.
    fn here() -> Option<Self> {
        let path = PathBuf::from(env::var_os(FOLDER)?).join("lib64/libcuda.so.1");
        // SAFETY: the library has nothing that runs when it is opened.
        Some(Self(unsafe { Library::new(path) }.unwrap()))
    }

    /// Contexts, memory, kernels and programs that were not given back.
    fn live(&self) -> usize {
        // SAFETY: the type is that of imitation.cpp, here and below.
        let live: Symbol<unsafe extern "C" fn() -> usize> = unsafe { self.0.get(b"imitation_live") }.unwrap();
        unsafe { live() }
    }

    fn fail(&self, after_calls: i32, code: u32) {
        let fail: Symbol<unsafe extern "C" fn(i32, u32)> = unsafe { self.0.get(b"imitation_fail") }.unwrap();
        unsafe { fail(after_calls, code) };
    }

    fn memory(&self, bytes: usize) {
        let memory: Symbol<unsafe extern "C" fn(usize)> = unsafe { self.0.get(b"imitation_memory") }.unwrap();
        unsafe { memory(bytes) };
    }
}

fn small(name: &str, batch: usize) -> Preset {
    let (_, mut preset) = preset::find(name).unwrap();
    preset.train.batch = batch;
    preset
}

fn by_engine(preset: &Preset) -> Result<WholeSteps> {
    let engine = Box::new(Engine::new(preset, 0)?);
    Ok(WholeSteps::new(engine, Box::new(on_cpu(preset)), &Arc::new(preset.clone())))
}

struct Trained {
    losses: Vec<f32>,
    weights: Vec<f32>,
}

fn trained(run: &mut dyn Run, preset: &Preset) -> Trained {
    run.initialise(preset.train.seed).unwrap();
    steps(run, preset, 0..STEPS);
    let losses = run.reports().unwrap().into_iter().map(|report| report.loss).collect();
    Trained { losses, weights: flat(&run.parameters().unwrap(), |parameter| &parameter.values) }
}

#[test]
fn the_engine_trains_as_the_cpu() {
    in_own_process("trains");
}

#[test]
#[ignore = "in a process of its own"]
fn trains() {
    let Some(imitation) = Imitation::here() else { return };
    // Adam and a sampler of its own; tasks that the host samples; a clipped gradient; a batch that is no multiple of a
    // block's.
    for (name, batch) in [("gd-ssm", 64), ("gd-ssm-sine", 21), ("gru", 37)] {
        let preset = small(name, batch);
        let expected = trained(&mut on_cpu(&preset), &preset);
        let found = trained(&mut by_engine(&preset).unwrap(), &preset);
        assert_eq!(found.losses.len(), expected.losses.len());
        for (found, expected) in found.losses.iter().zip(&expected.losses) {
            assert!((found / expected - 1.0).abs() < 1e-3, "{name}: {found} {expected}");
        }
        let again = trained(&mut by_engine(&preset).unwrap(), &preset);
        assert!(again.losses == found.losses && again.weights == found.weights, "{name}: the same bits");
        assert_eq!(imitation.live(), 0, "{name}");
    }
}

#[test]
fn every_failure_of_the_driver_is_an_error_and_all_memory_is_given_back() {
    in_own_process("fails");
}

#[test]
#[ignore = "in a process of its own"]
fn fails() {
    let Some(imitation) = Imitation::here() else { return };
    let preset = small("gd-ssm-sine", 5);
    let attempt = || -> Result<()> {
        let mut run = by_engine(&preset)?;
        let step = |run: &mut WholeSteps, step| {
            let key = StreamKey { seed: preset.train.seed, stream: Stream::Train, step };
            run.step(key, preset.train.lr_at(step))
        };
        (0..3).try_for_each(|i| step(&mut run, i).map(drop))?;
        run.reports()?;
        run.parameters().map(drop)
    };
    let mut failed = 0;
    for call in 1.. {
        imitation.fail(call, if call % 2 == 0 { OUT_OF_MEMORY } else { ILLEGAL_ADDRESS });
        let result = attempt();
        // So that a failure which was not reached does not meet the next attempt.
        imitation.fail(0, 0);
        assert_eq!(imitation.live(), 0, "after a failure at call {call}");
        match result {
            Ok(()) => break,
            Err(error) => {
                let text = format!("{error:#}");
                assert!(text.contains("CUDA_ERROR_") || text.contains("NVRTC") || text.contains("compile"), "{text}");
                failed += 1;
            }
        }
    }
    assert!(failed > 60, "{failed}");
    imitation.memory(100_000);
    let error = attempt().unwrap_err();
    imitation.memory(usize::MAX);
    assert_eq!(imitation.live(), 0);
    let text = explained(error, "cuda:0", 5).to_string();
    assert_eq!(text, "cuda:0 has no memory left for a batch of 5: make train.batch smaller");
}

/// A run survives a failure: from its last state it goes on to the same numbers.
#[test]
fn a_run_goes_on_after_a_failure() {
    in_own_process("goes_on");
}

#[test]
#[ignore = "in a process of its own"]
fn goes_on() {
    let Some(imitation) = Imitation::here() else { return };
    let preset = small("gd-ssm", 16);
    let mut run = by_engine(&preset).unwrap();
    run.initialise(preset.train.seed).unwrap();
    steps(&mut run, &preset, 0..10);
    run.reports().unwrap();
    let saved = Checkpoint {
        seed: preset.train.seed,
        step: 10,
        lr_factor: 1.0,
        damping: None,
        parameters: run.parameters().unwrap(),
    };
    let rest = |run: &mut WholeSteps| {
        steps(run, &preset, 10..20);
        run.reports().map(|reports| reports.into_iter().map(|report| report.loss).collect::<Vec<f32>>())
    };
    let expected = rest(&mut run).unwrap();
    run.restore(&saved).unwrap();
    imitation.fail(4, ILLEGAL_ADDRESS);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rest(&mut run)));
    assert!(failed.is_err() || failed.unwrap().is_err());
    imitation.fail(0, 0);
    run.release();
    run.restore(&saved).unwrap();
    assert_eq!(rest(&mut run).unwrap(), expected);
}
