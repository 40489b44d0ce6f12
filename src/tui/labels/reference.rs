//! How references are called and marked, everywhere on the screen.

use crate::reference::{Descent, Reference};
use crate::tui::theme::Role;
use crate::tui::widget::braille::Stroke;

/// A short name for labels: "GD-1".
pub fn label(reference: Reference) -> String {
    match reference {
        Reference::Zero => "zero".to_owned(),
        Reference::Gd(k) => format!("GD-{k}"),
        Reference::GdFree(k) => format!("GD-{k} free η"),
        Reference::GdMomentum(k) => format!("GD-{k} momentum"),
        Reference::GdForgetting => "GD-1 forgetting".to_owned(),
        Reference::GdDistance => "GD-1 by distance".to_owned(),
        Reference::GdPlusPlus => "GD++".to_owned(),
        Reference::GdPlusPlusQuery => "GD++ with x_q".to_owned(),
        Reference::Frozen(descent) => format!("{} frozen", label(descent.into())),
        Reference::Lms => "LMS".to_owned(),
        Reference::Nlms => "NLMS".to_owned(),
        Reference::LeakyLms => "leaky LMS".to_owned(),
        Reference::Cg(k) => format!("CG-{k}"),
        Reference::Newton(k) => format!("Newton-{k}"),
        Reference::LeastSquares => "least squares".to_owned(),
        Reference::Ridge => "ridge".to_owned(),
        Reference::RecursiveLeastSquares => "RLS".to_owned(),
        Reference::RlsForgetting => "RLS forgetting".to_owned(),
        Reference::Kalman => "Kalman filter".to_owned(),
        Reference::Kriging => "kriging".to_owned(),
        Reference::Bayes => "Bayes".to_owned(),
    }
}

/// The label in at most nine columns, for narrow panes. λ is the forgetting.
pub fn short_label(reference: Reference) -> String {
    match reference {
        Reference::GdFree(k) => format!("GD-{k} η"),
        Reference::GdMomentum(k) => format!("GD-{k} mom."),
        Reference::GdForgetting => "GD-1 λ".to_owned(),
        Reference::GdDistance => "dist.".to_owned(),
        Reference::GdPlusPlusQuery => "GD++ x_q".to_owned(),
        Reference::Frozen(_) => "frozen".to_owned(),
        Reference::LeakyLms => "leaky".to_owned(),
        Reference::LeastSquares => "least sq.".to_owned(),
        Reference::RlsForgetting => "RLS λ".to_owned(),
        Reference::Kalman => "Kalman".to_owned(),
        Reference::Zero
        | Reference::Gd(_)
        | Reference::GdPlusPlus
        | Reference::Lms
        | Reference::Nlms
        | Reference::Cg(_)
        | Reference::Newton(_)
        | Reference::Ridge
        | Reference::RecursiveLeastSquares
        | Reference::Kriging
        | Reference::Bayes => label(reference),
    }
}

/// A name for sentences: "one GD step".
pub fn phrase(reference: Reference) -> String {
    match reference {
        Reference::Zero => "predicting zero".to_owned(),
        Reference::Gd(1) => "one GD step".to_owned(),
        Reference::Gd(k) => format!("{k} GD steps"),
        Reference::GdFree(k) => format!("{k} GD steps of free sizes"),
        Reference::GdMomentum(k) => format!("{k} GD steps with momentum"),
        Reference::GdForgetting => "one GD step with forgetting".to_owned(),
        Reference::GdDistance => "one GD step weighted by distance".to_owned(),
        Reference::GdPlusPlus => "preconditioned GD".to_owned(),
        Reference::GdPlusPlusQuery => "preconditioned GD with the query in its sums".to_owned(),
        Reference::Frozen(Descent::Gd(1)) => "one GD step with its gain as trained".to_owned(),
        Reference::Frozen(descent) => format!("{} with the gain as trained", phrase(descent.into())),
        Reference::Lms => "LMS, the delta rule".to_owned(),
        Reference::Nlms => "normalised LMS".to_owned(),
        Reference::LeakyLms => "leaky LMS".to_owned(),
        Reference::Cg(k) => format!("{k} steps of conjugate gradients"),
        Reference::Newton(k) => format!("{k} Newton steps"),
        Reference::LeastSquares => "least squares".to_owned(),
        Reference::Ridge => "ridge regression".to_owned(),
        Reference::RecursiveLeastSquares => "recursive least squares".to_owned(),
        Reference::RlsForgetting => "recursive least squares with forgetting".to_owned(),
        Reference::Kalman => "the Kalman filter".to_owned(),
        Reference::Kriging => "kriging, the exact posterior mean".to_owned(),
        Reference::Bayes => "the Bayes optimum".to_owned(),
    }
}

