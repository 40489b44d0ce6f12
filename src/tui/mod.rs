//! The terminal front end: gallery, lab and lessons.
//!
//! Event → [`Message`](message::Message) → [`App::update`](app::App::update) → [effects](effects::Effect), performed in
//! one place. Knows nothing of how models are trained: it gives the worker orders and shows its updates.
//!
//! | to change | look in |
//! |---|---|
//! | a key | [`keymap`]: one row |
//! | what a key does | [`message`], [`app`] |
//! | what a pane shows | [`pane`]: one file each |
//! | a colour | [`theme`] |
//! | the areas of the screen | [`layout`] |
//! | signals, suspending, leaving | `event`, `terminal`, `effects` |

pub mod app;
pub mod capabilities;
mod device_status;
pub mod effects;
mod event;
mod event_loop;
mod glossary;
pub mod glyphs;
mod input;
pub mod keymap;
mod labels;
pub mod layout;
mod layouts;
mod listing;
pub mod message;
pub mod mouse;
mod output;
pub mod pacer;
pub mod pane;
mod piecewise;
mod report;
mod screen_file;
mod terminal;
pub mod theme;
pub mod view;
mod widget;

use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result};

use crate::lesson::{self, Lesson};
use crate::numbers;
use crate::preset;
use crate::session::ResultCache;
use crate::train::DeviceChoice;
use crate::worker::{Order, Source};

use app::{App, Ended, SweepScreen};
use capabilities::{BackgroundChoice, ColorChoice, Palette};
use effects::{Effect, EffectRunner, Places};
use event::Event;
use event_loop::EventLoop;
use glyphs::GlyphChoice;
use message::SystemEvent;
use terminal::Screen;
use theme::Theme;

/// How the front end starts.
pub struct Options {
    /// What the lab opens on, one run or several; none: the gallery.
    pub start: Vec<Source>,
    /// A session to show that another program trains, or a folder of sessions; nothing is started then.
    pub watch: Option<PathBuf>,
    /// The folder of a sweep to show; nothing is started then.
    pub sweep: Option<PathBuf>,
    /// The lesson to open, with its name; nothing is started then.
    pub lesson: Option<(String, Lesson)>,
    /// The step to stop at, instead of the preset's last.
    pub stop_at: Option<u64>,
    pub device: DeviceChoice,
    /// The folder of the saved sessions.
    pub saves: PathBuf,
    pub color: ColorChoice,
    pub background: BackgroundChoice,
    pub glyphs: GlyphChoice,
    pub palette: Palette,
    /// Start with the view for a projector.
    pub projector: bool,
    /// Report what the mouse does.
    pub mouse: bool,
}

/// Runs until the user leaves or a signal ends the process; returns the exit code.
///
/// # Errors
/// The terminal cannot be used, or a thread cannot be started.
pub fn run(options: Options) -> Result<u8> {
    let variable = |name: &str| std::env::var(name).ok();
    let theme = Theme::new(options.color.depth(variable), options.background.background(variable))
        .with_glyphs(options.glyphs.glyphs(variable))
        .with_palette(options.palette);
    // What is wrong with it is said before the terminal is taken.
    if let Some(path) = keymap::path(|name| std::env::var_os(name)) {
        keymap::use_table(keymap::read(&path)?);
    }
    let (sender, events) = mpsc::channel();
    let mut app = App::new(preset::all(), options.device);
    app.projector = options.projector;
    app.gallery.set_lessons(lesson::all());
    if let Some((name, lesson)) = options.lesson {
        app.open_lesson(name, lesson);
    }
    let mut choices = DeviceChoice::all();
    if !choices.contains(&options.device) {
        choices.push(options.device);
    }
    app.gallery.descriptions = choices.into_iter().map(|choice| (choice, choice.describe())).collect();
    // Before the terminal is taken: a signal that comes in between must not leave it in raw mode.
    event::read_signals(sender.clone())?;
    let frames = sender.clone();
    let written = move |result: std::io::Result<()>| {
        let lost = Event::System(SystemEvent::Terminate(event::TERMINAL_LOST));
        // The receiver is gone only while the program ends.
        let _ = frames.send(if result.is_ok() { Event::FrameWritten } else { lost });
    };
    let screen = Screen::take(options.mouse, written).context("taking the terminal")?;
    event::read_input(sender.clone())?;
    let places = Places { saves: options.saves, results: ResultCache::path(|name| std::env::var_os(name)) };
    let effect_runner = EffectRunner::new(screen, places, sender);
    let mut sources = options.start;
    if let Some(folder) = options.sweep {
        app.sweep = Some(SweepScreen::new(Ended::read(folder)?));
    }
    let start = match (options.watch, sources.len()) {
        (Some(path), _) => Some(Effect::Watch(path, options.device)),
        (None, 0 | 1) => sources.pop().map(|source| Effect::Start(source, options.device)),
        (None, _) => Some(Effect::StartSeveral(sources, options.device)),
    };
    let stop_at = options.stop_at.map(|step| Effect::Order(Order::StopAt(step)));
    // A list would compete with a run; leaving the lab lists anyway.
    let list = start.is_none().then_some(Effect::ListSessions);
    let effects =
        start.into_iter().chain(stop_at).chain(list).chain([Effect::ReadResults, Effect::ReadAnswered]).collect();
    let code = EventLoop::new(&mut app, effect_runner, theme, events).run(effects);
    terminal::print_lines(&report::lines(&app));
    Ok(code)
}
