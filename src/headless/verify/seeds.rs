//! The seeds that presets are verified with.

use std::str::FromStr;

use crate::preset::Preset;

/// Seeds at most: each is a whole training.
const MOST: usize = 1000;

/// Which seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// So many, from the preset's own on.
    Count(u64),
    /// These.
    List(Vec<u64>),
}

impl Seeds {
    /// The seeds for a preset.
    pub fn of(&self, preset: &Preset) -> Vec<u64> {
        match self {
            Self::Count(count) => (0..*count).map(|more| preset.train.seed.wrapping_add(more)).collect(),
            Self::List(seeds) => seeds.clone(),
        }
    }
}

impl FromStr for Seeds {
    type Err = String;

    /// "5" is a number of seeds, "11,12,13" and "11," are lists.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| format!("{text:?} is not a whole number"));
        let seeds = if text.contains(',') {
            let parts = text.split(',').filter(|part| !part.trim().is_empty());
            Self::List(parts.map(number).collect::<Result<_, _>>()?)
        } else {
            Self::Count(number(text)?)
        };
        let count = match &seeds {
            Self::Count(count) => usize::try_from(*count).unwrap_or(usize::MAX),
            Self::List(list) => list.len(),
        };
        if (1..=MOST).contains(&count) {
            Ok(seeds)
        } else {
            Err(format!("give 1 to {MOST} seeds: a number of them, such as 5, or a list, such as 11,12,13"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_counts_and_a_list_names() {
        assert_eq!("5".parse(), Ok(Seeds::Count(5)));
        assert_eq!("11, 12,13".parse(), Ok(Seeds::List(vec![11, 12, 13])));
        assert_eq!("11,".parse(), Ok(Seeds::List(vec![11])));
        for wrong in ["", "0", ",", "-1", "a", "1,b", "1001"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong}");
        }
    }
}
