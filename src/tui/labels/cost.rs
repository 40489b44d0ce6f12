//! The memory and the operations of a model per token, in a sentence: a state of fixed size, or a cache that grows.

use crate::nn::Cost;
use crate::nn::model::Architecture;
use crate::preset::Preset;
use crate::tui::numbers::count;

/// The cost is compared with that at a context so many times as long as the preset's.
const LONGER: usize = 10;

/// "8 numbers at any context length; 62 operations per token. …"
pub fn sentence(preset: &Preset) -> String {
    let (shape, layout) = (preset.task.shape(), preset.layout);
    let tokens = layout.tokens(shape);
    let [short, long] = [tokens, LONGER * tokens].map(|tokens| preset.model.costs(shape, layout, tokens));
    let step = short.step.zip(long.step).map(|(short, long)| {
        let kept = if short.kept == long.kept {
            format!("{} numbers at any context length", count(short.kept))
        } else {
            let more = (long.kept - short.kept.min(long.kept)).div_ceil(((LONGER - 1) * tokens).max(1) as u64);
            format!("{} numbers after {tokens} tokens, {} more per token", count(short.kept), count(more))
        };
        format!("{kept}; {}.", operations(short, long, tokens))
    });
    let whole = short.whole.zip(long.whole).map(|(short, long)| {
        let reads = match step {
            Some(_) => "at once, as in training",
            None => "at once, and again with every new token",
        };
        format!("{} numbers for all {tokens} tokens {reads}; {}.", count(short.kept), operations(short, long, tokens))
    });
    step.into_iter().chain(whole).collect::<Vec<_>>().join(" ")
}

/// "1,590 operations per token", or how they grow.
fn operations(short: Cost, long: Cost, tokens: usize) -> String {
    let (few, many) = (count(short.flops), count(long.flops));
    // What is done once per context is shared by more tokens.
    if long.flops <= short.flops {
        format!("{few} operations per token")
    } else {
        format!("{few} operations for token {tokens}, {many} for token {}", count((LONGER * tokens) as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::sentence;
    use crate::preset;

    fn shown(name: &str) -> String {
        sentence(&preset::find(name).unwrap().1)
    }

    #[test]
    fn a_state_stays_and_a_cache_grows() {
        assert!(shown("gd-ssm").starts_with("120 numbers at any context length; "), "{}", shown("gd-ssm"));
        let cache = shown("transformer");
        assert!(cache.starts_with("1,408 numbers after 11 tokens, 128 more per token; "), "{cache}");
        assert!(cache.contains("for token 11,") && cache.contains("for token 110"), "{cache}");
        assert!(shown("mlp").contains(" at once, and again with every new token; "), "{}", shown("mlp"));
    }
}
