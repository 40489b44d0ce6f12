//! The text of the one kernel that trains a network: constants, the steps' files, and the block's phases in their order.

use std::fmt::Write;

use super::memory::{Buffer, Layout as MemoryLayout, Place, Space, lay_out};
use super::phases::{GradMode, Phase, Places, backward, derive, derive_backward, forward, reads_inputs_again, room};
use super::program::{Kernel, NodeId, Program, WeightId, WeightSource};
use super::sampling::Sampling;
use crate::nn::Activation;

/// A file of the kernel's text: its path and what is in it.
type Text = (&'static str, &'static str);

const FRAME: Text = ("src/nn/graph/gpu/frame.cu", include_str!("frame.cu"));
const STEPS: [Text; 12] = [
    ("src/nn/step/project.cu", include_str!("../../step/project.cu")),
    ("src/nn/step/entrywise.cu", include_str!("../../step/entrywise.cu")),
    ("src/nn/step/norm.cu", include_str!("../../step/norm.cu")),
    ("src/nn/step/softmax_attend.cu", include_str!("../../step/softmax_attend.cu")),
    ("src/nn/step/convolve.cu", include_str!("../../step/convolve.cu")),
    ("src/nn/step/diagonal_scan.cu", include_str!("../../step/diagonal_scan.cu")),
    ("src/nn/step/selective_scan.cu", include_str!("../../step/selective_scan.cu")),
    ("src/nn/step/window_scan.cu", include_str!("../../step/window_scan.cu")),
    ("src/nn/step/linear_attend.cu", include_str!("../../step/linear_attend.cu")),
    ("src/nn/step/recurrent.cu", include_str!("../../step/recurrent.cu")),
    ("src/nn/step/contract.cu", include_str!("../../step/contract.cu")),
    ("src/nn/step/ridge.cu", include_str!("../../step/ridge.cu")),
];
const DERIVED: Text = ("src/nn/step/derived.cu", include_str!("../../step/derived.cu"));
const SAMPLER: Text = ("src/nn/graph/gpu/sampler.cu", include_str!("sampler.cu"));
const LOSS: Text = ("src/nn/graph/gpu/loss.cu", include_str!("loss.cu"));
const OPTIMISER: Text = ("src/nn/graph/gpu/optimiser.cu", include_str!("optimiser.cu"));
const KERNEL: Text = ("src/nn/graph/gpu/kernel.cu", include_str!("kernel.cu"));

/// Sums of gradients, and derived weights, that are kept in shared memory at most.
const SUMS_SHARED: usize = 12_288;

/// Numbers of a sequence from which on it pays to do without a buffer of their own.
const LARGE: usize = 256;

/// What answers are trained by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    SquaredError,
    CrossEntropy,
}

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
    pub loss: Loss,
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
    /// Where each weight lies in the transposed matrices.
    pub turned: Vec<i32>,
}

/// Numbers of a block by what they are.
struct Buffers {
    all: Vec<Buffer>,
    values: Vec<Option<usize>>,
    kept: Vec<Option<usize>>,
    scratch: Vec<Option<usize>>,
    grads: Vec<Option<usize>>,
    /// A result that is computed again for the backward pass.
    repeated: Vec<Option<usize>>,
    target: usize,
    losses: usize,
    loss: usize,
    sampled: usize,
}

/// What is known of a program before it is laid out.
struct Analysis {
    /// Whether the gradient by a step's result is needed.
    wanted: Vec<bool>,
    /// Whether the answer depends on a step.
    needed: Vec<bool>,
}

impl Analysis {
    fn of(program: &Program) -> Self {
        let count = program.nodes.len();
        let (mut wanted, mut needed) = (vec![false; count], vec![false; count]);
        needed[count - 1] = true;
        for (id, node) in program.nodes.iter().enumerate().rev() {
            if needed[id] {
                node.kernel.reads().into_iter().for_each(|read| needed[read] = true);
            }
        }
        for (id, node) in program.nodes.iter().enumerate() {
            wanted[id] = node.kernel.has_weights() || node.kernel.reads().into_iter().any(|read| wanted[read]);
        }
        Self { wanted, needed }
    }
}

