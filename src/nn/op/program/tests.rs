//! Both forms of every operation, in value and in gradient.
#![cfg(test)]

use dfdx::prelude::{Backward, OwnedTape, Rank0, SumTo, Trace};

use super::*;
use crate::nn::GradTarget;
use crate::nn::op::check::{Random, assert_close};

type Owned = OwnedTape<f32, Cpu>;
type Weights<'a> = &'a dyn Fn(usize) -> Matrix<Cpu, Owned>;
type Record = for<'p> fn(Sequence<'p, Cpu, Owned>, Weights<'_>) -> Sequence<'p, Cpu, Owned>;
type Form = fn(Input<Cpu, Owned>, Graph<Cpu, Owned>) -> Tensor3<Cpu, Owned>;

/// A program of one operation or a few, the shapes of its weights, and its tokens' (length, width).
struct Case {
    name: &'static str,
    tokens: (usize, usize),
    weights: &'static [(usize, usize)],
    record: Record,
}

/// Δ of two entries, x of six, B and C of three, all made of tokens of four, C only of the last two.
fn selection<'p>(tokens: Sequence<'p, Cpu, Owned>, weight: Weights<'_>) -> Selection<'p, Cpu, Owned> {
    Selection {
        step: tokens.project(weight(0)).apply(Function::Softplus),
        input: tokens.project(weight(1)),
        write: tokens.project(weight(2)),
        read: tokens.last(2).project(weight(3)),
        rate: weight(4),
    }
}

fn attend<'p>(
    asked: Sequence<'p, Cpu, Owned>,
    all: Sequence<'p, Cpu, Owned>,
    weight: Weights<'_>,
) -> Sequence<'p, Cpu, Owned> {
    asked.softmax_attend([weight(0), weight(1)].map(|weight| all.project(weight)), 2)
}

/// A bare layer of a state-space model with a skip, between an encoder and a decoder, read at so many last tokens.
fn layer<'p>(x: Sequence<'p, Cpu, Owned>, weight: Weights<'_>, asked: usize) -> Sequence<'p, Cpu, Owned> {
    let tokens = x.project(weight(0));
    let states = tokens.project(weight(1)).scan(weight(2), asked).project(weight(3));
    let update = states.plus(tokens.last(asked).times_row(weight(4)));
    tokens.last(asked).plus(update).project(weight(5))
}

const LAYER: &[(usize, usize)] = &[(3, 4), (4, 10), (4, 5), (10, 4), (1, 4), (4, 2)];
const SELECTIVE: &[(usize, usize)] = &[(4, 6), (4, 6), (4, 3), (4, 3), (6, 3)];
const HEADS: &[(usize, usize)] = &[(4, 2), (4, 6), (4, 3), (4, 3), (1, 2)];

const CASES: [Case; 22] = [
    Case { name: "last", tokens: (5, 3), weights: &[], record: |x, _| x.last(2) },
    Case { name: "plus", tokens: (3, 2), weights: &[], record: |x, _| x.plus(x).plus(x) },
    Case { name: "times", tokens: (3, 2), weights: &[], record: |x, _| x.times(x).times(x) },
    Case { name: "plus_row", tokens: (3, 2), weights: &[(1, 2)], record: |x, w| x.plus_row(w(0)).times(x) },
    Case { name: "times_row", tokens: (3, 2), weights: &[(1, 2)], record: |x, w| x.times_row(w(0)) },
    Case { name: "silu", tokens: (2, 2), weights: &[], record: |x, _| x.apply(Function::Silu) },
    Case { name: "softplus", tokens: (2, 2), weights: &[], record: |x, _| x.apply(Function::Softplus) },
    Case { name: "sigmoid", tokens: (2, 2), weights: &[], record: |x, _| x.apply(Function::Sigmoid) },
    Case { name: "gelu", tokens: (2, 2), weights: &[], record: |x, _| x.apply(Function::Gelu) },
    Case {
        name: "project",
        tokens: (3, 5),
        weights: &[(5, 19), (19, 3)],
        record: |x, w| x.project(w(0)).project(w(1)),
    },
    Case { name: "relu", tokens: (2, 2), weights: &[], record: |x, _| x.apply(Function::Relu) },
    Case { name: "tanh", tokens: (2, 2), weights: &[], record: |x, _| x.apply(Function::Tanh) },
    Case { name: "affine", tokens: (3, 5), weights: &[(5, 19), (1, 19)], record: |x, w| x.affine(w(0), w(1)) },
    Case { name: "normalise", tokens: (3, 5), weights: &[(1, 5); 2], record: |x, w| x.normalise(w(0), w(1)) },
    Case { name: "attend", tokens: (5, 6), weights: &[(6, 6); 2], record: |x, w| attend(x, x, w) },
    Case { name: "attend last", tokens: (5, 6), weights: &[(6, 6); 2], record: |x, w| attend(x.last(2), x, w) },
    Case {
        name: "project twice",
        tokens: (5, 2),
        weights: &[(2, 5), (5, 7)],
        record: |x, w| x.project(w(0)).project(w(1)),
    },
    Case {
        name: "last of a product, and steps that nobody needs",
        tokens: (5, 2),
        weights: &[(2, 6), (6, 3)],
        record: |x, w| {
            let wide = x.project(w(0));
            let _unused = wide.times(wide);
            wide.last(2).project(w(1))
        },
    },
    Case { name: "scan", tokens: (5, 6), weights: &[(4, 3)], record: |x, w| x.scan(w(0), 5) },
    Case { name: "last state", tokens: (5, 6), weights: &[(4, 3)], record: |x, w| x.scan(w(0), 1) },
    Case { name: "convolve", tokens: (6, 3), weights: &[(4, 3), (1, 3)], record: |x, w| x.convolve(w(0), w(1)) },
    Case { name: "convolve few", tokens: (2, 3), weights: &[(4, 3), (1, 3)], record: |x, w| x.convolve(w(0), w(1)) },
];

