//! Means, medians, distances and cosines of plain numbers.

use crate::task::Objective;

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

/// The standard error of a mean; NaN for fewer than two values.
pub fn standard_error(values: &[f64]) -> f64 {
    let (mean, n) = (mean(values), values.len() as f64);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

/// A mean difference of values that were measured on the same tasks, with its standard error: what the tasks have in
/// common cancels, so it is far smaller than that of either mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedDifference {
    /// mean (a − b).
    pub mean: f64,
    pub standard_error: f64,
}

/// mean (a − b) over tasks.
pub fn paired_difference(a: &[f64], b: &[f64]) -> PairedDifference {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    PairedDifference { mean: mean(&differences), standard_error: standard_error(&differences) }
}

/// mean a / mean b − 1 with its standard error, to first order in the errors of both.
pub fn paired_ratio(a: &[f64], b: &[f64]) -> PairedDifference {
    let (of_a, of_b) = (mean(a), mean(b));
    let deviations: Vec<f64> = a.iter().zip(b).map(|(a, b)| (a - of_a / of_b * b) / of_b).collect();
    PairedDifference { mean: of_a / of_b - 1.0, standard_error: standard_error(&deviations) }
}

/// ‖f‖₂ of each task, for answers f: (B, d_out).
pub fn norms(f: &[f32], outputs: usize) -> Vec<f64> {
    let norm = |f: &[f32]| f.iter().map(|f| f64::from(*f).powi(2)).sum::<f64>().sqrt();
    f.chunks(outputs).map(norm).collect()
}

/// ‖f − g‖₂ of each task, for answers f and g: (B, d_out).
pub fn distances(f: &[f32], g: &[f32], outputs: usize) -> Vec<f64> {
    let norm = |(f, g): (&[f32], &[f32])| f.iter().zip(g).map(|(f, g)| f64::from(f - g).powi(2)).sum::<f64>().sqrt();
    f.chunks(outputs).zip(g.chunks(outputs)).map(norm).collect()
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
    fn what_tasks_have_in_common_cancels_in_differences() {
        let hard: Vec<f64> = (0..100).map(|i| f64::from(i % 10)).collect();
        let harder: Vec<f64> = hard.iter().enumerate().map(|(i, loss)| loss + 1.0 + 0.01 * (i % 2) as f64).collect();
        let PairedDifference { mean, standard_error: paired } = paired_difference(&harder, &hard);
        assert!((mean - 1.005).abs() < 1e-12 && paired < 1e-3 && standard_error(&hard) > 0.2, "{paired}");
        let ratio = paired_ratio(&hard.iter().map(|loss| 1.5 * loss).collect::<Vec<_>>(), &hard);
        assert!((ratio.mean - 0.5).abs() < 1e-12 && ratio.standard_error < 1e-12, "{ratio:?}");
        assert_eq!(distances(&[1.0, 2.0, 3.0, 4.0], &[1.0, 2.0, 0.0, 0.0], 2), [0.0, 5.0]);
    }

    #[test]
    fn the_mean_over_classes_is_subtracted() {
        let state = vec![9.0, 9.0, 1.0, 2.0, 3.0, 6.0];
        assert_eq!(comparable_state(Objective::SquaredError, state.clone(), 2, 2), state);
        assert_eq!(comparable_state(Objective::CrossEntropy, state, 2, 2), [9.0, 9.0, -1.0, -2.0, 1.0, 2.0]);
    }
}
