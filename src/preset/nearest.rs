//! Names that are like a mistyped one.

use crate::bounds;

/// Names that are shown for one that does not exist.
const SHOWN: usize = 3;
/// Characters of a name that are compared: longer names are not typed by hand, and the comparison is quadratic.
const COMPARED: usize = 64;
/// From this likeness on a name is probably what was meant.
const LIKELY: f64 = 0.6;

/// "did you mean `dim`? ", where one of the names is near.
pub fn near(found: &str, names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    match by_likeness(found, names).first() {
        Some((likeness, name)) if *likeness > LIKELY => format!("did you mean `{}`? ", name.as_ref()),
        Some(_) | None => String::new(),
    }
}

/// "the nearest are `gd-ssm`, `gd-ssm-2` and `gru`".
pub fn nearest(found: &str, names: &[String]) -> String {
    let names: Vec<String> = by_likeness(found, names)
        .into_iter()
        .take(SHOWN)
        .map(|(_, name)| format!("`{}`", bounds::short(name)))
        .collect();
    match names.split_last() {
        Some((last, [])) => format!("the nearest is {last}"),
        Some((last, others)) => format!("the nearest are {} and {last}", others.join(", ")),
        None => "there are none".to_owned(),
    }
}

/// The names and how like they are to another, from 0 to 1, the likest first. Names that are equally like keep their
/// order.
fn by_likeness<N: AsRef<str>>(found: &str, names: impl IntoIterator<Item = N>) -> Vec<(f64, N)> {
    let found = bounds::shortened(found, COMPARED).to_lowercase();
    let likeness = |name: &str| {
        let name = name.to_lowercase();
        // Letters swapped or left out; then a common beginning, which counts for less.
        strsim::normalized_damerau_levenshtein(&found, &name).max(strsim::jaro_winkler(&found, &name) - 0.2)
    };
    let mut scored: Vec<_> = names.into_iter().map(|name| (likeness(name.as_ref()), name)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_nearest_are_named() {
        let names: Vec<String> = ["gd-ssm", "gru", "gd-ssm-2", "mamba", "gd-ssm-sine"].map(str::to_owned).to_vec();
        assert_eq!(nearest("gd-smm", &names), "the nearest are `gd-ssm`, `gd-ssm-2` and `gd-ssm-sine`");
        assert_eq!(nearest("x", &names[1..2]), "the nearest is `gru`");
        assert_eq!(near("mambo", &names), "did you mean `mamba`? ");
        assert_eq!(near("zzzzzz", &names), "");
        assert_eq!(near(&"x".repeat(400_000), &names), "");
    }
}
