//! Tests of every architecture: gradients, parameter counts, constructions, states.

mod recurrence;

use dfdx::prelude::{Backward, Cpu, HasShape, OwnedTape, Rank0, SumTo, TensorFromVec};

use super::*;
use crate::nn::check::assert_close;
use crate::nn::{Activation, GradTarget, Input, parameter_difference};
use crate::task::tests::line;
use crate::task::{Batch, Linear, Outputs, Stream, Task, rng};

const STEP_SIZE: f64 = 0.3;
pub const GD_CONSTANTS: GdConstants = GdConstants { step_size: STEP_SIZE, lambda: 0.0 };

/// A model with random weights.
pub fn build<S: Architecture>(spec: &S, shape: Shape, layout: Layout) -> S::Net<Cpu> {
    start(spec, Setting { shape, layout, gd_constants: GdConstants::default() })
}

/// A model at its start.
fn start<S: Architecture>(spec: &S, setting: Setting) -> S::Net<Cpu> {
    spec.build(&Cpu::default(), setting, &mut rng(1, Stream::Init, 0, 0)).unwrap()
}

/// The answers of a model to these tokens (B, T, w): (B, d_out), row-major.
pub fn answers(net: &impl Net<Cpu>, tokens: Tensor3<Cpu>) -> Vec<f32> {
    net.forward(Input::rows(tokens, GradTarget::Weights)).unwrap().as_vec()
}

pub fn task(outputs: Outputs) -> Task {
    Task::Linear(linear(outputs))
}

pub fn linear(outputs: Outputs) -> Linear {
    Linear { dim: 3, outputs, context: 4, ..line() }
}

/// Every architecture, in every layout and with every kind of output that it supports.
fn every(init: Init) -> Vec<(ModelSpec, Layout, Task)> {
    let mut all = constructible(init);
    if init == Init::Random {
        for outputs in [Outputs::Scalar, Outputs::Vector] {
            let attention = ModelSpec::LinearAttention(LinearAttentionSpec { init, layers: 3, query_in_sums: true });
            let without_query =
                ModelSpec::LinearAttention(LinearAttentionSpec { init, layers: 2, query_in_sums: false });
            let others = without_construction().chain([attention, without_query]);
            all.extend(others.map(|spec| (spec, Layout::Joined, task(outputs))));
        }
        let settings = [(1, ChannelMixing::Bare), (2, ChannelMixing::Gated)].into_iter();
        let joined = settings.flat_map(|(layers, block)| state_space(layers, block));
        all.extend(joined.map(|spec| (spec, Layout::Joined, task(Outputs::Scalar))));
        all.extend(selective(2).map(|spec| (spec, Layout::Joined, task(Outputs::Scalar))));
        all.extend(selective(1).map(|spec| (spec, Layout::Interleaved, task(Outputs::Vector))));
        all.extend(state_space(1, ChannelMixing::Gated).map(|spec| (spec, Layout::Interleaved, task(Outputs::Vector))));
        for outputs in [Outputs::Scalar, Outputs::Vector] {
            let product = DeltaProductSpec { products: 2, step: StepSize::Normalised };
            let all_rules = fast_weights(init).into_iter().chain([ModelSpec::DeltaProduct(product)]);
            all.extend(all_rules.map(|spec| (spec, Layout::Joined, task(outputs))));
        }
        for scan in
            [ScanOrder::Raster, ScanOrder::Axes { rows: 5, columns: 1 }, ScanOrder::Axes { rows: 1, columns: 5 }]
        {
            let spec = ModelSpec::GridSsm(GridSsmSpec { scan });
            all.extend([Outputs::Scalar, Outputs::Vector].map(|out| (spec.clone(), Layout::QueryMiddle, task(out))));
        }
        let shorter = [1, 2].map(|window| ModelSpec::GdSsm(GdSsmSpec { window, ..GdSsmSpec::new(init) }));
        all.extend(shorter.map(|spec| (spec, Layout::Interleaved, task(Outputs::Vector))));
        let features = ModelSpec::GdSsmMlp(GdSsmMlpSpec { features: 3, units: 4 });
        all.push((features, Layout::Interleaved, task(Outputs::Scalar)));
        for layout in [Layout::Product, Layout::QueryFirst] {
            let others = without_construction().chain(selective(1)).chain(state_space(1, ChannelMixing::Gated));
            let readers = others.filter(|spec| spec.check(task(Outputs::Scalar).shape(), layout).is_ok());
            all.extend(readers.map(|spec| (spec, layout, task(Outputs::Scalar))));
        }
    }
    all
}

