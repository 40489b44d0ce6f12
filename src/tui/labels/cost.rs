//! What a model pays for one more token, in a sentence: a state that stays as it is, or a cache that grows.

use crate::nn::Cost;
use crate::nn::model::Architecture;
use crate::preset::Preset;
use crate::tui::numbers::count;

/// How much longer than the preset's the context is that the price is compared with.
const LONGER: usize = 10;

/// "token by token it keeps 120 numbers, however long the context, at 1,590 operations a token; …".
pub fn sentence(preset: &Preset) -> String {
    let (shape, layout) = (preset.task.shape(), preset.layout);
    let tokens = layout.tokens(shape);
    let [short, long] = [tokens, LONGER * tokens].map(|tokens| preset.model.costs(shape, layout, tokens));
    let step = short.step.zip(long.step).map(|(short, long)| {
        let text = if short.kept == long.kept {
            format!("keeps {} numbers, however long the context", count(short.kept))
        } else {
            let more = (long.kept - short.kept.min(long.kept)).div_ceil(((LONGER - 1) * tokens).max(1) as u64);
            format!(
                "keeps {} numbers after {tokens} tokens, and {} more with every token",
                count(short.kept),
                count(more)
            )
        };
        format!("token by token it {text}, at {}", operations(short, long, tokens))
    });
    let whole = short.whole.zip(long.whole).map(|(short, long)| {
        let (kept, operations) = (count(short.kept), operations(short, long, tokens));
        match step {
            Some(_) => format!("all {tokens} at once, as in training: {kept} numbers, {operations}"),
            None => format!(
                "it reads all {tokens} tokens at once, and again for every new one: {kept} numbers, {operations}"
            ),
        }
    });
    step.into_iter().chain(whole).collect::<Vec<_>>().join("; ")
}

/// "1,590 operations a token", or how they grow.
fn operations(short: Cost, long: Cost, tokens: usize) -> String {
    let (few, many) = (count(short.flops), count(long.flops));
    // A share of what is done once falls as there are more to share it.
    if long.flops <= short.flops {
        format!("{few} operations a token")
    } else {
        format!("{few} operations for token {tokens} and {many} for token {}", count((LONGER * tokens) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::preset;

    fn said(name: &str) -> String {
        sentence(&preset::find(name).unwrap().1)
    }

    #[test]
    fn a_state_stays_and_a_cache_grows() {
        assert!(said("gd-ssm").starts_with("token by token it keeps 120 numbers, however long the context, at"));
        let cache = said("transformer");
        assert!(
            cache.starts_with("token by token it keeps 1,408 numbers after 11 tokens, and 128 more with every token")
        );
        assert!(cache.contains("for token 11 and") && cache.contains("for token 110"), "{cache}");
        assert!(
            said("mlp").starts_with("it reads all 11 tokens at once, and again for every new one"),
            "{}",
            said("mlp")
        );
    }
}
