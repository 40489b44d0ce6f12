//! The text of the one kernel that trains a network: constants, the steps' files, and the block's phases in their
//! order.

mod files;
mod passes;
mod staging;
mod sums;

use self::files::{DERIVED, FRAME, KERNEL, LOSS, OPTIMISER, SAMPLER, STEPS, Text};
use super::buffers::{Analysis, Buffers, root};
use super::memory::{Layout as MemoryLayout, Place, Space, lay_out};
use super::phases::Phase;
use super::program::{NodeId, Program, WeightId, WeightSource};
use super::sampling::Sampling;
use crate::task::Objective;

/// Sums of gradients, and derived weights, that are kept in shared memory at most.
const SUMS_SHARED: usize = 12_288;

/// Weights that stay in a multiprocessor's cache beside the shared memory: more are read from the GPU's memory again
/// and again.
const CACHED: usize = 6000;

/// Phases whose code a multiprocessor holds with loops unrolled; longer kernels have shorter code.
const SHORT: usize = 32;

/// How a kernel is cut: all of it are constants of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cut {
    /// Sequences of a block, a power of two.
    pub lanes: usize,
    /// Threads of each sequence.
    pub workers: usize,
    /// Bytes of shared memory that a block may take.
    pub shared: usize,
    /// Weights that a block sums over blocks at a time.
    pub columns: usize,
    /// Blocks that a multiprocessor shall hold at once, which bounds the registers of a thread.
    pub resident: usize,
}

/// What a kernel trains, and how.
#[derive(Clone, Debug)]
pub struct Training {
    pub program: Program,
    pub sampling: Sampling,
    pub outputs: usize,
    pub objective: Objective,
    pub adam: bool,
    pub clips: bool,
    /// Whether the gradient of the last step can be read, where it is not clipped.
    pub keeps_gradient: bool,
}

/// The kernel's text, and the memory that it takes.
#[derive(Clone, Debug)]
pub struct Source {
    pub text: String,
    /// Sequences of a block.
    pub lanes: usize,
    pub threads: usize,
    /// Bytes of shared memory of a block.
    pub shared: usize,
    /// Numbers of global memory of a block.
    pub scratch: usize,
    pub parameters: usize,
    /// Groups of weights that are summed together.
    pub chunks: usize,
    /// Where each weight lies in the transposed matrices, counted from the end of the weights; their place begins at a
    /// multiple of 16 bytes.
    pub transposed: Vec<i32>,
}

impl Source {
    /// Numbers that all weights take, each matrix twice.
    pub fn weights(&self) -> usize {
        2 * self.parameters.next_multiple_of(4)
    }
}

/// The weights that a derived weight is made of.
fn sources(program: &Program, weight: WeightId) -> Vec<WeightId> {
    match &program.weights[weight].source {
        WeightSource::Parameter => Vec::new(),
        WeightSource::Derived(derivation) => derivation.sources(),
    }
}

/// Writes the kernel of a training.
pub fn write(training: &Training, cut: Cut) -> Source {
    Writer::new(training, cut).source()
}

struct Writer<'a> {
    training: &'a Training,
    cut: Cut,
    analysis: Analysis,
    buffers: Buffers,
    layout: MemoryLayout,
    /// Where each weight begins, among the parameters or among what is derived.
    offsets: Vec<usize>,
    parameters: usize,
    derived: usize,
    sums_shared: bool,
    /// Sums of each weight that a block takes side by side.
    slices: usize,
    /// Numbers of shared memory for matrices that are copied there before they are read; none where all weights stay in
    /// a multiprocessor's cache.
    stage: usize,
    text: String,
    /// The last phase, to which calls may be added.
    pending: Vec<String>,
    /// Whether that phase reads matrices that were copied to shared memory, or copies some.
    reads_copies: bool,
}

