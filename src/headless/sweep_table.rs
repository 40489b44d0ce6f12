//! The summary of a sweep as a table for people.

use crate::sweep::{SummaryRow, summary_table};

/// One line for each preset and combination of varied values: mean ± standard deviation over seeds.
pub fn table(rows: &[SummaryRow]) -> String {
    aligned(&summary_table(rows))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::Spread;

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
