//! The loop: waits for an event, lets the app react, performs what it asks for, and draws.
//!
//! The one place where effects, the clock and the terminal meet. It sleeps until something happens, and draws only what
//! has changed: at once after a key, at the pacer's rate while training.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use crossterm::event::Event as Input;

use super::action::{Action, Effect};
use super::app::App;
use super::effect_runner::EffectRunner;
use super::event::Event;
use super::keymap::{self, Mode};
use super::pacer::Pacer;
use super::terminal::Screen;
use super::theme::Theme;
use super::view;

/// Exit codes above this one tell of a signal.
const SIGNALLED: u8 = 128;

/// Events that are taken in before a frame is drawn, so that a flood of them cannot hold it up.
const AT_ONCE: usize = 256;

/// How soon the picture must be brought up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Redraw {
    No,
    Soon,
    Now,
}

pub struct EventLoop<'a> {
    pub app: &'a mut App,
    pub effect_runner: &'a mut EffectRunner,
    pub screen: Screen,
    pub theme: Theme,
    pub events: Receiver<Event>,
    redraw: Redraw,
    pacer: Pacer,
}

impl<'a> EventLoop<'a> {
    pub fn new(
        app: &'a mut App,
        effect_runner: &'a mut EffectRunner,
        screen: Screen,
        theme: Theme,
        events: Receiver<Event>,
    ) -> Self {
        Self { app, effect_runner, screen, theme, events, redraw: Redraw::Now, pacer: Pacer::new(Instant::now()) }
    }

    /// Runs until the app leaves, beginning with these actions and, after the first picture, these effects; returns the exit code.
    pub fn run(mut self, effects: Vec<Effect>, actions: Vec<Action>) -> u8 {
        actions.into_iter().for_each(|action| self.act(action));
        // Nobody waits for a list of sessions to see the first picture.
        self.draw_if_due();
        self.redraw = Redraw::Now;
        self.perform(effects);
        loop {
            if let Some(code) = self.effect_runner.exit {
                return code;
            }
            self.draw_if_due();
            self.wait();
        }
    }

    /// Takes in what has happened; sleeps until something does, or until a frame or a deadline is due.
    fn wait(&mut self) {
        let due = (self.redraw != Redraw::No).then(|| self.pacer.next());
        let wake = [due, self.effect_runner.deadline].into_iter().flatten().min();
        let event = match wake {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.events.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(event) => self.handle(event),
            Err(RecvTimeoutError::Timeout) => {}
            // Both threads and the worker are gone; nothing will ever come.
            Err(RecvTimeoutError::Disconnected) => self.act(Action::Terminate(SIGNALLED + 1)),
        }
        for _ in 0..AT_ONCE {
            let Ok(event) = self.events.try_recv() else { break };
            self.handle(event);
        }
        if self.effect_runner.deadline.is_some_and(|at| at <= Instant::now()) {
            self.effect_runner.deadline = None;
            self.act(Action::SaveOverdue);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.input(input),
            Event::Updated(run, update) if self.effect_runner.is_current(run) => {
                self.redraw = self.redraw.max(Redraw::Soon);
                self.act(Action::Updated(update));
            }
            Event::Updated(..) => {}
            Event::Resized => self.redraw = Redraw::Now,
            Event::Continued => self.perform(vec![Effect::Repaint]),
            // A terminal that is gone is what SIGHUP tells of.
            Event::InputLost => self.act(Action::Terminate(SIGNALLED + 1)),
            Event::Terminated(signal) => self.act(Action::Terminate(SIGNALLED.saturating_add(signal as u8))),
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Key(key) => {
                if let Some(action) = keymap::action(self.app.mode(), &key) {
                    self.redraw = Redraw::Now;
                    self.act(action);
                }
            }
            // Pasted text is text, never keys: it belongs in a search or nowhere.
            Input::Paste(text) if self.app.mode() == Mode::Search => {
                self.redraw = Redraw::Now;
                text.chars().for_each(|c| self.act(Action::Type(c)));
            }
            Input::Resize(..) => self.redraw = Redraw::Now,
            Input::Paste(_) | Input::Mouse(_) | Input::FocusGained | Input::FocusLost => {}
        }
    }

    /// Lets the app react to an action, and to what its effects lead to.
    fn act(&mut self, action: Action) {
        let effects = self.app.update(action);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let outcome = match effect {
                Effect::Suspend => self.on_screen(Screen::suspend),
                Effect::Repaint => self.on_screen(Screen::retake),
                other => {
                    let opened = self.app.lab.as_ref().and_then(|lab| lab.opened.as_ref());
                    self.effect_runner.perform(other, opened, self.app.gallery.device)
                }
            };
            outcome.into_iter().for_each(|action| self.act(action));
        }
    }

    fn draw_if_due(&mut self) {
        let now = Instant::now();
        if self.redraw == Redraw::No || (self.redraw == Redraw::Soon && now < self.pacer.next()) {
            return;
        }
        self.redraw = Redraw::No;
        match self.screen.draw(|frame| view::render(self.app, self.theme, frame)) {
            Ok(bytes) => self.pacer.drew(Instant::now(), bytes),
            Err(_) => self.act(Action::Terminate(SIGNALLED + 1)),
        }
    }

    /// Does something to the screen that leaves it to be painted afresh. A screen that cannot be written to is gone.
    fn on_screen(&mut self, change: fn(&mut Screen) -> io::Result<()>) -> Option<Action> {
        self.redraw = Redraw::Now;
        change(&mut self.screen).is_err().then_some(Action::Terminate(SIGNALLED + 1))
    }
}
