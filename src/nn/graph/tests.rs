//! Both forms of every step, in value and in gradient.

use dfdx::prelude::{Backward, Cpu, HasShape, Rank0, SumTo, Trace, ZerosTensor};
use std::sync::Arc;

use super::linear::OneMatrix;
use super::*;
use crate::nn::check::{Random, assert_close};
use crate::nn::step::{Activation, Decay, Erase, FastWeights, VectorScale};
use crate::nn::tensor::{GradTarget, Tensor3};
use crate::simd::{Buffer, LANES, PackedBatch};

mod cases;

use cases::*;

/// Graphs that are linear in their tokens.
const LINEAR: [Case; 3] = [
    Case { name: "layer", tokens: (6, 3), weights: LAYER, record: |x, w| layer(x, w, 1) },
    Case { name: "layer, three answers", tokens: (6, 3), weights: LAYER, record: |x, w| layer(x, w, 3) },
    Case { name: "layer, one token", tokens: (1, 3), weights: LAYER, record: |x, w| layer(x, w, 1) },
];

const SCANS: [Case; 3] = [
    Case { name: "by channel", tokens: (5, 4), weights: SELECTIVE, record: |x, w| selection(x, w).by_channel() },
    Case { name: "by head", tokens: (5, 4), weights: HEADS, record: |x, w| selection(x, w).by_head() },
    Case { name: "by matrix", tokens: (5, 4), weights: HEADS, record: |x, w| selection(x, w).by_matrix() },
];

/// A memory of five tokens' keys of three and values of two, of which the last is the query's.
fn memory<'p>(x: Sequence<'p, Cpu, Owned>, w: WeightOf<'_>) -> FastWeights<Sequence<'p, Cpu, Owned>> {
    let query = x.last(1).project(w(2));
    FastWeights {
        keys: x.project(w(0)),
        values: Some(x.project(w(1))),
        query,
        erase: Erase::Nothing,
        decay: Decay::Constant(0.9),
        momentum: None,
        pairs: 5,
        block: 1,
    }
}

/// Rates of each token, between 0 and 1.
fn rates<'p>(x: Sequence<'p, Cpu, Owned>, weight: Matrix<Cpu, Owned>) -> Sequence<'p, Cpu, Owned> {
    x.project(weight).activate(Activation::Sigmoid)
}

const PAIRS: &[(usize, usize)] = &[(4, 3), (4, 2), (4, 3), (4, 3), (4, 3), (4, 1), (4, 3)];

