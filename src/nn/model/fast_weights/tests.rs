//! Each fast-weight model against its recurrence, written down once more in plain loops and double precision.

use std::collections::BTreeMap;

use dfdx::prelude::{Cpu, HasShape};
use nalgebra::{DMatrix, DVector};

use super::super::tests::{answers, fast_weights, sample, task};
use super::super::{DeltaProductSpec, GdConstants, Init, Model, ModelSpec, Retention, StepSize, TitansSpec};
use crate::nn::Net;
use crate::nn::check::assert_close;
use crate::task::{Batch, Layout, Outputs};

type Vector = DVector<f64>;
type Matrix = DMatrix<f64>;

/// The weights of a network by their names.
struct Named(BTreeMap<String, Matrix>);

impl Named {
    fn of(model: &Model<Cpu>) -> Self {
        let named = model.params().into_iter().map(|param| {
            let (rows, columns) = param.value.shape().to_owned();
            let values: Vec<f64> = param.value.as_vec().into_iter().map(f64::from).collect();
            (param.name.clone(), Matrix::from_row_slice(rows, columns, &values))
        });
        Self(named.collect())
    }

    /// e W.
    fn map(&self, token: &Vector, name: &str) -> Vector {
        self.0[name].transpose() * token
    }

    /// f(e W + b).
    fn gate(&self, token: &Vector, symbol: &str, f: fn(f64) -> f64) -> Vector {
        (self.map(token, &format!("W{symbol}")) + self.0[&format!("b{symbol}")].transpose()).map(f)
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn softplus(x: f64) -> f64 {
    x.exp().ln_1p()
}

fn unit(x: &Vector) -> Vector {
    x / x.norm()
}

/// β/‖k‖², or β, and the key and the query as they are written and read.
fn step_size(step: StepSize, rate: f64, key: &Vector) -> (f64, Vector) {
    match step {
        StepSize::Normalised => (rate / key.norm_squared(), key.clone()),
        StepSize::UnitKeys => (rate, unit(key)),
        StepSize::Plain => (rate, key.clone()),
    }
}

/// The delta rule: S + β (v − S k) kᵀ.
fn corrected(state: &Matrix, rate: f64, key: &Vector, value: &Vector) -> Matrix {
    state + rate * (value - state * key) * key.transpose()
}

/// The answer of a model to one sequence of tokens, the query's last.
#[expect(clippy::wildcard_enum_match_arm, reason = "models without fast weights")]
fn answer(spec: &ModelSpec, w: &Named, tokens: &[Vector], outputs: usize) -> Vector {
    let (query, pairs) = tokens.split_last().unwrap();
    let mut q = w.map(query, "Wq");
    let d = q.len();
    let mut state = Matrix::zeros(outputs, d);
    let mut normaliser = Vector::zeros(d);
    let (mut curvature, mut moment) = (Matrix::zeros(d, d), Matrix::zeros(outputs, d));
    let (mut before, mut change) = (state.clone(), state.clone());
    for (t, e) in pairs.iter().enumerate() {
        let (k, v) = (w.map(e, "Wk"), w.map(e, "Wv"));
        state = match spec {
            ModelSpec::DeltaNet(spec) => {
                let (rate, k) = step_size(spec.step, w.gate(e, "β", sigmoid)[0], &k);
                corrected(&state, rate, &k, &v)
            }
            ModelSpec::GatedDeltaNet(spec) => {
                let (rate, k) = step_size(spec.step, w.gate(e, "β", sigmoid)[0], &k);
                let alpha = w.gate(e, "α", sigmoid);
                let alpha = Vector::from_fn(d, |i, _| alpha[i % alpha.len()]);
                corrected(&(&state * Matrix::from_diagonal(&alpha)), rate, &k, &v)
            }
            ModelSpec::Longhorn(_) => {
                let rate = w.gate(e, "β", softplus)[0];
                corrected(&state, rate / (1.0 + rate * k.norm_squared()), &k, &v)
            }
            ModelSpec::DeltaProduct(spec) => {
                let rates = w.gate(e, "β", sigmoid);
                let mut next = state.clone();
                for j in 0..spec.products {
                    let (k, v) = (k.rows(j * d, d).into_owned(), v.rows(j * outputs, outputs).into_owned());
                    let (rate, k) = step_size(spec.step, rates[j], &k);
                    next = corrected(&next, rate, &k, &v);
                }
                next
            }
            ModelSpec::Titans(spec) => {
                let (rate, k) = step_size(spec.step, w.gate(e, "β", sigmoid)[0], &k);
                change = w.gate(e, "μ", sigmoid)[0] * change + corrected(&state, rate, &k, &v) - &state;
                w.gate(e, "α", sigmoid)[0] * &state + &change
            }
            ModelSpec::Ttt(spec) => {
                if t % spec.block == 0 {
                    before = state.clone();
                }
                let (rate, k) = step_size(spec.step, w.gate(e, "β", sigmoid)[0], &k);
                &state + corrected(&before, rate, &k, &v) - &before
            }
            ModelSpec::RetNet(spec) => {
                let kept = match spec.decay {
                    Retention::Fixed(kept) => Vector::from_element(d, kept),
                    Retention::Gated => w.gate(e, "α", sigmoid),
                };
                &state * Matrix::from_diagonal(&kept) + &v * k.transpose()
            }
            ModelSpec::MLstm(_) => {
                let (i, f) = (w.gate(e, "i", softplus)[0], w.gate(e, "f", sigmoid)[0]);
                normaliser = f * normaliser + i * &k;
                f * &state + i * &v * k.transpose()
            }
            ModelSpec::Rwkv7(_) => {
                let (kept, a) = (w.gate(e, "w", sigmoid), w.gate(e, "a", sigmoid));
                let removal = unit(&k.component_mul(&w.0["ξ"].transpose()));
                let scale = (&a - Vector::from_element(d, 1.0)).component_mul(&w.0["ρ"].transpose());
                let replacement = k.component_mul(&scale.add_scalar(1.0));
                let transition = Matrix::from_diagonal(&kept) - &removal * a.component_mul(&removal).transpose();
                &state * transition + &v * replacement.transpose()
            }
            ModelSpec::Mesa(_) => {
                curvature += &k * k.transpose();
                moment += &v * k.transpose();
                state
            }
            other => panic!("{other:?} has no fast weights"),
        };
    }
    if let ModelSpec::Mesa(spec) = spec {
        curvature += Matrix::from_diagonal(&w.0["l"].transpose().map(|l| l.exp() + 1e-6).column(0).into_owned());
        // The best answer in the Krylov space q, A q, …, as it is defined: the least error in the norm of A.
        let mut basis = vec![q.clone()];
        while basis.len() < spec.steps {
            basis.push(unit(&(&curvature * basis.last().unwrap())));
        }
        let basis = Matrix::from_columns(&basis);
        let inner = (basis.transpose() * &curvature * &basis).lu().solve(&(basis.transpose() * &q)).unwrap();
        return moment * (basis * inner);
    }
    let unit_keys = matches!(spec, ModelSpec::DeltaNet(spec) if spec.step == StepSize::UnitKeys);
    if unit_keys {
        q = unit(&q);
    }
    let scale = if matches!(spec, ModelSpec::MLstm(_)) { normaliser.dot(&q).abs().max(1.0) } else { 1.0 };
    state * q / scale
}

/// Sequences of tokens in double precision.
fn sequences(numbers: &[f32], length: usize, width: usize) -> Vec<Vec<Vector>> {
    let token = |token: &[f32]| Vector::from_iterator(width, token.iter().map(|x| f64::from(*x)));
    numbers.chunks(length * width).map(|sequence| sequence.chunks(width).map(token).collect()).collect()
}

#[test]
fn every_model_equals_its_recurrence() {
    let product = DeltaProductSpec { products: 3, step: StepSize::Normalised };
    for spec in fast_weights(Init::Random).into_iter().chain([ModelSpec::DeltaProduct(product)]) {
        for outputs in [Outputs::Scalar, Outputs::Vector] {
            let (_, mut model, batch, tokens) = sample(&spec, Layout::Joined, &task(outputs));
            for (i, param) in model.params_mut().into_iter().enumerate() {
                // Away from the start, at which gates are constants.
                let (device, shape) = (Cpu::default(), *param.value.shape());
                param.value =
                    param.value.clone() * 0.7 + crate::nn::check::Random::new(i as u64).matrix(&device, shape) * 0.6;
            }
            let (_, length, width) = *tokens.shape();
            let named = Named::of(&model);
            let all = sequences(&tokens.as_vec(), length, width);
            let expected: Vec<f32> = all
                .iter()
                .flat_map(|tokens| answer(&spec, &named, tokens, batch.shape.outputs).data.as_vec().clone())
                .map(|x| x as f32)
                .collect();
            println!("{spec:?}");
            assert_close(&answers(&model, tokens.clone()), &expected, 1e-4);
            // What is shown of the hidden states implies the answers, too, where no normaliser and no unit query comes
            // after.
            let exact = !matches!(&spec, ModelSpec::MLstm(_) | ModelSpec::Mesa(_))
                && !matches!(&spec, ModelSpec::DeltaNet(spec) if spec.step == StepSize::UnitKeys);
            if exact {
                let last = model.states(&tokens).remove(0).time_steps.pop().unwrap().aligned;
                let dim = batch.shape.dim;
                let implied: Vec<f32> = last
                    .chunks(dim * batch.shape.outputs)
                    .zip(batch.query.chunks(dim))
                    .flat_map(|(map, query)| {
                        map.chunks(dim).map(move |row| row.iter().zip(query).map(|(m, x)| m * x).sum())
                    })
                    .collect();
                assert_close(&implied, &expected, 1e-4);
            }
        }
    }
}

/// The answers of a learner that reads pair after pair, from S = 0.
fn learnt(batch: &Batch, mut read: impl FnMut(Matrix, &Vector, &Vector) -> Matrix) -> Vec<f32> {
    let shape = batch.shape;
    let vector = |all: &[f32], i: usize, width: usize| {
        Vector::from_iterator(width, all[i * width..][..width].iter().map(|x| f64::from(*x)))
    };
    let mut answer = |b: usize| {
        let mut state = Matrix::zeros(shape.outputs, shape.dim);
        for i in b * shape.context..(b + 1) * shape.context {
            state = read(state, &vector(&batch.x, i, shape.dim), &vector(&batch.y, i, shape.outputs));
        }
        (state * vector(&batch.query, b, shape.dim)).iter().map(|x| *x as f32).collect::<Vec<_>>()
    };
    (0..batch.size).flat_map(&mut answer).collect()
}

#[test]
#[expect(clippy::wildcard_enum_match_arm, reason = "models without a construction")]
fn a_construction_equals_its_learner() {
    // `sample` builds models for these.
    let GdConstants { step_size, .. } = super::super::tests::GD_CONSTANTS;
    for spec in fast_weights(Init::Constructed) {
        let (_, model, batch, tokens) = sample(&spec, Layout::Joined, &task(Outputs::Vector));
        let normalised = |s: Matrix, x: &Vector, y: &Vector| corrected(&s, 1.0 / x.norm_squared(), x, y);
        let lms = |s: Matrix, x: &Vector, y: &Vector| corrected(&s, step_size, x, y);
        let expected = match &spec {
            ModelSpec::DeltaNet(spec) if spec.step == StepSize::Normalised => learnt(&batch, normalised),
            ModelSpec::GatedDeltaNet(_) | ModelSpec::Longhorn(_) => learnt(&batch, normalised),
            ModelSpec::Ttt(spec) if spec.block == 1 => learnt(&batch, lms),
            ModelSpec::Titans(TitansSpec { step: StepSize::Normalised, momentum, .. }) => {
                let mut before = Matrix::zeros(batch.shape.outputs, batch.shape.dim);
                // A heavy ball: S moves on by a share of its last change. Each sequence begins with S = 0.
                learnt(&batch, |s, x, y| {
                    let last = if s.norm() == 0.0 { s.clone() } else { &s - &before };
                    before.clone_from(&s);
                    normalised(s, x, y) + *momentum * last
                })
            }
            ModelSpec::MLstm(_) => learnt(&batch, |s, x, y| s + step_size * y * x.transpose()),
            ModelSpec::Rwkv7(_) => learnt(&batch, |s, x, y| normalised(s, &unit(x), &(x.norm() * y))),
            ModelSpec::RetNet(spec) => {
                let Retention::Fixed(kept) = spec.decay else { continue };
                learnt(&batch, |s, x, y| kept * s + step_size * y * x.transpose())
            }
            _ => continue,
        };
        println!("{spec:?}");
        assert_close(&answers(&model, tokens), &expected, 1e-4);
    }
}
