//! A preset: one experiment, as a commented RON file; how presets are found, checked and changed by `--set`.

mod claim;
mod library;
mod nearest;
mod overrides;
mod parse_error;
mod ron_file;
mod ron_spans;
mod shift;
mod solvable;

pub use claim::{Claim, Quantity};
pub use library::{
    Entry, FOLDER, LARGEST, all, all_in, find, find_in, is_name, is_path, load, names, ron_files, stem, understand,
};
pub use nearest::nearest;
pub use overrides::{SetError, allowed, differences, keys, overridden, set, settings, values};
pub use parse_error::ParseError;
pub use ron_file::{parse, pretty, read_bounded};
pub use ron_spans::{find as find_field, opens_with};

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::bounds;
use crate::nn::model::{Architecture, ModelSpec};
use crate::optim::TrainSpec;
use crate::reference::Reference;
use crate::task::{Layout, Task};

/// One experiment: a model, a task, how it is trained, and texts about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The title: "GD-SSM".
    #[serde(deserialize_with = "bounds::text")]
    pub title: String,
    pub family: Family,
    /// One line for the list.
    #[serde(deserialize_with = "bounds::text")]
    pub summary: String,
    /// The recurrence or map in Unicode mathematics, a line each.
    #[serde(deserialize_with = "bounds::text")]
    pub recurrence: String,
    /// What the model is, in a paragraph.
    #[serde(deserialize_with = "bounds::text")]
    pub about: String,
    /// What to look for on the screen while it trains.
    #[serde(deserialize_with = "bounds::text")]
    pub look_for: String,
    /// What the trained model should show.
    #[serde(deserialize_with = "bounds::text")]
    pub expect: String,
    pub task: Task,
    pub layout: Layout,
    pub model: ModelSpec,
    pub train: TrainSpec,
    /// The references whose lines the lab draws.
    pub references: Vec<Reference>,
    /// The expected results, as `innerloop verify` checks them.
    #[serde(default)]
    pub claims: Vec<Claim>,
}

/// The families that the gallery sorts presets into, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Family {
    FirstLesson,
    StateSpace,
    Attention,
    FastWeights,
    Recurrent,
    FeedForward,
    Optimiser,
}

impl Family {
    pub fn title(self) -> &'static str {
        match self {
            Self::FirstLesson => "First lesson",
            Self::StateSpace => "State-space models",
            Self::Attention => "Attention",
            Self::FastWeights => "Fast weights",
            Self::Recurrent => "Recurrent networks",
            Self::FeedForward => "Feed-forward",
            Self::Optimiser => "Optimisers",
        }
    }
}

/// Bytes of tokens, states and parameters that a run may need on any machine. The memory of the present machine is
/// checked when a run is opened.
const MEMORY: u128 = 64 << 30;
/// Sequences of a batch that are counted for that; a GPU holds larger batches in part.
const HELD_WHOLE: usize = 65_536;

/// "12 GiB", "300 MiB".
pub fn size(bytes: u128) -> String {
    if bytes < 10 << 30 {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    } else {
        format!("{} GiB", bytes.div_ceil(1 << 30))
    }
}

impl Preset {
    /// Checks fields together: model, task and layout fit each other, and the run fits into memory.
    pub fn check(&self) -> Result<()> {
        let shape = self.task.shape();
        if let Some(unmeasured) = self.references.iter().find(|reference| !Reference::ALL.contains(reference)) {
            bail!("references: {unmeasured} is not measured; allowed: {:?}", Reference::ALL);
        }
        self.claims.iter().try_for_each(Claim::check)?;
        self.task.check(self.layout)?;
        self.model.check(shape, self.layout)?;
        solvable::check(self)?;
        self.fits(self.train.batch.min(HELD_WHOLE), MEMORY, "a preset")
    }

    /// Checks that a run needs at most this many bytes of a device that holds a whole batch, as the CPU does; `by`
    /// allows them.
    pub fn fits_into(&self, most: u128, by: &str) -> Result<()> {
        self.fits(self.train.batch, most, by)
    }

    fn fits(&self, batch: usize, most: u128, by: &str) -> Result<()> {
        let (shape, bytes) = (self.task.shape(), self.bytes(batch.max(bounds::HELD_OUT)));
        ensure!(
            bytes <= most,
            "d {}, N {} and batch {} together need about {}; {by} allows {}: \
             make task.dim, task.context or train.batch smaller",
            shape.dim,
            shape.context,
            self.train.batch,
            size(bytes),
            size(most)
        );
        Ok(())
    }

    /// The same for what every run needs: to measure the held-out tasks. A GPU trains on batches that it holds in part.
    pub fn measuring_fits_into(&self, most: u128, by: &str) -> Result<()> {
        let (shape, bytes) = (self.task.shape(), self.bytes(bounds::HELD_OUT));
        ensure!(
            bytes <= most,
            "d {} and N {} together need about {}; {by} allows {}: make task.dim or task.context smaller",
            shape.dim,
            shape.context,
            size(bytes),
            size(most)
        );
        Ok(())
    }

    /// About how many bytes a run needs.
    pub fn memory(&self) -> u128 {
        self.bytes(self.train.batch.max(bounds::HELD_OUT))
    }

    /// About how many bytes of tokens, states and parameters a run needs for so many sequences; what the references
    /// need comes to a few times that of the held-out tasks.
    fn bytes(&self, sequences: usize) -> u128 {
        let shape = self.task.shape();
        let tokens = (self.layout.tokens(shape) * self.layout.width(shape)) as u128;
        let batch = sequences as u128;
        // Parameters are held with their gradient and two moments.
        4 * (batch * (tokens + self.model.activations(shape, self.layout))
            + 4 * self.model.parameters(shape, self.layout))
    }

    /// A hash of all that determines a run's numbers: it is the same for two presets that differ in their texts only.
    pub fn fingerprint(&self) -> String {
        // FNV-1a: no standard hasher promises the same value in the next release.
        let text = ron::to_string(&(&self.task, self.layout, &self.model, &self.train)).unwrap_or_default();
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        format!("{hash:016x}")
    }

    /// Floating-point operations of the model for one query: all tokens, read at once if it can. `None` if it has no
    /// cost for that.
    pub fn query_flops(&self) -> Option<u64> {
        let (shape, tokens) = (self.task.shape(), self.layout.tokens(self.task.shape()));
        let costs = self.model.costs(shape, self.layout, tokens);
        costs.whole.or(costs.step).map(|cost| cost.flops.saturating_mul(tokens as u64))
    }

    /// The number of parameters of the model, counted in numbers.
    pub fn parameters(&self) -> usize {
        self.model.parameters(self.task.shape(), self.layout) as usize
    }
}
