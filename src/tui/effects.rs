//! What the app asks for, and the one place that does it: with the training thread, the saved sessions, the terminal.
//!
//! Knows nothing of the app: an effect carries all that performing it needs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::app::Ended;
use super::event::{Event, TERMINAL_LOST};
use super::listing::{self, Lister};
use super::message::{EffectResult, Message, SystemEvent};
use super::screen_file::{self, ScreenFormat};
use super::terminal::Screen;
use crate::lesson::{Answered, Outcome};
use crate::preset::Preset;
use crate::session::{self, ClaimRecord, ResultCache};
use crate::system;
use crate::train::DeviceChoice;
use crate::worker::{Order, Source, Update, Worker};

/// What [`App::update`](super::app::App::update) asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Train from the start of a preset, or from where a session ended.
    Start(Source, DeviceChoice),
    /// Train several runs at once.
    StartSeveral(Vec<Source>, DeviceChoice),
    /// Read a session and start it.
    OpenSession(PathBuf, DeviceChoice),
    /// Show a session that another program trains: a file, or the latest one in a folder.
    Watch(PathBuf, DeviceChoice),
    ListSessions,
    /// Read sessions that are to stand beside the run.
    ReadKept(Vec<PathBuf>),
    /// Read the folder of a sweep.
    ReadSweep(PathBuf),
    /// Give the file of a session another name.
    Rename(PathBuf, String),
    /// Delete the file of a session.
    Delete(PathBuf),
    ReadResults,
    /// Store what a run of a preset came to.
    RecordResult(String, Arc<Preset>, ClaimRecord),
    ReadAnswered,
    /// Store what came of a lesson.
    RecordAnswer(String, Outcome),
    Order(Order),
    /// Save the run to its file; a run without one gets a new file in the folder of sessions.
    Save,
    /// Write the present screen to a new file with this name in the folder of sessions.
    WriteScreen {
        name: String,
        format: ScreenFormat,
    },
    /// Send this event after this time, instead of any other one like it.
    StartTimer(Duration, SystemEvent),
    /// End the training thread.
    Close,
    /// Give the terminal to the shell, and stop the whole job: Ctrl-Z.
    SuspendJob,
    /// Give the terminal to the shell, and stop this process, because a signal asked for it.
    Suspend,
    Repaint,
    /// Leave the program with this exit code.
    Exit(u8),
}

/// Where the front end reads and writes.
pub struct Places {
    /// The folder of saved sessions.
    pub saves: PathBuf,
    /// The file of earlier results of presets; `None` where the environment names no folder for it.
    pub results: Option<PathBuf>,
}

/// Receives the updates of a run.
type Post = Box<dyn Fn(Update) + Send>;

pub struct EffectRunner {
    pub screen: Screen,
    places: Places,
    events: Sender<Event>,
    worker: Option<Worker>,
    lister: Lister,
    /// Numbers the runs, so that a late update of an earlier run is recognised.
    run: u64,
    /// Events that are due at a time.
    timers: Vec<(Instant, SystemEvent)>,
    /// The job was stopped by a key, and the signal of that has not been received yet.
    stopping_job: bool,
    /// The exit code, once the program is to end.
    pub exit: Option<u8>,
}

impl EffectRunner {
    pub fn new(screen: Screen, places: Places, events: Sender<Event>) -> Self {
        let (worker, lister) = (None, Lister::default());
        Self { screen, places, events, worker, lister, run: 0, timers: Vec::new(), stopping_job: false, exit: None }
    }

    /// Whether an update comes from the run that is open.
    pub fn is_current(&self, run: u64) -> bool {
        self.worker.is_some() && run == self.run
    }

    /// When the next timer ends.
    pub fn next_timer(&self) -> Option<Instant> {
        self.timers.iter().map(|(at, _)| *at).min()
    }

    /// Takes an event whose time has come.
    pub fn due(&mut self) -> Option<SystemEvent> {
        let now = Instant::now();
        let place = self.timers.iter().position(|(at, _)| *at <= now)?;
        Some(self.timers.swap_remove(place).1)
    }

