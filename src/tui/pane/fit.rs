//! Which learner explains the model's answers best, and with which step size, forgetting, momentum or penalty.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::bounds::HELD_OUT;
use crate::reference::Tuned;
use crate::train::Fit;
use crate::tui::app::Lab;
use crate::tui::labels;
use crate::tui::numbers::{count, percent, significant, with_minus};
use crate::tui::theme::Theme;
use crate::tui::widget::wrap::{width as columns, wrap};

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The key f fits learners to the answers of the present weights, each with the step size, forgetting, momentum \
     or penalty that explains them best. The first column is the share of the answers' variance, the second is what \
     it does not explain. Equal: 100 % explained.";

pub fn title(lab: &Lab, _width: u16) -> String {
    match &lab.fitted {
        Some(fitted) => format!("Fit, step {}", count(fitted.step)),
        None => "Fit".to_owned(),
    }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(2));
    let text = |text: &str| wrap(text, width).into_iter().map(|line| Line::styled(line, theme.muted())).collect();
    let lines: Vec<Line> = match &lab.fitted {
        None if lab.pending.fit => text("Learners are being fitted to the model's answers …"),
        None => text(
            "f: which learner explains the model's answers best, whatever its step size, forgetting, momentum or \
             penalty. Training waits for a second or two.",
        ),
        Some(fitted) => match &fitted.fits {
            Ok(fits) => table(fits, theme, width),
            Err(why) => text(why),
        },
    };
    for (row, line) in (area.top()..area.bottom()).zip(lines) {
        buffer.set_line(area.x + 1, row, &line, area.width.saturating_sub(1));
    }
}

/// The best explanation in a sentence, then a line for each family: what it explains, what is left, its parameters.
fn table(fits: &[Fit], theme: Theme, width: usize) -> Vec<Line<'static>> {
    let Some(best) = fits.first() else { return vec![] };
    let parameters = parameters(&best.tuned);
    let with = if parameters.is_empty() { String::new() } else { format!(" with {parameters}") };
    let explained = explained(best);
    let sentence =
        format!("{} explains {explained} of the answers' variance{with}.", labels::label(best.tuned.reference));
    let mut lines: Vec<Line> = wrap(&sentence, width).into_iter().map(|row| Line::styled(row, theme.focus())).collect();
    let half = count(HELD_OUT as u64 / 2);
    let long = format!("fitted on {half} tasks, measured on {half} others");
    let tasks = if columns(&long) <= width { long } else { format!("fitted on {half} tasks, tested on others") };
    lines.push(Line::styled(tasks, theme.muted()));
    lines.push(Line::styled(format!("{:>10}{:>8}", "explained", "left"), theme.muted()));
    lines.extend(fits.iter().map(|fit| {
        let name = labels::label(fit.tuned.reference);
        let mut line = Line::from(vec![
            Span::raw(format!("{:>10}{:>8}  ", self::explained(fit), percent(fit.distance))),
            Span::styled(format!("{name:<15} "), theme.role(labels::role(fit.tuned.reference))),
        ]);
        let parameters = whole_parts(&self::parameters(&fit.tuned), width.saturating_sub(line.width()));
        line.push_span(Span::styled(parameters, theme.muted()));
        line
    }));
    lines
}

/// As many of the parts between commas as fit, and dots for the others; nothing where none fits: half a number is a
/// wrong number.
fn whole_parts(text: &str, space: usize) -> String {
    if columns(text) <= space {
        return text.to_owned();
    }
    let ends = text.match_indices(", ").map(|(end, _)| &text[..end]);
    let most = ends.filter(|part| columns(part) + 3 <= space).last();
    most.map_or_else(String::new, |part| format!("{part}, …"))
}

/// To a hundredth of a per cent, cut and not rounded: 99.998 % is not all.
fn explained(fit: &Fit) -> String {
    format!("{:.2} %", (fit.explained * 1e4).floor() / 100.0)
}

/// "η 1.64, λ 0.941".
fn parameters(tuned: &Tuned) -> String {
    let Tuned { eta, etas, momentum, forgetting, lambda, gamma, alpha, .. } = *tuned;
    let number = |value: f64| with_minus(&significant(value, 3));
    let etas =
        etas.map(|etas| etas.into_iter().filter(|eta| *eta != 0.0).map(number).collect::<Vec<_>>().join(" and "));
    let named = [
        ("η", eta.map(number)),
        ("η", etas),
        ("momentum", momentum.map(number)),
        ("forgetting λ", forgetting.map(number)),
        ("penalty", lambda.map(number)),
        ("γ", gamma.map(number)),
        ("α", alpha.map(number)),
    ];
    let shown = named.into_iter().filter_map(|(symbol, value)| Some(format!("{symbol} {}", value?)));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Reference;
    use crate::tui::capabilities::{Background, Depth};

    #[test]
    fn a_fit_is_said_in_a_sentence_with_its_parameters() {
        let plain = Tuned::plain(Reference::GdForgetting);
        let tuned = Tuned { eta: Some(1.636), forgetting: Some(0.9412), ..plain };
        let lines = table(
            &[Fit { tuned, explained: 0.996_49, distance: 0.019 }],
            Theme::new(Depth::None, Background::Dark),
            200,
        );
        let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
        assert_eq!(
            text[0],
            "GD-1 forgetting explains 99.64 % of the answers' variance with η 1.64, forgetting λ 0.941."
        );
        assert_eq!(text[3], "   99.64 %   1.9 %  GD-1 forgetting η 1.64, forgetting λ 0.941");
        assert_eq!(whole_parts("η 4.36, forgetting λ 0.941", 26), "η 4.36, forgetting λ 0.941");
        assert_eq!(whole_parts("η 4.36, forgetting λ 0.941", 25), "η 4.36, …");
        assert_eq!(whole_parts("η 0.0238 and 2.71", 14), "");
        let free = Tuned { etas: Some([4.0, 11.5, 0.0]), ..Tuned::plain(Reference::GdFree(2)) };
        assert_eq!(parameters(&free), "η 4.00 and 11.5");
    }
}
