//! A measured number with its standard error, to the digits that it deserves.

/// "0.158 ± 0.003": the error to one significant digit, two where it begins with a 1, and the number to the same
/// decimals. Where there is no error, four significant digits.
pub fn with_error(value: f64, standard_error: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if !standard_error.is_finite() || standard_error <= 0.0 {
        return plain(value);
    }
    let mut exponent = standard_error.log10().floor() as i32;
    if standard_error / 10f64.powi(exponent) < 1.95 {
        exponent -= 1;
    }
    if !(1e-3..1e6).contains(&value.abs().max(standard_error)) {
        // As far as the error's last digit.
        let power = value.abs().max(standard_error).log10().floor() as i32;
        let decimals = usize::try_from(power - exponent).unwrap_or(0);
        let unit = 10f64.powi(power);
        return format!("({:.decimals$} ± {:.decimals$})e{power}", value / unit, standard_error / unit);
    }
    let decimals = usize::try_from(-exponent).unwrap_or(0);
    format!("{value:.decimals$} ± {standard_error:.decimals$}")
}

/// Four significant digits, small numbers as powers of ten.
fn plain(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !(1e-3..1e6).contains(&size) => format!("{value:.1e}"),
        size => {
            let decimals = usize::try_from(3 - size.log10().floor() as i32).unwrap_or(0);
            format!("{value:.decimals$}")
        }
    }
}

/// The mean of some values and their standard deviation; 0 for a single value, NaN for none.
pub fn mean_and_deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    if values.len() == 1 {
        return (mean, 0.0);
    }
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_digits_that_its_error_allows() {
        assert_eq!(with_error(0.158_23, 0.003_1), "0.158 ± 0.003");
        assert_eq!(with_error(0.158_23, 0.001_42), "0.1582 ± 0.0014");
        assert_eq!(with_error(12.345, 2.6), "12 ± 3");
        assert_eq!(with_error(1234.5, 26.0), "1234 ± 26");
        assert_eq!(with_error(0.000_2, 0.000_03), "(2.0 ± 0.3)e-4");
        assert_eq!(with_error(0.270_31, 0.0), "0.2703");
        assert_eq!(with_error(5.8e-4, f64::NAN), "5.8e-4");
        assert_eq!(with_error(f64::NAN, 0.1), "–");
    }

    #[test]
    fn means_and_deviations() {
        assert_eq!(mean_and_deviation(&[2.0]), (2.0, 0.0));
        let (mean, deviation) = mean_and_deviation(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
    }
}
