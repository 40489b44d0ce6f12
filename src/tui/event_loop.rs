//! The loop: waits for an event, makes it a message, lets the app react, performs the effects, and renders.
//!
//! The one place where app, effects and the clock meet. It sleeps until something happens, and renders only what has
//! changed: at once after a key, at the pacer's rate while training.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use crossterm::event::Event as Input;
use ratatui::buffer::Buffer;

use super::app::App;
use super::effects::{Effect, EffectRunner};
use super::event::{Event, TERMINAL_LOST};
use super::keymap;
use super::message::{Message, SystemEvent};
use super::mouse;
use super::pacer::Pacer;
use super::screen_file::ScreenFormat;
use super::theme::Theme;
use super::view;

/// Events that are handled before a frame is rendered, so that many of them cannot delay it.
const AT_ONCE: usize = 256;

/// How soon the next frame must be rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Redraw {
    No,
    Soon,
    Now,
}

pub struct EventLoop<'a> {
    app: &'a mut App,
    effect_runner: EffectRunner,
    theme: Theme,
    events: Receiver<Event>,
    redraw: Redraw,
    pacer: Pacer,
}

impl<'a> EventLoop<'a> {
    pub fn new(app: &'a mut App, effect_runner: EffectRunner, theme: Theme, events: Receiver<Event>) -> Self {
        Self { app, effect_runner, theme, events, redraw: Redraw::Now, pacer: Pacer::new(Instant::now()) }
    }

    /// Performs these effects, and runs until the app leaves; returns the exit code.
    pub fn run(mut self, effects: Vec<Effect>) -> u8 {
        self.perform(effects);
        loop {
            if let Some(code) = self.effect_runner.exit {
                return code;
            }
            self.render_if_due();
            self.wait();
        }
    }

    /// Handles what has happened; sleeps until something does, or until a frame or a timer is due.
    fn wait(&mut self) {
        // A terminal that has not taken the last frame is not waited for: `FrameWritten` will come, or never.
        let due = (self.redraw != Redraw::No && self.effect_runner.screen.is_ready()).then(|| self.pacer.next());
        let wake = [due, self.effect_runner.next_timer()].into_iter().flatten().min();
        let event = match wake {
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(at) => self.events.recv_timeout(at.saturating_duration_since(Instant::now())),
        };
        match event {
            Ok(event) => self.handle(event),
            Err(RecvTimeoutError::Timeout) => {}
            // No thread is left that could send an event.
            Err(RecvTimeoutError::Disconnected) => self.update(terminal_lost()),
        }
        for _ in 0..AT_ONCE {
            let Ok(event) = self.events.try_recv() else { break };
            self.handle(event);
        }
        while let Some(event) = self.effect_runner.due() {
            self.update(Message::System(event));
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Input(input) => self.input(input),
            Event::Updated(run, update) if self.effect_runner.is_current(run) => self.update(Message::Worker(update)),
            Event::Updated(..) => {}
            Event::System(event) => self.update(Message::System(event)),
            Event::Result(result) => self.update(Message::Result(result)),
            Event::Resized => self.redraw = Redraw::Now,
            Event::FrameWritten => {}
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Key(key) => {
                let action = keymap::action(self.app.mode(), &key);
                action.into_iter().for_each(|action| self.update(Message::Key(action)));
            }
            // Pasted text is text and never keys: it goes where text is typed or is dropped.
            Input::Paste(text) => {
                let mode = self.app.mode();
                text.chars().filter_map(|c| mode.typed(c)).for_each(|action| self.update(Message::Key(action)));
            }
            Input::Resize(..) => self.redraw = Redraw::Now,
            Input::Mouse(event) => {
                let action = mouse::action(self.app, &event, self.effect_runner.screen.area());
                action.into_iter().for_each(|action| self.update(Message::Key(action)));
            }
            Input::FocusGained | Input::FocusLost => {}
        }
    }

    /// Lets the app react to a message, and to the results of its effects.
    fn update(&mut self, message: Message) {
        self.redraw = self.redraw.max(match message {
            Message::Worker(_) => Redraw::Soon,
            Message::Key(_) | Message::Result(_) | Message::System(_) => Redraw::Now,
        });
        let effects = self.app.update(message);
        self.perform(effects);
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let (app, theme, area) = (&*self.app, self.theme, self.effect_runner.screen.area());
            let screen_as = |format: ScreenFormat| {
                let mut buffer = Buffer::empty(area);
                view::render(app, theme, area, &mut buffer);
                format.content(&buffer, theme.background())
            };
            let result = self.effect_runner.perform(effect, &screen_as);
            result.into_iter().for_each(|message| self.update(message));
        }
    }

    fn render_if_due(&mut self) {
        let now = Instant::now();
        let too_soon = self.redraw == Redraw::Soon && now < self.pacer.next();
        if self.redraw == Redraw::No || too_soon || !self.effect_runner.screen.is_ready() {
            return;
        }
        self.redraw = Redraw::No;
        match self.effect_runner.screen.draw(|frame| {
            let area = frame.area();
            view::render(self.app, self.theme, area, frame.buffer_mut());
        }) {
            Ok(bytes) => self.pacer.rendered(Instant::now(), bytes),
            Err(_) => self.update(terminal_lost()),
        }
    }
}

fn terminal_lost() -> Message {
    Message::System(SystemEvent::Terminate(TERMINAL_LOST))
}
