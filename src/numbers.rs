//! Numbers as people write them.
//!
//! Owns rounding and units. Never claims more than it knows: a cosine of 0.99996 is not shown as 1.

/// 1234567 as "1,234,567".
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// To so many significant digits: "0.2065", "12.3", "4.2e-7".
pub fn significant(value: f64, digits: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponent = value.abs().log10().floor();
    if !(-4.0..6.0).contains(&exponent) {
        return scientific(value, digits);
    }
    let decimals = (digits as f64 - 1.0 - exponent).max(0.0) as usize;
    format!("{value:.decimals$}")
}

/// To at most three significant digits, without zeros at the end: "0.001", "1.25e-5".
pub fn short(value: f64) -> String {
    let text = significant(value, 3);
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", without_end_zeros(digits)),
        None => without_end_zeros(&text).to_owned(),
    }
}

fn without_end_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}

fn scientific(value: f64, digits: usize) -> String {
    let decimals = digits.saturating_sub(1).min(2);
    format!("{value:.decimals$e}")
}

/// 0.018 as "1.8 %": two significant digits, no more than a hundredth of a per cent.
pub fn percent(share: f64) -> String {
    let percents = share * 100.0;
    match percents.abs() {
        p if !p.is_finite() => "–".to_owned(),
        0.0 => "0 %".to_owned(),
        p if p < 0.001 => format!("{percents:.0e} %"),
        p if p < 0.1 => format!("{percents:.3} %"),
        p if p < 9.95 => format!("{percents:.1} %"),
        p if p < 10_000.0 => format!("{percents:.0} %"),
        _ => format!("{percents:.0e} %"),
    }
}

/// The text of a number with a minus sign in place of the hyphen that Rust writes.
pub fn with_minus(number: &str) -> String {
    number.replace('-', "−")
}

/// A change with its sign: "+0.2 %", "−3.1 %".
pub fn signed_percent(share: f64) -> String {
    let sign = if share < 0.0 { "−" } else { "+" };
    format!("{sign}{}", percent(share.abs()))
}

/// Four decimals, cut and not rounded: 0.99996 is "0.9999".
pub fn cosine(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    // What single precision cannot distinguish from 1 is 1.
    let value = if value > 1.0 - 1e-6 { 1.0 } else { (value * 1e4).trunc() / 1e4 };
    with_minus(&format!("{value:.4}"))
}

/// "8 s", "3 min 20 s", "2 h 5 min".
pub fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "–".to_owned();
    }
    let s = seconds.ceil() as u64;
    match s {
        0..60 => format!("{s} s"),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..172_800 => format!("{} h {} min", s / 3600, s / 60 % 60),
        _ => format!("{} days", s / 86_400),
    }
}

/// How long ago: "just now", "5 min ago", "3 days ago".
pub fn age(seconds: u64) -> String {
    match seconds {
        0..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "1 day ago".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Steps per second: "2,310/s", "4.5/s".
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if !r.is_finite() || r < 0.0 => "–/s".to_owned(),
        r if r < 9.95 && r.fract() != 0.0 => format!("{r:.1}/s"),
        r => format!("{}/s", count(r.round() as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::{age, cosine, count, duration, percent, rate, short, signed_percent, significant};

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([significant(0.20654, 4), significant(12.34, 3)], ["0.2065", "12.3"]);
        assert_eq!([significant(4.2e-7, 2), significant(f64::NAN, 4), significant(0.0, 3)], ["4.2e-7", "–", "0"]);
        assert_eq!([short(0.001), short(1.25e-5), short(120.0), short(3e-7)], ["0.001", "1.25e-5", "120", "3e-7"]);
        assert_eq!(
            [percent(0.018), percent(0.98), percent(0.00012), percent(0.0)],
            ["1.8 %", "98 %", "0.012 %", "0 %"]
        );
        assert_eq!([percent(1e-7), signed_percent(-0.031)], ["1e-5 %", "−3.1 %"]);
        assert_eq!([duration(0.4), duration(200.0), duration(7500.0)], ["1 s", "3 min 20 s", "2 h 5 min"]);
        assert_eq!([age(3), age(400), age(100_000)], ["just now", "6 min ago", "1 day ago"]);
        assert_eq!([rate(2310.4), rate(4.5), rate(5.0), rate(f64::NAN)], ["2,310/s", "4.5/s", "5/s", "–/s"]);
    }

    #[test]
    fn a_cosine_is_not_rounded_up_to_one() {
        assert_eq!([cosine(0.99996), cosine(1.0), cosine(-0.5)], ["0.9999", "1.0000", "−0.5000"]);
    }
}
