//! How a training is cut for a GPU, from figures measured on an H200: see docs/gpu.md.

use crate::nn::graph::gpu::networks::program;
use crate::nn::graph::gpu::sampling::Sampling;
use crate::nn::graph::gpu::source::{Cut, Loss, Source, Training, write};
use crate::optim::Optimiser;
use crate::preset::Preset;
use crate::task::Objective;

/// What a GPU has.
#[derive(Clone, Copy, Debug)]
pub struct GpuSize {
    pub multiprocessors: usize,
    /// Bytes of shared memory of a block, and of a multiprocessor.
    pub shared_block: usize,
    pub shared_multiprocessor: usize,
}

/// What a preset trains.
pub fn training(preset: &Preset) -> Training {
    let shape = preset.task.shape();
    Training {
        program: program(&preset.model, shape, preset.layout),
        sampling: Sampling::of(&preset.task, preset.layout),
        outputs: shape.outputs,
        loss: match preset.task.objective() {
            Objective::SquaredError => Loss::SquaredError,
            Objective::CrossEntropy => Loss::CrossEntropy,
        },
        adam: matches!(preset.train.optimiser, Optimiser::Adam { .. }),
        clips: preset.train.clip.is_some(),
        keeps_gradient: false,
    }
}

/// Bytes of shared memory that a sequence takes where all of it lies there.
fn bytes_of_lane(training: &Training, workers: usize) -> usize {
    let all = |lanes: usize| {
        let cut = Cut { lanes, workers: workers / lanes, shared: usize::MAX / 64, columns: 32 };
        write(training, cut).shared
    };
    (all(8) - all(4)) / 4
}

/// The kernel for a preset's batch.
pub fn plan(training: &Training, batch: usize, gpu: GpuSize) -> Source {
    let lane = bytes_of_lane(training, 256).max(1);
    let parameters = training.program.parameters();
    // Sums of gradients and what blocks sum over blocks with.
    let rest = 4 * (2 * 512 + 64) + if parameters < 6000 { 8 * parameters + 8192 } else { 0 };
    let most = gpu.shared_block - 1024;
    // As many sequences as give every multiprocessor a block, and fit.
    let mut lanes = 32;
    while lanes > 1 && (batch.div_ceil(lanes) * 10 < gpu.multiprocessors * 9 || lanes * lane + rest > most) {
        lanes /= 2;
    }
    // Where a sequence is so long that few fit, more are trained at once from the GPU's memory.
    if lanes < 8 && batch.div_ceil(8) * 10 >= gpu.multiprocessors * 9 {
        lanes = 8;
    }
    let light = lane < 4096;
    let threads = match (lanes, light) {
        (1, true) => 128,
        (1, false) => if parameters > 4000 { 512 } else { 256 },
        (_, true) => 256,
        (_, false) => 512,
    };
    let mut columns = 8;
    let blocks = batch.div_ceil(lanes).min(gpu.multiprocessors);
    while columns < 128 && parameters / columns > blocks {
        columns *= 2;
    }
    write(training, Cut { lanes, workers: threads / lanes, shared: most, columns })
}
