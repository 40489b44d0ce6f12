//! What a kernel takes of a GPU's memory, by calculation: it must not grow with the batch.
#![cfg(test)]

use super::super::plan::{GpuMemory, blocks};
use super::*;

/// Bytes of GPU memory that a preset may take at any batch: less than the smallest GPUs that one would train on have.
const MOST: usize = 2 << 30;
/// Threads that a multiprocessor holds at once, and blocks.
const THREADS: usize = 2048;
const BLOCKS: usize = 32;

/// The most blocks that an H200 could hold at once.
fn most_blocks(threads: usize, shared: usize) -> usize {
    H200.multiprocessors * (THREADS / threads).min(BLOCKS).min(H200.shared_multiprocessor / (shared + 1024)).max(1)
}

/// Every preset fits an H200 at every batch, and keeps its kernel's sizes.
#[test]
fn every_preset_has_a_plan_at_every_batch_in_bounded_memory() {
    for (name, preset) in presets() {
        let training = training(&preset).expect("a program");
        let mut bytes = Vec::new();
        for batch in [1, 64, 2048, 65_536, 1_048_576] {
            let source = plan(&training, batch, H200);
            assert!(source.shared <= H200.shared_block && source.threads <= 1024, "{name} {batch}");
            let most = most_blocks(source.threads, source.shared);
            let blocks = blocks(&source, batch, most);
            assert!((1..=most).contains(&blocks) && blocks <= batch, "{name} {batch}: {blocks} blocks");
            // No block has twice the sequences of another.
            let groups = batch.div_ceil(source.lanes);
            assert!(groups.div_ceil(blocks) == groups.div_ceil(most), "{name} {batch}: {blocks} blocks");
            let memory = GpuMemory::of(&training, &source, batch, blocks);
            assert!(memory.bytes() <= MOST, "{name} {batch}: {} bytes", memory.bytes());
            let rows = memory.rows.map_or(0, |[tokens, targets]| 4 * (tokens + targets));
            bytes.push(memory.bytes() - rows);
        }
        let [.., before, last] = bytes[..] else { unreachable!() };
        // Sixteen times the sequences: more of the blocks that a GPU can hold at most.
        assert!(last <= 2 * before, "{name}: {bytes:?} beside the tokens of the host");
        eprintln!("{name}: {bytes:?}");
    }
}

/// The preset's check, which knows no device, does not refuse what a GPU can train.
#[test]
fn a_million_sequences_are_allowed() {
    for (name, mut preset) in presets() {
        preset.train.batch = 1_048_576;
        preset.check().unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }
}

/// With a wide task, d = 64 and N = 256, kernels fit, compile and compute what the CPU does.
#[test]
fn wide_models_and_long_contexts_agree_with_the_cpu() {
    let Some(compiler) = compiler() else {
        eprintln!("SKIPPED: no C++ compiler is found by CXX or in PATH");
        return;
    };
    for name in ["gd-ssm", "linear-attention", "transformer", "gru"] {
        let (_, preset) = preset::find(name).unwrap();
        let changes = [("task.dim", "64"), ("task.context", "256"), ("train.batch", "3")];
        let preset = preset::set(&preset, changes).unwrap();
        let training = training(&preset).expect("a program");
        for batch in [64, 2048, 65_536] {
            let planned = plan(&training, batch, H200);
            assert!(planned.shared <= H200.shared_block, "{name} {batch}");
            let blocks = blocks(&planned, batch, most_blocks(planned.threads, planned.shared));
            let bytes = GpuMemory::of(&training, &planned, batch, blocks).bytes();
            assert!(bytes <= 16 << 30, "{name} {batch}: {bytes} bytes");
            eprintln!("{name} {batch}: {bytes} bytes");
        }
        let mut run = on_cpu(&preset);
        let start = flat(&run.parameters().unwrap(), |parameter| &parameter.values);
        let compiled = Compiled::new(&compiler, plan(&training, 3, H200));
        let mut state = State::new(start);
        let losses = train(&compiled, &preset, &mut state, 0..2, false);
        steps(&mut run, &preset, 0..2);
        let expected: Vec<f32> = run.reports().unwrap().into_iter().map(|report| report.loss).collect();
        for (found, expected) in losses.iter().zip(&expected) {
            assert!((found / expected - 1.0).abs() < 1e-3, "{name}: {losses:?} {expected:?}");
        }
    }
}
