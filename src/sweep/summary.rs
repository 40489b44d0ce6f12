//! Mean and standard deviation over seeds.

use serde::Serialize;
use serde_json::Value;

use super::{Outcome, RunSpec};

/// Mean and sample standard deviation of n values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub n: usize,
    pub mean: f64,
    /// With n − 1 in the denominator; `null` for fewer than two values.
    pub sd: Option<f64>,
}

/// What the seeds of one preset with one combination of varied values came to.
#[derive(Clone, Debug, Serialize)]
pub struct SummaryRow {
    pub preset: String,
    pub varied: Vec<(String, String)>,
    /// Runs that came to their last step, of all that have ended.
    pub done: usize,
    pub ended: usize,
    pub eval_loss: Option<Spread>,
    /// Held-out loss over that of one step of gradient descent.
    pub over_gd_1: Option<Spread>,
    /// `equivalence.prediction_difference_relative`.
    pub distance: Option<Spread>,
    /// The nearest reference of each seed that came to its last step, with how many seeds it is the nearest for.
    pub nearest: Vec<(String, usize)>,
}

impl Spread {
    /// None where there is no finite value.
    pub fn of(values: &[f64]) -> Option<Self> {
        let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        let n = values.len();
        let mean = values.iter().sum::<f64>() / n as f64;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let sd = (n > 1).then(|| (squares / (n - 1) as f64).sqrt());
        (n > 0).then_some(Self { n, mean, sd })
    }
}

/// A preset, and path and value of each varied field.
type Group<'a> = (&'a str, &'a [(String, String)]);

/// One row for each preset and combination of varied values, in the order of the plan. Runs that diverged are counted,
/// and are not part of any mean.
pub fn summarise(runs: &[(RunSpec, Outcome)]) -> Vec<SummaryRow> {
    let mut groups: Vec<(Group<'_>, Vec<&Outcome>)> = Vec::new();
    for (run, outcome) in runs {
        let key = (run.preset_name.as_str(), run.varied.as_slice());
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, outcomes)) => outcomes.push(outcome),
            None => groups.push((key, vec![outcome])),
        }
    }
    groups.into_iter().map(|((preset, varied), outcomes)| row(preset, varied, &outcomes)).collect()
}

fn row(preset: &str, varied: &[(String, String)], outcomes: &[&Outcome]) -> SummaryRow {
    let done: Vec<&Value> = outcomes.iter().filter(|o| o.status == "done").map(|o| &o.report).collect();
    let number = |report: &Value, path: &str| report.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN);
    let spread = |of: &dyn Fn(&Value) -> f64| Spread::of(&done.iter().map(|report| of(report)).collect::<Vec<_>>());
    let mut nearest: Vec<(String, usize)> = Vec::new();
    for name in done.iter().filter_map(|report| report.pointer("/equivalence/nearest").and_then(Value::as_str)) {
        match nearest.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count += 1,
            None => nearest.push((name.to_owned(), 1)),
        }
    }
    nearest.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    SummaryRow {
        preset: preset.to_owned(),
        varied: varied.to_vec(),
        done: done.len(),
        ended: outcomes.len(),
        eval_loss: spread(&|report| number(report, "/eval_loss")),
        over_gd_1: spread(&|report| number(report, "/eval_loss") / number(report, "/references/gd-1/loss")),
        distance: spread(&|report| number(report, "/equivalence/prediction_difference_relative")),
        nearest,
    }
}

/// The cells of a table for people, the head first.
pub fn summary_table(rows: &[SummaryRow]) -> Vec<Vec<String>> {
    let keys: Vec<String> =
        rows.first().map(|row| row.varied.iter().map(|(key, _)| key.clone()).collect()).unwrap_or_default();
    let fixed = ["runs", "loss", "loss / gd-1", "distance to gd-1", "nearest"].map(str::to_owned);
    let head: Vec<String> = ["preset".to_owned()].into_iter().chain(keys).chain(fixed).collect();
    [head].into_iter().chain(rows.iter().map(cells)).collect()
}

fn cells(row: &SummaryRow) -> Vec<String> {
    let runs = match row.ended - row.done {
        0 => row.done.to_string(),
        diverged => format!("{} ({diverged} diverged)", row.done),
    };
    let nearest = match row.nearest.as_slice() {
        [] => "–".to_owned(),
        [(name, _)] => name.clone(),
        several => several.iter().map(|(name, count)| format!("{name} {count}×")).collect::<Vec<_>>().join(", "),
    };
    let varied = row.varied.iter().map(|(_, value)| value.clone());
    let numbers = [row.eval_loss, row.over_gd_1, row.distance].map(spread);
    [row.preset.clone()].into_iter().chain(varied).chain([runs]).chain(numbers).chain([nearest]).collect()
}

/// Four significant digits of the mean, the deviation to the same place.
fn spread(spread: Option<Spread>) -> String {
    let Some(Spread { n, mean, sd }) = spread else { return "–".to_owned() };
    let size = if mean == 0.0 { 0 } else { mean.abs().log10().floor() as i32 };
    if !(-4..6).contains(&size) {
        return sd.map_or(format!("{mean:.2e} ({n})"), |sd| format!("{mean:.2e} ± {sd:.1e} ({n})"));
    }
    let digits = usize::try_from(3 - size).unwrap_or(0);
    match sd {
        Some(sd) => format!("{mean:.digits$} ± {sd:.digits$} ({n})"),
        None => format!("{mean:.digits$} ({n})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_textbook() {
        let spread = Spread::of(&[2.0, 4.0, f64::NAN, 9.0]).unwrap();
        assert_eq!((spread.n, spread.mean), (3, 5.0));
        assert!((spread.sd.unwrap() - 13f64.sqrt()).abs() < 1e-12);
        assert_eq!(Spread::of(&[3.0]).unwrap().sd, None);
        assert_eq!(Spread::of(&[]), None);
    }
}
