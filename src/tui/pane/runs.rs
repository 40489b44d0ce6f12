//! The table of this run and the kept ones: the numbers of `innerloop compare`.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::loss::digit;
use crate::run_table;
use crate::tui::app::Lab;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::{width, wrap};

/// The columns of the table by their importance: those that do not fit stand in another table below.
const IMPORTANCE: [usize; 13] = [0, 1, 4, 5, 6, 7, 8, 2, 11, 12, 9, 10, 3];
/// The same in a lesson: what tells the runs apart, and nothing else.
const IN_A_LESSON: [usize; 6] = [0, 4, 5, 6, 7, 9];
/// What its columns mean, where there is space below.
const COLUMNS_IN_A_LESSON: [&str; 3] = [
    "loss / gd-1: 1 is the loss of one step of gradient descent.",
    "nearest: the learner whose answers differ least, and by how much; none where all differ by more than 15 %.",
    "steps to gd-1: after which the loss was at most 1 % above that of one gradient step.",
];
/// The column that is shortened where there is no space for all of its text: what was changed.
const CHANGED: usize = 2;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The runs that are shown together: this one, those that train with it, and those that were kept. Each has a digit, \
     a colour, and a row with its loss, the nearest reference, its steps and its size. Equal runs have equal losses, \
     within the standard error. The key m keeps this run, M drops the kept ones, and u shows the next of several runs.";

pub fn title(lab: &Lab, width: u16) -> String {
    let whole = match (lab.runs(), lab.kept.len()) {
        (1, 0) => "Runs".to_owned(),
        (1, kept) => format!("Runs: this one and {kept} kept"),
        (live, 0) => format!("Runs: {live} that train"),
        (live, kept) => format!("Runs: {live} that train and {kept} kept"),
    };
    if whole.chars().count() <= usize::from(width) { whole } else { "Runs".to_owned() }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let space = usize::from(area.width.saturating_sub(2));
    let (numbers, rows): (Vec<_>, Vec<_>) = lab.rows().into_iter().unzip();
    let mut cells = run_table::table(&rows, "gd-1");
    if let Some(head) = cells.first_mut() {
        head.iter_mut().for_each(|name| *name = name.replace("seconds to", "s to"));
    }
    let in_a_lesson = lab.caption.is_some();
    // In a lesson, and while the other runs open, there is nothing to keep.
    let hint = if rows.len() < 2 && lab.runs() < 2 && !in_a_lesson {
        let keep = "m keeps this run. Restart it, or open another preset with the same task: its curves stay, and both \
                    are in this table. z fills the screen with it.";
        wrap(&lab.kept_refusal().unwrap_or_else(|| keep.to_owned()), space)
    } else {
        vec![]
    };
    // The hint is shown whole, or not at all: the table leaves space for it.
    let below = if hint.is_empty() { 0 } else { hint.len() + 1 };
    let height = usize::from(area.height);
    let columns: &[usize] = if in_a_lesson { &IN_A_LESSON } else { &IMPORTANCE };
    let mut lines = lines(&cells, columns, &numbers, theme, (space, height.saturating_sub(below)));
    for text in COLUMNS_IN_A_LESSON.iter().filter(|_| in_a_lesson) {
        let words = wrap(text, space);
        if lines.len() + 1 + words.len() <= height {
            lines.push(Line::default());
            lines.extend(words.into_iter().map(|line| Line::styled(line, theme.muted())));
        }
    }
    if !hint.is_empty() && lines.len() + below <= height {
        lines.push(Line::default());
        lines.extend(hint.into_iter().map(|line| Line::styled(line, theme.muted())));
    }
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// The lines of the table: as many of the columns that are `shown` as fit, the most important ones first; below it, as
/// long as there are rows, one of the others. The present run has no number.
fn lines(
    cells: &[Vec<String>],
    shown: &[usize],
    numbers: &[Option<usize>],
    theme: Theme,
    (space, height): (usize, usize),
) -> Vec<Line<'static>> {
    let mut lines: Vec<Line> = Vec::new();
    let mut left: Vec<usize> = shown.iter().copied().filter(|column| *column != 0).collect();
    loop {
        let columns = columns(cells, &left, space);
        let below = if lines.is_empty() { 0 } else { lines.len() + 1 };
        if below > 0 && (columns.len() < 2 || below + cells.len() > height) {
            return lines;
        }
        if below > 0 {
            lines.push(Line::default());
        }
        left.retain(|column| columns.iter().all(|(shown, _)| shown != column));
        let line = |(i, row): (usize, &Vec<String>)| {
            let (glyph, style) = match i.checked_sub(1).and_then(|i| numbers.get(i)) {
                None => (" ", theme.muted()),
                Some(None) => ("●", theme.role(Role::Model).patch(theme.focus())),
                Some(Some(number)) => (digit(*number), theme.role(Role::Kept(*number))),
            };
            let text: String =
                columns.iter().filter_map(|&(column, width)| Some(cell(row.get(column)?, column, width))).collect();
            let of_text = if i == 0 { theme.muted() } else { Style::new() };
            Line::from(vec![Span::styled(glyph, style), Span::styled(text, of_text)])
        };
        lines.extend(cells.iter().enumerate().map(line));
    }
}

/// Text to the left, numbers to the right.
fn cell(text: &str, column: usize, width: usize) -> String {
    if matches!(column, 0 | CHANGED | 6) { format!(" {text:<width$} ") } else { format!(" {text:>width$} ") }
}

/// The name of the run and those of the other columns that fit, in the order of the table, and their widths.
fn columns(cells: &[Vec<String>], others: &[usize], space: usize) -> Vec<(usize, usize)> {
    let widest =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|text| width(text)).max().unwrap_or(0);
    let mut left = space.saturating_sub(1);
    let mut fitting = Vec::new();
    for column in [0].iter().chain(others).copied() {
        let width = widest(column);
        if width + 2 <= left {
            left -= width + 2;
            fitting.push((column, width));
        }
    }
    fitting.sort_unstable();
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::capabilities::{Background, Depth};

    #[test]
    fn columns_that_do_not_fit_are_left_out_and_no_number_is_cut() {
        let head: Vec<String> =
            ["run", "seed", "changed", "step", "loss", "over", "nearest", "steps", "seconds", "p", "o", "g", "b"]
                .map(str::to_owned)
                .to_vec();
        let row = |name: &str| -> Vec<String> {
            [name, "0", "–", "6,000", "0.2067", "1.003", "gd-1 1.8 %", "2,050", "1.2", "212", "640", "2 %", "9 %"]
                .map(str::to_owned)
                .to_vec()
        };
        let cells = [head, row("gd-ssm"), row("s4d")];
        let shown = |space, height| {
            let theme = Theme::new(Depth::None, Background::Dark);
            let lines = lines(&cells, &IMPORTANCE, &[Some(0), None], theme, (space, height));
            lines.iter().map(|line| line.to_string().trim_end().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(
            shown(31, 6),
            ["  run     seed    loss   over", "1 gd-ssm     0  0.2067  1.003", "● s4d        0  0.2067  1.003"]
        );
        let below = shown(31, 7);
        assert_eq!(
            below[3..],
            ["", "  run     nearest     steps", "1 gd-ssm  gd-1 1.8 %  2,050", "● s4d     gd-1 1.8 %  2,050"]
        );
        let whole = shown(200, 40);
        assert!(whole.len() == 3 && whole[1].contains("gd-1 1.8 %") && whole[1].contains("640"), "{whole:?}");
    }
}