/// Where the result of a step is found: part of another's, where nothing has to be moved.
fn root(program: &Program, mut node: NodeId) -> (NodeId, usize) {
    let mut offset = 0;
    while let Kernel::Part { x, first, factor } = program.nodes[node].kernel {
        let fits = first + program.nodes[node].size.count() <= program.nodes[x].size.count();
        if factor != 1.0 || !fits {
            break;
        }
        (node, offset) = (x, offset + first);
    }
    (node, offset)
}

impl Buffers {
    /// Forwards step i at the time i + 1, the loss at n + 1, backwards step i at 2n + 3 − i; tasks are sampled at 0.
    fn of(training: &Training, analysis: &Analysis, workers: usize) -> Self {
        let Training { program, outputs, .. } = training;
        let n = program.nodes.len();
        let back = |node: usize| 2 * n + 3 - node;
        let mut ends = vec![0; n];
        let mut begins = vec![0; n];
        for (id, node) in program.nodes.iter().enumerate().filter(|(id, _)| analysis.needed[*id]) {
            let again = analysis.wanted[id] && reads_inputs_again(node);
            for read in node.kernel.reads() {
                let (at, _) = root(program, read);
                // A curve that is cheap to follow again is not kept.
                let end = if again && !is_repeated(program, analysis, at) { back(id) } else { id + 1 };
                ends[at] = ends[at].max(end);
                begins[read] = begins[read].max(id);
            }
            let (at, _) = root(program, id);
            let own_again = analysis.wanted[id] && matches!(node.kernel, Kernel::SoftmaxTokens(_));
            let end = if own_again { back(id) } else { id + 1 };
            ends[at] = ends[at].max(end).max(if id == n - 1 { n + 1 } else { 0 });
        }
        let mut buffers = Self {
            all: Vec::new(),
            values: vec![None; n],
            kept: vec![None; n],
            scratch: vec![None; n],
            grads: vec![None; n],
            repeated: vec![None; n],
            target: 0,
            losses: 0,
            loss: 0,
            sampled: 0,
        };
        buffers.target = buffers.add(*outputs, 0..=n + 1);
        buffers.losses = buffers.add(*outputs, n + 1..=2 * n + 4);
        buffers.loss = buffers.add(1, n + 1..=2 * n + 4);
        buffers.sampled = buffers.add(training.sampling.kept(), 0..=0);
        for (id, node) in program.nodes.iter().enumerate().filter(|(id, _)| analysis.needed[*id]) {
            if root(program, id).0 == id {
                let begin = if id == 0 { 0 } else { id + 1 };
                buffers.values[id] = Some(buffers.add(node.size.count(), begin..=ends[id].max(begin)));
            }
            if is_repeated(program, analysis, id) {
                let again = readers_of_part(program, analysis, id).into_iter().map(back);
                let (first, last) = again.fold((usize::MAX, 0), |(low, high), t| (low.min(t), high.max(t)));
                buffers.repeated[id] = Some(buffers.add(node.size.count(), first..=last));
            }
            let by_input = node.kernel.reads().iter().any(|read| analysis.wanted[*read]);
            let room = room(program, node, by_input, workers);
            if room.kept > 0 {
                let end = if analysis.wanted[id] { back(id) } else { id + 1 };
                buffers.kept[id] = Some(buffers.add(room.kept, id + 1..=end));
            }
            if analysis.wanted[id] {
                if room.scratch > 0 {
                    buffers.scratch[id] = Some(buffers.add(room.scratch, back(id)..=back(id)));
                }
                let begin = if id == n - 1 { n + 1 } else { back(begins[id]) };
                buffers.grads[id] =
                    match buffers.repeated[id].or(buffers.values[id]).filter(|_| in_place(program, analysis, id)) {
                        Some(value) => {
                            buffers.all[value].life = *buffers.all[value].life.start()..=back(id);
                            Some(value)
                        }
                        None => Some(buffers.add(node.size.count(), begin..=back(id))),
                    };
            }
        }
        buffers
    }

    fn add(&mut self, count: usize, life: std::ops::RangeInclusive<usize>) -> usize {
        self.all.push(Buffer { count, life });
        self.all.len() - 1
    }
}

