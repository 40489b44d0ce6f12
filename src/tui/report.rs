//! What stays in the scrollback after the lab: what was trained, and the result.

use super::app::{App, Lab};
use super::labels;
use super::numbers::{count, significant};
use crate::bounds::printable;

/// A few plain lines for each run; none where nothing was trained.
pub fn lines(app: &App) -> Vec<String> {
    let mut runs: Vec<&Lab> = app.lab.iter().flat_map(Lab::every_run).collect();
    runs.sort_by_key(|lab| lab.run);
    runs.into_iter().flat_map(of_run).collect()
}

fn of_run(lab: &Lab) -> Vec<String> {
    let (Some(opened), Some(status)) = (&lab.opened, &lab.status) else { return vec![] };
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
        lines.push(format!(
            "{}: {}",
            labels::answer(&latest.equivalence),
            labels::evidence(latest, usize::MAX).join(", ")
        ));
    }
    match (&opened.file, status.saved_step) {
        (Some(file), Some(step)) => lines.push(format!("saved at step {} in {}", count(step), file.display())),
        _ => lines.push("not saved".to_owned()),
    }
    lines.iter().map(|line| printable(line).replace('\n', " ")).collect()
}
