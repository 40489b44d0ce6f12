//! The hidden state beside the gradient accumulator Σ y xᵀ, token by token.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use crate::bounds::printable;
use crate::train::{ContextPair, Grid, LayerState, TimeStep};
use crate::tui::app::Lab;
use crate::tui::numbers::{cosine, with_minus};
use crate::tui::theme::{Ramp, Role, Theme};
use crate::tui::widget::heatmap::{self, CellSize};
use crate::tui::widget::scale::snap_up_finely;
use crate::tui::widget::wrap::width as width_of;

/// Columns between two maps.
const GAP: u16 = 1;
/// How much the difference is magnified: on the scale of the others, a good model's would look empty.
const MAGNIFIED: f32 = 10.0;
/// Columns for the cosine beside the legend.
const COSINE: u16 = 18;
/// Rows that are not maps: a caption, a legend, a line on the axes.
const TEXT: u16 = 3;

/// What the pane shows, and what equal would look like.
pub const ABOUT: &str =
    "The hidden state after one token of a probe sequence, beside the sum Σ y xᵀ of the pairs read so far. Each \
     small field is one number: one colour below zero, another above, the background's colour at zero. The state is \
     scaled by the factor that fits the sum best, as the readout can undo any factor. The third map is their \
     difference, ten times as strong: it is empty where they are equal, and |cosine| is 1. Left and Right move \
     through the tokens, n and p through the probe sequences. Where a state cannot be compared with the sum, it is \
     shown alone.";

/// "Hidden state after token 13 of 21 (x₇)".
pub fn title(lab: &Lab, width: u16) -> String {
    let Some((snapshot, (_, _, time_step))) = lab.snapshot.as_ref().zip(lab.time_step()) else {
        return "Hidden state".to_owned();
    };
    // The label of a pair has its own brackets.
    let label = printable(&time_step.label);
    let label = if label.starts_with('(') { label } else { format!("({label})") };
    let token = format!("token {} of {} {label}", time_step.token, snapshot.tokens);
    let texts = match lab.added {
        true => [format!("Added by {token}"), format!("Added, {token}")],
        false => [format!("Hidden state after {token}"), format!("Hidden state, {token}")],
    };
    let [long, short] = texts;
    // The gap after a title may go.
    if width_of(&long) <= usize::from(width) + 1 { long } else { short }
}

/// A matrix with its title, colour and scale.
pub(super) struct Map {
    pub title: String,
    /// Where the map is narrower than its title.
    pub short_title: &'static str,
    pub role: Role,
    pub grid: Grid,
    pub most: f32,
}

pub fn render(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some((_, _, time_step)), Some((_, layer))) = (lab.time_step(), lab.layer()) else { return };
    if area.height < 5 {
        return;
    }
    buffer.set_line(
        area.x + 1,
        area.y,
        &caption(lab, time_step, theme, usize::from(area.width)),
        area.width.saturating_sub(1),
    );
    let maps = maps(lab, time_step, layer);
    let space = Rect { x: area.x + 1, width: area.width.saturating_sub(1), y: area.y + 1, height: area.height - TEXT };
    render_maps(&maps, theme, space, buffer);
    let foot = area.bottom() - 2;
    let most = maps.first().map_or(1.0, |map| map.most);
    let ramp = maps.first().map_or(Ramp::Diverging, |map| heatmap::ramp(&map.grid));
    let width = area.width.saturating_sub(COSINE);
    heatmap::legend(most, ramp, theme, Rect { x: area.x + 1, y: foot, width, height: 1 }, buffer);
    if let Some(value) = layer.cosine {
        let text = format!("|cosine| {}", cosine(value));
        let x = area.right().saturating_sub(text.len() as u16 + 1).max(area.x);
        buffer.set_stringn(x, foot, text, usize::from(area.width), theme.focus());
    }
    let axes = maps.first().map_or(("", ""), |map| map.grid.axes);
    let probes = lab.snapshot.as_ref().map_or(0, |snapshot| snapshot.probes.len());
    let time_steps = lab.time_step().map_or(0, |(_, time_steps, _)| time_steps);
    let width = usize::from(area.width.saturating_sub(1));
    let text = foot_text(axes, [time_steps, time_step.layers.len(), probes], width);
    buffer.set_stringn(area.x + 1, foot + 1, text, width, theme.muted());
}

