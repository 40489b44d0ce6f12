//! The help screen: its pages, which one is open, and how far it is scrolled.

use super::App;
use crate::tui::message::Move;

/// Rows that a long text is scrolled by at once.
const PAGE: usize = 8;
/// Rows that the help screen may be scrolled by: more than its longest page has.
const FURTHEST: usize = 200;

/// What the help screen shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelpPage {
    Keys,
    /// The pane that has the focus.
    Pane,
    /// The preset of the run.
    Preset,
    /// The glossary.
    Words,
}

impl HelpPage {
    pub fn title(self) -> &'static str {
        match self {
            Self::Keys => "Keys",
            Self::Pane => "This pane",
            Self::Preset => "Preset",
            Self::Words => "Words",
        }
    }
}

impl App {
    /// The pages of the help screen, in their order.
    pub fn help_pages(&self) -> Vec<HelpPage> {
        match &self.lab {
            // The preset's texts say what will be seen.
            Some(lab) if lab.caption.is_some() => vec![HelpPage::Keys, HelpPage::Pane, HelpPage::Words],
            Some(_) => vec![HelpPage::Keys, HelpPage::Pane, HelpPage::Preset, HelpPage::Words],
            None => vec![HelpPage::Keys, HelpPage::Words],
        }
    }

    pub(super) fn open_help(&mut self, page: HelpPage) {
        (self.help, self.help_page) = (Some(0), page);
    }

    pub(super) fn next_help_page(&mut self, back: bool) {
        let pages = self.help_pages();
        let here = pages.iter().position(|page| *page == self.help_page).unwrap_or(0);
        let by = if back { pages.len() - 1 } else { 1 };
        self.open_help(pages[(here + by) % pages.len()]);
    }
}

/// Rows that the help screen is scrolled by after a key; rendering stops at its end.
pub(super) fn scroll(scrolled: usize, to: Move) -> usize {
    let scrolled = match to {
        Move::Up => scrolled.saturating_sub(1),
        Move::Down => scrolled + 1,
        Move::PageUp => scrolled.saturating_sub(PAGE),
        Move::PageDown => scrolled + PAGE,
        Move::First => 0,
        Move::Last => usize::MAX,
        Move::Left | Move::Right => scrolled,
    };
    scrolled.min(FURTHEST)
}
