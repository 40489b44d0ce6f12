//! The forms of fast-weight recurrences over many tokens at once, held to the recurrence. Nothing trains with them: our
//! contexts are short, and with one query the kernel's form needs no matrix at all (see the step). They are what GPU
//! kernels for long texts compute, and they say why such models can be trained in parallel.
//!
//! | here | meaning | shape |
//! |---|---|---|
//! | K, V, Q | keys, values and queries of a chunk of C tokens, as rows | (C, n), (C, m), (C, n) |
//! | β, γ | write strengths; γ_t = α_1 ⋯ α_t, what is left at t of what was there before the chunk | (C) |
//! | A, B | α of each column, and B_t = A_1 ⊙ ⋯ ⊙ A_t | (C, n) |
//! | D | D_ti = γ_t/γ_i for i ≤ t, else 0 | (C, C) |
//! | S, M | the fast weights, and their last change | (m, n) |
#![cfg(test)]

use nalgebra::{DMatrix, DVector};

use super::{Decay, Erase, FastWeights, Vectors, fast_weight_states};

type Matrix = DMatrix<f64>;
type Vector = DVector<f64>;

/// A chunk of tokens.
struct Chunk {
    keys: Matrix,
    values: Matrix,
    queries: Matrix,
    /// β.
    strengths: Vector,
    /// α, the share of the state that each token keeps.
    kept: Vector,
    /// A: the same, for each column.
    kept_columns: Matrix,
    /// μ, the share of the last change that each token repeats.
    momentum: Vector,
}

impl Chunk {
    fn left(&self) -> Vector {
        let mut product = 1.0;
        self.kept.map(|kept| {
            product *= kept;
            product
        })
    }

    /// D; `including` its diagonal.
    fn decays(&self, including: bool) -> Matrix {
        let left = self.left();
        let earlier = |t: usize, i: usize| i < t || (including && i == t);
        Matrix::from_fn(left.len(), left.len(), |t, i| if earlier(t, i) { left[t] / left[i] } else { 0.0 })
    }

    /// What is read at each token, and S after the chunk, when u_t k_tᵀ is written at t: rows of
    /// γ Q Sᵀ + (Q Kᵀ ⊙ D) U, and γ_C S + Uᵀ (D_C ⊙ K).
    fn write(&self, state: &Matrix, written: &Matrix) -> (Matrix, Matrix) {
        let (left, decays) = (Matrix::from_diagonal(&self.left()), self.decays(true));
        let read = &left * &self.queries * state.transpose()
            + (&self.queries * self.keys.transpose()).component_mul(&decays) * written;
        let last = decays.nrows() - 1;
        let weighed = Matrix::from_diagonal(&decays.row(last).transpose()) * &self.keys;
        (read, state * left[(last, last)] + written.transpose() * weighed)
    }

    /// RetNet (2307.08621) and the gated linear attention of mLSTM: S ← α S + β v kᵀ.
    fn attend(&self, state: &Matrix) -> (Matrix, Matrix) {
        self.write(state, &(Matrix::from_diagonal(&self.strengths) * &self.values))
    }

    /// DeltaNet (2406.06484, section 3) and Gated DeltaNet (2412.06464, section 3.3), S ← α S (I − β k kᵀ) + β v kᵀ, by
    /// the WY representation: u_t = β_t (v_t − α_t S_{t−1} k_t) solves the triangular system
    /// (I + β (K Kᵀ ⊙ D)_{i<t}) U = β (V − γ K Sᵀ).
    fn correct(&self, state: &Matrix) -> (Matrix, Matrix) {
        let strengths = Matrix::from_diagonal(&self.strengths);
        let products = (&self.keys * self.keys.transpose()).component_mul(&self.decays(false));
        let system = Matrix::identity(products.nrows(), products.nrows()) + &strengths * products;
        let missed = &self.values - Matrix::from_diagonal(&self.left()) * &self.keys * state.transpose();
        let written = system.solve_lower_triangular(&(strengths * missed)).expect("its diagonal is 1");
        self.write(state, &written)
    }

    /// Gated linear attention (2312.06635, section 4.2), S ← S diag(A_t) + β v kᵀ, and KDA (2510.26692, section 3),
    /// S ← S diag(A_t) (I − β k kᵀ) + β v kᵀ: without decay in S diag(B_t)⁻¹, where a pair is written along k/B_t, and
    /// its error and the answers are read along k ⊙ B_t and q ⊙ B_t.
    fn by_column(&self, corrects: bool, state: &Matrix) -> (Matrix, Matrix) {
        let mut left = self.kept_columns.clone();
        for t in 1..left.nrows() {
            let product = left.row(t - 1).component_mul(&left.row(t));
            left.set_row(t, &product);
        }
        let written_along = self.keys.component_div(&left);
        let [read_along, error_along] = [&self.queries, &self.keys].map(|part| part.component_mul(&left));
        let strengths = Matrix::from_diagonal(&self.strengths);
        let written = if corrects {
            let earlier = (&error_along * written_along.transpose()).lower_triangle();
            let earlier = &earlier - Matrix::from_diagonal(&earlier.diagonal());
            let system = Matrix::identity(left.nrows(), left.nrows()) + &strengths * earlier;
            let missed = &self.values - error_along * state.transpose();
            system.solve_lower_triangular(&(strengths * missed)).expect("its diagonal is 1")
        } else {
            strengths * &self.values
        };
        let attention = (&read_along * written_along.transpose()).lower_triangle();
        let last = Matrix::from_diagonal(&left.row(left.nrows() - 1).transpose());
        (read_along * state.transpose() + attention * &written, (state + written.transpose() * written_along) * last)
    }

