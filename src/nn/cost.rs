//! The cost of one more token: a state of constant size, or a cache that grows.
//!
//! Counts numbers and operations from the formulas, an addition, a multiplication and a function of one number being
//! one operation each; leading orders exact. Measures nothing.

/// Memory and operations for the token at a given position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Numbers that are kept: from this token to the next where tokens come one at a time, else while all are read.
    pub kept: u64,
    /// Operations to read this token and to answer at it; where all are read at once, their share of the whole.
    pub flops: u64,
}

/// The cost in each form that a model has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// One token at a time, as it arrives: a recurrence, or attention with a cache. None where a new token changes what
    /// was made of the earlier ones.
    pub step: Option<Cost>,
    /// All tokens at once: a scan, a convolution or a product of matrices.
    pub whole: Option<Cost>,
}

/// Operations of a row times a matrix (rows, columns).
pub const fn matvec(rows: usize, columns: usize) -> usize {
    2 * rows * columns
}

impl Cost {
    pub const fn new(kept: usize, flops: usize) -> Self {
        Self { kept: kept as u64, flops: flops as u64 }
    }
}

impl Costs {
    /// Of a diagonal recurrence whose state has `states` numbers besides what else is `kept` of each token. All at once
    /// it is an associative scan (Blelloch 1990): every state is held, and two maps h → a h + b are composed twice for
    /// each token, where a step applies one once. `complex` states come in pairs.
    pub const fn scan(step: Cost, (states, complex): (usize, bool), tokens: usize) -> Self {
        // Composing costs 3 operations, or 14 on complex numbers; applying 2, or 8.
        let extra = if complex { states / 2 * (2 * 14 - 8) } else { states * (2 * 3 - 2) };
        let whole = Cost { kept: (tokens * states) as u64, flops: step.flops + extra as u64 };
        Self { step: Some(step), whole: Some(whole) }
    }

    /// Of so many layers like this one, and of `ends` operations around them.
    pub fn in_layers(self, layers: usize, ends: usize) -> Self {
        let all =
            |Cost { kept, flops }| Cost { kept: layers as u64 * kept, flops: ends as u64 + layers as u64 * flops };
        Self { step: self.step.map(all), whole: self.whole.map(all) }
    }
}
