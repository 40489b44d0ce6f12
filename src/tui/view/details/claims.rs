//! What a preset claims, and whether it has held on this machine.

use ratatui::text::{Line, Span};

use crate::preset::Preset;
use crate::session::ClaimResult;
use crate::tui::app::Gallery;
use crate::tui::labels::claims;
use crate::tui::numbers::age;
use crate::tui::theme::{Role, Theme};
use crate::tui::widget::wrap::wrap;

/// "Claims: all 5 held here 2 days ago", and a line or two for each; no lines where there are none.
pub fn lines((name, preset): (&str, &Preset), gallery: &Gallery, theme: Theme, width: usize) -> Vec<Line<'static>> {
    if preset.claims.is_empty() {
        return vec![];
    }
    let results = gallery.results(name);
    let entries: Vec<Option<&ClaimResult>> =
        preset.claims.iter().map(|claim| results.and_then(|results| results.result(claim))).collect();
    let summary = Span::styled(format!(" {}", summary(&entries, gallery.now)), theme.muted());
    let mut lines = vec![Line::from(vec![Span::styled("Claims:", theme.focus()), summary])];
    for (claim, entry) in preset.claims.iter().zip(&entries) {
        let held = entry.map(|entry| entry.verdict.held);
        let mut text = claims::quantity(claim);
        if let Some(bounds) = Some(claims::bounds(claim)).filter(|bounds| !bounds.is_empty()) {
            text += &format!(": {bounds}");
        }
        if claim.after != preset.train.steps {
            text += &format!(" {}", claims::moment(claim));
        }
        if !claim.set.is_empty() {
            text += &format!(", where {}", claims::shift(claim));
        }
        if let Some(ClaimResult { verdict, .. }) = entry.filter(|entry| !entry.verdict.held) {
            text += &format!("; measured: {}", claims::value(claim, verdict.value));
        }
        let style = if held == Some(false) { theme.role(Role::Warning) } else { theme.focus() };
        for (i, row) in wrap(&text, width.saturating_sub(2)).into_iter().enumerate() {
            let mark = if i == 0 { claims::mark(held) } else { " " };
            lines.push(Line::from(vec![Span::styled(format!("{mark} "), style), Span::raw(row)]));
        }
    }
    lines.push(Line::default());
    lines
}

/// "all 5 held here 2 days ago", "4 of 5 held here just now", "not yet run here".
fn summary(entries: &[Option<&ClaimResult>], now: u64) -> String {
    let known: Vec<&ClaimResult> = entries.iter().flatten().copied().collect();
    let Some(oldest) = known.iter().map(|entry| entry.at).min() else {
        return "not yet run here".to_owned();
    };
    let (held, all) = (known.iter().filter(|entry| entry.verdict.held).count(), entries.len());
    let when = age(now.saturating_sub(oldest));
    let missing = match all - known.len() {
        0 => String::new(),
        missing => format!(", {missing} not yet run"),
    };
    let how_many = if held == all { format!("all {all}") } else { format!("{held} of {all}") };
    format!("{how_many} held here {when}{missing}")
}
