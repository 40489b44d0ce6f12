//! The table of results in Markdown: a row for each preset, over its seeds.

use super::job::{Outcome, Trained};
use super::short;
use crate::numbers::percent;
use crate::preset::Preset;
use crate::reference::Reference;
use crate::uncertainty::{mean_and_deviation, with_error};

/// The first lines of the table.
pub const HEAD: &str = "| preset | parameters | seeds | loss | GD-1 | best reference | nearest | claims held |\n\
                        |---|---|---|---|---|---|---|---|\n";

/// A preset's row. The loss is the mean over the seeds ± their standard deviation; for one seed, ± the standard error
/// over the held-out tasks.
pub fn row(name: &str, preset: &Preset, outcomes: &[Outcome]) -> String {
    let results: Vec<&Trained> = outcomes.iter().filter_map(|outcome| outcome.result.as_ref()).collect();
    let losses: Vec<f64> = results.iter().map(|result| result.loss).collect();
    let (mean, deviation) = mean_and_deviation(&losses);
    let spread = if let [only] = results[..] { only.loss_standard_error } else { deviation };
    let first = results.first();
    let descent = first.and_then(|result| result.descent_loss).map_or_else(String::new, short);
    let best = first.and_then(|result| result.best);
    let best = best.map_or_else(String::new, |(reference, loss)| format!("{reference} {}", short(loss)));
    let held = preset.claims.iter().enumerate().filter(|(place, claim)| {
        let held = outcomes.iter().filter(|outcome| outcome.checks[*place].held).count();
        claim.holds_for(held, outcomes.len())
    });
    format!(
        "| `{name}` | {} | {} | {} | {descent} | {best} | {} | {} of {} |\n",
        preset.parameters(),
        outcomes.len(),
        with_error(mean, spread),
        nearest(&results),
        held.count(),
        preset.claims.len()
    )
}

/// "gd-1 1.20 %"; with several seeds the most frequent one, with how often, where it is not always the same.
fn nearest(results: &[&Trained]) -> String {
    let mut counts: Vec<(Option<Reference>, usize)> = Vec::new();
    for result in results {
        let name = result.nearest.map(|(reference, _)| reference);
        match counts.iter_mut().find(|(other, _)| *other == name) {
            Some((_, count)) => *count += 1,
            None => counts.push((name, 1)),
        }
    }
    // Of those that are equally frequent the first that came.
    let Some((name, count)) = counts.into_iter().rev().max_by_key(|(_, count)| *count) else { return String::new() };
    let distances = results.iter().filter_map(|result| result.nearest.filter(|(other, _)| Some(*other) == name));
    let (distance, _) = mean_and_deviation(&distances.map(|(_, distance)| distance).collect::<Vec<_>>());
    let text = name.map_or_else(|| "none".to_owned(), |name| format!("{name} {}", percent(distance)));
    if count == results.len() { text } else { format!("{text} ({count} of {})", results.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_nearest_reference_is_named_with_its_share() {
        let trained =
            |nearest| Trained { loss: 1.0, loss_standard_error: 0.1, descent_loss: None, best: None, nearest };
        let (one, two) = (trained(Some((Reference::Gd(1), 0.01))), trained(Some((Reference::Gd(1), 0.03))));
        let far = trained(None);
        assert_eq!(nearest(&[&one, &two]), "gd-1 2.0 %");
        assert_eq!(nearest(&[&far, &one, &two]), "gd-1 2.0 % (2 of 3)");
        assert_eq!(nearest(&[&far]), "none");
        assert_eq!(nearest(&[]), "");
    }
}