const MEMORIES: [Case; 15] = [
    Case { name: "unit length", tokens: (3, 4), weights: &[], record: |x, _| x.unit_length() },
    Case {
        name: "rates",
        tokens: (3, 4),
        weights: &[(4, 1)],
        record: |x, w| x.times_step_size(VectorScale::Rate, rates(x, w(0))),
    },
    Case {
        name: "normalised rates",
        tokens: (3, 4),
        weights: &[(4, 1)],
        record: |x, w| x.times_step_size(VectorScale::Normalised, rates(x, w(0))),
    },
    Case {
        name: "implicit rates",
        tokens: (3, 4),
        weights: &[(4, 1)],
        record: |x, w| x.times_step_size(VectorScale::Implicit, rates(x, w(0))),
    },
    Case {
        name: "normaliser",
        tokens: (3, 4),
        weights: &[(4, 1)],
        record: |x, w| x.times_step_size(VectorScale::Normaliser, x.project(w(0))),
    },
    Case {
        name: "two pairs of each token, without values",
        tokens: (3, 4),
        weights: &[(4, 6), (4, 6), (4, 3)],
        record: |x, w| {
            let query = x.last(1).project(w(2));
            let (keys, erase) = (x.project(w(0)).split(2), Erase::AlongKey(x.project(w(1)).split(2)));
            let decay = Decay::Constant(1.0);
            FastWeights { keys, values: None, query, erase, decay, momentum: None, pairs: 4, block: 1 }.read()
        },
    },
    Case {
        name: "conjugate gradients",
        tokens: (6, 4),
        weights: &[(4, 3), (4, 2), (4, 3), (1, 3)],
        record: |x, w| x.last(1).project(w(2)).solve([x.project(w(0)), x.project(w(1))], w(3), 2),
    },
    Case { name: "Hebb", tokens: (6, 4), weights: PAIRS, record: |x, w| memory(x, w).read() },
    Case {
        name: "decay",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| FastWeights { decay: Decay::Sequence(rates(x, w(5))), ..memory(x, w) }.read(),
    },
    Case {
        name: "delta rule",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| FastWeights { erase: Erase::AlongKey(x.project(w(3))), ..memory(x, w) }.read(),
    },
    Case {
        name: "delta rule with decay by channel",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| {
            let erase = Erase::AlongKey(x.project(w(3)));
            FastWeights { erase, decay: Decay::Sequence(rates(x, w(6))), ..memory(x, w) }.read()
        },
    },
    Case {
        name: "what is erased is apart from what is written",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| {
            let erase = Erase::Along { e: x.project(w(3)), b: x.project(w(4)) };
            FastWeights { erase, decay: Decay::Sequence(rates(x, w(5))), ..memory(x, w) }.read()
        },
    },
    Case {
        name: "blocks",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| FastWeights { erase: Erase::AlongKey(x.project(w(3))), block: 2, ..memory(x, w) }.read(),
    },
    Case {
        name: "delta rule with momentum",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| {
            let (erase, momentum) = (Erase::AlongKey(x.project(w(3))), Some(rates(x, w(5))));
            FastWeights { erase, momentum, ..memory(x, w) }.read()
        },
    },
    Case {
        name: "blocks with momentum",
        tokens: (6, 4),
        weights: PAIRS,
        record: |x, w| {
            let erase = Erase::Along { e: x.project(w(3)), b: x.project(w(4)) };
            FastWeights { erase, momentum: Some(rates(x, w(5))), block: 2, ..memory(x, w) }.read()
        },
    },
];

/// Values, and the gradients of a weighted sum of them by tokens and weights.
fn measure(case: &Case, batch: usize, form: Form) -> Vec<Vec<f32>> {
    let (device, mut random) = (Cpu::default(), Random::new(11));
    let tokens = random.tensor3(&device, (batch, case.tokens.0, case.tokens.1));
    let weights: Vec<Matrix<Cpu>> = case.weights.iter().map(|shape| random.matrix(&device, *shape)).collect();
    let input = Input::rows(tokens.leaky_trace(), GradTarget::All);
    let builder = GraphBuilder::new(&input);
    let graph = (case.record)(builder.tokens(), &|i| weights[i].leaky_trace()).graph();
    let out = form(input, graph);
    let values = out.as_vec();
    let sum = random.matrix(&device, *out.shape());
    let mut gradients = (out * sum).sum::<Rank0, _>().backward();
    let grad_tokens = gradients.get_or_alloc_mut(&tokens).unwrap().to_vec();
    // Zeros of a weight that the graph does not need.
    let grad_weights = weights.iter().map(|weight| gradients.get_or_alloc_mut(weight).unwrap().to_vec());
    [values, grad_tokens].into_iter().chain(grad_weights).collect()
}

fn by_steps(input: Input<Cpu, Owned>, graph: Graph<Cpu, Owned>) -> Matrix<Cpu, Owned> {
    cpu::run_as(&Cpu::default(), input, graph, None).unwrap()
}

fn by_matrix(input: Input<Cpu, Owned>, graph: Graph<Cpu, Owned>) -> Matrix<Cpu, Owned> {
    let one = OneMatrix::new(&graph.nodes);
    cpu::run_as(&Cpu::default(), input, graph, Some(one)).unwrap()
}

#[test]
fn both_forms_of_every_step_agree_in_value_and_gradient() {
    for case in CASES.iter().chain(&SCANS).chain(&MEMORIES).chain(&LINEAR) {
        // Two full blocks and a part of one, and a single sequence.
        for batch in [37, 1] {
            agree(case, batch, by_steps);
        }
    }
}

#[test]
fn a_linear_graph_by_its_matrix_agrees_too() {
    let is_linear = |case: &&Case| {
        ["last", "plus", "minus", "slice", "times_row", "project", "scan", "last state", "ring", "read out"]
            .contains(&case.name)
    };
    for case in CASES.iter().filter(is_linear).chain(&LINEAR) {
        // More than one part of the batch, and a single sequence.
        for batch in [600, 1] {
            agree(case, batch, by_matrix);
        }
    }
}

