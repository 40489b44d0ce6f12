//! Colours: one meaning, one colour, everywhere.
//!
//! Owns the palette and its reduction to 256 colours, 16 and none. Text keeps the terminal's own foreground and
//! background, so that it can be read on light and on dark. What a colour means is also shown by a character or a line
//! style, which the widgets choose.

use ratatui::style::{Color, Modifier, Style};

use super::capabilities::{Background, Depth, Palette};
use super::glyphs::Glyphs;

mod indexed;

pub use indexed::indexed_rgb;
use indexed::nearest_index;

type Rgb = (u8, u8, u8);

/// How values become colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ramp {
    /// From negative through zero to positive.
    Diverging,
    /// From zero up: weights of attention.
    Sequential,
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
    /// Something that the user should act on.
    Warning,
    /// Distances to GD other than that of the predictions: see the Distance pane.
    Sensitivity,
    LossGap,
    State,
    /// A kept run, by its number from 0.
    Kept(usize),
}

/// The colours of kept runs, as [`Role::rgb`] has those of each role.
const KEPT: [[Rgb; 5]; 6] = [
    [(176, 96, 208), (200, 130, 225), (140, 60, 170), (215, 160, 235), (105, 35, 130)],
    [(128, 140, 0), (170, 182, 40), (92, 100, 0), (190, 200, 80), (66, 72, 0)],
    [(214, 90, 140), (235, 130, 170), (180, 50, 105), (245, 165, 195), (140, 25, 75)],
    [(0, 146, 156), (40, 185, 195), (0, 105, 115), (90, 210, 220), (0, 75, 82)],
    [(170, 110, 60), (205, 150, 100), (135, 82, 35), (225, 180, 140), (98, 58, 20)],
    [(116, 116, 230), (150, 150, 245), (85, 85, 200), (180, 180, 250), (60, 60, 160)],
];
/// The same on a terminal of 16 colours: those that nothing near them has.
const KEPT_ANSI: [Color; 6] =
    [Color::Magenta, Color::LightGreen, Color::LightMagenta, Color::LightCyan, Color::LightBlue, Color::Reset];

impl Role {
    /// Safe for the colour-blind (after Okabe and Ito), with these contrasts: at least 4.5 : 1 on a dark and on a light
    /// background, 7 : 1 where it is to be high; 3 : 1 on both where the background is not known.
    fn rgb(self, background: Background, high: bool) -> Rgb {
        let [unknown, dark, light, dark_high, light_high] = match self {
            Self::Model => [(215, 95, 0), (240, 140, 40), (168, 78, 0), (255, 170, 80), (135, 0, 0)],
            Self::Gd => [(46, 139, 214), (80, 165, 240), (20, 100, 175), (120, 195, 255), (0, 65, 130)],
            Self::LeastSquares => [(0, 140, 110), (40, 180, 150), (0, 112, 92), (80, 220, 180), (0, 80, 65)],
            Self::Zero => [(138, 138, 138), (160, 160, 160), (100, 100, 100), (200, 200, 200), (64, 64, 64)],
            Self::Warning => [(222, 62, 79), (250, 105, 120), (196, 30, 50), (255, 150, 160), (150, 0, 30)],
            Self::Sensitivity => [(176, 142, 0), (205, 170, 20), (120, 92, 0), (235, 200, 60), (95, 0, 0)],
            Self::LossGap => [(145, 95, 215), (185, 145, 240), (122, 70, 192), (205, 170, 255), (85, 35, 150)],
            Self::State => [(206, 96, 160), (230, 120, 185), (170, 0, 130), (255, 160, 210), (125, 20, 85)],
            Self::Kept(number) => KEPT[number % KEPT.len()],
        };
        match (background, high) {
            (Background::Unknown, false) => unknown,
            (Background::Dark, false) => dark,
            (Background::Light, false) => light,
            (Background::Dark | Background::Unknown, true) => dark_high,
            (Background::Light, true) => light_high,
        }
    }

