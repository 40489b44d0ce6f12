//! Recurrences whose answers are sums over earlier tokens, in both of their forms: from the state, one token after the
//! other, and as attention without softmax, from a matrix of weights between tokens.

/// The two forms of a network, over a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionForm {
    pub heads: Vec<TokenWeights>,
    /// Answers to the queries as sums over tokens: (batch, d_out).
    pub by_weights: Vec<f32>,
    /// Answers to the queries from the state: (batch, d_out).
    pub by_state: Vec<f32>,
}

/// How much each token counts for what a head reads: L ⊙ C Bᵀ, with L the decay from one token to a later one.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenWeights {
    /// "layer 1, head 2".
    pub name: String,
    /// The places (from 0) of the tokens at which the head is read, a row each. A row has no weights after its token,
    /// unless the network reads all tokens at once.
    pub read_at: Vec<usize>,
    /// Columns.
    pub tokens: usize,
    /// (batch, rows, columns).
    pub weights: Vec<f32>,
}

impl TokenWeights {
    /// The matrix of one sequence, row by row; empty if there is no such sequence.
    pub fn of_sequence(&self, sequence: usize) -> &[f32] {
        let size = (self.read_at.len() * self.tokens).max(1);
        self.weights.chunks(size).nth(sequence).unwrap_or_default()
    }
}

impl AttentionForm {
    /// The root mean square of the difference between the two forms' answers, as a share of that of the answers; 0 if
    /// they are equal.
    pub fn difference(&self) -> f64 {
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>();
        let apart = square(&mut self.by_weights.iter().zip(&self.by_state).map(|(one, other)| one - other));
        if apart == 0.0 { 0.0 } else { (apart / square(&mut self.by_state.iter().copied())).sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::AttentionForm;

    #[test]
    fn the_difference_is_relative_to_the_answers() {
        let form = |by_weights: &[f32], by_state: &[f32]| {
            AttentionForm { heads: Vec::new(), by_weights: by_weights.into(), by_state: by_state.into() }.difference()
        };
        assert_eq!(form(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
        assert!((form(&[3.3, 4.4], &[3.0, 4.0]) - 0.1).abs() < 1e-6);
        assert!(form(&[f32::NAN], &[1.0]).is_nan());
    }
}
