//! Colours: one meaning, one colour, everywhere.
//!
//! Owns the palette, how it comes down to 256 colours, 16 and none, and how the terminal's ability and background are told
//! from flags and environment. Text keeps the terminal's own foreground and background, so that light and dark both read. Whatever a
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

/// What colours stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    #[default]
    Dark,
    Light,
}

/// What a person said of the background; none: what the environment says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackgroundChoice(Option<Background>);

impl FromStr for BackgroundChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self(None)),
            "dark" => Ok(Self(Some(Background::Dark))),
            "light" => Ok(Self(Some(Background::Light))),
            _ => Err("give auto, dark or light".to_owned()),
        }
    }
}

impl fmt::Display for BackgroundChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self.0 {
            None => "auto",
            Some(Background::Dark) => "dark",
            Some(Background::Light) => "light",
        })
    }
}

impl BackgroundChoice {
    /// The flag wins over COLORFGBG, where rxvt, Konsole and others leave the numbers of their colours, the background's
    /// last: the light ones of the 16 are 7 and 9 to 15. QueryLen the terminal would take a round trip before the first
    /// picture, and leave the answer in the input of one that is slow.
    pub fn background(self, variable: impl Fn(&str) -> Option<String>) -> Background {
        let said = || {
            let colours = variable("COLORFGBG")?;
            let number: u8 = colours.rsplit(';').next()?.parse().ok()?;
            Some(if matches!(number, 7 | 9..=15) { Background::Light } else { Background::Dark })
        };
        self.0.or_else(said).unwrap_or_default()
    }
}

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
    /// Something that the person should act on.
    Warning,
    /// Distances to GD that are not the prediction's own: see the Distance pane.
    Sensitivity,
    LossGap,
    State,
}

impl Role {
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
    background: Background,
}

/// Shades on either side of zero in the diverging ramp of a heatmap.
pub const SHADES: i8 = 8;

impl Theme {
    pub fn new(depth: Depth, background: Background) -> Self {
        Self { depth, background }
    }

    /// The style of something that stands for `ink`.
    pub fn role(self, role: Role) -> Style {
        match self.depth {
            Depth::None => Style::new(),
            Depth::Ansi => Style::new().fg(role.ansi()),
            Depth::True | Depth::Indexed => Style::new().fg(self.paint(role.rgb())),
        }
    }

    /// What should stay in the background: borders, axes, units.
    pub fn muted(self) -> Style {
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

    /// One of the `2 × SHADES + 1` steps of the diverging ramp: violet below zero, green above, and at zero nearly the
    /// background's own colour.
    ///
    /// Contrast to the background grows with the magnitude as the hue does, so that the ramp reads in greys, too.
    /// Chosen by eye from the 256 in every depth: a ramp of 17 steps gains nothing from twice the bytes to the terminal.
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
    let tensor3 = (0..216).map(|i| (16 + i, [level(i / 36), level(i / 6 % 6), level(i % 6)]));
    let greys = (0..24).map(|i| (232 + i, [8 + 10 * i; 3]));
    let best = tensor3.chain(greys).min_by_key(|&(_, rgb)| distance(rgb));
    Color::Indexed(best.map_or(16, |(index, _)| index as u8))
}

#[cfg(test)]
mod tests {
    use super::{Background, BackgroundChoice, ColorChoice, Depth, SHADES, Theme, nearest_index};
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
    fn the_background_is_what_flag_or_environment_say() {
        let background = |choice: &str, colours: Option<&str>| {
            let choice: BackgroundChoice = choice.parse().unwrap();
            choice.background(|name| colours.filter(|_| name == "COLORFGBG").map(str::to_owned))
        };
        assert_eq!(background("auto", None), Background::Dark);
        assert_eq!(background("auto", Some("15;0")), Background::Dark);
        assert_eq!(background("auto", Some("0;15")), Background::Light);
        assert_eq!(background("auto", Some("0;default;7")), Background::Light);
        assert_eq!(background("auto", Some("12;8")), Background::Dark);
        assert_eq!(background("auto", Some("nonsense")), Background::Dark);
        assert_eq!(background("light", Some("15;0")), Background::Light);
        assert_eq!(background("dark", Some("0;15")), Background::Dark);
    }

    /// Relative luminance of one of the 256 above the first 16 (WCAG 2.2).
    fn luminance(color: Color) -> f64 {
        let Color::Indexed(index @ 16..) = color else { panic!("{color:?}") };
        let level = |i: u8| f64::from(if i == 0 { 0 } else { 55 + 40 * i }) / 255.0;
        let tensor3 = index.min(231) - 16;
        let rgb = match index.checked_sub(232) {
            Some(grey) => [f64::from(8 + 10 * grey) / 255.0; 3],
            None => [level(tensor3 / 36), level(tensor3 / 6 % 6), level(tensor3 % 6)],
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
