//! Colours: one meaning, one colour, everywhere.
//!
//! Owns the palette and its reduction to 256 colours, 16 and none. Text keeps the terminal's own foreground and
//! background, so that it can be read on light and on dark. What a colour means is also shown by a character or a line
//! style, which the widgets choose.

use ratatui::style::{Color, Modifier, Style};

use super::capabilities::{Background, Depth};
use super::glyphs::Glyphs;

/// What a colour can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The model that is being trained.
    Model,
    /// Gradient descent, of any number of steps.
    Gd,
    LeastSquares,
    /// Predicting zero.
    Zero,
    /// Something that the user should act on.
    Warning,
    /// Distances to GD other than that of the predictions: see the Distance pane.
    Sensitivity,
    LossGap,
    State,
    /// A kept run, by its number from 0.
    Kept(usize),
}

/// The colours of kept runs, as [`Role::rgb`].
const KEPT: [(u8, u8, u8); 6] =
    [(176, 96, 208), (128, 140, 0), (214, 90, 140), (0, 146, 156), (170, 110, 60), (116, 116, 230)];
/// The same on a terminal of 16 colours: those that nothing near them has.
const KEPT_ANSI: [Color; 6] =
    [Color::Magenta, Color::LightGreen, Color::LightMagenta, Color::LightCyan, Color::LightBlue, Color::Reset];

impl Role {
    /// Middle tones: contrast at least 3 : 1 on white as on black, and safe for the colour-blind (after Okabe and Ito).
    fn rgb(self) -> (u8, u8, u8) {
        match self {
            Self::Model => (224, 123, 20),
            Self::Gd => (46, 139, 214),
            Self::LeastSquares => (24, 158, 134),
            Self::Zero => (138, 138, 138),
            Self::Warning => (222, 62, 79),
            Self::Sensitivity => (176, 142, 0),
            Self::LossGap => (160, 116, 220),
            Self::State => (206, 96, 160),
            Self::Kept(number) => KEPT[number % KEPT.len()],
        }
    }

    fn ansi(self) -> Color {
        match self {
            // Yellow is nearer to orange, but cannot be read on white.
            Self::Model => Color::LightRed,
            Self::Gd => Color::Cyan,
            Self::LeastSquares => Color::Green,
            Self::Zero => Color::DarkGray,
            Self::Warning => Color::Red,
            Self::Sensitivity => Color::LightBlue,
            Self::LossGap => Color::LightMagenta,
            Self::State => Color::Magenta,
            Self::Kept(number) => KEPT_ANSI[number % KEPT_ANSI.len()],
        }
    }
}

/// The styles of everything on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    depth: Depth,
    background: Background,
    glyphs: Glyphs,
}

/// Shades on either side of zero in the diverging ramp of a heatmap.
pub const SHADES: i8 = 8;

impl Theme {
    pub fn new(depth: Depth, background: Background) -> Self {
        Self { depth, background, glyphs: Glyphs::Unicode }
    }

    pub fn with_glyphs(self, glyphs: Glyphs) -> Self {
        Self { glyphs, ..self }
    }

    pub fn glyphs(self) -> Glyphs {
        self.glyphs
    }

    /// The style of something with this role.
    pub fn role(self, role: Role) -> Style {
        match self.depth {
            Depth::None => Style::new(),
            Depth::Ansi => Style::new().fg(role.ansi()),
            Depth::True | Depth::Indexed => Style::new().fg(self.color(role.rgb())),
        }
    }

