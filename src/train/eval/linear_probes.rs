//! Linear probes: which iterates of the textbook algorithms can be read linearly out of each layer's token of the
//! query.
//!
//! For each layer and each algorithm, the algorithm's answers to the queries are regressed on the query's token after
//! that layer, over one half of the tasks, by ridge regression. R² is the share of their variance that the fitted map
//! explains on the other half: 1 if the answer stands in the token, up to a fixed linear map, 0 if the token says
//! nothing of it. A network that steps through iterates would have GD-1 after its first layer, GD-2 after its second.
//! Source: Akyürek et al. 2022 (2211.15661), section 4.3.

use anyhow::Result;
use nalgebra::DMatrix;

use super::super::trainer::Run;
use super::held_out::HeldOut;
use crate::nn::Latent;
use crate::reference::Reference;

/// Held-out tasks that are looked at. Half of them fit the maps.
const TASKS: usize = 1024;

/// The penalty of the ridge regression, as a share of the mean square of a feature.
const PENALTY: f64 = 1e-4;

/// R² of each layer and each algorithm.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearProbes {
    /// "embedding", "layer 1", …
    pub layers: Vec<String>,
    pub learners: Vec<Reference>,
    /// (layers, learners), row-major; at most 1, below 0 where the fitted map is worse than the mean.
    pub r_squared: Vec<f64>,
}

impl LinearProbes {
    /// R² after so many layers; `None` if it was not measured.
    pub fn r_squared(&self, layer: usize, learner: Reference) -> Option<f64> {
        let column = self.learners.iter().position(|other| *other == learner)?;
        self.rows().nth(layer).map(|row| row[column])
    }

    /// R² of every algorithm, layer by layer.
    pub fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.r_squared.chunks(self.learners.len().max(1))
    }
}

/// Whether the answers of an algorithm are an iterate of descent or of Newton's method, or what both lead to.
fn is_iterate(reference: Reference) -> bool {
    matches!(reference, Reference::Gd(_) | Reference::Newton(_) | Reference::LeastSquares)
}

/// Probes of the present weights; `None` for a network without layers.
pub fn measure(run: &dyn Run, held_out: &HeldOut) -> Result<Option<LinearProbes>> {
    let latents = run.latents(&held_out.batch().part(0, TASKS))?;
    if latents.is_empty() {
        return Ok(None);
    }
    let outputs = held_out.batch().shape.outputs;
    let (learners, answers): (Vec<_>, Vec<_>) =
        held_out.distinct().filter(|(reference, _)| is_iterate(*reference)).unzip();
    // One regression for all algorithms: (tasks, algorithms · d_out).
    let columns = answers.len() * outputs;
    let targets = DMatrix::from_fn(TASKS, columns, |task, column| {
        f64::from(answers[column / outputs][task * outputs + column % outputs])
    });
    let row = |latent: &Latent| explained(&features(latent), &targets, outputs);
    let r_squared = latents.iter().flat_map(row).collect();
    Ok(Some(LinearProbes { layers: latents.into_iter().map(|latent| latent.name).collect(), learners, r_squared }))
}

/// (tasks, width + 1): the tokens, and a 1.
fn features(latent: &Latent) -> DMatrix<f64> {
    let width = latent.width;
    DMatrix::from_fn(latent.values.len() / width, width + 1, |task, i| {
        if i < width { f64::from(latent.values[task * width + i]) } else { 1.0 }
    })
}

/// R² of each group of `outputs` columns of the targets, fitted on the first half of the rows and judged on the second.
fn explained(features: &DMatrix<f64>, targets: &DMatrix<f64>, outputs: usize) -> Vec<f64> {
    let half = features.nrows() / 2;
    let (fitted, judged) = (features.rows(0, half), features.rows(half, half));
    let mut gram = fitted.tr_mul(&fitted);
    let penalty = PENALTY * gram.trace() / gram.nrows() as f64;
    (0..gram.nrows()).for_each(|i| gram[(i, i)] += penalty);
    let Some(cholesky) = gram.cholesky() else {
        return vec![f64::NAN; targets.ncols() / outputs];
    };
    let map = cholesky.solve(&fitted.tr_mul(&targets.rows(0, half)));
    let truth = targets.rows(half, half);
    let rest = truth - judged * map;
    let share = |group: usize| {
        let columns = group * outputs..(group + 1) * outputs;
        let unexplained: f64 = columns.clone().map(|column| rest.column(column).norm_squared()).sum();
        let variance: f64 =
            columns.map(|column| truth.column(column).add_scalar(-truth.column(column).mean()).norm_squared()).sum();
        1.0 - unexplained / variance
    };
    (0..targets.ncols() / outputs).map(share).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;
    use crate::train::{DeviceChoice, Experiment};

    #[test]
    fn a_linear_map_is_found_and_noise_is_not() {
        let noise = |i: usize| ((i as f64 * 12.9898).sin() * 43_758.545_3).fract();
        let features = DMatrix::from_fn(400, 4, |row, column| if column < 3 { noise(3 * row + column) } else { 1.0 });
        let targets = DMatrix::from_fn(400, 2, |row, column| match column {
            0 => 2.0 * features[(row, 0)] - features[(row, 2)] + 3.0,
            _ => noise(7 * row + 5_000),
        });
        let found = explained(&features, &targets, 1);
        assert!(found[0] > 0.9999 && found[1] < 0.1, "{found:?}");
        // Both columns as the two outputs of one algorithm.
        let both = explained(&features, &targets, 2);
        assert!(both.len() == 1 && both[0] > found[1] && both[0] < found[0], "{both:?}");
    }

    #[test]
    fn a_constructed_layer_holds_the_answer_of_one_step_and_the_embedding_does_not() {
        let (name, preset) = preset::find("linear-attention-constructed").unwrap();
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        let probes = experiment.linear_probes().unwrap().unwrap();
        assert_eq!(probes.layers, ["embedding", "layer 1"]);
        let [before, after] = [0, 1].map(|layer| probes.r_squared(layer, Reference::Gd(1)).unwrap());
        assert!(before < 0.1 && after > 0.9999, "{before} {after}");
        assert!(probes.r_squared(1, Reference::LeastSquares).unwrap() < after);
    }

    #[test]
    fn a_network_without_layers_has_no_probes() {
        let (name, preset) = preset::find("gd-ssm").unwrap();
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        assert_eq!(experiment.linear_probes().unwrap(), None);
    }
}