impl<'a> Writer<'a> {
    fn new(training: &'a Training, cut: Cut) -> Self {
        let analysis = Analysis::of(&training.program);
        let buffers = Buffers::of(training, &analysis, cut.workers);
        let (mut offsets, mut parameters, mut derived) = (Vec::new(), 0, 0);
        for weight in &training.program.weights {
            let end = match weight.source {
                WeightSource::Parameter => &mut parameters,
                WeightSource::Derived(_) => &mut derived,
            };
            offsets.push(*end);
            *end += weight.count();
        }
        let all = parameters + 1 + derived;
        // Few weights of many sequences: more threads than weights.
        let slices = match all {
            0..=1024 => 4,
            1025..=3072 if cut.lanes >= 16 => 4,
            1025..=1536 => 2,
            1537.. => 1,
        };
        let sums = slices * all + derived;
        let sums_shared = sums <= SUMS_SHARED && 4 * sums < cut.shared / 2;
        let large = cut.lanes >= 4 && parameters > CACHED;
        let stage = if large { staging::largest(&training.program, &analysis) } else { 0 };
        let reduce = (2 * cut.lanes * cut.workers + 16).max(stage) + 4;
        let left = (cut.shared / 4).saturating_sub(reduce + if sums_shared { sums } else { 0 });
        let layout = lay_out(&buffers.all, left / cut.lanes);
        Self {
            training,
            cut,
            analysis,
            buffers,
            layout,
            offsets,
            parameters,
            derived,
            sums_shared,
            slices,
            stage,
            text: String::new(),
            pending: Vec::new(),
            reads_copies: false,
        }
    }

    fn place(&self, buffer: usize) -> String {
        let Place { space, at } = self.layout.places[buffer];
        match space {
            Space::Shared => format!("memory + {at} * LANES"),
            Space::Global => format!("scratch + {at} * LANES"),
        }
    }

    fn own_or_none(&self, buffer: Option<usize>) -> String {
        buffer.map_or_else(|| "memory".to_owned(), |buffer| self.place(buffer))
    }

    fn value(&self, node: NodeId) -> String {
        let (at, offset) = root(&self.training.program, node);
        let place = self.own_or_none(self.buffers.values[at]);
        if offset == 0 { place } else { format!("{place} + {offset} * LANES") }
    }

    fn weight(&self, weight: WeightId) -> String {
        match self.training.program.weights[weight].source {
            WeightSource::Parameter => format!("orders.weights + {}", self.offsets[weight]),
            WeightSource::Derived(_) => format!("derived + {}", self.offsets[weight]),
        }
    }

    fn transpose(&self, weight: WeightId) -> Option<String> {
        match self.training.program.weights[weight].source {
            WeightSource::Parameter => {
                Some(format!("orders.weights + {}", self.parameters.next_multiple_of(4) + self.offsets[weight]))
            }
            WeightSource::Derived(_) => None,
        }
    }

    /// Whether a weight, and its transpose, begin at a multiple of 16 bytes: parameters do, and every fourth number.
    fn is_aligned(&self, weight: WeightId) -> bool {
        match self.training.program.weights[weight].source {
            WeightSource::Parameter => self.offsets[weight].is_multiple_of(4),
            WeightSource::Derived(_) => false,
        }
    }

    fn grad_weight(&self, weight: WeightId) -> String {
        match self.training.program.weights[weight].source {
            WeightSource::Parameter => format!("sums + {}", self.offsets[weight]),
            WeightSource::Derived(_) => format!("sums + {}", self.parameters + 1 + self.offsets[weight]),
        }
    }

