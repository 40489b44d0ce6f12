//! The loop: waits for an event, makes it a message, lets the app react, performs the effects, and renders.
//!
//! The one place where app, effects and the clock meet. It sleeps until something happens, and renders only what has
//! changed: at once after a key, at the pacer's rate while training, and no more than the link to the terminal takes.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crossterm::event::Event as Input;
use ratatui::buffer::Buffer;

use super::app::App;
use super::effects::{Effect, EffectRunner};
use super::event::{Event, TERMINAL_LOST};
use super::keymap;
use super::message::{Message, SystemEvent};
use super::mouse;
use super::pacer::{Pacer, Redraw};
use super::screen_file::ScreenFormat;
use super::terminal::{Allowance, Sent};
use super::theme::Theme;
use super::view;

/// Events that are handled before a frame is rendered, so that many of them cannot delay it.
const AT_ONCE: usize = 256;

/// How often what is known of the link is shown anew, while it is shown.
const LINK_EVERY: Duration = Duration::from_secs(1);

pub struct EventLoop<'a> {
    app: &'a mut App,
    effect_runner: EffectRunner,
    theme: Theme,
    events: Receiver<Event>,
    redraw: Redraw,
    pacer: Pacer,
    /// When the last frame was rendered.
    rendered: Instant,
}

impl<'a> EventLoop<'a> {
    pub fn new(app: &'a mut App, effect_runner: EffectRunner, theme: Theme, events: Receiver<Event>) -> Self {
        let now = Instant::now();
        Self { app, effect_runner, theme, events, redraw: Redraw::Now, pacer: Pacer::new(now), rendered: now }
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
        let renders = self.redraw != Redraw::No && self.effect_runner.screen.is_ready();
        let due = renders.then(|| self.pacer.due(self.redraw, Instant::now()));
        let link = self.app.link.filter(|_| self.redraw == Redraw::No).map(|_| self.rendered + LINK_EVERY);
        let wake = [due, link, self.effect_runner.next_timer()].into_iter().flatten().min();
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
        if link.is_some_and(|at| at <= Instant::now()) {
            self.redraw = self.redraw.max(Redraw::Soon);
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
            Event::System(event) => {
                if event == SystemEvent::Continued {
                    self.pacer.resume();
                }
                self.update(Message::System(event));
            }
            Event::Result(result) => self.update(Message::Result(result)),
            Event::Resized => {
                self.pacer.retry();
                self.redraw = Redraw::Now;
            }
            Event::FrameWritten => {}
            Event::StatusReported(at) => self.pacer.reported(at),
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
        let is_due = |pacer: &Pacer, redraw| pacer.due(redraw, now) <= now;
        let screen = &mut self.effect_runner.screen;
        if self.redraw == Redraw::No || !screen.is_ready() || !is_due(&self.pacer, self.redraw) {
            return;
        }
        if self.pacer.measures_round_trip(now) {
            screen.request_status();
            self.pacer.requested(now);
            if !is_due(&self.pacer, self.redraw) {
                return;
            }
        }
        self.app.link = self.app.link.map(|_| self.pacer.link(now));
        let allowance = Allowance { bytes: self.pacer.budget(self.redraw), request_from: self.pacer.request_from() };
        let (app, theme) = (&*self.app, self.theme);
        let drawn = screen.draw(allowance, |frame| view::render(app, theme, frame.area(), frame.buffer_mut()));
        match drawn {
            Ok(Sent { bytes, requested, held_back }) => {
                let now = Instant::now();
                self.rendered = now;
                self.pacer.rendered(now, bytes);
                if requested {
                    self.pacer.requested(now);
                }
                self.redraw = if held_back { Redraw::Rest } else { Redraw::No };
            }
            Err(_) => self.update(terminal_lost()),
        }
    }
}

fn terminal_lost() -> Message {
    Message::System(SystemEvent::Terminate(TERMINAL_LOST))
}