/// Architectures with a construction.
fn constructible(init: Init) -> Vec<(ModelSpec, Layout, Task)> {
    let stack = |layers| ModelSpec::GdSsmStack(GdSsmStackSpec { init, layers });
    let both_ways = ModelSpec::BidirectionalGdSsm(BidirectionalGdSsmSpec { init });
    let mut all = Vec::new();
    for outputs in [Outputs::Scalar, Outputs::Vector] {
        let attention = ModelSpec::LinearAttention(LinearAttentionSpec { init, layers: 1, query_in_sums: true });
        let models = [
            (ModelSpec::GdSsm(GdSsmSpec::new(init)), Layout::Interleaved),
            (stack(1), Layout::Interleaved),
            (stack(3), Layout::Interleaved),
            (both_ways.clone(), Layout::Interleaved),
            (both_ways.clone(), Layout::QueryFirst),
            (ModelSpec::ProductSsm(ProductSsmSpec { init }), Layout::Product),
            (attention, Layout::Joined),
        ];
        all.extend(models.map(|(spec, layout)| (spec, layout, task(outputs))));
    }
    all
}

/// Models with a diagonal recurrence.
fn state_space(layers: usize, block: ChannelMixing) -> impl Iterator<Item = ModelSpec> {
    let (width, states, dt_min, dt_max) = (3, 2, 0.1, 0.5);
    let lru = LruSpec { width, states, layers, block, r_min: 0.3, r_max: 0.9, max_phase: 1.0 };
    let s4d = S4dSpec { width, states, layers, block, dt_min, dt_max };
    let s5 = S5Spec { width, states, layers, block, dt_min, dt_max };
    [ModelSpec::Lru(lru), ModelSpec::S4d(s4d), ModelSpec::S5(s5)].into_iter()
}

/// Models that write pairs to fast weights, with each of their rules.
pub fn fast_weights(init: Init) -> Vec<ModelSpec> {
    let delta = |step| ModelSpec::DeltaNet(DeltaNetSpec { init, step });
    let gated = |channel_wise| {
        let step = StepSize::Normalised;
        ModelSpec::GatedDeltaNet(GatedDeltaNetSpec { init, step, channel_wise })
    };
    let ttt = |block, step| ModelSpec::Ttt(TttSpec { init, block, step });
    let mut all: Vec<_> = [StepSize::Normalised, StepSize::UnitKeys, StepSize::Plain].map(delta).into();
    all.extend([gated(false), gated(true), ModelSpec::Longhorn(LonghornSpec { init })]);
    all.extend([2, 3].map(|steps| ModelSpec::Mesa(MesaSpec { init, steps })));
    all.extend([ttt(1, StepSize::Plain), ttt(3, StepSize::Plain), ttt(4, StepSize::Normalised)]);
    all.extend([Retention::Fixed(0.7), Retention::Gated].map(|decay| ModelSpec::RetNet(RetNetSpec { init, decay })));
    let titans = |step| ModelSpec::Titans(TitansSpec { init, step, momentum: 0.6 });
    all.extend([StepSize::Normalised, StepSize::Plain].map(titans));
    all.extend([ModelSpec::MLstm(MLstmSpec { init }), ModelSpec::Rwkv7(Rwkv7Spec { init })]);
    all
}

/// Models whose recurrence depends on the token.
fn selective(layers: usize) -> impl Iterator<Item = ModelSpec> {
    let (width, inner, states, heads, dt_min, dt_max) = (3, 4, 2, 2, 0.1, 0.5);
    let mamba = MambaSpec { width, inner, states, layers, dt_min, dt_max };
    let mamba2 = |form| Mamba2Spec { width, heads, inner, states, layers, form, dt_min, dt_max };
    let dual = [ScanForm::Recurrent, ScanForm::Matrix].map(|form| ModelSpec::Mamba2(mamba2(form)));
    [ModelSpec::Mamba(mamba)].into_iter().chain(dual)
}

#[test]
fn both_forms_of_mamba_2_give_the_same_answers() {
    let mut specs = selective(2).skip(1);
    let answers = [(); 2].map(|()| {
        let (_, model, _, tokens) = sample(&specs.next().unwrap(), Layout::Joined, &task(Outputs::Scalar));
        model.forward(Input::rows(tokens, GradTarget::Weights)).unwrap().as_vec()
    });
    assert_close(&answers[0], &answers[1], 1e-5);
}

