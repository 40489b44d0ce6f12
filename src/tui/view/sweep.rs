//! The screen of a sweep: curves with their bands over seeds, a measure against a varied field, and the summary.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Widget};

use crate::bounds::line;
use crate::sweep::{Spread, summarise, summary_table};
use crate::tui::app::{Band, SweepScreen};
use crate::tui::numbers::{count, significant};
use crate::tui::pane::digit;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Plot, Trace};
use crate::tui::widget::points::{self, Points};
use crate::tui::widget::scale::{Scale, steps_axis};
use crate::tui::widget::wrap::{fit, fit_parts, width};

/// Combinations that are shown: as many as there are colours for them.
const MOST: usize = 6;
/// Columns for the labels of the curves.
const GUTTER: u16 = 30;
/// From this width on both plots stand beside each other.
const BESIDE: u16 = 110;

/// Renders all but the footer and returns the footer's area.
pub fn render(screen: &SweepScreen, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let cells = summary_table(&summarise(&screen.ended.runs));
    let rows = (cells.len() as u16).min(area.height / 3);
    let parts = [Constraint::Length(1), Constraint::Fill(1), Constraint::Length(rows), Constraint::Length(1)];
    let [title, plots, table, footer] = Layout::vertical(parts).areas(area);
    let folder = line(&screen.ended.folder.display().to_string());
    let ended = format!(
        "   {} of {} runs have ended",
        count(screen.ended.runs.len() as u64),
        count(screen.ended.planned as u64)
    );
    let more = screen.bands.len().saturating_sub(MOST);
    let hidden =
        if more > 0 { format!("   the first {MOST} of {} combinations", screen.bands.len()) } else { String::new() };
    let spans = [
        Span::styled(format!(" Sweep {folder}"), theme.focus()),
        Span::styled(format!("{ended}{hidden}"), theme.muted()),
    ];
    buffer.set_line(title.x, title.y, &Line::from(spans.to_vec()), title.width);
    let halves = [Constraint::Fill(1), Constraint::Fill(1)];
    let [curves, points] = if area.width >= BESIDE {
        Layout::horizontal(halves).areas(plots)
    } else {
        Layout::vertical(halves).areas(plots)
    };
    render_bands(screen, theme, curves, buffer);
    render_points(screen, theme, points, buffer);
    render_table(&cells, theme, table, buffer);
    footer
}

