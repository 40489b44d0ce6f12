//! The folder of a sweep: its plan, and the files of its runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Outcome, Plan, RunSpec};
use crate::bounds;
use crate::preset;
use crate::system::files::{self, Existing};

/// Bytes of a plan at most.
const LARGEST_PLAN: u64 = 16 << 20;

/// A folder that holds a sweep.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Puts a plan into a folder, which is made if it is missing; a folder that has the same plan is continued.
    ///
    /// # Errors
    /// The folder holds another plan, or files that are no sweep; it cannot be written.
    pub fn begin(path: &Path, plan: &Plan) -> Result<Self> {
        let (folder, name) = (Self { path: path.to_owned() }, printed(path));
        if folder.plan_path().exists() {
            if folder.plan()? != *plan {
                bail!("{name} holds another sweep: give another folder to --out, or repeat that sweep's options");
            }
            return Ok(folder);
        }
        let used = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some());
        if used {
            bail!("{name} is not empty and holds no sweep: give an empty or a new folder to --out");
        }
        fs::create_dir_all(path.join("runs")).with_context(|| name.clone())?;
        files::write(&folder.plan_path(), &preset::pretty(plan)?, Existing::Keep).with_context(|| name.clone())?;
        Ok(folder)
    }

    /// A folder that holds a sweep already.
    ///
    /// # Errors
    /// There is no plan in it.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Self { path: path.to_owned() };
        if !folder.plan_path().is_file() {
            bail!("{} holds no sweep: there is no plan.ron in it", printed(path));
        }
        Ok(folder)
    }

    pub fn plan(&self) -> Result<Plan> {
        let path = self.plan_path();
        preset::parse(&path.display().to_string(), &preset::read_bounded(&path, LARGEST_PLAN)?)
    }

    fn plan_path(&self) -> PathBuf {
        self.path.join("plan.ron")
    }

    /// The session file of a run.
    pub fn session(&self, run: &RunSpec) -> PathBuf {
        self.path.join("runs").join(format!("{}.ron", run.name))
    }

    fn outcome_path(&self, run: &RunSpec) -> PathBuf {
        self.path.join("runs").join(format!("{}.json", run.name))
    }

    /// What a run came to; none if it has not ended.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn outcome(&self, run: &RunSpec) -> Result<Option<Outcome>> {
        let path = self.outcome_path(run);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(serde_json::from_str(&text).with_context(|| printed(&path))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| printed(&path)),
        }
    }

    /// The runs that have ended, in the order of the plan, and how many are planned.
    pub fn ended(&self) -> Result<(Vec<(RunSpec, Outcome)>, usize)> {
        let runs = self.plan()?.runs()?;
        let planned = runs.len();
        let mut ended = Vec::new();
        for run in runs {
            if let Some(outcome) = self.outcome(&run)? {
                ended.push((run, outcome));
            }
        }
        Ok((ended, planned))
    }

    /// Keeps what a run came to: whole or not at all.
    pub fn keep_outcome(&self, run: &RunSpec, outcome: &Outcome) -> Result<()> {
        let path = self.outcome_path(run);
        files::write(&path, &serde_json::to_string(outcome)?, Existing::Replace).with_context(|| printed(&path))
    }

    /// Writes a table, such as `results.csv`, whole or not at all.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path.join(name);
        files::write(&path, text, Existing::Replace).with_context(|| printed(&path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn printed(path: &Path) -> String {
    bounds::line(&path.display().to_string())
}
