//! The folder of a sweep: its plan, the files of its runs, and who works on a run.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{Outcome, Plan, RunSpec};
use crate::bounds;
use crate::preset;

/// Bytes of a plan at most.
const LARGEST_PLAN: u64 = 16 << 20;

/// A folder that holds a sweep.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

/// Says that this process works on a run, for as long as it lives.
#[derive(Debug)]
pub struct RunLock {
    _file: File,
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
        for part in ["runs", "locks"] {
            fs::create_dir_all(path.join(part)).with_context(|| name.clone())?;
        }
        write_whole(&folder.plan_path(), preset::pretty(plan)?.as_bytes()).with_context(|| name.clone())?;
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

    /// Keeps what a run came to: whole or not at all.
    pub fn keep_outcome(&self, run: &RunSpec, outcome: &Outcome) -> Result<()> {
        let path = self.outcome_path(run);
        write_whole(&path, serde_json::to_string(outcome)?.as_bytes()).with_context(|| printed(&path))
    }

    /// Takes a run for this process; none if another one works on it.
    pub fn lock(&self, run: &RunSpec) -> Result<Option<RunLock>> {
        let path = self.path.join("locks").join(&run.name);
        let file = File::create(&path).with_context(|| printed(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(RunLock { _file: file })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            // A file system without locks: nothing can be said, and one process is the ordinary case.
            Err(fs::TryLockError::Error(_)) => Ok(Some(RunLock { _file: file })),
        }
    }

    /// Writes a table, such as `results.csv`, whole or not at all.
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        write_whole(&path, content).with_context(|| printed(&path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn printed(path: &Path) -> String {
    bounds::line(&path.display().to_string())
}

/// Until the new file is complete on disk, the previous one stands.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".innerloop-").suffix(".tmp").tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
