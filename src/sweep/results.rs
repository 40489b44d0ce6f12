//! The tables of a sweep: one row a run, and the curves.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::RunSpec;
use crate::series::Series;
use crate::train::{History, TrainingTime};

/// What a run came to, as its file in the folder keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// `done`, or what ended the run early: `diverged at step 120`.
    pub status: String,
    /// The object that `innerloop train --json` prints.
    pub report: Value,
    /// See [`curves`].
    pub curves: Value,
}

/// Every curve of a run by its name: a list of buckets `[step, least, mean, greatest]`, each over the steps up to the
/// next one. `seconds` is the wall-clock time of training.
pub fn curves(history: &History, time: &TrainingTime) -> Value {
    let seconds = Some(("seconds", time.curve())).filter(|(_, series)| !series.is_empty());
    let named = history.named().chain(seconds);
    Value::Object(named.map(|(name, series)| (name.to_owned(), buckets(series))).collect::<Map<_, _>>())
}

/// The buckets of one curve, as in [`curves`].
fn buckets(series: &Series) -> Value {
    series.buckets().iter().map(|b| json!([b.step, b.min, b.mean, b.max])).collect()
}

/// The cells `curve, step, min, mean, max` of every bucket of curves that [`curves`] has made.
pub fn curve_rows(curves: &Value) -> impl Iterator<Item = Vec<String>> {
    curves.as_object().into_iter().flatten().flat_map(|(curve, buckets)| {
        buckets.as_array().into_iter().flatten().map(move |bucket| {
            let numbers = bucket.as_array().into_iter().flatten().map(Value::to_string);
            std::iter::once(curve.clone()).chain(numbers).collect()
        })
    })
}

/// Path and text of every single number, text and truth value of an object; lists are left out.
pub(super) fn flatten(prefix: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&path, value, out);
            }
        }
        Value::Array(_) => {}
        Value::Null => out.push((prefix.to_owned(), String::new())),
        Value::Bool(_) | Value::Number(_) => out.push((prefix.to_owned(), value.to_string())),
        Value::String(text) => out.push((prefix.to_owned(), text.clone())),
    }
}

/// One row a run, in the order of the plan. The columns are the paths of `innerloop train --json`, after the preset,
/// the varied fields and the seed. A path that a run does not have is an empty cell.
pub fn results_csv(runs: &[(RunSpec, Outcome)]) -> Result<String> {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<Vec<(String, String)>> = Vec::new();
    for (run, outcome) in runs {
        let mut cells = vec![("preset".to_owned(), run.preset_name.clone())];
        cells.extend(run.varied.iter().cloned());
        cells.push(("seed".to_owned(), run.preset.train.seed.to_string()));
        cells.push(("status".to_owned(), outcome.status.clone()));
        flatten("", &outcome.report, &mut cells);
        let mut before = 0;
        for (path, _) in &cells {
            match columns.iter().position(|column| column == path) {
                Some(at) => before = before.max(at + 1),
                // Beside the column that it follows in its own row.
                None => {
                    columns.insert(before, path.clone());
                    before += 1;
                }
            }
        }
        rows.push(cells);
    }
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record(&columns)?;
    for cells in rows {
        let cell = |column: &String| cells.iter().find(|(path, _)| path == column).map_or("", |(_, text)| text);
        table.write_record(columns.iter().map(cell))?;
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}

/// One row for each bucket of steps of each curve of each run.
pub fn curves_csv(runs: &[(RunSpec, Outcome)]) -> Result<String> {
    let mut table = csv::Writer::from_writer(Vec::new());
    let varied = runs.first().map(|(run, _)| run.varied.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>());
    let head = ["preset"].into_iter().chain(varied.unwrap_or_default());
    table.write_record(head.chain(["seed", "curve", "step", "min", "mean", "max"]))?;
    for (run, outcome) in runs {
        let seed = run.preset.train.seed.to_string();
        let of_run: Vec<&str> = [run.preset_name.as_str()]
            .into_iter()
            .chain(run.varied.iter().map(|(_, value)| value.as_str()))
            .chain([seed.as_str()])
            .collect();
        for row in curve_rows(&outcome.curves) {
            table.write_record(of_run.iter().copied().chain(row.iter().map(String::as_str)))?;
        }
    }
    Ok(String::from_utf8(table.into_inner()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::{Axis, Plan, PlannedPreset};

    fn runs() -> Vec<RunSpec> {
        let (name, preset) = crate::preset::find("gd-ssm").unwrap();
        let vary = vec![Axis::parse("task.dim=3,4").unwrap()];
        Plan::new(vec![PlannedPreset { name, preset }], vary, vec![1], None).runs().unwrap()
    }

    fn outcome(report: Value) -> Outcome {
        Outcome { status: "done".to_owned(), report, curves: json!({"train_loss": [[1, 0.25, 0.5, 1.0]]}) }
    }

    #[test]
    fn columns_are_paths_and_what_a_run_lacks_is_empty() {
        let reports = [
            json!({
                "preset": "gd-ssm", "seed": 1, "eval_loss": 0.1 + 0.2, "loss_by_pairs": [1, 2],
                "references": {"gd-1": {"loss": 0.5}}
            }),
            json!({
                "preset": "gd-ssm", "seed": 1, "eval_loss": null,
                "references": {"gd-1": {"loss": 0.5, "eta": 6.0}}
            }),
        ];
        let runs: Vec<_> = runs().into_iter().zip(reports.map(outcome)).collect();
        let text = results_csv(&runs).unwrap();
        let expected = "preset,task.dim,seed,status,eval_loss,references.gd-1.loss,references.gd-1.eta\n\
                        gd-ssm,3,1,done,0.30000000000000004,0.5,\n\
                        gd-ssm,4,1,done,,0.5,6.0\n";
        assert_eq!(text, expected);
        let curves = curves_csv(&runs).unwrap();
        assert_eq!(curves.lines().next(), Some("preset,task.dim,seed,curve,step,min,mean,max"));
        assert_eq!(curves.lines().nth(2), Some("gd-ssm,4,1,train_loss,1,0.25,0.5,1.0"));
    }
}
