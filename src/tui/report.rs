//! What stays in the scrollback after the lab: what was trained, and the result.

use super::app::App;
use super::labels;
use super::numbers::{count, significant};
use crate::bounds::printable;

/// A few plain lines; none where nothing was trained.
pub fn lines(app: &App) -> Vec<String> {
    let Some((lab, opened, status)) =
        app.lab.as_ref().and_then(|lab| Some((lab, lab.opened.as_ref()?, lab.status.as_ref()?)))
    else {
        return vec![];
    };
    let mut lines = vec![format!(
        "{} ({}), seed {}: step {} of {}",
        opened.preset.title,
        opened.name,
        opened.seed,
        count(status.step),
        count(status.steps)
    )];
    if let Some((_, loss)) = lab.history.train_loss.last() {
        lines.push(format!("training loss {}", significant(f64::from(loss), 4)));
    }
    if let Some(latest) = &lab.history.latest {
        lines.push(format!("{}: {}", labels::answer(&latest.equivalence), labels::evidence(latest, false).join(", ")));
    }
    match (&opened.file, status.saved_step) {
        (Some(file), Some(step)) => lines.push(format!("saved at step {} in {}", count(step), file.display())),
        _ => lines.push("not saved".to_owned()),
    }
    lines.iter().map(|line| printable(line).replace('\n', " ")).collect()
}