    /// The memory of Titans (2501.00663, section 3.2, with errors of every token's own S), without forgetting. At t the
    /// change u_i k_iᵀ of token i is in S as often as momentum has repeated it, R_ti = Σ_{i ≤ j ≤ t} μ_{i+1} ⋯ μ_j
    /// times, and the change M before the chunk r_t = Σ_{1 ≤ j ≤ t} μ_1 ⋯ μ_j times. So U solves the triangular system
    /// (I + β (K Kᵀ ⊙ R_{t−1})_{i<t}) U = β (V − K Sᵀ − r_{t−1} K Mᵀ).
    fn correct_with_momentum(&self, [state, change]: [&Matrix; 2]) -> (Matrix, [Matrix; 2]) {
        let size = self.keys.nrows();
        // μ_{i+1} ⋯ μ_t, for i and t from 0 to C.
        let repeated = |i: usize, t: usize| self.momentum.iter().take(t).skip(i).product::<f64>();
        let times = |i: usize, t: usize| (i.max(1)..=t).map(|j| repeated(i, j)).sum::<f64>();
        let since = |shift: usize| Matrix::from_fn(size, size, |t, i| times(i + 1, t + 1 - shift));
        let of_change =
            |shift: usize| Matrix::from_fn(size, size, |t, i| if t == i { times(0, t + 1 - shift) } else { 0.0 });
        let strengths = Matrix::from_diagonal(&self.strengths);
        let products = (&self.keys * self.keys.transpose()).component_mul(&since(1));
        let system = Matrix::identity(size, size) + &strengths * products;
        let seen = &self.keys * state.transpose() + of_change(1) * &self.keys * change.transpose();
        let written = system.solve_lower_triangular(&(strengths * (&self.values - seen))).expect("its diagonal is 1");
        let read = &self.queries * state.transpose()
            + of_change(0) * &self.queries * change.transpose()
            + (&self.queries * self.keys.transpose()).component_mul(&since(0)) * &written;
        let weighed = |weight: &dyn Fn(usize) -> f64| {
            Matrix::from_fn(size, self.keys.ncols(), |i, j| weight(i + 1) * self.keys[(i, j)])
        };
        let all = state + times(0, size) * change + written.transpose() * weighed(&|i| times(i, size));
        let last = repeated(0, size) * change + written.transpose() * weighed(&|i| repeated(i, size));
        (read, [all, last])
    }

    /// TTT-Linear (2407.04620, section 2.5, the dual form): all errors of a block are those of the state before it.
    fn block(&self, state: &Matrix) -> (Matrix, Matrix) {
        let missed = &self.values - &self.keys * state.transpose();
        self.write(state, &(Matrix::from_diagonal(&self.strengths) * missed))
    }
}

/// Tokens, N = 12, n = 4, m = 3.
fn tokens(decays: bool) -> Chunk {
    let numbers = |rows: usize, columns: usize, seed: f64| {
        Matrix::from_fn(rows, columns, |i, j| (seed + 1.7 * (i * columns + j) as f64).sin())
    };
    let share = |i: usize, seed: f64| 0.5 + 0.4 * (seed + 2.3 * i as f64).sin();
    Chunk {
        keys: numbers(12, 4, 0.1),
        values: numbers(12, 3, 0.2),
        queries: numbers(12, 4, 0.3),
        strengths: Vector::from_fn(12, |i, _| share(i, 0.4)),
        kept: Vector::from_fn(12, |i, _| if decays { share(i, 0.5) } else { 1.0 }),
        kept_columns: Matrix::from_element(12, 4, 1.0),
        momentum: Vector::zeros(12),
    }
}

impl Chunk {
    fn part(&self, first: usize, count: usize) -> Self {
        let rows = |matrix: &Matrix| matrix.rows(first, count).into_owned();
        let entries = |vector: &Vector| vector.rows(first, count).into_owned();
        Self {
            keys: rows(&self.keys),
            values: rows(&self.values),
            queries: rows(&self.queries),
            strengths: entries(&self.strengths),
            kept: entries(&self.kept),
            kept_columns: rows(&self.kept_columns),
            momentum: entries(&self.momentum),
        }
    }

