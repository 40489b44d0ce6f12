//! The summary of a sweep as a table for people.

use crate::sweep::{Spread, SummaryRow};

/// One line for each preset and combination of varied values: mean ± standard deviation over seeds.
pub fn table(rows: &[SummaryRow]) -> String {
    aligned(&lines(rows))
}

/// The cells of that table, the head first.
pub fn lines(rows: &[SummaryRow]) -> Vec<Vec<String>> {
    let keys: Vec<String> =
        rows.first().map(|row| row.varied.iter().map(|(key, _)| key.clone()).collect()).unwrap_or_default();
    let fixed = ["runs", "loss", "loss / gd-1", "distance to gd-1", "nearest"].map(str::to_owned);
    let head: Vec<String> = ["preset".to_owned()].into_iter().chain(keys).chain(fixed).collect();
    [head].into_iter().chain(rows.iter().map(cells)).collect()
}

/// Rows in columns of equal width, two spaces apart; the first row says how many there are.
pub fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| lines.iter().filter_map(|line| line.get(column)).map(|c| c.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for line in lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

fn cells(row: &SummaryRow) -> Vec<String> {
    let runs = match row.ended - row.done {
        0 => row.done.to_string(),
        diverged => format!("{} ({diverged} diverged)", row.done),
    };
    let nearest = match row.nearest.as_slice() {
        [] => "–".to_owned(),
        [(name, _)] => name.clone(),
        several => several.iter().map(|(name, count)| format!("{name} {count}×")).collect::<Vec<_>>().join(", "),
    };
    let varied = row.varied.iter().map(|(_, value)| value.clone());
    let numbers = [row.eval_loss, row.over_gd_1, row.distance].map(spread);
    [row.preset.clone()].into_iter().chain(varied).chain([runs]).chain(numbers).chain([nearest]).collect()
}

/// Four significant digits of the mean, the deviation to the same place.
fn spread(spread: Option<Spread>) -> String {
    let Some(Spread { n, mean, sd }) = spread else { return "–".to_owned() };
    let size = if mean == 0.0 { 0 } else { mean.abs().log10().floor() as i32 };
    if !(-4..6).contains(&size) {
        return sd.map_or(format!("{mean:.2e} ({n})"), |sd| format!("{mean:.2e} ± {sd:.1e} ({n})"));
    }
    let digits = usize::try_from(3 - size).unwrap_or(0);
    match sd {
        Some(sd) => format!("{mean:.digits$} ± {sd:.digits$} ({n})"),
        None => format!("{mean:.digits$} ({n})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_means_deviations_and_counts() {
        let row = SummaryRow {
            preset: "gru".to_owned(),
            varied: vec![("task.dim".to_owned(), "5".to_owned())],
            done: 3,
            ended: 4,
            eval_loss: Spread::of(&[0.1, 0.2, 0.3]),
            over_gd_1: Spread::of(&[12.0]),
            distance: None,
            nearest: vec![("gd-1".to_owned(), 2), ("nlms".to_owned(), 1)],
        };
        let text = table(&[row]);
        assert_eq!(text.lines().next().unwrap().split_whitespace().nth(1), Some("task.dim"));
        let line = text.lines().nth(1).unwrap();
        for part in ["3 (1 diverged)", "0.2000 ± 0.1000 (3)", "12.00 (1)", "–", "gd-1 2×, nlms 1×"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