#[test]
fn answers_from_the_state_and_by_weights_between_tokens_are_those_of_the_forward_pass() {
    let mut with_both = String::new();
    for (spec, layout, task) in every(Init::Random) {
        let (_, model, _, tokens) = sample(&spec, layout, &task);
        let Some(form) = model.attention_form(&tokens).unwrap() else { continue };
        let answers = answers(&model, tokens.clone());
        assert_close(&form.by_state, &answers, 2e-5);
        assert_close(&form.by_weights, &answers, 2e-5);
        for head in &form.heads {
            assert!(head.read_at.iter().all(|place| *place < head.tokens), "{spec:?}");
            assert_eq!(head.weights.len(), tokens.shape().0 * head.read_at.len() * head.tokens, "{spec:?}");
        }
        with_both += &format!("{spec:?} ");
    }
    assert!(["GdSsm(", "LinearAttention(", "Mamba2("].iter().all(|name| with_both.contains(name)), "{with_both}");
}

fn without_construction() -> impl Iterator<Item = ModelSpec> {
    let activation = Activation::Gelu;
    let spec = |positions| TransformerSpec { units: 4, heads: 2, layers: 2, activation, positions };
    let mlp = |activation| ModelSpec::Mlp(MlpSpec { units: 4, layers: 2, activation });
    [
        ModelSpec::Transformer(spec(false)),
        ModelSpec::Transformer(spec(true)),
        ModelSpec::Rnn(RecurrentSpec::new(3, 1)),
        ModelSpec::Rnn(RecurrentSpec::new(3, 2)),
        ModelSpec::Gru(RecurrentSpec::new(3, 2)),
        ModelSpec::Lstm(RecurrentSpec::new(3, 2)),
        ModelSpec::GruAttention(GruAttentionSpec { units: 3 }),
        mlp(activation),
        mlp(Activation::Tanh),
        ModelSpec::RidgeLayer(RidgeLayerSpec { lambda: 0.5 }),
    ]
    .into_iter()
}

pub fn sample(spec: &ModelSpec, layout: Layout, task: &Task) -> (Cpu, Model<Cpu>, Batch, Tensor3<Cpu>) {
    let (device, shape) = (Cpu::default(), task.shape());
    let model = start(spec, Setting { shape, layout, gd_constants: GD_CONSTANTS });
    let batch = task.sample(5, 2, Stream::Train, 0);
    let tokens = device.tensor_from_vec(layout.encode(&batch), (5, layout.tokens(shape), layout.width(shape)));
    (device, model, batch, tokens)
}

/// Sum of squares of the answers, which is differentiated.
fn energy(model: &Model<Cpu>, tokens: &Tensor3<Cpu>) -> f64 {
    let answers = model.forward(Input::rows(tokens.clone(), GradTarget::Weights)).unwrap().as_vec();
    answers.iter().map(|a| f64::from(*a).powi(2)).sum()
}

#[test]
fn every_context_length_that_reads_accepts_is_read() {
    for (spec, layout, task) in every(Init::Random) {
        let (device, model, batch, _) = sample(&spec, layout, &task);
        let context = batch.shape.context;
        let shapes = |model: &Model<Cpu>| model.params().iter().map(|p| *p.value.shape()).collect::<Vec<_>>();
        assert!(spec.reads(context, context));
        let tokens = |pairs: usize| layout.tokens(Shape { context: pairs, ..batch.shape });
        for pairs in (0..context).filter(|pairs| tokens(*pairs) > 0 && spec.reads(*pairs, context)) {
            let short = batch.shortened(pairs);
            if layout.tokens(short.shape) == 0 {
                continue;
            }
            let reader = start(&spec, Setting { shape: short.shape, layout, gd_constants: GD_CONSTANTS });
            assert_eq!(shapes(&reader), shapes(&model));
            let shape = (5, layout.tokens(short.shape), layout.width(short.shape));
            let tokens = device.tensor_from_vec(layout.encode(&short), shape);
            let answers = reader.forward(Input::rows(tokens, GradTarget::Weights)).unwrap();
            assert_eq!(*answers.shape(), (5, batch.shape.outputs));
            assert!(answers.as_vec().iter().all(|answer| answer.is_finite()), "{spec:?} {pairs}");
        }
    }
}

