//! What the terminal can show: colours and background, by the command line and the environment.
//!
//! Owns the options `--color` and `--background`. Asks the terminal nothing: over a slow link that would delay the
//! first frame, and a late answer would be read as keys.

use clap::ValueEnum;
use termprofile::{DetectorSettings, EnvVarSource, IsTerminal, TermProfile, TermVars};

/// `--color`: how many colours to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// As many as the terminal is known to show.
    #[default]
    Auto,
    Truecolor,
    #[value(name = "256")]
    Indexed,
    #[value(name = "16")]
    Ansi,
    None,
}

/// How many colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    None,
    /// The 16 that the user's theme defines.
    Ansi,
    /// 256.
    Indexed,
    True,
}

/// `--background`: what colours stand on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackgroundChoice {
    /// What `COLORFGBG` says, else colours for both.
    #[default]
    Auto,
    Dark,
    Light,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Background {
    /// The terminal does not say: colours that can be read on both, and heatmaps as on dark.
    #[default]
    Unknown,
    Dark,
    Light,
}

/// `--palette`: the colours of heatmaps, below and above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Palette {
    #[default]
    BlueRed,
    /// The two sides differ more for people who do not distinguish all colours
    VioletGreen,
}

impl ColorChoice {
    /// The option wins over NO_COLOR, which wins over what is known of the terminal by TERM, COLORTERM and terminfo.
    ///
    /// GNU screen and tmux get 256 colours: COLORTERM there describes the terminal around them.
    pub fn depth(self, variable: impl Fn(&str) -> Option<String>) -> Depth {
        match self {
            Self::Truecolor => Depth::True,
            Self::Indexed => Depth::Indexed,
            Self::Ansi => Depth::Ansi,
            Self::None => Depth::None,
            Self::Auto => {
                let set = |name: &str| variable(name).filter(|value| !value.is_empty());
                let in_screen = set("STY").is_some() || set("TERM").is_some_and(|term| term.starts_with("screen"));
                let settings = DetectorSettings::new().enable_tmux_info(false);
                let vars = TermVars::from_source(&Variables(&set), &Terminal, settings);
                let depth = match TermProfile::detect_with_vars(vars) {
                    _ if set("NO_COLOR").is_some() => Depth::None,
                    TermProfile::NoTty | TermProfile::NoColor => Depth::None,
                    TermProfile::Ansi16 => Depth::Ansi,
                    TermProfile::Ansi256 => Depth::Indexed,
                    TermProfile::TrueColor => Depth::True,
                };
                if in_screen { depth.min(Depth::Indexed) } else { depth }
            }
        }
    }
}

/// The variables that describe a terminal. Others that the detection knows describe the logs of build servers.
struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl EnvVarSource for Variables<'_> {
    fn var(&self, name: &str) -> Option<String> {
        let known = ["TERM", "COLORTERM", "TERM_PROGRAM", "TERM_PROGRAM_VERSION", "TMUX"];
        if known.contains(&name) { (self.0)(name) } else { None }
    }
}

/// The lab runs only in a terminal.
struct Terminal;

impl IsTerminal for Terminal {
    fn is_terminal(&self) -> bool {
        true
    }
}

impl BackgroundChoice {
    /// The option wins over COLORFGBG, where rxvt, Konsole and others leave the numbers of their colours, the
    /// background's last: the light ones of the 16 are 7 and 9 to 15.
    pub fn background(self, variable: impl Fn(&str) -> Option<String>) -> Background {
        match self {
            Self::Dark => Background::Dark,
            Self::Light => Background::Light,
            Self::Auto => {
                let colors = variable("COLORFGBG").unwrap_or_default();
                let number = colors.rsplit(';').next().and_then(|number| number.parse::<u8>().ok());
                match number {
                    Some(7 | 9..=15) => Background::Light,
                    Some(0..=6 | 8) => Background::Dark,
                    Some(16..) | None => Background::Unknown,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(choice: ColorChoice, environment: &[(&str, &str)]) -> Depth {
        choice.depth(|name| environment.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_option_wins_over_the_environment() {
        let truecolor = [("COLORTERM", "truecolor"), ("TERM", "xterm-256color")];
        assert_eq!(depth(ColorChoice::Auto, &truecolor), Depth::True);
        assert_eq!(depth(ColorChoice::Auto, &truecolor[1..]), Depth::Indexed);
        assert_eq!(depth(ColorChoice::Auto, &[("TERM", "linux")]), Depth::Ansi);
        assert_eq!(depth(ColorChoice::Auto, &[("NO_COLOR", "1"), truecolor[0], truecolor[1]]), Depth::None);
        assert_eq!(depth(ColorChoice::Auto, &[("NO_COLOR", ""), truecolor[0], truecolor[1]]), Depth::True);
        assert_eq!(depth(ColorChoice::Auto, &[("TERM", "dumb"), truecolor[0]]), Depth::None);
        assert_eq!(depth(ColorChoice::Auto, &[("CI", "true"), truecolor[0], truecolor[1]]), Depth::True);
        assert_eq!(depth(ColorChoice::Ansi, &[("NO_COLOR", "1")]), Depth::Ansi);
    }

    #[test]
    fn terminals_with_truecolor_are_known_by_name() {
        let terms = ["xterm-kitty", "alacritty", "foot", "ghostty", "xterm-ghostty", "wezterm", "xterm-direct"];
        for term in terms {
            assert_eq!(depth(ColorChoice::Auto, &[("TERM", term)]), Depth::True, "{term}");
        }
    }

    #[test]
    fn gnu_screen_and_tmux_do_not_get_the_truecolor_of_the_terminal_around_them() {
        for term in ["screen", "screen-256color", "screen.xterm-256color", "screen.xterm-kitty", "tmux-256color"] {
            let environment = [("TERM", term), ("COLORTERM", "truecolor")];
            assert_eq!(depth(ColorChoice::Auto, &environment), Depth::Indexed, "{term}");
        }
        let renamed = [("STY", "1.pts-0"), ("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
        assert_eq!(depth(ColorChoice::Auto, &renamed), Depth::Indexed);
    }

    #[test]
    fn the_background_is_what_option_or_environment_say() {
        let background = |choice: BackgroundChoice, colors: Option<&str>| {
            choice.background(|name| colors.filter(|_| name == "COLORFGBG").map(str::to_owned))
        };
        for (colors, expected) in [
            (None, Background::Unknown),
            (Some("15;0"), Background::Dark),
            (Some("0;15"), Background::Light),
            (Some("0;default;7"), Background::Light),
            (Some("12;8"), Background::Dark),
            (Some("nonsense"), Background::Unknown),
        ] {
            assert_eq!(background(BackgroundChoice::Auto, colors), expected, "{colors:?}");
        }
        assert_eq!(background(BackgroundChoice::Light, Some("15;0")), Background::Light);
        assert_eq!(background(BackgroundChoice::Dark, Some("0;15")), Background::Dark);
    }
}
