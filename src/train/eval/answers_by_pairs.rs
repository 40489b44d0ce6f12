//! The answers to the query of each probe sequence after 0, 1, …, N pairs: what a learner believes so far.

use anyhow::Result;

use super::super::trainer::Run;
use super::held_out::HeldOut;
use super::hidden_state::PROBES;
use super::loss_by_pairs::shortened_contexts;
use crate::preset::Preset;
use crate::task::Objective;

/// The first output of the answers to the probe sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct AnswersByPairs {
    /// The model's, by sequence, after 0, 1, …, N pairs; NaN after as many as it cannot read.
    pub model: Vec<Vec<f32>>,
    /// The true answers, by sequence.
    pub targets: Vec<f32>,
}

/// The answers of the present weights; `None` if the model can read only whole contexts, if contexts are too long, and
/// for classes, whose answers are no numbers.
pub fn measure(run: &dyn Run, preset: &Preset, held_out: &HeldOut) -> Result<Option<AnswersByPairs>> {
    let all = held_out.loss_by_pairs_tasks();
    let tasks = all.part(0, PROBES.min(all.size));
    let contexts = shortened_contexts(preset, &tasks);
    if contexts.is_empty() || preset.task.objective() == Objective::CrossEntropy {
        return Ok(None);
    }
    let outputs = tasks.shape.outputs;
    let mut model = vec![Vec::new(); tasks.size];
    for context in contexts {
        let answers = context.map(|context| run.predict(&context)).transpose()?;
        for (sequence, so_far) in model.iter_mut().enumerate() {
            so_far.push(answers.as_ref().map_or(f32::NAN, |answers| answers[sequence * outputs]));
        }
    }
    Ok(Some(AnswersByPairs { model, targets: tasks.target.iter().step_by(outputs).copied().collect() }))
}

#[cfg(test)]
mod tests {
    use crate::preset;
    use crate::reference::Reference;
    use crate::train::{DeviceChoice, Experiment};

    #[test]
    fn constructed_weights_answer_like_one_gradient_step_after_every_pair() {
        let (name, preset) = preset::find("gd-ssm-constructed").unwrap();
        let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
        let answers = experiment.answers_by_pairs().unwrap().unwrap();
        let gd = experiment.references().iter().find(|result| result.tuned.reference == Reference::Gd(1)).unwrap();
        assert_eq!((answers.model.len(), gd.answers_by_pairs.len(), answers.targets.len()), (8, 8, 8));
        for (model, gd) in answers.model.iter().zip(&gd.answers_by_pairs) {
            // Without a pair there is no window.
            assert!(model[0].is_nan() && gd[0] == 0.0 && model.len() == 11 && gd.len() == 11);
            for (model, gd) in model.iter().zip(gd).skip(1) {
                assert!((model - gd).abs() < 1e-4, "{model} {gd}");
            }
        }
    }
}
