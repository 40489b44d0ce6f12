//! What a lesson shows beside the lab: the question with its answers, the caption of a stage, and the answer.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Padding, Widget};

use crate::bounds::printable;
use crate::lesson::Outcome;
use crate::preset::Claim;
use crate::tui::app::{Caption, LessonScreen};
use crate::tui::labels::claims;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::{first_that_fits, wrap};

/// Columns of a text at most: longer lines are hard to read.
const WIDEST: u16 = 92;

/// Renders the question with its answers and returns the footer's area.
pub fn render_question(screen: &LessonScreen, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let [above, footer] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(area);
    let width = usize::from(above.width.min(WIDEST).saturating_sub(4));
    let lesson = &screen.lesson;
    let mut lines = question(screen, theme, width);
    lines.push(Line::default());
    lines.extend(wrap(&printable(&lesson.background), width).into_iter().map(Line::from));
    lines.push(Line::default());
    lines.push(Line::styled("What do you expect? Choose an answer, then watch the experiment.", theme.muted()));
    lines.push(Line::default());
    for (place, answer) in lesson.answers.iter().enumerate() {
        let selected = place == screen.selected;
        let style = if selected { theme.selected().patch(theme.focus()) } else { Style::new() };
        let mark = if selected { "▸" } else { " " };
        lines.extend(numbered(mark, place, &answer.text, "", style, width));
    }
    let panel = panel(above, lines.len(), 3);
    let inner = bordered(&format!(" Lesson {} ", lesson.number), theme, panel, buffer);
    for (row, line) in (inner.top()..inner.bottom()).zip(lines) {
        buffer.set_line(inner.x, row, &line, inner.width);
    }
    footer
}

/// A frame around so many lines in the middle of an area, with one part in `parts` of the height that is left above it.
fn panel(area: Rect, lines: usize, parts: u16) -> Rect {
    let height = (lines as u16 + 2).min(area.height);
    Rect {
        x: area.x + area.width.saturating_sub(WIDEST) / 2,
        y: area.y + (area.height - height) / parts,
        width: area.width.min(WIDEST),
        height,
    }
}

/// The caption of a stage: two lines of text, and which stage it is or that a key goes on.
pub fn render_caption(caption: &Caption, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height == 0 || area.width < 4 {
        return;
    }
    let width = usize::from(area.width - 2);
    let mut lines: Vec<Line> =
        wrap(&printable(&caption.look_for), width).into_iter().map(|row| Line::styled(row, theme.focus())).collect();
    let place = format!("stage {} of {}", caption.stage.0, caption.stage.1);
    let last = caption.is_last();
    let (text, style) = match (caption.waits, last) {
        (true, true) => ("The experiment has ended. Enter shows the answer.", theme.selected().patch(theme.focus())),
        (true, false) => ("Training pauses. Enter goes on.", theme.selected().patch(theme.focus())),
        (false, _) => ("", theme.muted()),
    };
    lines.truncate(usize::from(area.height.saturating_sub(1)).max(1));
    let end = Line::from(vec![Span::styled(format!("{place}  "), theme.muted()), Span::styled(text, style)]);
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width - 1);
    }
    if area.height > 1 {
        buffer.set_line(area.x + 1, area.bottom() - 1, &end, area.width - 1);
    }
}

/// Renders the answer over the lab: which answer is right, why, and what was measured in these runs.
pub fn render_answer(screen: &LessonScreen, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let above = Rect { height: area.height.saturating_sub(1), ..area };
    let width = usize::from(above.width.min(WIDEST).saturating_sub(4));
    let inside = usize::from(above.height.saturating_sub(2));
    let mut lines = answer_lines(screen, theme, width, Answers::All);
    if lines.len() > inside {
        lines = answer_lines(screen, theme, width, Answers::RightAndChosen);
        // Empty lines go where all is visible without them.
        let empty = lines.iter().filter(|line| line.width() == 0).count();
        if lines.len() > inside && lines.len() - empty <= inside {
            lines.retain(|line| line.width() > 0);
        }
    }
    let panel = panel(above, lines.len(), 2);
    Clear.render(panel, buffer);
    let inner = bordered(&format!(" Lesson {}: the answer ", screen.lesson.number), theme, panel, buffer);
    let furthest = lines.len().saturating_sub(usize::from(inner.height));
    if furthest > 0 && panel.height > 0 {
        let more = Line::styled(" ↑ ↓ scroll ", theme.title());
        let place = panel.right().saturating_sub(more.width() as u16 + 2);
        buffer.set_line(place, panel.bottom() - 1, &more, more.width() as u16);
    }
    for (row, line) in (inner.top()..inner.bottom()).zip(lines.iter().skip(screen.scrolled.min(furthest))) {
        buffer.set_line(inner.x, row, line, inner.width);
    }
}