/// "rows y, columns x   ← → token  ↑ ↓ layer  n p probe", with so many tokens, layers and probes. Keys that change
/// nothing are not named. Where not all fits, the probes go first and then words of the axes: another layer is another
/// map.
fn foot_text(axes: (&str, &str), [tokens, layers, probes]: [usize; 3], width: usize) -> String {
    let [axes, short] = [format!("rows {}, columns {}", axes.0, axes.1), format!("{} × {}", axes.0, axes.1)];
    let hints = [("← → token", tokens), ("↑ ↓ layer", layers), ("n p probe", probes)];
    let hints: Vec<&str> = hints.into_iter().filter(|(_, number)| *number > 1).map(|(hint, _)| hint).collect();
    let without_probes: Vec<&str> = hints.iter().copied().filter(|hint| *hint != "n p probe").collect();
    let texts = [
        format!("{axes}   {}", hints.join("  ")),
        format!("{axes}   {}", without_probes.join("  ")),
        format!("{short}   {}", hints.join("  ")),
        format!("{short}   {}", without_probes.join("  ")),
        without_probes.join("  "),
    ];
    let fits = |text: &&String| width_of(text.trim_end()) <= width;
    texts.iter().find(fits).map_or_else(String::new, |text| text.trim_end().to_owned())
}

/// The model's state alone, as large as it can be.
pub fn render_one(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some((_, _, time_step)), Some((_, layer))) = (lab.time_step(), lab.layer()) else { return };
    if let Some(map) = maps(lab, time_step, layer).first() {
        render_alone(map, theme, area, buffer);
    }
}

/// What the last token added to the state, and what a gradient step adds; the state alone where it cannot be compared.
pub fn render_added(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some((_, _, time_step)), Some((_, layer))) = (lab.time_step(), lab.layer()) else { return };
    let maps = match &layer.added {
        Some(added) => added_maps(lab, time_step, added),
        None => maps(lab, time_step, layer),
    };
    render_maps(&maps, theme, area, buffer);
}

/// The scale of [`render_one`].
pub fn legend_of_one(lab: &Lab, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let (Some((_, _, time_step)), Some((_, layer))) = (lab.time_step(), lab.layer()) else { return };
    if let Some(map) = maps(lab, time_step, layer).first() {
        heatmap::legend(map.most, heatmap::ramp(&map.grid), theme, area, buffer);
    }
}

/// "layer 1 (1 of 2)   probe 1 of 8".
fn caption(lab: &Lab, time_step: &TimeStep, theme: Theme, width: usize) -> Line<'static> {
    let Some(snapshot) = &lab.snapshot else { return Line::default() };
    if let Some(pair) = completed_pair(lab, time_step).filter(|_| lab.added) {
        let space = (width.saturating_sub(3) / 2).saturating_sub(2);
        let [x, y] = [&pair.x, &pair.y].map(|numbers| values(numbers, space));
        return Line::styled(format!("x {x}   y {y}"), theme.muted());
    }
    let mut labels = Vec::new();
    if time_step.layers.len() > 1 {
        let layer = lab.cursor.layer.min(time_step.layers.len() - 1);
        let name = snapshot.layer_names.get(layer).map_or_else(String::new, |name| printable(name));
        labels.push(format!("{name} ({} of {})", layer + 1, time_step.layers.len()));
    }
    if snapshot.probes.len() > 1 {
        let probe = lab.cursor.probe.min(snapshot.probes.len() - 1) + 1;
        labels.push(format!("probe {probe} of {}", snapshot.probes.len()));
    }
    // Half a label would be another one.
    while labels.len() > 1 && width_of(&labels.join("   ")) + 1 > width {
        labels.pop();
    }
    Line::styled(labels.join("   "), theme.muted())
}

/// The pair that the last token completed.
pub fn completed_pair<'a>(lab: &Lab, time_step: &'a TimeStep) -> Option<&'a ContextPair> {
    let before = lab.time_step_before().map_or(0, |before| before.pairs);
    time_step.last_pair.as_ref().filter(|_| time_step.pairs > before)
}

/// "0.31 −0.82 …": as many whole numbers as fit.
pub fn values(numbers: &[f32], most: usize) -> String {
    let mut text = String::new();
    for (i, value) in numbers.iter().enumerate() {
        let number = with_minus(&format!("{value:.2}"));
        // Space for the dots that stand for the others.
        let for_dots = if i + 1 < numbers.len() { 2 } else { 0 };
        if width_of(&text) + width_of(&number) + 1 + for_dots > most {
            return format!("{text} …").trim_start().to_owned();
        }
        text += if i == 0 { "" } else { " " };
        text += &number;
    }
    text
}

