//! What is shown of a lesson before it is opened: all but its answer.

use ratatui::text::Line;

use super::{section, unreadable};
use crate::bounds::printable;
use crate::lesson::{Entry, Lesson, Outcome};
use crate::tui::app::Gallery;
use crate::tui::theme::Theme;
use crate::tui::widget::wrap::wrap;

pub fn lines(entry: &Entry, gallery: &Gallery, theme: Theme, width: usize) -> Vec<Line<'static>> {
    match &entry.lesson {
        Ok(lesson) => lesson_lines(&entry.name, lesson, gallery, theme, width),
        Err(why) => unreadable(&entry.name, why, theme, width),
    }
}

fn lesson_lines(name: &str, lesson: &Lesson, gallery: &Gallery, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let question = wrap(&printable(&lesson.question), width);
    let mut lines: Vec<Line> = question.into_iter().map(|row| Line::styled(row, theme.focus())).collect();
    lines.push(Line::default());
    lines.extend(section("", &lesson.background, theme, width));
    let how = "Choose an answer or skip the choice, watch the experiment, and see which answer is right.";
    lines.extend(section("", how, theme, width));
    lines.extend(section("Trains", &lesson.preset_names().join(", "), theme, width));
    let seen = match gallery.answered.outcome(name) {
        Some(Outcome::Right) => "Answered right the last time.",
        Some(Outcome::Wrong) => "Not answered right the last time.",
        Some(Outcome::Skipped) => "Seen without an answer.",
        None => "Not seen yet.",
    };
    lines.push(Line::styled(seen, theme.muted()));
    lines
}