/// Which of the answers are shown again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    All,
    RightAndChosen,
}

fn answer_lines(screen: &LessonScreen, theme: Theme, width: usize, answers: Answers) -> Vec<Line<'static>> {
    let lesson = &screen.lesson;
    let mut lines = question(screen, theme, width);
    lines.push(Line::default());
    for (place, answer) in lesson.answers.iter().enumerate() {
        let chosen = screen.chosen == Some(place);
        if answers == Answers::RightAndChosen && !answer.right && !chosen {
            continue;
        }
        let (mark, style) = match (answer.right, chosen) {
            (true, _) => ("✓", theme.focus()),
            (false, true) => ("✗", theme.role(Role::Warning)),
            (false, false) => (" ", theme.muted()),
        };
        let after = if chosen { "  ← your answer" } else { "" };
        lines.extend(numbered(mark, place, &answer.text, after, style, width));
    }
    lines.push(Line::default());
    lines.extend(wrap(&printable(&lesson.reveal), width).into_iter().map(Line::from));
    lines.push(Line::default());
    lines.push(Line::styled("Measured in these runs, on all held-out tasks:", theme.muted()));
    let several = lesson.presets.len() > 1;
    for (experiment, claim) in lesson.claims() {
        lines.push(claim_line(screen, if several { experiment } else { "" }, (experiment, claim), theme, width));
    }
    lines
}

/// "✓ gd-ssm: predictions differ from GD-1's  1.4 %  at most 3 %"
fn claim_line(
    screen: &LessonScreen,
    name: &str,
    (experiment, claim): (&str, &Claim),
    theme: Theme,
    width: usize,
) -> Line<'static> {
    let check = screen.check(experiment, claim);
    let style = match check.as_ref().map(|check| check.held) {
        Some(true) => theme.focus(),
        Some(false) => theme.role(Role::Warning).patch(theme.focus()),
        None => theme.muted(),
    };
    let value = check.as_ref().map_or_else(|| "not measured".to_owned(), |check| claims::value(claim, check.value));
    let shift = if claim.set.is_empty() { String::new() } else { format!(" at {}", claims::shift(claim)) };
    let name = if name.is_empty() { String::new() } else { format!("{}: ", printable(name)) };
    let mark = format!("{} ", claims::mark(check.as_ref().map(|check| check.held)));
    let taken = 2 + value.chars().count() + 2;
    let what = format!("{name}{}{shift}", claims::quantity(claim));
    let bounds = claims::bounds(claim);
    // Where there is no space for all of the bounds, that they hold for a share of the seeds is left out, then the
    // words: half a bound would be another one.
    let range = bounds.split(", for ").next().unwrap_or_default();
    let short = range.replace("at most ", "≤ ").replace("at least ", "≥ ");
    let with = |bounds: &str| if bounds.is_empty() { what.clone() } else { format!("{what}  ({bounds})") };
    let space = width.saturating_sub(taken);
    let texts = [bounds.as_str(), range, short.as_str(), ""].map(with);
    let what = first_that_fits(&texts, space);
    let gap = width.saturating_sub(taken + what.chars().count()) + 2;
    Line::from(vec![Span::styled(mark, style), Span::raw(what), Span::raw(" ".repeat(gap)), Span::styled(value, style)])
}

fn question(screen: &LessonScreen, theme: Theme, width: usize) -> Vec<Line<'static>> {
    let rows = wrap(&printable(&screen.lesson.question), width);
    rows.into_iter().map(|row| Line::styled(row, theme.focus().patch(theme.role(Role::Model)))).collect()
}

/// "▸ 2  Roughly: the same direction, …", wrapped under its beginning.
fn numbered(
    mark: &str,
    place: usize,
    text: &str,
    after: &str,
    style: Style,
    width: usize,
) -> impl Iterator<Item = Line<'static>> {
    let rows = wrap(&format!("{}{after}", printable(text)), width.saturating_sub(5));
    let mark = mark.to_owned();
    rows.into_iter().enumerate().map(move |(row, text)| {
        let head = if row == 0 { format!("{mark} {}  ", place + 1) } else { " ".repeat(5) };
        Line::from(vec![Span::styled(head, style), Span::styled(text, style)])
    })
}

/// The mark of a lesson in the list: answered right, answered wrong, seen.
pub fn mark(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Right) => "✓",
        Some(Outcome::Wrong) => "✗",
        Some(Outcome::Skipped) => "·",
        None => " ",
    }
}

/// Renders a border with a title; returns what is inside.
fn bordered(title: &str, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.muted())
        .title(Line::styled(title.to_owned(), theme.title()))
        .padding(Padding::horizontal(1));
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}