/// What the last token added to the state, and to Σ y xᵀ: y xᵀ where it completes a pair, else nothing.
fn added_maps(lab: &Lab, time_step: &TimeStep, added: &Grid) -> Vec<Map> {
    let own = time_step.accumulator.clone();
    let product = lab.time_step_before().and_then(|before| subtract(&own, &before.accumulator)).unwrap_or(own);
    let most = scale_of(lab, |time_step, before| match before {
        Some(before) => subtract(&time_step.accumulator, &before.accumulator).map_or_else(Vec::new, |grid| grid.values),
        None => time_step.accumulator.values.clone(),
    });
    let difference = subtract(added, &product).map(|grid| {
        let (title, short_title) = ("difference ×10".to_owned(), "diff. ×10");
        Map { title, short_title, role: Role::Zero, grid, most: most / MAGNIFIED }
    });
    let (title, short_title) = ("added to the state".to_owned(), "model");
    let model = Map { title, short_title, role: Role::Model, grid: added.clone(), most };
    let product = Map { title: "y xᵀ".to_owned(), short_title: "y xᵀ", role: Role::Gd, grid: product, most };
    [model, product].into_iter().chain(difference).collect()
}

fn maps(lab: &Lab, time_step: &TimeStep, layer: &LayerState) -> Vec<Map> {
    if let (true, Some(added)) = (lab.added, &layer.added) {
        return added_maps(lab, time_step, added);
    }
    let most = scale_of(lab, |time_step, _| time_step.accumulator.values.clone());
    match &layer.aligned {
        Some(aligned) => {
            let (title, short_title) = ("Σ y xᵀ".to_owned(), "Σ y xᵀ");
            let accumulator = Map { title, short_title, role: Role::Gd, grid: time_step.accumulator.clone(), most };
            let difference = subtract(aligned, &time_step.accumulator);
            let (title, short_title) = ("model's state".to_owned(), "model");
            let state = Map { title, short_title, role: Role::Model, grid: aligned.clone(), most };
            let rest = difference.map(|grid| {
                let (title, short_title) = ("difference ×10".to_owned(), "diff. ×10");
                Map { title, short_title, role: Role::Zero, grid, most: most / MAGNIFIED }
            });
            [state, accumulator].into_iter().chain(rest).collect()
        }
        // A state without axes y and x cannot be compared with Σ y xᵀ.
        None => {
            let own = layer.state.values.iter().filter(|v| v.is_finite()).fold(0.0f32, |most, v| most.max(v.abs()));
            let most = snap_up_finely(f64::from(own)) as f32;
            let names = lab.snapshot.as_ref().map_or(&[][..], |snapshot| &snapshot.layer_names);
            let name =
                lab.layer().and_then(|(index, _)| names.get(index)).map_or_else(String::new, |name| printable(name));
            let title = format!("model: {name}");
            vec![Map { title, short_title: "model", role: Role::Model, grid: layer.state.clone(), most }]
        }
    }
}

/// The largest magnitude over the whole sequence of values of a time step and the one before it: one scale for every
/// token and step.
fn scale_of(lab: &Lab, values: impl Fn(&TimeStep, Option<&TimeStep>) -> Vec<f32>) -> f32 {
    let probe = lab
        .snapshot
        .as_ref()
        .and_then(|snapshot| snapshot.probes.get(lab.cursor.probe).or_else(|| snapshot.probes.first()));
    let time_steps = probe.map_or(&[][..], |probe| &probe.time_steps);
    let with_before = time_steps.iter().enumerate().map(|(i, now)| (now, i.checked_sub(1).map(|i| &time_steps[i])));
    let values = with_before.flat_map(|(now, before)| values(now, before));
    snap_up_finely(f64::from(values.filter(|v| v.is_finite()).fold(0.0f32, |most, v| most.max(v.abs())))) as f32
}

fn subtract(a: &Grid, b: &Grid) -> Option<Grid> {
    let values = a.values.iter().zip(&b.values).map(|(a, b)| a - b).collect();
    ((a.rows, a.columns) == (b.rows, b.columns)).then(|| Grid { values, ..a.clone() })
}

/// Maps in rows and columns.
struct Arrangement {
    /// How many are shown.
    maps: u16,
    /// How many stand side by side.
    abreast: u16,
    size: CellSize,
}

impl Arrangement {
    /// The one that shows so many maps largest; of equals the one with the fewest rows.
    fn best(maps: u16, shape: (usize, usize), space: Rect, theme: Theme) -> Option<Self> {
        let with_rows = |rows: u16| {
            let abreast = maps.div_ceil(rows);
            let width = space.width.checked_sub(GAP * (abreast - 1))? / abreast;
            let size = CellSize::largest(theme, shape, (width, (space.height / rows).checked_sub(1)?))?;
            Some(Self { maps, abreast, size })
        };
        (1..=maps).filter_map(with_rows).max_by_key(|found| (found.size.extent(theme), found.abreast))
    }
}

