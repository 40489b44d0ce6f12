//! Characters for terminals that cannot show all of Unicode, or show some of it two columns wide.
//!
//! Owns the option `--glyphs` and the ASCII character for each of those that the lab uses. The screen is rendered as
//! always and then replaced cell by cell, so that no widget needs to know.

use clap::ValueEnum;
use ratatui::buffer::Buffer;

/// `--glyphs`: which characters to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum GlyphChoice {
    /// ASCII without a UTF-8 locale, on the Linux console, and in Chinese, Japanese and Korean locales, whose terminals
    /// may show lines and marks two columns wide.
    #[default]
    Auto,
    Unicode,
    Ascii,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    #[default]
    Unicode,
    Ascii,
}

impl GlyphChoice {
    pub fn glyphs(self, variable: impl Fn(&str) -> Option<String>) -> Glyphs {
        match self {
            Self::Unicode => Glyphs::Unicode,
            Self::Ascii => Glyphs::Ascii,
            Self::Auto => {
                let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
                // As the C library chooses the locale of characters.
                let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set).unwrap_or_default().to_lowercase();
                let utf8 = locale.contains("utf-8") || locale.contains("utf8");
                let wide = ["zh", "ja", "ko"].iter().any(|language| locale.starts_with(language));
                let console = set(&"TERM").is_some_and(|term| term == "linux");
                if utf8 && !wide && !console { Glyphs::Unicode } else { Glyphs::Ascii }
            }
        }
    }
}

impl Glyphs {
    /// Replaces what cannot be shown.
    pub fn apply(self, buffer: &mut Buffer) {
        if self == Self::Unicode {
            return;
        }
        plus_minus(buffer);
        for cell in &mut buffer.content {
            if !cell.symbol().is_ascii() {
                let replacement = cell.symbol().chars().next().map_or(' ', ascii);
                cell.set_char(replacement);
            }
        }
    }
}

/// "±" is "+-" where a space beside it gives way, else "~": one character that stands for it would mean something else.
fn plus_minus(buffer: &mut Buffer) {
    let width = usize::from(buffer.area.width);
    for row in buffer.content.chunks_mut(width.max(1)) {
        for i in (0..row.len()).filter(|i| row[*i].symbol() == "±").collect::<Vec<_>>() {
            let space = |i: usize| row.get(i).is_some_and(|cell| cell.symbol() == " ");
            let first = if space(i + 1) { Some(i) } else { i.checked_sub(1).filter(|before| space(*before)) };
            if let Some(first) = first {
                row[first].set_char('+');
                row[first + 1].set_char('-');
            }
        }
    }
}

/// An ASCII character that stands for another character.
fn ascii(c: char) -> char {
    match c {
        '\u{2800}'..='\u{28ff}' => dots(c as u32 - 0x2800),
        '─' | '━' | '┄' | '−' | '–' | '—' | '₋' | '⁻' => '-',
        '│' | '┃' | '┊' | '‖' | '▏' | '▌' | '▐' => '|',
        '╭' | '╮' | '╰' | '╯' | '┌' | '┐' | '└' | '┘' | '┤' | '├' | '┏' | '┓' | '┗' | '┛' | '✓' | '◐' => {
            '+'
        }
        '╵' => '\'',
        '●' => '*',
        '○' => 'o',
        '◆' => '%',
        '◇' => 'D',
        '■' => '#',
        '□' => 'H',
        '▲' | '↑' => '^',
        '△' => 'A',
        '▼' | '▾' | '▽' | '↓' => 'v',
        '▶' | '→' => '>',
        '◀' | '←' => '<',
        '✗' | '×' => 'x',
        '…' | '·' | '⋅' => '.',
        '≤' => '<',
        '≥' => '>',
        '±' | '≈' => '~',
        '½' => '/',
        '⊙' => 'o',
        // The ramp of a heatmap, from strongly negative to strongly positive: # % = - . : + @ W
        '≡' => '%',
        '░' => ':',
        '▒' => '+',
        '▓' => '@',
        '█' => 'W',
        // A sparkline.
        '▁' | '▂' => '_',
        '▃' | '▄' => '-',
        '▅' | '▆' => '=',
        '▇' | '▀' => '#',
        other => deunicode::deunicode_char(other).and_then(|text| text.chars().next()).unwrap_or('?'),
    }
}

/// The dots of a Braille character, by their height: dots 1, 4, 2, 5 are the upper half, 3, 6, 7, 8 the lower.
fn dots(bits: u32) -> char {
    const UPPER: u32 = 0b0001_1011;
    match (bits & UPPER != 0, bits & !UPPER != 0) {
        (true, true) => ':',
        (true, false) => '\'',
        (false, true) => '.',
        (false, false) => ' ',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locale_chooses_and_the_option_wins() {
        let glyphs = |choice: GlyphChoice, environment: &[(&str, &str)]| {
            choice.glyphs(|name| environment.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
        };
        for (environment, expected) in [
            (&[("LANG", "en_US.UTF-8")][..], Glyphs::Unicode),
            (&[("LC_CTYPE", "UTF-8")], Glyphs::Unicode),
            (&[("LANG", "C.utf8")], Glyphs::Unicode),
            (&[], Glyphs::Ascii),
            (&[("LANG", "en_US.UTF-8"), ("LC_ALL", "C")], Glyphs::Ascii),
            (&[("LANG", "de_DE.ISO-8859-1")], Glyphs::Ascii),
            (&[("LANG", "en_US.UTF-8"), ("TERM", "linux")], Glyphs::Ascii),
            (&[("LANG", "ja_JP.UTF-8")], Glyphs::Ascii),
        ] {
            assert_eq!(glyphs(GlyphChoice::Auto, environment), expected, "{environment:?}");
        }
        assert_eq!(glyphs(GlyphChoice::Unicode, &[]), Glyphs::Unicode);
        assert_eq!(glyphs(GlyphChoice::Ascii, &[("LANG", "en_US.UTF-8")]), Glyphs::Ascii);
    }

    #[test]
    fn formulas_can_still_be_read() {
        let read = |text: &str| text.chars().map(|c| if c.is_ascii() { c } else { ascii(c) }).collect::<String>();
        assert_eq!(read("Sₜ = Λ ⊙ Sₜ₋₁ + Xₜᵀ Q Xₜ"), "St = L o St-1 + XtT Q Xt");
        assert_eq!(read("Σ y xᵀ, η 6.06, ‖·‖ ≤ 2 × 10⁻³"), "S y xT, e 6.06, |.| < 2 x 10-3");
    }

    #[test]
    fn plus_or_minus_is_not_about() {
        let shown = |text: &str| {
            let mut buffer = Buffer::with_lines([text]);
            Glyphs::Ascii.apply(&mut buffer);
            buffer.content.iter().map(|cell| cell.symbol()).collect::<String>()
        };
        assert_eq!(shown("loss 0.209 ± 0.003, GD-1's: ±0.8 %"), "loss 0.209 +-0.003, GD-1's:+-0.8 %");
        assert_eq!(shown("GD-1 ≈ GD-2"), "GD-1 ~ GD-2");
    }
}
