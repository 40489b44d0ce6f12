//! How much each cell of a grid counts in an answer, of a model and of the references.
//!
//! A gradient step weighted by g answers ŷ = Σ_c g_c y_c (x_c · x_q), so that ∂ŷ/∂y_c = g_c (x_c · x_q). Of any learner
//! the weight of a cell is the slope of ∂ŷ/∂y_c against x_c · x_q over held-out tasks, through the origin:
//! g_c = Σ (∂ŷ/∂y_c) (x_c · x_q) / Σ (x_c · x_q)², averaged over outputs.

use anyhow::Result;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::super::trainer::Run;
use super::distance::mean;
use crate::reference::{Field, Problem};
use crate::task::{Batch, Shape};

/// Held-out tasks that are measured.
pub const TASKS: usize = 128;
/// How much a target is changed, relative to 1; a model may be non-linear in it.
const CHANGE: f32 = 0.05;

/// The weight of each cell: (rows, columns), row-major, 0 at the query's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellWeights {
    pub rows: usize,
    pub columns: usize,
    pub model: Vec<f32>,
    pub references: ReferenceCellWeights,
}

/// The same of the references.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceCellWeights {
    /// Of one gradient step with the best weight for each distance.
    pub by_distance: Vec<f32>,
    /// Of the exact posterior mean.
    pub kriging: Vec<f32>,
}

impl CellWeights {
    /// The weights of the model over these tasks, the references' beside them.
    pub fn measure(run: &dyn Run, tasks: &Batch, field: Field, references: &ReferenceCellWeights) -> Result<Self> {
        let tasks = tasks.part(0, TASKS);
        let Shape { outputs, context, .. } = tasks.shape;
        let answers = run.predict(&tasks)?;
        let slope = |pair: usize| {
            let mut sum = vec![0.0; tasks.size];
            for output in 0..outputs {
                let mut changed = tasks.clone();
                let of_pair = changed.y.iter_mut().skip(pair * outputs + output).step_by(context * outputs);
                of_pair.for_each(|y| *y += CHANGE);
                let now = run.predict(&changed)?;
                let entries = now.iter().zip(&answers).skip(output).step_by(outputs);
                sum.iter_mut().zip(entries).for_each(|(sum, (now, before))| *sum += f64::from((now - before) / CHANGE));
            }
            Ok(weight(sum.iter().map(|sum| sum / outputs as f64).zip(alignments(&tasks, pair))))
        };
        let model = (0..context).map(slope).collect::<Result<Vec<f32>>>()?;
        Ok(Self { rows: field.rows, columns: field.columns, model: with_query(model), references: references.clone() })
    }

    /// The mean weight of the cells right above and below the query's, over that of the cells right beside it; `None`
    /// where the grid has but one row or column.
    pub fn above_over_beside(&self) -> Option<f64> {
        let (row, column) = (self.rows / 2, self.columns / 2);
        let at = |row: usize, column: usize| f64::from(self.model[row * self.columns + column]);
        (self.rows > 1 && self.columns > 1).then(|| {
            let above = at(row - 1, column) + at(row + 1, column);
            above / (at(row, column - 1) + at(row, column + 1))
        })
    }
}

impl ReferenceCellWeights {
    pub fn measure(problems: &[Problem], field: Field) -> Self {
        let problems = &problems[..problems.len().min(TASKS)];
        let gains: Vec<_> = problems.par_iter().map(|problem| field.kriging_gains(problem)).collect();
        let dim = problems.first().map_or(1, |problem| problem.x.nrows());
        let slope = |pair: usize| {
            let along = problems.iter().map(|problem| problem.x.column(pair).dot(&problem.query));
            weight(gains.iter().map(|gains| gains[pair]).zip(along))
        };
        let by_distance = field.distance_weights(dim).iter().map(|weight| *weight as f32).collect();
        Self { by_distance: with_query(by_distance), kriging: with_query((0..field.pairs()).map(slope).collect()) }
    }
}

/// x_c · x_q of each task.
fn alignments(tasks: &Batch, pair: usize) -> impl Iterator<Item = f64> {
    let Shape { dim, context, .. } = tasks.shape;
    let inputs = tasks.x.chunks(context * dim).map(move |x| &x[pair * dim..][..dim]);
    let product = |(x, query): (&[f32], &[f32])| x.iter().zip(query).map(|(x, q)| f64::from(x * q)).sum();
    inputs.zip(tasks.query.chunks(dim)).map(product)
}

/// The slope through the origin of pairs (∂ŷ/∂y_c, x_c · x_q).
fn weight(pairs: impl Iterator<Item = (f64, f64)>) -> f32 {
    let (products, squares): (Vec<f64>, Vec<f64>) = pairs.map(|(slope, along)| (slope * along, along * along)).unzip();
    (mean(&products) / mean(&squares)) as f32
}

/// All cells, from those of the pairs.
fn with_query(mut pairs: Vec<f32>) -> Vec<f32> {
    pairs.insert(pairs.len() / 2, 0.0);
    pairs
}

#[cfg(test)]
mod tests {
    use crate::preset;
    use crate::reference::Reference;
    use crate::task::{LinearGrid, Outputs, Task};
    use crate::train::{DeviceChoice, Experiment, Scope};

    #[test]
    fn constructed_attention_weighs_cells_alike_and_the_references_by_distance() {
        let (name, mut preset) = preset::find("linear-attention-constructed").unwrap();
        let (noise, length, weight_scale) = (0.1, 1.0, 1.0);
        let outputs = Outputs::Scalar;
        preset.task = Task::LinearGrid(LinearGrid {
            dim: 2,
            outputs,
            rows: 5,
            columns: 5,
            range: 3.0,
            length,
            weight_scale,
            noise,
        });
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        let measurement = experiment.measure(Scope::Subset).unwrap();
        let cells = measurement.cell_weights.unwrap();
        assert!((cells.above_over_beside().unwrap() - 1.0).abs() < 1e-3);
        let of = |reference| {
            let mut all = experiment.references().iter();
            all.find(|result| result.tuned.reference == reference).unwrap().clone()
        };
        let expected = of(Reference::Gd(1)).tuned.eta.unwrap() as f32 / 24.0;
        let pairs = cells.model.iter().enumerate().filter(|(cell, _)| *cell != 12);
        pairs.for_each(|(cell, weight)| assert!((weight / expected - 1.0).abs() < 1e-3, "{cell}: {weight}"));
        let (of_distance, of_kriging) = (&cells.references.by_distance, &cells.references.kriging);
        for weights in [&cells.model, of_distance, of_kriging] {
            assert_eq!((weights.len(), weights[12]), (25, 0.0));
        }
        assert!((of_distance[7] - of_distance[11]).abs() < 1e-6 && of_distance[11] > of_distance[10]);
        assert!((of_kriging[7] / of_kriging[11] - 1.0).abs() < 0.3 && of_kriging[11] > of_kriging[10]);
        assert!(of(Reference::Kriging).loss < 0.7 * of(Reference::GdDistance).loss);
        assert!(of(Reference::GdDistance).loss < 0.75 * of(Reference::Gd(1)).loss);
    }
}