fn agree(case: &Case, batch: usize, form: Form) {
    let fast = measure(case, batch, form);
    let plain = measure(case, batch, |input, graph| portable::run(input, graph).unwrap());
    for (fast, plain) in fast.iter().zip(&plain) {
        println!("{}, batch {batch}", case.name);
        assert_close(fast, plain, 1e-5);
    }
}

#[test]
fn the_matrix_is_taken_where_it_is_cheaper() {
    let pays = |case: &Case, batch: usize| {
        let tokens: Tensor3<Cpu> = Cpu::default().zeros_like(&(1, case.tokens.0, case.tokens.1));
        let builder = GraphBuilder::new(&Input::rows(tokens.retaped::<Owned>(), GradTarget::Weights));
        let weight = |i: usize| Random::new(1).matrix(&Cpu::default(), case.weights[i]).leaky_trace();
        OneMatrix::if_cheaper(&(case.record)(builder.tokens(), &weight).graph().nodes, batch).is_some()
    };
    let [layer, _, short] = LINEAR;
    assert!(pays(&layer, 64) && !pays(&layer, 1));
    let scan = CASES.iter().find(|case| case.name == "scan").unwrap();
    assert!(!pays(scan, 64), "as many answers as tokens");
    let nonlinear = Case { record: |x, w| self::layer(x, w, 1).activate(Activation::Gelu), ..layer };
    assert!(!pays(&nonlinear, 64));
    assert!(!pays(&short, 2), "nothing is saved on so few");
}

#[test]
fn a_matrix_gives_the_same_bits_on_any_number_of_threads() {
    let bits = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measure(&LINEAR[0], 600, by_matrix))
    });
    assert!(bits[0] == bits[1] && bits[0] == bits[2]);
}

/// The gradients by the tokens and by all weights, and the answers.
fn grads(case: &Case, input: Input<Cpu, Owned>, weights: &[Matrix<Cpu>], form: Form) -> Vec<Vec<f32>> {
    let builder = GraphBuilder::new(&input);
    let graph = (case.record)(builder.tokens(), &|i| weights[i].leaky_trace()).graph();
    let out = form(input, graph);
    let mut all = vec![out.as_vec()];
    let mut gradients = out.square().sum::<Rank0, _>().backward();
    all.extend(weights.iter().map(|weight| gradients.get_or_alloc_mut(weight).unwrap().to_vec()));
    all
}

#[test]
fn what_is_needed_is_right_where_the_rest_is_left_out_and_where_the_batch_is_packed() {
    let (device, batch) = (Cpu::default(), 37);
    for case in CASES.iter().chain(&SCANS).chain(&MEMORIES).chain(&LINEAR) {
        println!("{}", case.name);
        let mut random = Random::new(3);
        let size = case.tokens.0 * case.tokens.1;
        let tokens = random.tensor3(&device, (batch, case.tokens.0, case.tokens.1));
        let weights: Vec<Matrix<Cpu>> = case.weights.iter().map(|shape| random.matrix(&device, *shape)).collect();
        let of_rows = |target: GradTarget| Input::rows(tokens.leaky_trace(), target);
        let all = grads(case, of_rows(GradTarget::All), &weights, by_steps);
        assert_eq!(grads(case, of_rows(GradTarget::Weights), &weights, by_steps), all, "without those by the tokens");
        let query = grads(case, of_rows(GradTarget::Query), &weights, by_steps);
        assert_eq!(query[0], all[0]);
        assert!(query[1..].iter().flatten().all(|grad| *grad == 0.0), "no gradient by the weights");
        // Lanes that belong to no sequence change nothing, whatever is in them.
        let block = |rows: &[f32]| {
            let mut tokens = Buffer::packed(rows, size);
            tokens.iter_mut().for_each(|lane| lane[rows.len() / size..].fill(3.0));
            tokens
        };
        let blocks = tokens.as_vec().chunks(LANES * size).map(block).collect();
        let packed = Arc::new(PackedBatch { sequences: batch, grid: case.tokens, blocks });
        assert_eq!(grads(case, Input::packed(&device, packed), &weights, by_steps), all, "packed");
    }
}
