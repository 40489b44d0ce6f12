//! One training step of each architecture, its tasks drawn afresh, at its preset's sizes.

use divan::Bencher;
use innerloop::preset;
use innerloop::train::{DeviceChoice, Experiment};

/// A preset for every architecture.
const PRESETS: &[&str] = &[
    "gd-ssm",
    "gd-ssm-2",
    "gd-ssm-bidirectional",
    "gd-ssm-sine",
    "product",
    "linear-attention",
    "deltanet",
    "gated-deltanet",
    "mesa",
    "transformer",
    "lru",
    "s4d",
    "s5",
    "mamba",
    "mamba2",
    "rnn",
    "gru",
    "lstm",
    "gru-attention",
    "mlp",
    "ridge-layer",
];

fn main() {
    // In the pool, as the program trains.
    rayon::scope(|_| divan::main());
}

#[divan::bench(args = PRESETS, consts = [64, 2048], max_time = 1)]
fn step<const BATCH: usize>(bencher: Bencher, name: &str) {
    let (_, mut preset) = preset::find(name).expect("a preset of this name");
    preset.train.batch = BATCH;
    // A step and nothing else: no measurement falls into the bench.
    (preset.train.measure_every, preset.train.steps) = (u64::MAX, u64::MAX);
    let mut experiment = Experiment::start(name, preset, DeviceChoice::Cpu).expect("a run");
    bencher.counter(divan::counter::ItemsCount::new(BATCH)).bench_local(|| experiment.advance(1).expect("a step"));
}