    fn ansi(self) -> Color {
        match self {
            // Yellow is nearer to orange, but cannot be read on white.
            Self::Model => Color::LightRed,
            Self::Gd => Color::Cyan,
            Self::LeastSquares => Color::Green,
            // Its line style tells it apart. Dark grey cannot be read in many themes.
            Self::Zero => Color::Reset,
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
    palette: Palette,
    /// For projectors.
    high_contrast: bool,
}

/// Shades on either side of zero in the diverging ramp of a heatmap.
pub const SHADES: i8 = 8;

impl Theme {
    pub fn new(depth: Depth, background: Background) -> Self {
        let (glyphs, palette) = (Glyphs::Unicode, Palette::default());
        Self { depth, background, glyphs, palette, high_contrast: false }
    }

    pub fn with_glyphs(self, glyphs: Glyphs) -> Self {
        Self { glyphs, ..self }
    }

    pub fn with_palette(self, palette: Palette) -> Self {
        Self { palette, ..self }
    }

    /// Contrasts of at least 7 : 1.
    pub fn with_high_contrast(self) -> Self {
        Self { high_contrast: true, ..self }
    }

    pub fn glyphs(self) -> Glyphs {
        self.glyphs
    }

    pub fn background(self) -> Background {
        self.background
    }

    /// The style of something with this role.
    pub fn role(self, role: Role) -> Style {
        match self.depth {
            Depth::None => Style::new(),
            Depth::Ansi => Style::new().fg(role.ansi()),
            Depth::True | Depth::Indexed => Style::new().fg(self.color(role.rgb(self.background, self.high_contrast))),
        }
    }

    /// Borders, axes, units: what should not attract attention, and is read all the same: its contrast is at least 4.5
    /// : 1. Where the terminal defines the colours, that can be promised of its own text only.
    pub fn muted(self) -> Style {
        match self.depth {
            Depth::None | Depth::Ansi => Style::new(),
            Depth::True | Depth::Indexed if self.high_contrast => Style::new(),
            Depth::True | Depth::Indexed => Style::new().fg(Color::Indexed(match self.background {
                Background::Dark => 247,
                Background::Light => 241,
                // The one grey with this contrast on black and on white.
                Background::Unknown => 243,
            })),
        }
    }

    /// Dots of a role that should not attract attention; never text.
    pub fn faint(self, role: Role) -> Style {
        self.role(role).add_modifier(Modifier::DIM)
    }

    /// A heading: as bright as text, also inside a muted border.
    pub fn title(self) -> Style {
        Style::new().fg(Color::Reset).add_modifier(Modifier::BOLD)
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

    /// One of the `2 × SHADES + 1` steps of the diverging ramp, at zero nearly the background's own colour; or, on a
    /// sequential ramp, one of the `SHADES + 1` steps from zero up.
    ///
    /// Contrast to the background grows with the magnitude as the hue does, so that the ramp reads in greys, too.
    /// Chosen by eye from the 256 at every depth: for a ramp of 17 steps truecolor would only double the bytes sent.
    pub fn shade(self, ramp: Ramp, level: i8) -> Color {
        let light = self.background == Background::Light;
        let zero = if light { 255 } else { 234 };
        let (below, above) = match (ramp, self.palette) {
            (Ramp::Sequential, _) if light => {
                ([187, 151, 115, 73, 67, 61, 55, 17], [187, 151, 115, 73, 67, 61, 55, 17])
            }
            (Ramp::Sequential, _) => ([53, 60, 66, 72, 108, 114, 150, 229], [53, 60, 66, 72, 108, 114, 150, 229]),
            (Ramp::Diverging, Palette::BlueRed) if light => {
                ([189, 153, 111, 74, 68, 31, 25, 18], [224, 217, 210, 174, 167, 131, 124, 52])
            }
            (Ramp::Diverging, Palette::BlueRed) => {
                ([18, 24, 25, 31, 67, 74, 110, 153], [52, 88, 95, 131, 167, 174, 217, 224])
            }
            (Ramp::Diverging, Palette::VioletGreen) if light => {
                ([189, 183, 141, 135, 98, 92, 55, 54], [157, 151, 114, 77, 71, 34, 28, 22])
            }
            (Ramp::Diverging, Palette::VioletGreen) => {
                ([54, 55, 56, 92, 98, 135, 141, 183], [22, 28, 34, 70, 76, 112, 148, 191])
            }
        };
        let side: [u8; SHADES as usize] = if level < 0 { below } else { above };
        let step = usize::from(level.unsigned_abs()).checked_sub(1);
        Color::Indexed(step.map_or(zero, |step| side[step.min(side.len() - 1)]))
    }

    fn color(self, rgb: Rgb) -> Color {
        match self.depth {
            Depth::True => Color::Rgb(rgb.0, rgb.1, rgb.2),
            Depth::Indexed | Depth::Ansi | Depth::None => nearest_index(rgb),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLES: [Role; 8] = [
        Role::Model,
        Role::Gd,
        Role::LeastSquares,
        Role::Zero,
        Role::Warning,
        Role::Sensitivity,
        Role::LossGap,
        Role::State,
    ];
    const WHITE: Rgb = (255, 255, 255);
    const BLACK: Rgb = (0, 0, 0);
    /// As dark as the backgrounds of dark themes are.
    const DARK: Rgb = (30, 30, 30);

    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum")]
    fn rgb(color: Color) -> Rgb {
        match color {
            Color::Rgb(r, g, b) => (r, g, b),
            Color::Indexed(index @ 16..) => indexed_rgb(index),
            other => panic!("{other:?} is the terminal's"),
        }
    }

    /// Red, green and blue in proportion to light.
    fn linear((r, g, b): Rgb) -> [f64; 3] {
        let value = |x: u8| f64::from(x) / 255.0;
        [r, g, b].map(|x| if value(x) <= 0.04045 { value(x) / 12.92 } else { ((value(x) + 0.055) / 1.055).powf(2.4) })
    }

    /// Relative luminance (WCAG 2.2).
    fn luminance(color: Rgb) -> f64 {
        let [r, g, b] = linear(color);
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    fn contrast(one: Rgb, other: Rgb) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// How different two colours look (ΔE of CIE 1976) to a person without the cones that `simulation` leaves out.
    fn distance(one: Rgb, other: Rgb, simulation: [[f64; 3]; 3]) -> f64 {
        let lab = |color: Rgb| {
            let seen = linear(color);
            let [r, g, b] = simulation.map(|row| (0..3).map(|i| row[i] * seen[i]).sum::<f64>().clamp(0.0, 1.0));
            let x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047;
            let y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b;
            let z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883;
            let f = |t: f64| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
            [116.0 * f(y) - 16.0, 500.0 * (f(x) - f(y)), 200.0 * (f(y) - f(z))]
        };
        let (one, other) = (lab(one), lab(other));
        (0..3).map(|i| (one[i] - other[i]).powi(2)).sum::<f64>().sqrt()
    }

    #[test]
    fn text_can_be_read_on_its_background() {
        for depth in [Depth::True, Depth::Indexed] {
            let cases = [
                (Background::Dark, false, DARK, 4.5),
                (Background::Light, false, WHITE, 4.5),
                (Background::Dark, true, DARK, 7.0),
                (Background::Light, true, WHITE, 7.0),
                // Not known: both, as well as that is possible.
                (Background::Unknown, false, BLACK, 3.0),
                (Background::Unknown, false, WHITE, 3.0),
            ];
            for (background, high, behind, least) in cases {
                let theme = Theme { high_contrast: high, ..Theme::new(depth, background) };
                // The kept runs have six colours more, which 256 colours only approximate.
                let kept = (0..KEPT.len()).map(Role::Kept).filter(|_| depth == Depth::True);
                for role in ROLES.into_iter().chain(kept) {
                    let found = contrast(rgb(theme.role(role).fg.unwrap()), behind);
                    assert!(found >= least, "{role:?} at {depth:?} on {background:?}, high: {high}: {found}");
                }
                // Where nothing is set, it is the terminal's own text.
                if let Some(grey) = theme.muted().fg {
                    assert!(contrast(rgb(grey), behind) >= 4.5, "muted on {background:?}");
                }
                assert!(!theme.muted().add_modifier.contains(Modifier::DIM));
            }
        }
        for depth in [Depth::Ansi, Depth::None] {
            assert_eq!(Theme::new(depth, Background::Dark).muted(), Style::new());
        }
    }

    #[test]
    fn the_ramps_leave_the_background_step_by_step() {
        for (background, away) in [(Background::Dark, 1.0), (Background::Light, -1.0)] {
            for palette in [Palette::BlueRed, Palette::VioletGreen] {
                let theme = Theme::new(Depth::Indexed, background).with_palette(palette);
                for (ramp, side) in [(Ramp::Diverging, 1), (Ramp::Diverging, -1), (Ramp::Sequential, 1)] {
                    let level = |level: i8| away * luminance(rgb(theme.shade(ramp, side * level)));
                    let levels: Vec<_> = (0..=SHADES).map(level).collect();
                    assert!(
                        levels.is_sorted_by(|less, more| less < more),
                        "{background:?} {ramp:?} {side}: {levels:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn below_and_above_zero_look_different_without_any_one_kind_of_cone() {
        // Machado, Oliveira and Fernandes 2009, for missing long, medium and short cones.
        let simulations = [
            [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
            [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
            [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
        ];
        // A difference of about 2 is just seen. The palette for the colour-blind is twice as strong for the frequent
        // kinds.
        for (palette, least) in [(Palette::BlueRed, [20.0, 20.0, 20.0]), (Palette::VioletGreen, [45.0, 45.0, 25.0])] {
            for background in [Background::Dark, Background::Light] {
                let theme = Theme::new(Depth::Indexed, background).with_palette(palette);
                for (simulation, least) in simulations.into_iter().zip(least) {
                    for level in 1..=SHADES {
                        let side = |sign: i8| rgb(theme.shade(Ramp::Diverging, sign * level));
                        let found = distance(side(-1), side(1), simulation);
                        assert!(found >= least, "{palette:?} {background:?} {level}: {found}");
                    }
                }
            }
        }
    }
}