/// The steps that read a step's result.
fn readers<'a>(program: &'a Program, analysis: &'a Analysis, node: NodeId) -> impl Iterator<Item = NodeId> + 'a {
    let all = program.nodes.iter().enumerate().filter(|(id, _)| analysis.needed[*id]);
    all.filter(move |(_, other)| other.kernel.reads().contains(&node)).map(|(id, _)| id)
}

/// The steps that read a step's result or a part of it that is not moved.
fn readers_of_part(program: &Program, analysis: &Analysis, node: NodeId) -> Vec<NodeId> {
    let all = (0..program.nodes.len()).filter(|id| analysis.needed[*id] && root(program, *id).0 != node);
    all.filter(|id| program.nodes[*id].kernel.reads().iter().any(|read| root(program, *read).0 == node)).collect()
}

/// Whether a result is computed again for the backward pass: a curve or a norm of many numbers, read by projections alone.
fn is_repeated(program: &Program, analysis: &Analysis, node: NodeId) -> bool {
    let large = program.nodes[node].size.count() >= LARGE;
    let cheap = matches!(
        program.nodes[node].kernel,
        Kernel::Apply(Activation::Gelu | Activation::Relu, _) | Kernel::Normalise { .. }
    );
    let projects = |reader: NodeId| matches!(program.nodes[reader].kernel, Kernel::Project { .. });
    let all = readers_of_part(program, analysis, node);
    large && cheap && analysis.wanted[node] && !all.is_empty() && all.into_iter().all(projects)
}

