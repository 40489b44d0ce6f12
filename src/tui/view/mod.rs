//! The whole picture: `&App` to buffer.
//!
//! No channel, no clock, no I/O: the same app at the same size is the same picture.

mod answer;
mod card;
mod gallery;
mod help;
mod lab;
mod status;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::app::App;
use super::keymap::{self, Mode};
use super::theme::{Role, Theme};
use super::widget::{hints, panel};
use crate::worker::Phase;

/// In less than this nothing can be said but that.
const LEAST: (u16, u16) = (20, 6);

pub fn render(app: &App, theme: Theme, frame: &mut Frame) {
    let area = frame.area();
    draw(app, theme, area, frame.buffer_mut());
}

/// The same into a buffer.
pub fn draw(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let labels = "innerloop needs a larger window";
        return Paragraph::new(labels).wrap(Wrap { trim: true }).render(area, buffer);
    }
    let footer = match &app.lab {
        Some(lab) => lab::draw(lab, theme, area, buffer),
        None => gallery::draw(&app.gallery, theme, area, buffer),
    };
    draw_footer(app, theme, footer, buffer);
    if let Some(scrolled) = app.help {
        help::draw(scrolled, theme, area, buffer);
    }
    if app.question.is_some() {
        draw_question(app, theme, area, buffer);
    }
}

/// What was said last, else the keys that matter now.
fn draw_footer(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let saying = app.leaving.map(|_| "saving …").or(app.notice.as_deref());
    match saying {
        Some(text) if area.width > 1 => {
            let line = Line::styled(text.replace('\n', " "), theme.focus());
            buffer.set_line(area.x + 1, area.y, &line, area.width - 1);
        }
        _ => hints::draw(footer_hints(app).into_iter(), theme, area, buffer),
    }
}

/// Help stands last, where the footer never drops it.
fn footer_hints(app: &App) -> Vec<(&'static str, &'static str)> {
    let status = app.lab.as_ref().and_then(|lab| lab.status.as_ref());
    let rests = app.mode() == Mode::Lab && status.is_some_and(|status| status.phase != Phase::Running);
    // As long as the word it replaces, so that its neighbours stay.
    let now = |(key, word)| if rests && word == "pause" { (key, "go on") } else { (key, word) };
    let (help, mut hints): (Vec<_>, Vec<_>) = keymap::hints(app.mode()).map(now).partition(|(key, _)| *key == "?");
    hints.truncate(hints::MOST - help.len());
    hints.extend(help);
    hints
}

fn draw_question(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let step = app.lab.as_ref().and_then(|lab| lab.status.as_ref()).map_or(0, |status| status.step);
    let mut lines = vec![Line::from(format!("{} steps are not saved.", super::numbers::count(step))), Line::default()];
    lines.extend(
        keymap::rows(Mode::Question).filter(|row| row.hint.is_some()).map(|row| {
            Line::from(vec![Span::styled(format!("{:>5}  ", row.shown), theme.focus()), Span::raw(row.help)])
        }),
    );
    panel::draw("Unsaved work", lines, theme.role(Role::Warning), 40, area, buffer);
}
