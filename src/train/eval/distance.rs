//! Means, medians, distances and cosines of plain numbers.

use crate::task::{Batch, Objective};

/// The mean of losses.
pub fn mean(losses: &[f64]) -> f64 {
    losses.iter().sum::<f64>() / losses.len() as f64
}

/// The median of losses; for an even number of them, the mean of the middle two. NaN without any.
pub fn median(losses: &[f64]) -> f64 {
    let mut sorted = losses.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    match sorted.get(half) {
        None => f64::NAN,
        Some(middle) if sorted.len() % 2 == 1 => *middle,
        Some(middle) => 0.5 * (sorted[half - 1] + middle),
    }
}

/// mean ‖f − g‖₂ over tasks, for answers f and g: (B, d_out).
pub fn mean_distance(f: &[f32], g: &[f32], outputs: usize) -> f64 {
    let norm = |(f, g): (&[f32], &[f32])| f.iter().zip(g).map(|(f, g)| f64::from(f - g).powi(2)).sum::<f64>().sqrt();
    f.chunks(outputs).zip(g.chunks(outputs)).map(norm).sum::<f64>() / (f.len() / outputs) as f64
}

/// [`mean_distance`] divided by mean ‖g‖₂; for a g that is zero, by the mean norm of the true answers.
pub fn relative_difference(f: &[f32], g: &[f32], batch: &Batch) -> f64 {
    let outputs = batch.shape.outputs;
    let size = |g: &[f32]| mean_distance(g, &vec![0.0; g.len()], outputs);
    let scale = match size(g) {
        0.0 => size(&batch.target),
        scale => scale,
    };
    mean_distance(f, g, outputs) / scale
}

/// Cosine of the angle between two vectors; 1 between two zeros, 0 between a zero and another.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (aa, bb) = (dot(a, a), dot(b, b));
    match (aa == 0.0, bb == 0.0) {
        (true, true) => 1.0,
        (false, false) => dot(a, b) / (aa * bb).sqrt(),
        _ => 0.0,
    }
}

/// Σ y xᵀ, (d_out, d), in the last rows of a state that has more.
pub fn embedded(accumulator: &[f32], (rows, columns): (usize, usize)) -> Vec<f32> {
    let mut matrix = vec![0.0; rows * columns - accumulator.len()];
    matrix.extend(accumulator);
    matrix
}

/// A state or an accumulator, (rows, columns), in the form in which the two are compared. For classification the mean
/// of each column over the last `outputs` rows, the classes, is subtracted: it changes no probability, so it is free.
pub fn comparable_state(objective: Objective, mut matrix: Vec<f32>, columns: usize, outputs: usize) -> Vec<f32> {
    if objective == Objective::CrossEntropy {
        let first = matrix.len().saturating_sub(outputs * columns);
        let classes = &mut matrix[first..];
        for column in 0..columns {
            let mean = classes.iter().skip(column).step_by(columns).sum::<f32>() / outputs as f32;
            classes.iter_mut().skip(column).step_by(columns).for_each(|value| *value -= mean);
        }
    }
    matrix
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 1e30]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 1e30]), 3.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_mean_over_classes_is_subtracted() {
        let state = vec![9.0, 9.0, 1.0, 2.0, 3.0, 6.0];
        assert_eq!(comparable_state(Objective::SquaredError, state.clone(), 2, 2), state);
        assert_eq!(comparable_state(Objective::CrossEntropy, state, 2, 2), [9.0, 9.0, -1.0, -2.0, 1.0, 2.0]);
    }
}