/// Programs that are linear in their tokens.
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

/// Values, and the gradients of a weighted sum of them by tokens and weights.
fn measure(case: &Case, batch: usize, form: Form) -> Vec<Vec<f32>> {
    let (device, mut random) = (Cpu::default(), Random::new(11));
    let tokens = random.tensor3(&device, (batch, case.tokens.0, case.tokens.1));
    let weights: Vec<Matrix<Cpu>> = case.weights.iter().map(|shape| random.matrix(&device, *shape)).collect();
    let program = GraphBuilder::new(*tokens.shape());
    let answer = (case.record)(program.tokens(), &|i| weights[i].leaky_trace());
    let graph = answer.graph();
    let out = form(Input { tokens: tokens.leaky_trace(), grad_target: GradTarget::All }, graph);
    let values = out.as_vec();
    let sum = random.tensor3(&device, *out.shape());
    let gradients = (out * sum).sum::<Rank0, _>().backward();
    let grad_weights = weights.iter().map(|weight| gradients.get(weight).as_vec());
    [values, gradients.get(&tokens).as_vec()].into_iter().chain(grad_weights).collect()
}

#[test]
fn both_forms_of_every_operation_agree_in_value_and_gradient() {
    for case in CASES.iter().chain(&SCANS).chain(&LINEAR) {
        // Two full blocks and a part of one, and a single sequence.
        for batch in [37, 1] {
            agree(case, batch, |input, graph| in_blocks(&Cpu::default(), input, graph).unwrap());
        }
    }
}

#[test]
fn a_linear_program_by_its_matrix_agrees_too() {
    let is_linear = |case: &&Case| ["last", "plus", "times_row", "project", "scan", "last state"].contains(&case.name);
    for case in CASES.iter().filter(is_linear).chain(&LINEAR) {
        // More than one part of the batch, and a single sequence.
        for batch in [600, 1] {
            agree(case, batch, |input, graph| linear::run(&Cpu::default(), input, graph).unwrap());
        }
    }
}

fn agree(case: &Case, batch: usize, form: Form) {
    let fast = measure(case, batch, form);
    let plain = measure(case, batch, |input, graph| compose(input, graph).unwrap());
    for (fast, plain) in fast.iter().zip(&plain) {
        println!("{}, batch {batch}", case.name);
        assert_close(fast, plain, 1e-5);
    }
}

#[test]
fn the_matrix_is_taken_where_it_pays() {
    let pays = |case: &Case, batch: usize| {
        let (program, device) = (GraphBuilder::new((batch, case.tokens.0, case.tokens.1)), Cpu::default());
        let weight = |i: usize| Random::new(1).matrix(&device, case.weights[i]).leaky_trace();
        let graph = (case.record)(program.tokens(), &weight).graph();
        linear::pays(&graph, batch)
    };
    let [layer, _, short] = LINEAR;
    assert!(pays(&layer, 64) && !pays(&layer, 1));
    let scan = CASES.iter().find(|case| case.name == "scan").unwrap();
    assert!(!pays(scan, 64), "as many answers as tokens");
    let bent = Case { record: |x, w| self::layer(x, w, 1).apply(Function::Gelu), ..layer };
    assert!(!pays(&bent, 64));
    assert!(!pays(&short, 2), "nothing is saved on so few");
}

#[test]
fn a_matrix_gives_the_same_bits_on_any_number_of_threads() {
    let bits = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let form: Form = |input, graph| linear::run(&Cpu::default(), input, graph).unwrap();
        pool.install(|| measure(&LINEAR[0], 600, form))
    });
    assert!(bits[0] == bits[1] && bits[0] == bits[2]);
}

#[test]
fn what_is_wanted_is_right_and_the_rest_is_left_out() {
    let (device, mut random) = (Cpu::default(), Random::new(3));
    let (tokens, weight) = (random.tensor3(&device, (3, 2, 4)), random.matrix(&device, (4, 2)));
    let forms: [Form; 2] = [
        |input, graph| in_blocks(&Cpu::default(), input, graph).unwrap(),
        |input, graph| linear::run(&Cpu::default(), input, graph).unwrap(),
    ];
    for form in forms {
        for (grad_target, grad_tokens, grad_weight) in
            [(GradTarget::Weights, false, true), (GradTarget::Query, true, false)]
        {
            let program = GraphBuilder::new(*tokens.shape());
            let graph = program.tokens().project(weight.leaky_trace()).graph();
            let out = form(Input { tokens: tokens.leaky_trace(), grad_target }, graph);
            let mut gradients = out.sum::<Rank0, _>().backward();
            assert_eq!(gradients.get_or_alloc_mut(&tokens).unwrap().iter().any(|grad| *grad != 0.0), grad_tokens);
            assert_eq!(gradients.get_or_alloc_mut(&weight).unwrap().iter().any(|grad| *grad != 0.0), grad_weight);
        }
    }
}
