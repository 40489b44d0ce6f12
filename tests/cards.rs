//! Numbers in the texts of presets that are losses of references: each is what is measured.

mod support;

use std::collections::BTreeMap;

use innerloop::preset::{self, Preset};
use innerloop::reference::Reference;
use innerloop::train::{DeviceChoice, Experiment, ReferenceResult};

/// What stands before such a number.
fn phrases() -> Vec<(String, Reference)> {
    let named = [
        ("predicting zero", Reference::Zero),
        ("zero", Reference::Zero),
        ("GD++", Reference::GdPlusPlus),
        ("ridge", Reference::Ridge),
        ("the Kalman filter", Reference::Kalman),
    ];
    let steps = [1, 2, 3, 5, 10].map(|k| (format!("GD-{k}"), Reference::Gd(k)));
    let names = named.map(|(name, reference)| (name.to_owned(), reference)).into_iter().chain(steps);
    names
        .flat_map(|(name, reference)| ["has", "costs", "with"].map(|verb| (format!("{name} {verb} 0."), reference)))
        .collect()
}

/// The decimals that begin a text.
fn decimals(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    &text[..end]
}

fn measured(preset: &Preset) -> Vec<ReferenceResult> {
    // The model does not matter: a batch of one and no step.
    Experiment::start("card", preset.clone(), DeviceChoice::Cpu).expect("a start").references().to_vec()
}

#[test]
fn losses_of_references_in_the_cards_are_those_that_are_measured() {
    let mut known: BTreeMap<String, Vec<ReferenceResult>> = BTreeMap::new();
    let mut checked = 0;
    for entry in preset::all_in(&support::root().join("presets")) {
        let preset = entry.preset.expect("a preset of our own");
        let text = [&*preset.about, &preset.look_for, &preset.expect].join(" ");
        for (phrase, reference) in phrases() {
            for (place, _) in text.match_indices(&phrase) {
                let digits = decimals(&text[place + phrase.len()..]);
                let said: f64 = format!("0.{digits}").parse().expect("a number");
                let references = known.entry(format!("{:?}", preset.task)).or_insert_with(|| measured(&preset));
                let result = references.iter().find(|result| result.tuned.reference == reference).expect("it");
                let half = 0.5 * 10f64.powi(-(digits.len() as i32));
                let off = (said - result.loss).abs();
                assert!(off <= half * 1.001, "{}: \"{phrase}{digits}\", but it is {}", entry.name, result.loss);
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "only {checked} numbers were found");
}

#[test]
fn a_gru_with_and_without_attention_is_claimed_to_lie_in_the_same_interval() {
    let claims = |name: &str| {
        let (_, preset) = preset::find_in(&support::root().join("presets"), name).expect("a preset");
        let shared =
            |claim: &preset::Claim| matches!(claim.measure, preset::Quantity::LossGap | preset::Quantity::LossOver(_));
        preset.claims.into_iter().filter(shared).collect::<Vec<_>>()
    };
    assert_eq!(claims("gru"), claims("gru-attention"), "\"as without attention\" is claimed by equal bounds");
}
