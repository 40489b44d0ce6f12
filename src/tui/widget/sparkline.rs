//! A curve in one row of eighths.

/// At most `width` characters; each stands for the mean of its stretch, on a logarithmic scale. Gaps where no value is
/// positive and finite.
pub fn sparkline(values: &[f32], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let width = width.min(values.len());
    let usable = |value: &f32| value.is_finite() && *value > 0.0;
    let mean = |i: usize| {
        let stretch = &values[i * values.len() / width..(i + 1) * values.len() / width];
        let logs: Vec<f32> = stretch.iter().copied().filter(|v| usable(v)).map(f32::ln).collect();
        (!logs.is_empty()).then(|| logs.iter().sum::<f32>() / logs.len() as f32)
    };
    let means: Vec<Option<f32>> = (0..width).map(mean).collect();
    let present = || means.iter().flatten().copied();
    let (low, high) = (present().fold(f32::INFINITY, f32::min), present().fold(f32::NEG_INFINITY, f32::max));
    let bar = |value: f32| {
        let share = if high > low { (value - low) / (high - low) } else { 0.0 };
        BARS[(share * 7.0).round().clamp(0.0, 7.0) as usize]
    };
    means.into_iter().map(|mean| mean.map_or(' ', bar)).collect()
}

#[cfg(test)]
mod tests {
    use super::sparkline;

    #[test]
    fn a_falling_curve_falls() {
        assert_eq!(sparkline(&[8.0, 4.0, 2.0, 1.0], 4), "█▆▃▁");
        assert_eq!(sparkline(&[1.0; 100], 3), "▁▁▁");
        assert_eq!(sparkline(&[f32::NAN, 1.0], 2), " ▁");
        assert_eq!(sparkline(&[], 5), "");
        assert_eq!(sparkline(&[1.0, 2.0], 0), "");
    }
}