    /// Performs an effect; returns its result where it has one. `screen_as` gives the present screen as a file's
    /// content.
    pub fn perform(&mut self, effect: Effect, screen_as: &dyn Fn(ScreenFormat) -> String) -> Option<Message> {
        let result = match effect {
            Effect::Start(source, device) => {
                let title = source.preset().title.clone();
                self.start(title, || Ok(source), device)
            }
            Effect::StartSeveral(sources, device) => {
                let titles = sources.iter().map(|source| source.preset().title.clone()).collect();
                self.replace(String::new(), |post| Worker::start_several(sources, device, post));
                EffectResult::SeveralStarted(titles)
            }
            Effect::OpenSession(path, device) => {
                let title = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                self.start(title, move || Ok(Source::Session(path.clone(), Box::new(session::load(&path)?))), device)
            }
            Effect::Watch(path, device) => {
                let title = path.display().to_string();
                self.replace(title, |post| Worker::watch(path, device, post))
            }
            Effect::ListSessions => {
                self.lister.start(self.places.saves.clone(), self.events.clone());
                return None;
            }
            Effect::ReadKept(paths) => {
                listing::read_kept(paths, self.events.clone());
                return None;
            }
            Effect::ReadSweep(folder) => {
                let ended = Ended::read(folder).map(Box::new).map_err(|error| format!("{error:#}"));
                EffectResult::SweepRead(ended)
            }
            Effect::Rename(path, name) => {
                EffectResult::Renamed(session::rename(&path, &name).map_err(|error| format!("{error:#}")))
            }
            Effect::Delete(path) => {
                EffectResult::Deleted(session::delete(&path).map(|()| path).map_err(|error| format!("{error:#}")))
            }
            Effect::ReadResults => EffectResult::ResultsRead(ResultCache::read(self.places.results.as_ref()?), now()),
            Effect::RecordResult(name, preset, record) => {
                // Nothing depends on it, so a failure is not reported.
                let _ = ResultCache::record(self.places.results.as_ref()?, (&name, &preset), record, now());
                return None;
            }
            Effect::ReadAnswered => {
                EffectResult::AnsweredRead(Answered::read(&self.places.saves).map_err(|error| format!("{error:#}")))
            }
            Effect::RecordAnswer(lesson, outcome) => {
                let stored = Answered::store(&self.places.saves, &lesson, outcome);
                EffectResult::AnsweredRead(stored.map_err(|error| format!("not recorded: {error:#}")))
            }
            Effect::Order(order) => return self.order(order),
            Effect::Save => return self.order(Order::Save { folder: self.places.saves.clone() }),
            Effect::WriteScreen { name, format } => {
                let written = screen_file::write_new(&self.places.saves, &name, format, &screen_as(format));
                let folder = self.places.saves.display();
                EffectResult::ScreenWritten(written.map_err(|error| format!("{folder}: {error}")))
            }
            Effect::StartTimer(after, event) => {
                self.timers.retain(|(_, other)| *other != event);
                self.timers.push((Instant::now() + after, event));
                return None;
            }
            Effect::Close => {
                self.worker = None;
                return None;
            }
            Effect::SuspendJob => {
                self.stopping_job = true;
                return self.on_screen(|screen| screen.suspend(system::terminal::stop_job));
            }
            Effect::Suspend if std::mem::take(&mut self.stopping_job) => return None,
            Effect::Suspend => return self.on_screen(|screen| screen.suspend(system::terminal::stop_self)),
            Effect::Repaint => return self.on_screen(Screen::retake),
            Effect::Exit(code) => {
                self.exit = Some(code);
                return None;
            }
        };
        Some(Message::Result(result))
    }

    /// Starts a run from what `read` returns, which is called in the training thread.
    fn start(
        &mut self,
        title: String,
        read: impl FnOnce() -> Result<Source> + Send + 'static,
        device: DeviceChoice,
    ) -> EffectResult {
        self.replace(title, |post| Worker::open(read, device, post))
    }

    /// One run at a time: the last one ends before the next takes its cores.
    fn replace(&mut self, title: String, start: impl FnOnce(Post) -> Worker) -> EffectResult {
        self.lister.stop();
        self.worker = None;
        self.run += 1;
        let (run, events) = (self.run, self.events.clone());
        let post: Post = Box::new(move |update| {
            // The receiver is gone only while the program ends.
            let _ = events.send(Event::Updated(run, Box::new(update)));
        });
        self.worker = Some(start(post));
        EffectResult::Started { title }
    }

    fn order(&self, order: Order) -> Option<Message> {
        self.worker.iter().for_each(|worker| worker.order(order.clone()));
        None
    }

    /// A screen that cannot be written to is gone.
    fn on_screen(&mut self, change: fn(&mut Screen) -> io::Result<()>) -> Option<Message> {
        change(&mut self.screen).is_err().then_some(Message::System(SystemEvent::Terminate(TERMINAL_LOST)))
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_secs())
}
