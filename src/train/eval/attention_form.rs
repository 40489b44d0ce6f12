//! The two forms of a recurrence that is also an attention, on the probe sequences.

use anyhow::Result;

use super::super::trainer::Run;
use super::held_out::HeldOut;
use super::hidden_state::PROBES;
use crate::nn::AttentionForm;
use crate::preset::Preset;

/// Tokens of a sequence, at most: the weights between tokens grow with their square.
pub const MOST_FORM_TOKENS: usize = 256;

/// Both forms with the present weights; `None` for a network that has no two forms, and for long sequences.
pub fn measure(run: &dyn Run, preset: &Preset, held_out: &HeldOut) -> Result<Option<AttentionForm>> {
    if preset.layout.tokens(preset.task.shape()) > MOST_FORM_TOKENS {
        return Ok(None);
    }
    run.attention_form(&held_out.batch().part(0, PROBES))
}

#[cfg(test)]
mod tests {
    use crate::preset;
    use crate::task::Stream;
    use crate::train::{DeviceChoice, Experiment};

    #[test]
    fn constructed_weights_between_tokens_are_products_of_inputs_with_the_query() {
        for name in ["gd-ssm-constructed", "linear-attention-constructed"] {
            let (name, preset) = preset::find(name).unwrap();
            let mut experiment = Experiment::start(&name, preset, DeviceChoice::Cpu).unwrap();
            let form = experiment.attention_form().unwrap().unwrap();
            assert!(form.difference() < 1e-6, "{name}: {}", form.difference());
            let head = &form.heads[0];
            let batch = experiment.preset.task.sample(1, 0, Stream::HeldOut, 0);
            let (dim, context) = (batch.shape.dim, batch.shape.context);
            let row = head.of_sequence(0).chunks(head.tokens).next_back().unwrap();
            // Targets stand at every second token, or in the same token as their inputs.
            let place = |pair: usize| if head.tokens > context + 1 { 2 * pair + 1 } else { pair };
            for pair in 0..context {
                let x = &batch.x[pair * dim..][..dim];
                let product: f32 = x.iter().zip(&batch.query[..dim]).map(|(x, query)| x * query).sum();
                assert!((row[place(pair)] - product).abs() < 1e-4, "{name} {pair}: {} {product}", row[place(pair)]);
            }
        }
    }
}