/// Whether the gradient by a step's result may stand where the result stood: the one step that reads it reads each number
/// just before it writes its gradient, and the step itself does not look at its result again.
fn in_place(program: &Program, analysis: &Analysis, node: NodeId) -> bool {
    let mut readers = readers(program, analysis, node);
    let (Some(reader), None) = (readers.next(), readers.next()) else { return false };
    let reader = &program.nodes[reader];
    let reads_once = match reader.kernel {
        Kernel::Apply(..) => !is_repeated(program, analysis, node),
        Kernel::DiagonalScan { .. } => reader.size.length > 1,
        Kernel::Project { .. } => program.nodes[node].size.count() >= LARGE,
        _ => false,
    };
    let looks_again = matches!(program.nodes[node].kernel, Kernel::SoftmaxTokens(_) | Kernel::Tokens);
    reads_once && !looks_again
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
    text: String,
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
        let reduce = 2 * cut.lanes * cut.workers + 16;
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
            text: String::new(),
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

    fn turned(&self, weight: WeightId) -> Option<String> {
        match self.training.program.weights[weight].source {
            WeightSource::Parameter => Some(format!("orders.weights + {}", self.parameters + self.offsets[weight])),
            WeightSource::Derived(_) => None,
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
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn phase(&mut self, calls: &[String]) {
        if !calls.is_empty() {
            self.line(&format!("PHASE({})", calls.join("; ")));
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
        let reduce = arena + if self.sums_shared { sums } else { 0 };
        let shared = reduce + 2 * threads + 16;
        let arena_global = self.layout.global * self.cut.lanes;
        let scratch = (arena_global + if self.sums_shared { 0 } else { sums }).next_multiple_of(4);
        let turned = self.transposed();
        let chunks = (self.parameters + 1).div_ceil(self.cut.columns);
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
        self.line(
            "DEVICE void sample_block(const Orders &orders, int block, int first, int step, float *memory BLOCK_ID) {",
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
        self.file(KERNEL);
        Source {
            text: self.text,
            lanes: self.cut.lanes,
            threads,
            shared: 4 * shared,
            scratch,
            parameters: self.parameters,
            chunks,
            turned,
        }
    }

    fn transposed(&self) -> Vec<i32> {
        let mut turned = Vec::new();
        for weight in self.training.program.weights.iter() {
            let WeightSource::Parameter = weight.source else { continue };
            let ((rows, columns), start) = (weight.shape, turned.len());
            turned.extend((0..rows * columns).map(|i| (start + i % columns * rows + i / columns) as i32));
        }
        turned
    }

    fn constants(&mut self, shared: usize, reduce: usize) {
        let Cut { lanes, workers, columns, .. } = self.cut;
        self.line(&format!("constexpr int LANES = {lanes}, WORKERS = {workers}, THREADS = LANES * WORKERS;"));
        let Training { adam, clips, keeps_gradient, .. } = *self.training;
        self.line(&format!(
            "struct TRAIN {{ static constexpr int PARAMETERS = {}, COLUMNS = {columns}, SHARED = {shared}, REDUCE = {reduce}, SLICES = {}, SUMS = {}; \
             static constexpr bool ADAM = {adam}, CLIPS = {clips}, KEEPS_GRADIENT = {keeps_gradient}; }};\nconstexpr int RESIDENT = {};",
            self.parameters,
            self.slices,
            self.parameters + 1 + self.derived,
            self.cut.resident,
        ));
    }

    /// Sums start at zero, and weights that are made of others are made.
    fn begin(&mut self) {
        let program = &self.training.program;
        let all = self.slices * (self.parameters + 1 + self.derived);
        let mut groups = vec![vec![format!("EACH_WEIGHT(i, {all}) sums[i] = 0.0f")]];
        let mut depths = Vec::new();
        for id in 0..program.weights.len() {
            let depth = sources(program, id).into_iter().map(|source| depths[source] + 1).max().unwrap_or(0);
            let call = derive(program, id, &|weight| self.weight(weight));
            // A parameter is there from the start, and so is the constant matrix after the first phase.
            depths.push(if call.is_some() { depth.max(1) } else { 0 });
            if let Some(call) = call {
                groups.resize_with(groups.len().max(depths[id]), Vec::new);
                groups[depths[id] - 1].push(call);
            }
        }
        groups.iter().for_each(|calls| self.phase(calls));
    }

    fn sample(&mut self) {
        let (tokens, target) = (self.value(0), self.place(self.buffers.target));
        let kept = self.place(self.buffers.sampled);
        let size = self.training.program.nodes[0].size;
        let phases = self.training.sampling.phases((size, self.training.outputs), (&tokens, &target, &kept));
        phases.iter().for_each(|calls| self.phase(calls));
    }

    fn pass_forward(&mut self) {
        let program = &self.training.program;
        for (id, node) in program.nodes.iter().enumerate() {
            if !self.analysis.needed[id] || root(program, id).0 != id {
                continue;
            }
            let phases = forward(&Places {
                program,
                node,
                value: &|node| self.value(node),
                weight: &|weight| self.weight(weight),
                turned: &|weight| self.turned(weight),
                own: self.value(id),
                kept: self.own_or_none(self.buffers.kept[id]),
                scratch: String::new(),
                grad: String::new(),
                grad_of: &|_| (GradMode::None, String::new()),
                grad_weight: &|weight| self.grad_weight(weight),
            });
            self.phases(phases, &mut Vec::new());
        }
    }

    /// A result as the backward pass finds it.
    fn value_again(&self, node: NodeId) -> String {
        let (at, offset) = root(&self.training.program, node);
        match self.buffers.repeated[at] {
            Some(buffer) => format!("{} + {offset} * LANES", self.place(buffer)),
            None => self.value(node),
        }
    }

    /// Computes a result again.
    fn repeat(&mut self, id: NodeId) {
        let program = &self.training.program;
        let phases = forward(&Places {
            program,
            node: &program.nodes[id],
            value: &|node| self.value(node),
            weight: &|weight| self.weight(weight),
            turned: &|weight| self.turned(weight),
            own: self.value_again(id),
            kept: self.own_or_none(self.buffers.kept[id]),
            scratch: String::new(),
            grad: String::new(),
            grad_of: &|_| (GradMode::None, String::new()),
            grad_weight: &|weight| self.grad_weight(weight),
        });
        self.phases(phases, &mut Vec::new());
    }

    /// From the loss to the sums of gradients.
    fn pass_backward(&mut self) {
        let (program, outputs) = (&self.training.program, self.training.outputs);
        let last = program.nodes.len() - 1;
        let skipped = program.nodes[last].size.count() - outputs;
        let answer = format!("{} + {skipped} * LANES", self.value(last));
        let grad = self.own_or_none(self.buffers.grads[last]);
        let [losses, loss, target] =
            [self.buffers.losses, self.buffers.loss, self.buffers.target].map(|buffer| self.place(buffer));
        let (name, share) = match self.training.loss {
            Loss::SquaredError => ("squared_error", format!("1.0f / ({outputs} * (float)orders.batch)")),
            Loss::CrossEntropy => ("cross_entropy", "1.0f / (float)orders.batch".to_owned()),
        };
        let mut calls = vec![format!(
            "{name}<{outputs}>(id, {answer}, {target}, first + id.lane < orders.batch ? {share} : 0.0f, \
             {grad} + {skipped} * LANES, {losses})"
        )];
        if skipped > 0 {
            calls.push(format!("EACH(i, {skipped}) OF({grad}, i) = 0.0f"));
        }
        self.phase(&calls);
        let mut beside = vec![
            format!("sum_outputs<{outputs}>(id, {losses}, {loss})"),
            format!("sum_lanes<1>(id, {loss}, sums + {})", self.parameters),
        ];
        let mut written = vec![false; program.nodes.len()];
        let mut again = vec![false; program.nodes.len()];
        for (id, node) in program.nodes.iter().enumerate().rev() {
            if !self.analysis.needed[id] || !self.analysis.wanted[id] {
                continue;
            }
            for read in node.kernel.reads() {
                let (at, _) = root(program, read);
                if self.buffers.repeated[at].is_some() && !again[at] {
                    again[at] = true;
                    self.repeat(at);
                }
            }
            let modes: Vec<(NodeId, GradMode)> = node
                .kernel
                .reads()
                .into_iter()
                .map(|read| match (self.analysis.wanted[read], std::mem::replace(&mut written[read], true)) {
                    (false, _) => (read, GradMode::None),
                    (true, false) => (read, GradMode::Set),
                    (true, true) => (read, GradMode::Add),
                })
                .collect();
            let mode = |node: NodeId| modes.iter().find(|(read, _)| *read == node).map_or(GradMode::None, |m| m.1);
            let phases = backward(&Places {
                program,
                node,
                value: &|node| self.value_again(node),
                weight: &|weight| self.weight(weight),
                turned: &|weight| self.turned(weight),
                own: self.value(id),
                kept: self.own_or_none(self.buffers.kept[id]),
                scratch: self.own_or_none(self.buffers.scratch[id]),
                grad: self.own_or_none(self.buffers.grads[id]),
                grad_of: &|node| (mode(node), self.own_or_none(self.buffers.grads[node])),
                grad_weight: &|weight| self.grad_weight(weight),
            });
            self.phases(phases, &mut beside);
        }
        beside.into_iter().for_each(|call| self.phase(&[call]));
    }

    /// Gradients by derived weights lead back to parameters; then the block writes its sums.
    fn settle(&mut self) {
        let program = &self.training.program;
        if self.slices > 1 {
            let (all, slices) = (self.parameters + 1 + self.derived, self.slices);
            self.phase(&[format!(
                "EACH_WEIGHT(i, {all}) for (int slice = 1; slice < {slices}; ++slice) sums[i] += sums[slice * {all} + i]"
            )]);
        }
        let (mut calls, mut busy): (Vec<String>, Vec<WeightId>) = Default::default();
        for id in (0..program.weights.len()).rev() {
            let grad = (&|weight| self.weight(weight) as String, &|weight| self.grad_weight(weight) as String);
            let Some(call) = derive_backward(program, id, (grad.0, grad.1)) else { continue };
            let sources = sources(program, id);
            if busy.contains(&id) || sources.iter().any(|source| busy.contains(source)) {
                self.phase(&calls);
                (calls, busy) = Default::default();
            }
            calls.push(call);
            busy.extend(sources);
        }
        self.phase(&calls);
        let all = self.parameters + 1;
        let mut line = String::new();
        let _ = write!(line, "PHASE(EACH_WEIGHT(i, {all}) orders.partials[(size_t)block * {all} + i] = sums[i])");
        self.line(&line);
    }
}