/// As large as they can be; the last ones are left out where not all fit at a visible size.
fn render_maps(maps: &[Map], theme: Theme, space: Rect, buffer: &mut Buffer) {
    if let [map] = maps {
        render_alone(map, theme, space, buffer);
        return;
    }
    let rows = maps.iter().map(|map| map.grid.rows).max().unwrap_or(1);
    let columns = maps.iter().map(|map| map.grid.columns).max().unwrap_or(1);
    let best = |maps: u16| Arrangement::best(maps, (rows, columns), space, theme);
    let all = maps.len() as u16;
    // Three at a visible size, else two, else three however small.
    let visible = |found: &Arrangement| found.size.is_visible(theme);
    let chosen = best(all).filter(visible).or_else(|| best(all.min(2)).filter(visible)).or_else(|| best(all));
    let Some(Arrangement { maps: shown, abreast, size }) = chosen.or_else(|| best(1)) else {
        maps.first().and_then(|map| render_alone(map, theme, space, buffer));
        return;
    };
    let (wide, high) = (size.width(columns), size.height(theme, rows as u16));
    for (i, map) in (0..shown).zip(maps) {
        let (x, y) = (space.x + i % abreast * (wide + GAP), space.y + i / abreast * (high + 1));
        let width = space.right().saturating_sub(x);
        let name_width = if abreast > 1 { width.min(wide) } else { width };
        let title = if usize::from(name_width) < width_of(&map.title) { map.short_title } else { &map.title };
        buffer.set_stringn(x, y, title, usize::from(name_width), theme.role(map.role));
        heatmap::render(&map.grid, map.most, size, theme, Rect::new(x, y + 1, width, high), buffer);
    }
}

/// A map by itself. Where it is larger than the space, each cell stands for a block of values and shows the one
/// furthest from zero. Returns the size of a cell, and how many rows and columns it stands for; `None` if nothing fits.
pub(super) fn render_alone(
    map: &Map,
    theme: Theme,
    space: Rect,
    buffer: &mut Buffer,
) -> Option<(CellSize, (usize, usize))> {
    let height = space.height.saturating_sub(1);
    let rows = if theme.shades() { 2 * height } else { height };
    let (grid, block) = heatmap::condense(&map.grid, (usize::from(rows), usize::from(space.width)));
    let size = CellSize::filling(theme, (grid.rows, grid.columns), (space.width, height))?;
    let titles = titles_alone(map, block);
    let fits = |title: &&String| width_of(title) <= usize::from(space.width);
    let title = titles.iter().find(fits).or(titles.last()).map_or("", String::as_str);
    buffer.set_stringn(space.x, space.y, title, usize::from(space.width), theme.role(map.role));
    heatmap::render(&grid, map.most, size, theme, Rect { y: space.y + 1, height, ..space }, buffer);
    Some((size, block))
}

/// What stands above a map whose cells stand for blocks of so many rows and columns, the longest text first.
fn titles_alone(map: &Map, (down, across): (usize, usize)) -> Vec<String> {
    let (title, short) = (&map.title, map.short_title);
    if down * across == 1 {
        return vec![title.clone(), short.to_owned()];
    }
    let most = if down * across == 2 { "larger" } else { "largest" };
    vec![
        format!("{title}, each cell: the {most} of {down} × {across} values"),
        format!("{title}, the {most} of {down} × {across}"),
        format!("{short}, the {most} of {down} × {across}"),
        format!("{short}: {most} of {down} × {across}"),
        format!("{most} of {down} × {across}"),
        format!("max {down} × {across}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::{foot_text, values};

    #[test]
    fn the_key_to_other_layers_is_named_wherever_there_are_any() {
        let axes = ("token", "unit");
        let text = |numbers, width| foot_text(axes, numbers, width);
        assert_eq!(text([41, 2, 8], 60), "rows token, columns unit   ← → token  ↑ ↓ layer  n p probe");
        assert_eq!(text([41, 2, 8], 50), "rows token, columns unit   ← → token  ↑ ↓ layer");
        assert_eq!(text([41, 2, 8], 41), "token × unit   ← → token  ↑ ↓ layer");
        assert_eq!(text([41, 2, 8], 24), "← → token  ↑ ↓ layer");
        assert_eq!(text([41, 1, 8], 41), "rows token, columns unit   ← → token");
        assert_eq!(text([1, 1, 1], 41), "rows token, columns unit");
    }

    #[test]
    fn numbers_are_shown_whole_or_not_at_all() {
        assert_eq!(values(&[0.314, -0.82], 20), "0.31 −0.82");
        assert_eq!(values(&[0.314, -0.82, 1.0], 12), "0.31 −0.82 …");
        assert_eq!(values(&[0.314, -0.82, 1.0], 11), "0.31 …");
        assert_eq!((values(&[1.0], 2), values(&[], 9)), ("…".to_owned(), String::new()));
    }
}
