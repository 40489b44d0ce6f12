//! Colours: one meaning, one colour, everywhere.
//!
//! Owns the palette, how it comes down to 256 colours, 16 and none, and how the terminal's ability is told from flag and
//! environment. Text keeps the terminal's own foreground and background, so that light and dark both read. Whatever a
//! colour says, a glyph or a line style says too; that is the widgets' part.

use std::fmt;
use std::str::FromStr;

use ratatui::style::{Color, Modifier, Style};

/// What a person asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// What the environment says that the terminal can do.
    #[default]
    Auto,
    Exactly(Depth),
}

/// How many colours the terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    True,
    Indexed,
    Ansi,
    None,
}

impl FromStr for ColorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "truecolor" => Ok(Self::Exactly(Depth::True)),
            "256" => Ok(Self::Exactly(Depth::Indexed)),
            "16" => Ok(Self::Exactly(Depth::Ansi)),
            "none" => Ok(Self::Exactly(Depth::None)),
            _ => Err("give auto, truecolor, 256, 16 or none".to_owned()),
        }
    }
}

impl fmt::Display for ColorChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Exactly(Depth::True) => "truecolor",
            Self::Exactly(Depth::Indexed) => "256",
            Self::Exactly(Depth::Ansi) => "16",
            Self::Exactly(Depth::None) => "none",
        })
    }
}

impl ColorChoice {
    /// The flag wins over NO_COLOR, that over TERM=dumb, that over COLORTERM and TERM.
    pub fn depth(self, variable: impl Fn(&str) -> Option<String>) -> Depth {
        let Self::Auto = self else {
            let Self::Exactly(depth) = self else { return Depth::None };
            return depth;
        };
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        if set("NO_COLOR").is_some() || term == "dumb" {
            Depth::None
        } else if set("COLORTERM").is_some_and(|c| c == "truecolor" || c == "24bit") || term.ends_with("-direct") {
            Depth::True
        } else if term.contains("256") {
            Depth::Indexed
        } else {
            Depth::Ansi
        }
    }
}

/// What a colour can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The model that is being trained.
    Model,
    /// Gradient descent, of any number of steps.
    Gd,
    LeastSquares,
    /// Predicting zero.
    Zero,
    /// Something that the person should act on.
    Warning,
    /// Distances to GD that are not the prediction's own: see the Distance pane.
    Sensitivity,
    LossGap,
    State,
}

impl Ink {
    /// Middle tones: at least 3 : 1 on white as on black, and told apart by the colour-blind (after Okabe and Ito).
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
        }
    }

    fn ansi(self) -> Color {
        match self {
            // Yellow, which is nearer to orange, cannot be read on white.
            Self::Model => Color::LightRed,
            Self::Gd => Color::Cyan,
            Self::LeastSquares => Color::Green,
            Self::Zero => Color::DarkGray,
            Self::Warning => Color::Red,
            Self::Sensitivity => Color::LightBlue,
            Self::LossGap => Color::LightMagenta,
            Self::State => Color::Magenta,
        }
    }
}

/// The styles of everything on the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    depth: Depth,
}

/// Shades on either side of zero in the diverging ramp of a heatmap.
pub const SHADES: i8 = 8;

impl Theme {
    pub fn new(depth: Depth) -> Self {
        Self { depth }
    }

    /// The style of something that stands for `ink`.
    pub fn ink(self, ink: Ink) -> Style {
        match self.depth {
            Depth::None => Style::new(),
            Depth::Ansi => Style::new().fg(ink.ansi()),
            Depth::True | Depth::Indexed => Style::new().fg(self.paint(ink.rgb())),
        }
    }

    /// What should stay in the background: borders, axes, units.
    pub fn quiet(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// A heading: as bright as text, whatever the border that it stands in.
    pub fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD).remove_modifier(Modifier::DIM)
    }

    /// The one thing that is chosen or has the focus.
    pub fn focus(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The chosen row of a list.
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Whether a heatmap can be made of colours alone.
    pub fn shades(self) -> bool {
        matches!(self.depth, Depth::True | Depth::Indexed)
    }

    /// Whether curves that cross can be told apart by colour.
    pub fn colours(self) -> bool {
        self.depth != Depth::None
    }

    /// One of the `2 × SHADES + 1` steps of the diverging ramp: violet below zero, near black at zero, green above.
    ///
    /// Brightness grows with the magnitude as the hue does, so that the ramp reads in greys too, and on any background.
    /// Chosen by eye from the 256 in every depth: a ramp of 17 steps gains nothing from twice the bytes to the terminal.
    pub fn shade(self, level: i8) -> Color {
        const BELOW: [u8; SHADES as usize] = [54, 55, 56, 92, 98, 135, 141, 183];
        const ABOVE: [u8; SHADES as usize] = [22, 28, 34, 70, 76, 112, 148, 191];
        const ZERO: u8 = 235;
        let side = if level < 0 { BELOW } else { ABOVE };
        let step = usize::from(level.unsigned_abs()).checked_sub(1);
        Color::Indexed(step.map_or(ZERO, |step| side[step.min(side.len() - 1)]))
    }

    fn paint(self, rgb: (u8, u8, u8)) -> Color {
        match self.depth {
            Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
            _ => nearest_index(rgb),
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
    use super::{ColorChoice, Depth, SHADES, Theme, nearest_index};
    use ratatui::style::Color;

    fn depth(choice: ColorChoice, environment: &[(&str, &str)]) -> Depth {
        choice.depth(|name| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_flag_wins_over_the_environment() {
        let truecolor = [("COLORTERM", "truecolor"), ("TERM", "xterm-256color")];
        assert_eq!(depth(ColorChoice::Auto, &truecolor), Depth::True);
        assert_eq!(depth(ColorChoice::Auto, &truecolor[1..]), Depth::Indexed);
        assert_eq!(depth(ColorChoice::Auto, &[("TERM", "linux")]), Depth::Ansi);
        assert_eq!(depth(ColorChoice::Auto, &[("NO_COLOR", "1"), truecolor[0]]), Depth::None);
        assert_eq!(depth(ColorChoice::Auto, &[("NO_COLOR", ""), truecolor[0]]), Depth::True);
        assert_eq!(depth(ColorChoice::Auto, &[("TERM", "dumb"), truecolor[0]]), Depth::None);
        assert_eq!(depth(ColorChoice::Exactly(Depth::Ansi), &[("NO_COLOR", "1")]), Depth::Ansi);
    }

    #[test]
    fn every_step_of_the_ramp_has_its_own_colour() {
        let theme = Theme::new(Depth::Indexed);
        assert_eq!(nearest_index((255, 0, 0)), Color::Indexed(196));
        let ramp: Vec<_> = (-SHADES..=SHADES).map(|level| theme.shade(level)).collect();
        assert!(ramp.iter().enumerate().all(|(i, color)| !ramp[..i].contains(color)), "{ramp:?}");
    }
}
