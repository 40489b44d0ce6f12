//! The world outside that effects act on: the training thread, the saved sessions, the way out.

use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Instant, SystemTime};

use super::action::{Action, Effect};
use super::event::Event;
use crate::session::{self, ResultCache};
use crate::train::DeviceChoice;
use crate::worker::{Opened, Order, Source, Worker};

pub struct EffectRunner {
    saves: PathBuf,
    /// What presets came to on this machine; none where there is no place for it.
    result_cache: Option<PathBuf>,
    events: Sender<Event>,
    worker: Option<Worker>,
    /// Numbers the runs, so that a late update of one that was left is told apart.
    run: u64,
    /// When a save that leaving waits for is overdue.
    pub deadline: Option<Instant>,
    /// The exit code, once the program is to end.
    pub exit: Option<u8>,
}

impl EffectRunner {
    pub fn new(saves: PathBuf, result_cache: Option<PathBuf>, events: Sender<Event>) -> Self {
        Self { saves, result_cache, events, worker: None, run: 0, deadline: None, exit: None }
    }

    /// Whether an update comes from the run that is open.
    pub fn is_current(&self, run: u64) -> bool {
        self.worker.is_some() && run == self.run
    }

    /// Starts a run and says so.
    pub fn start(&mut self, source: Source, device: DeviceChoice) -> Action {
        let title = match &source {
            Source::Preset(_, preset) => preset.title.clone(),
            Source::Session(_, session) => session.preset.title.clone(),
        };
        // One run at a time: the last one ends before the next takes its cores.
        self.worker = None;
        self.run += 1;
        let (run, events) = (self.run, self.events.clone());
        let post = move |update| {
            // Nobody listens any more only while the program ends.
            let _ = events.send(Event::Updated(run, Box::new(update)));
        };
        self.worker = Some(Worker::start(source, device, post));
        Action::Started { title }
    }

    /// Performs an effect; what came of it may be an action in its turn. `opened` is the run in the lab.
    pub fn perform(&mut self, effect: Effect, opened: Option<&Opened>, device: DeviceChoice) -> Option<Action> {
        match effect {
            Effect::StartPreset(name, preset) => Some(self.start(Source::Preset(name, preset), device)),
            Effect::OpenSession(path) => Some(match session::load(&path) {
                Ok(session) => self.start(Source::Session(path, Box::new(session)), device),
                Err(error) => Action::OpenFailed(format!("{error:#}")),
            }),
            Effect::ListSessions => Some(Action::SessionsListed(list(&self.saves))),
            Effect::ReadLedger => {
                self.result_cache.as_ref().map(|path| Action::LedgerRead(ResultCache::read(path), now()))
            }
            Effect::Note(name, preset, outcome) => {
                // Nobody waits for it, and nothing depends on it.
                let _ =
                    self.result_cache.as_ref().map(|path| ResultCache::record(path, (&name, &preset), outcome, now()));
                None
            }
            Effect::Order(order) => self.order(order),
            Effect::Save => opened.and_then(|opened| self.order(Order::Save(save_file(&self.saves, opened)))),
            Effect::SaveWithin(limit) => {
                self.deadline = Some(Instant::now() + limit);
                match opened {
                    Some(opened) => self.order(Order::Save(save_file(&self.saves, opened))),
                    None => Some(Action::SaveOverdue),
                }
            }
            Effect::Close => {
                self.worker = None;
                None
            }
            Effect::Leave(code) => {
                self.exit = Some(code);
                None
            }
            // The loop's own: they concern the screen.
            Effect::Suspend | Effect::Repaint => None,
        }
    }

    fn order(&self, order: Order) -> Option<Action> {
        self.worker.iter().for_each(|worker| worker.order(order.clone()));
        None
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// The sessions in a folder, each with its age in seconds.
fn list(saves: &Path) -> Vec<(session::Summary, u64)> {
    let now = SystemTime::now();
    let age = |modified| now.duration_since(modified).map_or(0, |age| age.as_secs());
    session::list(saves).into_iter().map(|summary| (age(summary.modified), summary)).map(|(age, s)| (s, age)).collect()
}

/// The file that a run was opened from or saved to before, else a new one that says what it is:
/// `gd-ssm-seed0.ron`, and with `-2`, `-3`, … where that is taken.
fn save_file(saves: &Path, opened: &Opened) -> PathBuf {
    if let Some(file) = &opened.file {
        return file.clone();
    }
    // A preset given as a path has slashes in its name; a file's name has none.
    let name: String = opened.name.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '-' }).collect();
    let stem = format!("{}-seed{}", name.trim_matches('-'), opened.seed);
    let numbered = (2..).map(|n: u32| saves.join(format!("{stem}-{n}.ron")));
    let mut candidates = std::iter::once(saves.join(format!("{stem}.ron"))).chain(numbered);
    candidates.find(|path| !path.exists()).unwrap_or_else(|| saves.join(format!("{stem}.ron")))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::sync::Arc;

    use super::save_file;
    use crate::worker::Opened;

    fn opened(name: &str) -> Opened {
        let (_, preset) = crate::preset::find("gd-ssm").unwrap();
        Opened {
            name: name.to_owned(),
            preset: Arc::new(preset),
            seed: 7,
            file: None,
            device: "cpu".to_owned(),
            parameters: 0,
            references: vec![],
        }
    }

    #[test]
    fn a_new_save_takes_no_other_ones_place_and_an_old_one_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut run = opened("../odd name");
        let first = save_file(folder.path(), &run);
        assert_eq!(first, folder.path().join("odd-name-seed7.ron"));
        fs::write(&first, "").unwrap();
        assert_eq!(save_file(folder.path(), &run), folder.path().join("odd-name-seed7-2.ron"));
        run.file = Some(Path::new("elsewhere.ron").to_owned());
        assert_eq!(save_file(folder.path(), &run), Path::new("elsewhere.ron"));
    }
}
