//! The report of a sweep.

use anyhow::Result;

use super::page::Page;
use crate::export::{EndedRuns, bands};

/// The page.
pub fn report(ended: &EndedRuns<'_>) -> Result<String> {
    let mut page = Page::new(&format!("Sweep {}", ended.title));
    let diverged = ended.runs.iter().filter(|(_, outcome)| outcome.status != "done").count();
    page.paragraph(
        "muted",
        &format!(
            "{} of {} runs have ended, {diverged} of them diverged. Bands and ± are one standard deviation over seeds.",
            ended.runs.len(),
            ended.planned
        ),
    );
    page.section("Results");
    page.table(&ended.summary);
    page.section("Loss");
    let loss = bands::chart(ended.runs, "eval_loss", "Held-out loss, mean ± standard deviation over seeds");
    page.figure(&loss.svg()?, "Dashed: one step of gradient descent on the same held-out tasks.");
    page.section("Distance to one step of gradient descent");
    let title = "Relative difference of predictions, mean ± standard deviation over seeds";
    let distance = bands::chart(ended.runs, "prediction_difference_relative", title);
    page.figure(
        &distance.svg()?,
        "The mean distance between predictions, divided by the mean norm of the true answers.",
    );
    page.section("Runs");
    let head = ["run", "status", "seed"].map(str::to_owned).to_vec();
    let row = |(run, outcome): &(crate::sweep::RunSpec, crate::sweep::Outcome)| {
        vec![run.name.clone(), outcome.status.clone(), run.preset.train.seed.to_string()]
    };
    page.table(&[head].into_iter().chain(ended.runs.iter().map(row)).collect::<Vec<_>>());
    page.section("Made with");
    page.paragraph("muted", &format!("innerloop {}", ended.version));
    Ok(page.finish())
}
