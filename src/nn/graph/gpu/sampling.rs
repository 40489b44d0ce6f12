//! Where the tasks of a batch come from: the kernel's own sampler, or rows that the host has sampled.

use crate::nn::graph::Size;
use crate::task::{InputDistribution, Layout, Linear, Shape, Task};

/// Targets at random places that the kernel can choose: up to so many rand's algorithm is the one it knows.
const MOST_DISTRACTORS: usize = 11;

/// The sampler of a training.
#[derive(Clone, Debug)]
pub enum Sampling {
    /// The kernel samples.
    Own(OwnSampling),
    /// Tokens and targets are rows in global memory.
    Rows,
}

/// A linear task and its layout.
#[derive(Clone, Debug)]
pub struct OwnSampling {
    task: Linear,
    layout: Layout,
    shape: Shape,
}

impl Sampling {
    /// The kernel's own sampler where it knows the task.
    pub fn of(task: &Task, layout: Layout) -> Self {
        let shape = task.shape();
        match task {
            Task::Linear(linear)
                if linear.distractors <= MOST_DISTRACTORS && linear.is_standard() && layout != Layout::QueryMiddle =>
            {
                Self::Own(OwnSampling { task: linear.clone(), layout, shape })
            }
            Task::Linear(_)
            | Task::Sine(_)
            | Task::Classification(_)
            | Task::Differentiation(_)
            | Task::LinearGrid(_) => Self::Rows,
        }
    }

    /// Numbers of a sequence that are kept while it is sampled.
    pub fn kept(&self) -> usize {
        let Self::Own(own) = self else { return 0 };
        let Shape { dim, outputs, context } = own.shape;
        let matrices = if own.task.drift > 0.0 { context } else { 1 };
        let noise = if own.task.noise > 0.0 { context * outputs } else { 0 };
        let pairs = if own.layout == Layout::Product { context * (dim + outputs) } else { 0 };
        matrices * dim * outputs + noise + pairs
    }

    /// What `sampler.cu` knows of the task; nothing where the host samples.
    pub fn constants(&self) -> Option<String> {
        let Self::Own(OwnSampling { task, layout, shape }) = self else { return None };
        let Shape { dim, outputs, context } = *shape;
        let (tokens, width) = (layout.tokens(*shape), layout.width(*shape));
        let places = layout.strides(*shape);
        let (x, y, pair) = places.map_or((0, 0, 0), |strides| (strides.x, strides.y, strides.pair));
        let query = places.map_or((context - 1) * width + outputs * dim, |strides| strides.query);
        let spread = match task.inputs {
            InputDistribution::Uniform => task.range as f32,
            InputDistribution::Normal => InputDistribution::std(task.range),
        };
        let gaps = match layout {
            Layout::Interleaved | Layout::QueryFirst => outputs < dim,
            Layout::Joined | Layout::QueryMiddle => true,
            Layout::Product => false,
        };
        Some(format!(
            "struct TASK {{ static constexpr int DIM = {dim}, OUTPUTS = {outputs}, PAIRS = {context}, TOKENS = {}, \
             WIDTH = {width}, X = {x}, Y = {y}, STRIDE = {pair}, QUERY = {query}, DISTRACTORS = {}, \
             TARGET_PARITY = {}; \
             static constexpr bool NORMAL = {}, DRIFTS = {}, NOISY = {}, PRODUCTS = {}, JOINED = {}, GAPS = {gaps}; \
             static constexpr float WEIGHT_SCALE = {:?}f, SPREAD = {spread:?}f, DRIFT = {:?}f, NOISE = {:?}f; }};",
            tokens * width,
            task.distractors,
            usize::from(*layout != Layout::QueryFirst),
            task.inputs == InputDistribution::Normal,
            task.drift > 0.0,
            task.noise > 0.0,
            *layout == Layout::Product,
            *layout == Layout::Joined,
            task.weight_scale as f32,
            task.drift as f32,
            task.noise as f32,
        ))
    }

    /// The phases that fill tokens and targets.
    pub fn phases(
        &self,
        (size, outputs): (Size, usize),
        (tokens, target, kept): (&str, &str, &str),
    ) -> Vec<Vec<String>> {
        let Self::Own(own) = self else {
            let last = "(size_t)step * orders.batch + least(first + id.lane, orders.batch - 1)";
            return vec![vec![
                format!("read_rows<{}>(id, orders.tokens, {last}, {tokens})", size.numbers()),
                format!("read_rows<{outputs}>(id, orders.targets, {last}, {target})"),
            ]];
        };
        let words = "words_for(orders.seed, orders.stream, orders.step, step, (unsigned)(first + id.lane))";
        let mut phases = vec![
            vec![format!("sample_numbers(id, {words}, {kept}, {tokens})")],
            vec![format!("sample_targets(id, {kept}, {tokens}, {target})")],
        ];
        if own.task.distractors > 0 {
            phases.push(vec![format!("sample_distractors(id, {words}, {kept}, {tokens})")]);
        }
        if own.layout == Layout::Product {
            phases.push(vec![format!("sample_products(id, {kept}, {tokens})")]);
        }
        phases
    }
}
