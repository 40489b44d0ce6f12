//! The terminal front end: gallery and lab.
//!
//! Event → [`Action`](action::Action) → [`App::update`](app::App::update) → [effects](action::Effect), performed in one
//! place, the loop. Knows nothing of how models are trained: it gives the worker orders and shows its updates.
//!
//! | to change | look in |
//! |---|---|
//! | a key | [`keymap`]: one row |
//! | what a key does | [`app`] |
//! | what a pane shows | `pane`: one file each |
//! | a colour | [`theme`] |
//! | where things stand | [`layout`] |
//! | signals, suspending, leaving | `event`, `terminal`, `event_loop` |

pub mod action;
pub mod app;
mod effect_runner;
mod event;
mod event_loop;
pub mod keymap;
mod labels;
pub mod layout;
mod numbers;
mod pacer;
mod pane;
mod report;
mod terminal;
pub mod theme;
pub mod view;
mod widget;

use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc;

use anyhow::{Context, Result};

use crate::preset;
use crate::session::ResultCache;
use crate::train::DeviceChoice;
use crate::worker::Source;

use action::Effect;
use app::App;
use effect_runner::EffectRunner;
use event_loop::EventLoop;
use terminal::Screen;
use theme::{BackgroundChoice, ColorChoice, Theme};

/// How the front end is to start.
pub struct Options {
    /// What the lab opens on; none: the gallery.
    pub start: Option<Source>,
    pub device: DeviceChoice,
    /// The folder of the saved sessions.
    pub saves: PathBuf,
    pub color: ColorChoice,
    pub background: BackgroundChoice,
}

/// Runs until the person leaves or the process is told to; returns the exit code.
pub fn run(options: Options) -> Result<u8> {
    let variable = |name: &str| std::env::var(name).ok();
    let theme = Theme::new(options.color.depth(variable), options.background.background(variable));
    let (sender, events) = mpsc::channel();
    let mut app = App::new(preset::all(), options.device);
    let choices = [DeviceChoice::Auto, DeviceChoice::Cpu, DeviceChoice::Cuda(0), options.device];
    app.gallery.descriptions = choices.map(|choice| (choice, choice.describe())).to_vec();
    let result_cache = ResultCache::path(|name| std::env::var_os(name));
    let mut effect_runner = EffectRunner::new(options.saves, result_cache, sender.clone());
    // Before the terminal is taken: a signal that comes in between must not leave it taken.
    event::hear_signals(sender.clone())?;
    let screen = Screen::take().context("taking the terminal")?;
    event::read_input(sender)?;
    let first = options.start.map(|source| effect_runner.start(source, options.device));
    let begin = vec![Effect::ListSessions, Effect::ReadLedger];
    let code =
        EventLoop::new(&mut app, &mut effect_runner, screen, theme, events).run(begin, first.into_iter().collect());
    // A terminal that is gone takes no report.
    let mut out = std::io::stdout().lock();
    report::lines(&app).iter().for_each(|line| drop(writeln!(out, "{line}")));
    Ok(code)
}