fn boxed(title: &str, theme: Theme, area: Rect, buffer: &mut Buffer) -> Rect {
    let title = fit_parts(title, usize::from(area.width.saturating_sub(4)));
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(theme.muted())
        .title(Line::styled(format!(" {title} "), theme.title()));
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

fn render_bands(screen: &SweepScreen, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let name = screen.curves.get(screen.curve).map_or("no curve", String::as_str);
    let inner = boxed(&format!("{}: mean, and dotted ± standard deviation", line(name)), theme, area, buffer);
    let bands = || screen.bands.iter().take(MOST).enumerate();
    let values = bands().flat_map(|(_, band)| [&band.mean, &band.high]).filter_map(|series| series.range());
    let (least, most) = values.fold((f64::INFINITY, 0.0f64), |(least, most), (low, high)| {
        (least.min(f64::from(low)), most.max(f64::from(high)))
    });
    let y = if screen.log_axis { Scale::log_around(least * 0.95, most) } else { Scale::linear_to(most) };
    let mut traces = Vec::new();
    for (i, band) in bands() {
        let style = theme.role(Role::Kept(i));
        traces.push(Trace::Curve((&band.low).into(), Stroke::Dotted, style));
        traces.push(Trace::Curve((&band.high).into(), Stroke::Dotted, style));
    }
    for (i, band) in bands() {
        traces.push(Trace::Curve((&band.mean).into(), Stroke::Solid, theme.role(Role::Kept(i)).patch(theme.focus())));
    }
    let end = |(i, band): (usize, &Band)| {
        // The deviation is in the table: here the name would be cut for it.
        let mean = band.last?.mean;
        let text = format!("{} {} {}", digit(i), significant(mean, 4), line(&band.label));
        Some(EndLabel { value: mean, text: fit(&text, usize::from(GUTTER - 1)), style: theme.role(Role::Kept(i)) })
    };
    let last = bands().filter_map(|(_, band)| band.mean.last()).map(|(step, _)| step).max().unwrap_or(0);
    Plot {
        x: steps_axis(last, last),
        unit: "step",
        y,
        traces,
        labels: bands().filter_map(end).collect(),
        gutter: GUTTER,
        marks: vec![],
        ticks: vec![],
        cursor: None,
        muted: theme.muted(),
    }
    .render(inner, buffer);
}

fn render_points(screen: &SweepScreen, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let name = |names: &[String], i: usize| line(names.get(i).map_or("–", String::as_str));
    let (measure, key) = (name(&screen.measures, screen.measure), name(&screen.keys, screen.key));
    let inner = boxed(&format!("{measure} against {key}: mean ± standard deviation"), theme, area, buffer);
    let (values, lines) = screen.dependence();
    let shown = || lines.iter().take(MOST);
    let spreads = || shown().flat_map(|line| line.points.iter().flatten());
    let ends = spreads().flat_map(|spread| [-1.0, 1.0].map(|sign| spread.mean + sign * spread.sd.unwrap_or(0.0)));
    let (least, most) =
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), end| (least.min(end), most.max(end)));
    let positive = spreads().all(|spread| spread.mean > 0.0);
    let smallest = spreads().map(|spread| spread.mean).fold(f64::INFINITY, f64::min);
    let y = match (screen.log_axis && positive, least < 0.0) {
        (true, _) => Scale::log_around(least.max(smallest / 3.0), most),
        (false, false) => Scale::linear_to(most),
        (false, true) => Scale::Linear { low: least, high: most.max(0.0) },
    };
    let point = |spread: &Option<Spread>| spread.map(|spread| (spread.mean, spread.sd.unwrap_or(0.0)));
    // The digits and colours of the curves stand for other combinations: a line without a name has none of them.
    let line_of = |(i, dependence): (usize, &crate::sweep::Dependence)| points::Line {
        glyph: if dependence.label.is_empty() { "●" } else { digit(i) },
        style: if dependence.label.is_empty() { theme.title() } else { theme.role(Role::Kept(i)).patch(theme.focus()) },
        points: dependence.points.iter().map(point).collect(),
    };
    let values: Vec<String> = values.iter().map(|value| line(value)).collect();
    let [plot, legend] = Layout::vertical([Constraint::Fill(1), Constraint::Length(1)]).areas(inner);
    Points { values: &values, y, lines: shown().enumerate().map(line_of).collect(), muted: theme.muted() }
        .render(plot, buffer);
    let names = shown().enumerate().filter(|(_, dependence)| !dependence.label.is_empty());
    let spans = names.map(|(i, dependence)| {
        Span::styled(format!(" {} {} ", digit(i), line(&dependence.label)), theme.role(Role::Kept(i)))
    });
    buffer.set_line(legend.x, legend.y, &Line::from(spans.collect::<Vec<_>>()), legend.width);
}

fn render_table(cells: &[Vec<String>], theme: Theme, area: Rect, buffer: &mut Buffer) {
    let columns = cells.first().map_or(0, Vec::len);
    let widest =
        |column: usize| cells.iter().filter_map(|row| row.get(column)).map(|text| width(text)).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    // Whole columns only: half a number is a wrong number.
    let ends = widths.iter().scan(0, |end, width| {
        *end += width + 2;
        Some(*end)
    });
    let shown = ends.take_while(|end| *end <= usize::from(area.width) + 1).count();
    for (y, row) in (area.top()..area.bottom()).zip(cells) {
        let row = row.iter().zip(&widths).take(shown);
        let text: String = row.map(|(text, width)| format!(" {} ", padded(&line(text), *width))).collect();
        let style = if y == area.top() { theme.muted() } else { ratatui::style::Style::new() };
        buffer.set_line(area.x, y, &Line::styled(text, style), area.width);
    }
}

fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}