    /// S after each token by the definition of the step: with errors taken away or not, in blocks.
    fn recurrent(&self, corrects: bool, block: usize) -> Vec<Matrix> {
        let (n, m) = (self.keys.ncols(), self.values.ncols());
        let strengths = Matrix::from_diagonal(&self.strengths);
        let kept = Matrix::from_diagonal(&self.kept) * &self.kept_columns;
        let erased = (&strengths * &self.keys).component_mul(&kept);
        let weights = FastWeights {
            keys: self.keys.clone(),
            values: Some(strengths * &self.values),
            query: self.queries.clone(),
            erase: if corrects { Erase::AlongKey(erased) } else { Erase::Nothing },
            decay: Decay::Sequence(kept),
            momentum: Some(Matrix::from_columns(std::slice::from_ref(&self.momentum))),
            pairs: self.keys.nrows(),
            block,
        };
        let rows = |matrix: &Matrix| matrix.transpose().iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let weights = weights.map(|matrix| Vectors { of: rows(matrix), width: matrix.ncols() });
        let states = fast_weight_states(&weights.map(|all| Vectors { of: &all.of[..], width: all.width }));
        states.iter().map(|state| DMatrix::<f32>::from_row_slice(m, n, state).cast()).collect()
    }
}

/// Chunk after chunk equals the recurrence: what is read at each token, and the state at the end.
fn check(tokens: &Chunk, size: usize, form: impl Fn(&Chunk, &Matrix) -> (Matrix, Matrix), states: &[Matrix]) {
    let mut state = Matrix::zeros(tokens.values.ncols(), tokens.keys.ncols());
    for first in (0..tokens.keys.nrows()).step_by(size) {
        let chunk = tokens.part(first, size);
        let (read, after) = form(&chunk, &state);
        for (t, read) in read.row_iter().enumerate() {
            let expected = &states[first + t] * chunk.queries.row(t).transpose();
            assert!((read.transpose() - expected).norm() < 1e-5, "chunks of {size}, token {}", first + t);
        }
        assert!((&after - &states[first + size - 1]).norm() < 1e-5, "chunks of {size}, state");
        state = after;
    }
}

#[test]
fn chunks_of_the_delta_rule_equal_its_recurrence() {
    for decays in [false, true] {
        let tokens = tokens(decays);
        let states = tokens.recurrent(true, 1);
        [1, 3, 4, 12].into_iter().for_each(|size| check(&tokens, size, Chunk::correct, &states));
    }
}

#[test]
fn chunks_of_gated_linear_attention_equal_its_recurrence() {
    for decays in [false, true] {
        let tokens = tokens(decays);
        let states = tokens.recurrent(false, 1);
        [1, 3, 4, 12].into_iter().for_each(|size| check(&tokens, size, Chunk::attend, &states));
    }
}

#[test]
fn the_dual_form_of_a_block_equals_its_mini_batch_step() {
    let tokens = tokens(false);
    [1, 3, 4, 12].into_iter().for_each(|size| check(&tokens, size, Chunk::block, &tokens.recurrent(true, size)));
}

#[test]
fn chunks_of_the_delta_rule_with_momentum_equal_its_recurrence() {
    let tokens =
        Chunk { momentum: Vector::from_fn(12, |i, _| 0.5 + 0.4 * (0.6 + 1.9 * i as f64).sin()), ..tokens(false) };
    let states = tokens.recurrent(true, 1);
    for size in [1, 3, 4, 12] {
        let change = std::cell::RefCell::new(Matrix::zeros(3, 4));
        let form = |chunk: &Chunk, state: &Matrix| {
            let (read, [state, last]) = chunk.correct_with_momentum([state, &change.borrow().clone()]);
            change.replace(last);
            (read, state)
        };
        check(&tokens, size, form, &states);
    }
}

#[test]
fn chunks_with_a_decay_for_each_column_equal_their_recurrence() {
    let kept_columns = Matrix::from_fn(12, 4, |i, j| 0.6 + 0.35 * (0.7 + 1.3 * (4 * i + j) as f64).sin());
    let tokens = Chunk { kept_columns, ..tokens(false) };
    for corrects in [false, true] {
        let states = tokens.recurrent(corrects, 1);
        let form = |chunk: &Chunk, state: &Matrix| chunk.by_column(corrects, state);
        [1, 3, 4, 12].into_iter().for_each(|size| check(&tokens, size, form, &states));
    }
}

/// mLSTM (2405.04517, appendix): the normaliser is the sum of the rows of the same matrix, since n = Σ decays · i k.
#[test]
fn the_normaliser_of_mlstm_is_the_sum_of_its_attention() {
    let tokens = tokens(true);
    let attention = (&tokens.queries * tokens.keys.transpose()).component_mul(&tokens.decays(true));
    let attention = attention * Matrix::from_diagonal(&tokens.strengths);
    let states = tokens.recurrent(false, 1);
    let ones = Chunk { values: Matrix::from_element(12, 1, 1.0), ..tokens.part(0, 12) };
    let normalisers = ones.recurrent(false, 1);
    for t in 0..12 {
        let query = tokens.queries.row(t).transpose();
        let scale = |normaliser: f64| normaliser.abs().max(1.0);
        let expected = &states[t] * &query / scale((&normalisers[t] * &query)[0]);
        let parallel = (attention.row(t) * &tokens.values).transpose() / scale(attention.row(t).sum());
        assert!((parallel - expected).norm() < 1e-5, "token {t}");
    }
}