/// What a reference belongs to on the screen: its colour, its line and its mark.
enum Group {
    Zero,
    /// Gradient descent on the whole context.
    Descent,
    /// GD on preconditioned data.
    Preconditioned,
    /// One pass of a gradient learner over the pairs.
    Online,
    /// Iterations that converge faster than descent.
    Krylov,
    /// Exact solutions of the batch problem.
    Solved,
    /// The posterior mean.
    Bayesian,
}

fn group(reference: Reference) -> Group {
    match reference {
        Reference::Zero => Group::Zero,
        Reference::Gd(_)
        | Reference::GdFree(_)
        | Reference::GdMomentum(_)
        | Reference::GdForgetting
        | Reference::GdDistance
        | Reference::Frozen(Descent::Gd(_) | Descent::GdFree(_) | Descent::GdForgetting) => Group::Descent,
        Reference::GdPlusPlus
        | Reference::GdPlusPlusQuery
        | Reference::Frozen(Descent::GdPlusPlus | Descent::GdPlusPlusQuery) => Group::Preconditioned,
        Reference::Lms | Reference::Nlms | Reference::LeakyLms => Group::Online,
        Reference::Cg(_) | Reference::Newton(_) => Group::Krylov,
        Reference::LeastSquares | Reference::Ridge | Reference::RecursiveLeastSquares | Reference::RlsForgetting => {
            Group::Solved
        }
        Reference::Kalman | Reference::Kriging | Reference::Bayes => Group::Bayesian,
    }
}

/// The colour that a reference has everywhere.
pub fn role(reference: Reference) -> Role {
    match group(reference) {
        Group::Zero => Role::Zero,
        Group::Descent | Group::Preconditioned | Group::Online => Role::Gd,
        Group::Krylov | Group::Solved | Group::Bayesian => Role::LeastSquares,
    }
}

/// The line that a reference has everywhere, where there are no colours.
pub fn stroke(reference: Reference) -> Stroke {
    match group(reference) {
        Group::Descent if reference == Reference::Gd(1) => Stroke::Dashed,
        Group::Zero => Stroke::Dotted,
        Group::Descent | Group::Preconditioned | Group::Online | Group::Krylov | Group::Solved | Group::Bayesian => {
            Stroke::DashDot
        }
    }
}

/// The indices of the iterations of one algorithm, in their order: of descent, of conjugate gradients, of Newton.
pub fn iterations(references: &[Reference]) -> [Vec<usize>; 3] {
    let algorithms: [fn(Reference) -> Option<u32>; 3] = [
        |reference| if let Reference::Gd(k) = reference { Some(k) } else { None },
        |reference| if let Reference::Cg(k) = reference { Some(k) } else { None },
        |reference| if let Reference::Newton(k) = reference { Some(k) } else { None },
    ];
    algorithms.map(|iterations| {
        let members = references.iter().enumerate().filter_map(|(i, reference)| Some((iterations(*reference)?, i)));
        let mut members: Vec<(u32, usize)> = members.collect();
        members.sort_unstable();
        members.into_iter().map(|(_, i)| i).collect()
    })
}

/// The marks of several references in one picture: those that share a mark have it empty, then full, then a letter.
pub fn marks(references: &[Reference]) -> Vec<&'static str> {
    let before = |i: usize| references[..i].iter().filter(|other| mark(**other) == mark(references[i])).count();
    let of = |i: usize| match before(i) {
        0 => mark(references[i]),
        1 => full_mark(references[i]),
        more => ["a", "b", "c", "d", "e"].get(more - 2).copied().unwrap_or("+"),
    };
    (0..references.len()).map(of).collect()
}

/// The mark that a reference's points have. The model's is "●".
pub fn mark(reference: Reference) -> &'static str {
    match group(reference) {
        Group::Zero => "○",
        Group::Descent => "△",
        Group::Preconditioned => "▽",
        Group::Online => "▷",
        Group::Krylov => "◁",
        Group::Solved => "□",
        Group::Bayesian => "◇",
    }
}

/// The same mark, full; zero is alone, and a full circle is the model's.
fn full_mark(reference: Reference) -> &'static str {
    match group(reference) {
        Group::Zero => "○",
        Group::Descent => "▲",
        Group::Preconditioned => "▼",
        Group::Online => "▶",
        Group::Krylov => "◀",
        Group::Solved => "■",
        Group::Bayesian => "◆",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_one_picture_have_different_marks() {
        let descent: Vec<_> = (1..=5).map(Reference::Gd).collect();
        let tracking = [
            Reference::Zero,
            Reference::Gd(1),
            Reference::GdForgetting,
            Reference::Lms,
            Reference::Nlms,
            Reference::Ridge,
            Reference::RlsForgetting,
            Reference::Kalman,
        ];
        for references in [&descent[..], &tracking] {
            let marks = marks(references);
            assert_eq!(marks[0], mark(references[0]));
            let distinct: std::collections::HashSet<_> = marks.iter().collect();
            assert_eq!(distinct.len(), references.len(), "{marks:?}");
        }
    }
}