    /// Borders, axes, units: what should not attract attention.
    pub fn muted(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A heading: as bright as text, also inside a dim border.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD).remove_modifier(Modifier::DIM)
    }

    /// The one thing that is selected or has the focus.
    pub fn focus(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The selected row of a list.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Whether a heatmap can consist of colours alone, in half blocks.
    pub fn shades(self) -> bool {
        matches!(self.depth, Depth::True | Depth::Indexed) && self.glyphs == Glyphs::Unicode
    }

    /// Whether colours tell curves apart.
    pub fn colours(self) -> bool {
        self.depth != Depth::None
    }

    /// One of the `2 × SHADES + 1` steps of the diverging ramp: violet below zero, green above, and at zero nearly the
    /// background's own colour.
    ///
    /// Contrast to the background grows with the magnitude as the hue does, so that the ramp reads in greys, too.
    /// Chosen by eye from the 256 at every depth: for a ramp of 17 steps truecolor would only double the bytes sent.
    pub fn shade(self, level: i8) -> Color {
        type Side = [u8; SHADES as usize];
        const DARK: (Side, u8, Side) = ([54, 55, 56, 92, 98, 135, 141, 183], 235, [22, 28, 34, 70, 76, 112, 148, 191]);
        const LIGHT: (Side, u8, Side) =
            ([189, 183, 141, 135, 98, 92, 55, 54], 255, [157, 151, 114, 77, 71, 34, 28, 22]);
        let (below, zero, above) = if self.background == Background::Light { LIGHT } else { DARK };
        let side = if level < 0 { below } else { above };
        let step = usize::from(level.unsigned_abs()).checked_sub(1);
        Color::Indexed(step.map_or(zero, |step| side[step.min(side.len() - 1)]))
    }

    fn color(self, rgb: (u8, u8, u8)) -> Color {
        match self.depth {
            Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
            Depth::Indexed | Depth::Ansi | Depth::None => nearest_index(rgb),
        }
    }
}

/// The nearest colour of the 256 that is not one of the 16 that themes redefine.
fn nearest_index((r, g, b): (u8, u8, u8)) -> Color {
    let distance = |x: [i32; 3]| {
        let d = [x[0] - i32::from(r), x[1] - i32::from(g), x[2] - i32::from(b)];
        d.iter().map(|d| d * d).sum::<i32>()
    };
    let level = |i: i32| if i == 0 { 0 } else { 55 + 40 * i };
    let cube = (0..216).map(|i| (16 + i, [level(i / 36), level(i / 6 % 6), level(i % 6)]));
    let greys = (0..24).map(|i| (232 + i, [8 + 10 * i; 3]));
    let best = cube.chain(greys).min_by_key(|&(_, rgb)| distance(rgb));
    Color::Indexed(best.map_or(16, |(index, _)| index as u8))
}

#[cfg(test)]
mod tests {
    use super::{Background, Depth, SHADES, Theme, nearest_index};
    use ratatui::style::Color;

    /// Relative luminance of one of the 256 above the first 16 (WCAG 2.2).
    fn luminance(color: Color) -> f64 {
        let Color::Indexed(index @ 16..) = color else { panic!("{color:?}") };
        let level = |i: u8| f64::from(if i == 0 { 0 } else { 55 + 40 * i }) / 255.0;
        let cube = index.min(231) - 16;
        let rgb = match index.checked_sub(232) {
            Some(grey) => [f64::from(8 + 10 * grey) / 255.0; 3],
            None => [level(cube / 36), level(cube / 6 % 6), level(cube % 6)],
        };
        let linear = rgb.map(|x| if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    #[test]
    fn the_ramp_leaves_the_background_step_by_step() {
        for (background, away) in [(Background::Dark, 1.0), (Background::Light, -1.0)] {
            let theme = Theme::new(Depth::Indexed, background);
            for side in [1, -1] {
                let ramp: Vec<_> = (0..=SHADES).map(|level| away * luminance(theme.shade(side * level))).collect();
                assert!(ramp.is_sorted_by(|less, more| less < more), "{background:?} {side}: {ramp:?}");
            }
        }
    }

    #[test]
    fn colours_come_down_to_the_nearest_of_the_256() {
        assert_eq!(nearest_index((255, 0, 0)), Color::Indexed(196));
    }
}
