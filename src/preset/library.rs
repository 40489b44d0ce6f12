//! Where presets are found: the folder `presets/` where there is one, else the copies inside the program.

use anyhow::Result;

use super::Preset;

/// A preset with the name it is known by.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file's name without `.ron`.
    pub name: String,
    /// The preset, or one line on what is wrong with its file.
    pub preset: Result<Preset, String>,
}

/// Every preset, by family and then by name.
pub fn all() -> Vec<Entry> {
    todo!()
}

/// A preset by name or by path.
pub fn find(_name_or_path: &str) -> Result<(String, Preset)> {
    todo!()
}
