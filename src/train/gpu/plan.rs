//! How a training is cut for a GPU, from figures measured on an H200: see docs/gpu.md.

use anyhow::Result;

use super::network::program;
use crate::nn::graph::gpu::program::Kernel;
use crate::nn::graph::gpu::sampling::Sampling;
use crate::nn::graph::gpu::source::{Cut, Source, Training, write};
use crate::optim::Optimiser;
use crate::preset::Preset;

/// What a GPU has.
#[derive(Clone, Copy, Debug)]
pub struct GpuSize {
    pub multiprocessors: usize,
    /// Bytes of shared memory of a block, and of a multiprocessor.
    pub shared_block: usize,
    pub shared_multiprocessor: usize,
}

/// What a preset trains.
pub fn training(preset: &Preset) -> Result<Training> {
    let shape = preset.task.shape();
    Ok(Training {
        program: program(&preset.model, shape, preset.layout)?,
        sampling: Sampling::of(&preset.task, preset.layout),
        outputs: shape.outputs,
        objective: preset.task.objective(),
        adam: matches!(preset.train.optimiser, Optimiser::Adam { .. }),
        clips: preset.train.clip.is_some(),
        keeps_gradient: false,
    })
}

/// Steps of one launch at most; of tasks that the host samples, fewer.
const AT_ONCE: usize = 128;
const ROWS_AT_ONCE: usize = 16;
/// Numbers that the tokens of such steps may take: 256 MiB.
const ROWS: usize = 1 << 26;

/// Values of four bytes that an engine keeps on its GPU. Blocks loop over the batch, so none but the tokens that the
/// host samples grow with it.
#[derive(Clone, Copy, Debug)]
pub struct GpuMemory {
    pub parameters: usize,
    /// Sums of gradients, and the loss, of each block.
    pub partials: usize,
    pub squares: usize,
    pub scratch: usize,
    /// Steps of one launch, each with its loss and rates.
    pub at_once: usize,
    /// Tokens and targets of these steps, where the host samples.
    pub rows: Option<[usize; 2]>,
}

impl GpuMemory {
    pub fn of(training: &Training, source: &Source, batch: usize, blocks: usize) -> Self {
        let tokens = batch * training.program.nodes[0].size.numbers();
        let (at_once, rows) = match training.sampling {
            Sampling::Own(_) => (AT_ONCE, None),
            Sampling::Rows => {
                let at_once = (ROWS / tokens.max(1)).clamp(1, ROWS_AT_ONCE);
                (at_once, Some([at_once * tokens, at_once * batch * training.outputs]))
            }
        };
        let parameters = source.parameters;
        let partials = blocks * (parameters + 1);
        Self { parameters, partials, squares: source.chunks, scratch: blocks * source.scratch, at_once, rows }
    }

    pub fn bytes(&self) -> usize {
        let rows = self.rows.map_or(0, |[tokens, targets]| tokens + targets);
        // Weights twice, two moments, where they lie transposed, and the gradient.
        4 * (6 * self.parameters + self.partials + self.squares + self.scratch + 3 * self.at_once + rows + 1)
    }
}

/// Blocks that share a batch as evenly as they can, of `most` that the GPU holds at once.
pub fn blocks(source: &Source, batch: usize, most: usize) -> usize {
    let groups = batch.div_ceil(source.lanes);
    groups.div_ceil(groups.div_ceil(most))
}

/// Bytes of shared memory that a sequence takes where all of it lies there.
fn bytes_of_lane(training: &Training, workers: usize) -> usize {
    let all = |lanes: usize| {
        let cut = Cut { lanes, workers: workers / lanes, shared: usize::MAX / 64, columns: 32, resident: 1 };
        write(training, cut).shared
    };
    (all(8) - all(4)) / 4
}

/// The kernel for a preset's batch. Two blocks of 256 threads on each multiprocessor hide each other's waiting better
/// than one of 512, as long as half of the shared memory holds what is used most; see docs/gpu.md for what was
/// measured.
#[expect(clippy::wildcard_enum_match_arm, reason = "only window recurrences share rows")]
pub fn plan(training: &Training, batch: usize, gpu: GpuSize) -> Source {
    let lane = bytes_of_lane(training, 256).max(1);
    let parameters = training.program.parameters();
    let fills = |lanes: usize| batch.div_ceil(lanes) * 10 >= gpu.multiprocessors * 9;
    let half = gpu.shared_multiprocessor / 2 - 1024;
    // Sums of gradients, and what blocks sum over blocks with.
    let rest = 8192 + if parameters < 6000 { 8 * parameters } else { 0 };
    // As many sequences as give every multiprocessor a block, and fit.
    let mut lanes = 32;
    while lanes > 1 && (!fills(lanes) || lanes * lane + rest > gpu.shared_block) {
        lanes /= 2;
    }
    // Sequences that are so long that few fit lie in the GPU's memory in part.
    let fewest = if fills(8) {
        8
    } else if fills(4) {
        4
    } else {
        1
    };
    lanes = lanes.max(fewest);
    let fits_twice = lanes * lane + rest <= half;
    // A block that has a multiprocessor to itself, and one with many weights, takes all of it.
    let alone = batch.div_ceil(lanes) <= gpu.multiprocessors;
    let (threads, shared, resident) = match lanes {
        1 => (
            if parameters > 4000 {
                512
            } else if lane < 12_000 {
                128
            } else {
                256
            },
            gpu.shared_block,
            1,
        ),
        _ if alone || parameters > 6000 => (if lane < 6000 { 256 } else { 512 }, gpu.shared_block, 1),
        _ if fits_twice || lanes <= 8 => (256, half, 2),
        _ => (512, gpu.shared_block, 1),
    };
    let mut workers = threads / lanes;
    // Rows of a window recurrence are shared out evenly.
    let rows = training.program.nodes.iter().find_map(|node| match node.kernel {
        Kernel::WindowScan { .. } | Kernel::WindowLayer { .. } => Some(node.size.width),
        _ => None,
    });
    if let Some(rows) = rows.filter(|rows| lanes > 1 && rows * lanes <= 512) {
        workers = workers.next_multiple_of(rows);
    }
    let mut columns = 8;
    let blocks = batch.div_ceil(lanes).min(gpu.multiprocessors);
    while columns < 128 && parameters / columns > blocks {
        columns *= 2;
    }
    write(training, Cut { lanes, workers, shared, columns, resident })
}
