//! Runs and sweeps as files that other programs read.
//!
//! One file per format. What is measured for a file is measured by [`crate::headless`]; nothing is computed here that
//! the reports do not have.
//!
//! | ending | content | file |
//! |---|---|---|
//! | `.csv` | curves, one row per bucket of steps | `csv.rs` |
//! | `.npz` | weights and curves for NumPy | `npz.rs` |
//! | `.safetensors` | weights for PyTorch and JAX, with the preset | `safetensors.rs` |
//! | `.svg` | loss and the losses of the references | `svg.rs`, with `chart.rs` |
//! | `.html` | a report on one page | `html.rs`, with `chart.rs`, `heatmap.rs` |
//! | a folder | curves for TensorBoard | `tensorboard.rs` |

mod bands;
mod chart;
pub mod csv;
mod heatmap;
pub mod html;
pub mod npz;
pub mod safetensors;
pub mod svg;
pub mod tensorboard;

use std::path::Path;

use serde_json::Value;

use crate::bounds;
use crate::reference::Reference;
use crate::session::Session;
use crate::sweep::{Outcome, RunSpec};
use crate::train::{ClaimCheck, Snapshot};

/// What a file can be, by the ending of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Npz,
    Safetensors,
    Svg,
    Html,
    /// A folder of event files.
    TensorBoard,
}

impl Format {
    /// By the ending of a name; a name that ends in `/` or has no ending is a folder.
    ///
    /// # Errors
    /// Another ending; the message names those that are allowed.
    pub fn of(path: &Path) -> Result<Self, String> {
        let name = path.as_os_str().to_string_lossy();
        if name.ends_with('/') {
            return Ok(Self::TensorBoard);
        }
        match path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("npz") => Ok(Self::Npz),
            Some("safetensors") => Ok(Self::Safetensors),
            Some("svg") => Ok(Self::Svg),
            Some("html") => Ok(Self::Html),
            None => Ok(Self::TensorBoard),
            Some(_) => Err(format!(
                "{}: the ending says what is written: .csv, .npz, .safetensors, .svg or .html; a name that ends in / \
                 is a folder for TensorBoard",
                bounds::line(&name)
            )),
        }
    }
}

/// A run with what is measured of its present weights.
pub struct MeasuredRun<'a> {
    pub session: &'a Session,
    /// The object that `innerloop train --json` prints.
    pub report: Value,
    /// Relative prediction difference to each reference that equals no simpler one.
    pub distances: Vec<(Reference, f64)>,
    /// Claims about the step that the run is at.
    pub claims: Vec<ClaimCheck>,
    pub snapshot: Snapshot,
    /// Fields that differ from the named preset; none if there is no preset of that name.
    pub changed: Option<Vec<String>>,
    /// Version and commit of this program.
    pub version: &'a str,
}

/// The runs of a sweep that have ended.
pub struct EndedRuns<'a> {
    /// The name of its folder.
    pub title: String,
    pub runs: &'a [(RunSpec, Outcome)],
    /// Runs that are planned.
    pub planned: usize,
    /// The summary over seeds, as the command prints it: a head and a row for each combination.
    pub summary: Vec<Vec<String>>,
    /// Version and commit of this program.
    pub version: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_says_what_is_written() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!(of("a/b.csv"), Ok(Format::Csv));
        assert_eq!(of("b.SVG"), Ok(Format::Svg));
        for folder in ["logs", "logs/", "a.b/", "./a/b"] {
            assert_eq!(of(folder), Ok(Format::TensorBoard), "{folder}");
        }
        let error = of("x.pt").unwrap_err();
        assert!(error.starts_with("x.pt: ") && error.contains(".safetensors"), "{error}");
    }
}