/// k steps of size η/N from W = 0, in f64, applied to the queries.
fn descended(batch: &Batch, steps: u32) -> Vec<f32> {
    let Shape { dim, outputs, context } = batch.shape;
    let dot = |a: &[f64], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum::<f64>();
    let mut answers = Vec::new();
    for b in 0..batch.size {
        let mut weights = vec![vec![0.0; dim]; outputs];
        for _ in 0..steps {
            let before = weights.clone();
            for i in b * context..(b + 1) * context {
                let (x, y) = (&batch.x[i * dim..][..dim], &batch.y[i * outputs..][..outputs]);
                for ((row, before), y) in weights.iter_mut().zip(&before).zip(y) {
                    let residual = f64::from(*y) - dot(before, x);
                    row.iter_mut().zip(x).for_each(|(w, x)| *w += STEP_SIZE * residual * f64::from(*x));
                }
            }
        }
        let query = &batch.query[b * dim..][..dim];
        answers.extend(weights.iter().map(|row| dot(row, query) as f32));
    }
    answers
}

#[test]
fn a_constructed_model_equals_its_steps_of_gradient_descent() {
    for (spec, layout, task) in constructible(Init::Constructed) {
        let (_, model, batch, tokens) = sample(&spec, layout, &task);
        let answers = model.forward(Input::rows(tokens, GradTarget::Weights)).unwrap().as_vec();
        assert_close(&answers, &descended(&batch, spec.descent_steps()), 1e-5);
        let apart = parameter_difference(&model.canonical(GD_CONSTANTS)).unwrap();
        assert!(apart < 1e-6, "{spec:?} has a distance of {apart} from its construction");
    }
}

/// The same model with factors moved between the parameters of its first layer.
#[expect(clippy::wildcard_enum_match_arm, reason = "models without symmetries")]
fn rescaled(model: &Model<Cpu>) -> Model<Cpu> {
    let mut model = model.clone();
    let factors: &[(&str, f32)] = match &model {
        Model::GdSsm(_) => &[("Q", -2.0), ("D", 4.0), ("C", -0.125)],
        Model::GdSsmStack(_) => &[("1.Q", -2.0), ("1.D", 4.0), ("1.C", -0.125)],
        Model::BidirectionalGdSsm(_) => &[("→Q", -2.0), ("→C", -0.5), ("←D", 4.0), ("←C", 0.25)],
        Model::ProductSsm(_) => &[("B", -2.0), ("D", 4.0), ("C", -0.125)],
        Model::LinearAttention(_) => &[("Wq", -2.0), ("Wk", 4.0), ("Wv", 0.5), ("Wo", -0.25)],
        _ => &[],
    };
    for (name, factor) in factors {
        let param = model.params_mut().into_iter().find(|param| param.name == *name).unwrap();
        param.value = param.value.clone() * *factor;
    }
    model
}

#[test]
fn symmetries_of_the_weights_do_not_change_the_distance_to_the_construction() {
    for (spec, layout, task) in constructible(Init::Random) {
        let (_, mut model, _, tokens) = sample(&spec, layout, &task);
        for param in model.params_mut() {
            param.value = param.value.clone() + 0.1;
        }
        let answers =
            |model: &Model<Cpu>| model.forward(Input::rows(tokens.clone(), GradTarget::Weights)).unwrap().as_vec();
        let other = rescaled(&model);
        assert_close(&answers(&other), &answers(&model), 1e-5);
        let distance = |model: &Model<Cpu>| parameter_difference(&model.canonical(GD_CONSTANTS)).unwrap();
        assert!((distance(&other) - distance(&model)).abs() < 1e-5, "{spec:?}");
        assert!(distance(&model) > 0.1, "{spec:?}: a random start is far from the construction");
    }
}

