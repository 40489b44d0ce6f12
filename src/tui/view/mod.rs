//! The whole screen: `&App` to buffer.
//!
//! No channel, no clock, no I/O: the same app at the same size gives the same screen.

mod answer;
mod details;
mod editor;
mod gallery;
mod help;
mod lab;
mod lesson;
mod link;
mod projector;
mod sessions;
mod status;
mod sweep;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Widget, Wrap};

use super::app::{App, Intent, Lab, LessonPhase};
use super::keymap::{self, Mode};
use super::numbers::count;
use super::theme::{Role, Theme};
use super::widget::{hints, panel};
use crate::worker::Phase;

/// Columns and rows below which only a message is shown.
const LEAST: (u16, u16) = (20, 6);

pub fn render(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let theme = if app.projector { theme.with_high_contrast() } else { theme };
    render_unicode(app, theme, area, buffer);
    theme.glyphs().apply(buffer);
}

fn render_unicode(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = "innerloop needs a larger window";
        return Paragraph::new(text).wrap(Wrap { trim: true }).render(area, buffer);
    }
    let footer = render_screen(app, theme, area, buffer);
    if let Some(screen) = app.lesson.as_ref().filter(|screen| screen.phase == LessonPhase::Answer) {
        lesson::render_answer(screen, theme, area, buffer);
    }
    if let Some(editor) = &app.editor {
        editor::render(editor, theme, area, buffer);
    }
    render_footer(app, theme, footer, buffer);
    if let Some(scrolled) = app.help {
        help::render(app, scrolled, theme, area, buffer);
    }
    sessions::render_rename(&app.gallery, theme, area, buffer);
    if let Some(path) = &app.gallery.deleting {
        sessions::render_delete(path, theme, area, buffer);
    }
    if app.question.is_some() {
        render_question(app, theme, area, buffer);
    }
}

/// Renders what fills the screen, and returns the footer's area.
fn render_screen(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    if let Some(screen) = app.lesson.as_ref().filter(|screen| screen.phase == LessonPhase::Question) {
        return lesson::render_question(screen, theme, area, buffer);
    }
    match (&app.lab, &app.sweep) {
        (Some(lab), _) if app.projector => projector::render(lab, theme, area, buffer),
        (Some(lab), _) => lab::render(lab, theme, area, buffer),
        (None, Some(screen)) => sweep::render(screen, theme, area, buffer),
        (None, None) => gallery::render(&app.gallery, theme, area, buffer),
    }
}

/// The latest notice, else the link where it is shown, else the keys that matter now.
fn render_footer(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let notice = app.after_save.map(|_| "saving …").or(app.notice.as_deref()).map(|notice| notice.replace('\n', " "));
    match notice.or_else(|| app.link.as_ref().map(link::text)) {
        Some(text) if area.width > 1 => {
            let line = Line::styled(text, theme.focus());
            buffer.set_line(area.x + 1, area.y, &line, area.width - 1);
        }
        _ => hints::render(footer_hints(app).into_iter(), theme, area, buffer),
    }
}

/// Help comes last, where the footer never drops it.
fn footer_hints(app: &App) -> Vec<(&'static str, &'static str)> {
    let status = app.lab.as_ref().and_then(|lab| lab.status.as_ref());
    let stopped = matches!(app.mode(), Mode::Lab | Mode::Lesson | Mode::Values)
        && status.is_some_and(|status| status.phase != Phase::Running);
    // As long as the word it replaces, so that the hints beside it do not move.
    let now = |(key, word)| if stopped && word == "pause" { (key, "train") } else { (key, word) };
    // For a projector, only what a lecture needs.
    let large = app.projector && matches!(app.mode(), Mode::Lab | Mode::Lesson);
    // A run that another program trains is only looked at.
    let watched = app.lab.as_ref().is_some_and(Lab::is_watched);
    let shown = |(key, _): &(&str, &str)| {
        (!large || ["Enter", "Space", "?"].contains(key)) && !(watched && ["Space", "[ ]", "e", "Enter"].contains(key))
    };
    let all = keymap::hints(app.mode()).filter(shown).map(now);
    let (help, mut hints): (Vec<_>, Vec<_>) = all.partition(|(key, _)| *key == "?");
    hints.extend(large.then_some(("v", "all panes")));
    hints.truncate(hints::MOST - help.len());
    hints.extend(help);
    hints
}

fn render_question(app: &App, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let runs = || app.lab.iter().flat_map(Lab::every_run);
    let said = match runs().find(|lab| lab.is_rewound()) {
        Some(lab) => format!("The run is back at step {}; what followed is not saved.", count(lab.progress().0)),
        None => match runs().map(Lab::unsaved_steps).sum() {
            1 => "One step is not saved.".to_owned(),
            steps => format!("{} steps are not saved.", count(steps)),
        },
    };
    let mut lines = vec![Line::from(said), Line::default()];
    lines.extend(
        keymap::bindings(Mode::Question).filter(|row| row.hint.is_some()).map(|row| {
            Line::from(vec![Span::styled(format!("{:<8}", row.shown()), theme.focus()), Span::raw(row.help)])
        }),
    );
    let title = match app.question {
        Some(Intent::LeaveLab) => "Back to the gallery?",
        Some(Intent::Restart(None)) => "Restart?",
        Some(Intent::Restart(Some(_))) => "Restart with the next seed?",
        Some(Intent::StartEdited) => "Start with the changed fields?",
        Some(Intent::Exit(_)) | None => "Quit?",
    };
    panel::render(title, lines, theme.role(Role::Warning), 40, area, buffer);
}