    /// Tests read the file as it is now, so that a kernel can be changed without building the tests again.
    fn file(&mut self, (path, text): Text) {
        let now = cfg!(test).then(|| std::fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))));
        self.line(&now.and_then(Result::ok).unwrap_or_else(|| text.to_owned()));
    }

    fn line(&mut self, line: &str) {
        let calls = std::mem::take(&mut self.pending);
        if !calls.is_empty() {
            self.line(&format!("PHASE({})", calls.join("; ")));
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn phase(&mut self, calls: &[String]) {
        self.reads_copies = false;
        let before = std::mem::replace(&mut self.pending, calls.to_vec());
        if !before.is_empty() {
            let after = std::mem::take(&mut self.pending);
            self.line(&format!("PHASE({})", before.join("; ")));
            self.pending = after;
        }
    }

    fn phases(&mut self, phases: Vec<Phase>, beside: &mut Vec<String>) {
        for phase in phases {
            match phase {
                Phase::Calls(mut calls) => {
                    if !beside.is_empty() {
                        calls.push(beside.remove(0));
                    }
                    self.phase(&calls);
                }
                Phase::Over { count, last_first, phases } => {
                    self.line(&match last_first {
                        false => format!("for (int t = 0; t < {count}; ++t) {{"),
                        true => format!("for (int t = {count} - 1; t >= 0; --t) {{"),
                    });
                    phases.iter().for_each(|calls| self.phase(calls));
                    self.line("}");
                }
            }
        }
    }

    fn source(mut self) -> Source {
        let threads = self.cut.lanes * self.cut.workers;
        let all = self.parameters + 1 + self.derived;
        let sums = self.slices * all + self.derived;
        let arena = self.layout.shared * self.cut.lanes;
        // Blocks sum over blocks while the tasks of the next step are there already.
        // Matrices are copied to the same place: they are read before.
        let reduce = (arena + if self.sums_shared { sums } else { 0 }).next_multiple_of(4);
        let shared = reduce + (2 * threads + 16).max(self.stage);
        let arena_global = self.layout.global * self.cut.lanes;
        let scratch = (arena_global + if self.sums_shared { 0 } else { sums }).next_multiple_of(4);
        let transposed = self.transposed();
        let chunks = (self.parameters + 1).div_ceil(self.cut.columns);
        self.line(
            "DEVICE_ONCE void sample_block(const Orders &orders, int block, int first, int step, \
             float *memory BLOCK_ID) {",
        );
        self.line(&format!("float *scratch = orders.scratch + (size_t)block * {scratch};"));
        self.line("(void)scratch;");
        self.sample();
        self.line("}");
        self.line(
            "DEVICE void train_block(const Orders &orders, int block, int blocks, int step, float *memory BLOCK_ID) {",
        );
        self.line(&format!("float *scratch = orders.scratch + (size_t)block * {scratch};"));
        let (base, at) = if self.sums_shared { ("memory", arena) } else { ("scratch", arena_global) };
        self.line(&format!("float *sums = {base} + {at}, *derived = sums + {};", self.slices * all));
        self.line("(void)scratch; (void)derived;");
        self.begin();
        self.line("for (int first = block * LANES; first < orders.batch; first += blocks * LANES) {");
        self.line("if (first != block * LANES) sample_block(orders, block, first, step, memory PASS_ID);");
        self.pass_forward();
        self.pass_backward();
        self.line("}");
        self.settle();
        self.line("}");
        let blocks = std::mem::take(&mut self.text);
        if blocks.matches("PHASE(").count() > SHORT {
            self.line("#define COMPACT");
        }
        self.constants(shared, reduce);
        self.file(FRAME);
        STEPS.into_iter().for_each(|step| self.file(step));
        self.file(DERIVED);
        if let Some(constants) = self.training.sampling.constants() {
            self.line(&constants);
            self.file(SAMPLER);
        }
        self.file(LOSS);
        self.file(OPTIMISER);
        self.line(&blocks);
        self.file(KERNEL);
        Source {
            text: self.text,
            lanes: self.cut.lanes,
            threads,
            shared: 4 * shared,
            scratch,
            parameters: self.parameters,
            chunks,
            transposed,
        }
    }

    fn transposed(&self) -> Vec<i32> {
        let mut places = Vec::new();
        let gap = self.parameters.next_multiple_of(4) - self.parameters;
        for weight in self.training.program.weights.iter() {
            let WeightSource::Parameter = weight.source else { continue };
            let ((rows, columns), start) = (weight.shape, places.len());
            places.extend((0..rows * columns).map(|i| (gap + start + i % columns * rows + i / columns) as i32));
        }
        places
    }

    fn constants(&mut self, shared: usize, reduce: usize) {
        let Cut { lanes, workers, columns, .. } = self.cut;
        self.line(&format!("constexpr int LANES = {lanes}, WORKERS = {workers}, THREADS = LANES * WORKERS;"));
        let Training { adam, clips, keeps_gradient, .. } = *self.training;
        self.line(&format!(
            "struct TRAIN {{ static constexpr int PARAMETERS = {}, COLUMNS = {columns}, SHARED = {shared}, \
             REDUCE = {reduce}, SLICES = {}, SUMS = {}; \
             static constexpr bool ADAM = {adam}, CLIPS = {clips}, KEEPS_GRADIENT = {keeps_gradient}; }};\n\
             constexpr int RESIDENT = {};",
            self.parameters,
            self.slices,
            self.parameters + 1 + self.derived,
            self.cut.resident,
        ));
    }
}
