//! What the length of the context costs each architecture, measured on this machine.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::digit;
use crate::series::Series;
use crate::train::context_cost::{ContextCost, LENGTHS};
use crate::tui::app::Lab;
use crate::tui::numbers::{count, short};
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::braille::Stroke;
use crate::tui::widget::plot::{EndLabel, Plot, Trace};
use crate::tui::widget::scale::Scale;

/// Columns and rows of a plot, at least.
const LEAST: (u16, u16) = (30, 7);

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The key C measures how the cost of a token grows with the number of pairs N in the context, of this model and of \
     the others, with logarithmic axes: the time to read one more token where tokens come one by one, on one core; the \
     memory that is kept from one token to the next; the operations of one token; and the time of a training step, all \
     tokens at once, on all cores. Training waits for about fifteen seconds; C again stops. Models that cost equally \
     lie on each other. A state of fixed size is a horizontal line, the cache of attention one that rises. Time is \
     measured on this machine; the rest is exact. A model that cannot read one token after the other, marked with *, \
     has memory and operations of all tokens at once.";

/// What is drawn over N.
#[derive(Clone, Copy)]
enum Quantity {
    /// Where tokens come one by one.
    Reading,
    Bytes,
    Operations,
    /// All tokens at once.
    Training,
}

impl Quantity {
    const ALL: [Self; 4] = [Self::Reading, Self::Bytes, Self::Operations, Self::Training];

    fn title(self) -> &'static str {
        match self {
            Self::Reading => "one by one, µs a token",
            Self::Bytes => "bytes kept",
            Self::Operations => "operations a token",
            Self::Training => "training, µs a token",
        }
    }

    fn of(self, cost: &ContextCost) -> Option<f64> {
        match self {
            Self::Reading => cost.reading_seconds_per_token.map(|seconds| 1e6 * seconds),
            Self::Bytes => cost.step.or(cost.whole).map(|form| form.bytes as f64),
            Self::Operations => cost.step.or(cost.whole).map(|form| form.flops_per_token as f64),
            Self::Training => Some(1e6 * cost.training_seconds_per_token),
        }
    }
}

/// One model, with what has been measured of it.
struct Model<'a> {
    name: &'a str,
    mark: &'static str,
    style: Style,
    costs: Vec<&'a ContextCost>,
}

pub fn title(lab: &Lab, _width: u16) -> String {
    match lab.context_costs.iter().map(|model| model.cost.context).max() {
        Some(context) => format!("Cost of a token, contexts to N {context}"),
        None => "Cost of a token over the context's length".to_owned(),
    }
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let inside = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    let models = models(lab, theme);
    if models.is_empty() {
        let text = "C: measure time, memory and operations of a token over the length of the context, of this model \
                    and of others. Training waits for about fifteen seconds.";
        return super::say(text, theme, inside, buffer);
    }
    let legend = legend(&models, inside.width);
    let plots = Rect { height: inside.height.saturating_sub(legend.len() as u16), ..inside };
    let (columns, rows) = grid((plots.width / LEAST.0, plots.height / LEAST.1));
    let (width, height) = (plots.width / columns, plots.height / rows);
    for (number, quantity) in (0..columns * rows).zip(Quantity::ALL) {
        let (x, y) = (plots.x + number % columns * width, plots.y + number / columns * height);
        render_plot(&models, quantity, theme, Rect { x, y, width: width.saturating_sub(1), height }, buffer);
    }
    for (row, line) in (plots.bottom()..area.bottom()).zip(legend) {
        buffer.set_line(inside.x, row, &line, inside.width);
    }
}

/// Columns and rows of plots, where so many fit beside and below each other: as many of the four as can be seen, two by
/// two before all in a row.
fn grid((columns, rows): (u16, u16)) -> (u16, u16) {
    match (columns, rows) {
        (0 | 1, rows) => (1, rows.clamp(1, 4)),
        (_, 2..) => (2, 2),
        (columns, 0 | 1) => (columns.min(4), 1),
    }
}

/// The run's own model, and the others in their order.
fn models<'a>(lab: &'a Lab, theme: Theme) -> Vec<Model<'a>> {
    let own = lab.opened.as_ref().map(|opened| opened.name.as_str());
    let mut models: Vec<Model<'a>> = Vec::new();
    for model in &lab.context_costs {
        match models.iter_mut().find(|other| other.name == model.name) {
            Some(known) => known.costs.push(&model.cost),
            None => {
                // The same digit whichever of them is the run's own.
                let number = models.len();
                let (mark, style) = match Some(model.name.as_str()) == own {
                    true => ("●", theme.role(Role::Model).patch(theme.focus())),
                    false => (digit(number), theme.role(Role::Kept(number))),
                };
                models.push(Model { name: &model.name, mark, style, costs: vec![&model.cost] });
            }
        }
    }
    models
}

fn render_plot(models: &[Model<'_>], quantity: Quantity, theme: Theme, area: Rect, buffer: &mut Buffer) {
    buffer.set_stringn(area.x, area.y, quantity.title(), usize::from(area.width), theme.title());
    let series = |model: &Model<'_>| {
        let mut series = Series::default();
        let values = model.costs.iter().filter_map(|cost| Some((cost.context, quantity.of(cost)?)));
        values.for_each(|(context, value)| series.push(context as u64, value as f32));
        series
    };
    let all: Vec<Series> = models.iter().map(series).collect();
    let ranges = || all.iter().filter_map(Series::range);
    let least = ranges().map(|range| f64::from(range.0)).fold(f64::INFINITY, f64::min);
    let most = ranges().map(|range| f64::from(range.1)).fold(0.0, f64::max);
    let both = || models.iter().zip(&all).rev();
    let curves = both().map(|(model, series)| Trace::Curve(series.into(), Stroke::Solid, model.style));
    let marks = both().map(|(model, series)| Trace::Marks(series.into(), model.mark, model.style));
    let traces = curves.chain(marks).collect();
    let label = |(model, series): (&Model<'_>, &Series)| {
        let (_, value) = series.last()?;
        let value = f64::from(value);
        Some(EndLabel { value, text: format!("{} {}", model.mark, number(value)), style: model.style })
    };
    let labels = models.iter().zip(&all).filter_map(label).collect();
    let x = Scale::Log { low: LENGTHS[0] as f64, high: LENGTHS[LENGTHS.len() - 1] as f64 };
    let (y, muted) = (Scale::log_around(least, most), theme.muted());
    let plot = Plot { x, unit: "N", y, traces, labels, gutter: 10, marks: vec![], ticks: vec![], cursor: None, muted };
    plot.render(Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area }, buffer);
}

/// "0.107", "183,488", "1.23e6".
fn number(value: f64) -> String {
    match value {
        value if (1e3..1e6).contains(&value) => count(value.round() as u64),
        value => short(value),
    }
}

/// "1 gd-ssm  2 mamba2*": as many in a line as fit.
fn legend(models: &[Model<'_>], width: u16) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for model in models {
        let star = if model.costs.iter().any(|cost| cost.step.is_none()) { "*" } else { "" };
        let span = Span::styled(format!("{} {}{star}  ", model.mark, model.name), model.style);
        match lines.last_mut().filter(|line| line.width() + span.width() <= usize::from(width)) {
            Some(line) => line.push_span(span),
            None => lines.push(Line::from(span)),
        }
    }
    lines
}