#[test]
fn gradients_by_weights_and_tokens_equal_finite_differences() {
    for (spec, layout, task) in every(Init::Random) {
        let (device, mut model, _, tokens) = sample(&spec, layout, &task);
        for param in model.params_mut() {
            // Away from the small start, where all gradients are nearly zero.
            param.value = param.value.clone() * 0.6 + 0.1;
        }
        let traced: Tensor3<Cpu, OwnedTape<f32, Cpu>> = dfdx::prelude::Trace::leaky_trace(&tokens);
        let answers = model.forward(Input::rows(traced, GradTarget::All)).unwrap();
        let mut gradients = answers.square().sum::<Rank0, _>().backward();
        // Parameters on which the answer does not depend get a gradient of zero.
        for param in model.params() {
            gradients.get_or_alloc_mut(&param.value).unwrap();
        }

        let grad_tokens = gradients.get(&tokens).as_vec();
        for place in [0, 4, grad_tokens.len() - 3] {
            let at = |change: f32| {
                let mut moved = tokens.as_vec();
                moved[place] += change;
                energy(&model, &device.tensor_from_vec(moved, *tokens.shape()))
            };
            close(&spec, "tokens", f64::from(grad_tokens[place]), at);
        }
        let grads: Vec<_> = model.params().iter().map(|p| (p.name.clone(), gradients.get(&p.value).as_vec())).collect();
        for (i, (name, grad)) in grads.iter().enumerate() {
            for place in 0..grad.len() {
                let at = |change: f32| {
                    let mut moved = model.clone();
                    let param = &mut moved.params_mut()[i].value;
                    let mut values = param.as_vec();
                    values[place] += change;
                    *param = device.tensor_from_vec(values, *param.shape());
                    energy(&moved, &tokens)
                };
                close(&spec, name, f64::from(grad[place]), at);
            }
        }
    }
}

/// Compares a derivative with central differences of fourth order. The smaller steps are for layer norms of short rows
/// and for conjugate gradients, which are strongly curved; elsewhere the largest one has the least rounding error.
fn close(spec: &ModelSpec, name: &str, grad: f64, at: impl Fn(f32) -> f64) {
    let differences = [1.0 / 256.0, 1.0 / 1024.0, 1.0 / 4096.0]
        .map(|h: f32| (8.0 * (at(h) - at(-h)) - (at(2.0 * h) - at(-2.0 * h))) / (12.0 * f64::from(h)));
    let near = |difference: &f64| {
        let scale = difference.abs().max(at(0.0).abs()).max(1e-3);
        (grad - difference).abs() < 2e-3 * scale
    };
    assert!(differences.iter().any(near), "{spec:?} {name}: {grad} against {differences:?}");
}

#[test]
fn hidden_states_imply_the_answers() {
    // After the last token, the weights that the state implies give the answer of the forward pass, up to a factor.
    for (spec, layout, task) in constructible(Init::Constructed) {
        let (_, model, batch, tokens) = sample(&spec, layout, &task);
        let answers = model.forward(Input::rows(tokens.clone(), GradTarget::Weights)).unwrap().as_vec();
        let layer = model.states(&tokens).remove(0);
        if spec.descent_steps() > 1 {
            // One layer's state is one step's gradient.
            continue;
        }
        let last = layer.time_steps.last().unwrap();
        assert_eq!(layout.pairs_in(batch.shape, last.read.clone()), 0..batch.shape.context);
        let (rows, columns) = layer.aligned_shape;
        let mut implied = Vec::new();
        for (b, state) in last.aligned.chunks(rows * columns).enumerate() {
            let query = &batch.query[b * columns..][..columns];
            for row in state.chunks(columns).skip(rows - batch.shape.outputs) {
                implied.push(row.iter().zip(query).map(|(s, x)| s * x).sum::<f32>());
            }
        }
        let scale = answers[0] / implied[0];
        let scaled: Vec<f32> = implied.iter().map(|i| scale * i).collect();
        assert_close(&scaled, &answers, 1e-4);
    }
}

#[test]
fn parameters_equals_the_sizes_of_the_weights() {
    for (spec, layout, task) in every(Init::Random) {
        let (_, model, batch, _) = sample(&spec, layout, &task);
        let held: usize = model.params().iter().map(|p| p.value.as_vec().len()).sum();
        assert_eq!(held as u128, spec.parameters(batch.shape, layout), "{spec:?}");
    }
}

#[test]
fn states_have_a_constant_size_and_caches_grow() {
    for (spec, layout, task) in every(Init::Random) {
        let at = |tokens| spec.costs(task.shape(), layout, tokens);
        let (short, long) = (at(10), at(1000));
        if let (Some(short), Some(long)) = (short.step, long.step) {
            let caches = matches!(spec, ModelSpec::Transformer(_) | ModelSpec::GruAttention(_));
            assert_eq!(long.kept > short.kept, caches, "{spec:?}");
            assert_eq!(long.flops > short.flops, caches, "{spec:?}");
            assert!(short.kept > 0 && short.flops > short.kept, "{spec:?}");
        }
        let (short, long) = (short.whole.map(|cost| cost.kept), long.whole.map(|cost| cost.kept));
        assert!(long > short || long.is_none(), "{spec:?}");
    }
}
