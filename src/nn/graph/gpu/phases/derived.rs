//! Weights that are made of others, and the way back of their gradients.

use super::super::program::{Derivation, Program, WeightId, WeightSource};
use super::discretization;

/// A derived weight from those that it is made of; nothing for a parameter.
pub fn derive(program: &Program, weight: WeightId, place: &dyn Fn(WeightId) -> String) -> Option<String> {
    let WeightSource::Derived(derivation) = &program.weights[weight].source else { return None };
    let ((rows, columns), to) = (program.weights[weight].shape, place(weight));
    let shape = |weight: WeightId| program.weights[weight].shape;
    Some(match derivation {
        Derivation::Product { of: [a, b], transposed } => {
            let inner = shape(*a).1;
            format!("product_forward<{rows}, {inner}, {columns}, {transposed}>(id, {}, {}, {to})", place(*a), place(*b))
        }
        Derivation::NegativeExp(a) => format!("negative_exp_forward<{}>(id, {}, {to})", rows * columns, place(*a)),
        Derivation::Repeat(a, each) => format!("repeat_forward<{}, {each}>(id, {}, {to})", columns / each, place(*a)),
        Derivation::Grouped(a, groups) => {
            format!("grouped_forward<{}>(id, {}, {to})", grouped(rows, *groups), place(*a))
        }
        Derivation::Spread { each } => format!("spread_forward<{rows}, {each}, {columns}>(id, {to})"),
        Derivation::Transposed(a) => {
            let first = (shape(*a).0 - columns) * rows;
            format!("transposed_forward<{columns}, {rows}>(id, {} + {first}, {to})", place(*a))
        }
        Derivation::Spectrum(kind, [a, b, c]) => {
            let places = [a, b, c].map(|weight| place(*weight)).join(", ");
            format!("spectrum_forward<{}, {columns}>(id, {places}, {to})", discretization(*kind))
        }
    })
}

/// Real and imaginary parts, groups, and numbers of a group.
fn grouped(rows: usize, groups: usize) -> String {
    format!("2, {groups}, {}", rows / 2 / groups)
}

/// The gradients by what a derived weight is made of.
pub fn derive_backward(
    program: &Program,
    weight: WeightId,
    (place, grad): (&dyn Fn(WeightId) -> String, &dyn Fn(WeightId) -> String),
) -> Option<String> {
    let WeightSource::Derived(derivation) = &program.weights[weight].source else { return None };
    let ((rows, columns), from) = (program.weights[weight].shape, grad(weight));
    let shape = |weight: WeightId| program.weights[weight].shape;
    Some(match derivation {
        Derivation::Product { of: [a, b], transposed } => {
            let sizes = format!("{rows}, {}, {columns}, {transposed}", shape(*a).1);
            format!("product_backward<{sizes}>(id, {}, {}, {from}, {}, {})", place(*a), place(*b), grad(*a), grad(*b))
        }
        Derivation::NegativeExp(a) => {
            format!("negative_exp_backward<{}>(id, {}, {from}, {})", rows * columns, place(weight), grad(*a))
        }
        Derivation::Repeat(a, each) => format!("repeat_backward<{}, {each}>(id, {from}, {})", columns / each, grad(*a)),
        Derivation::Grouped(a, groups) => {
            format!("grouped_backward<{}>(id, {from}, {})", grouped(rows, *groups), grad(*a))
        }
        Derivation::Spread { .. } => return None,
        Derivation::Transposed(a) => {
            let first = (shape(*a).0 - columns) * rows;
            format!("transposed_backward<{columns}, {rows}>(id, {from}, {} + {first})", grad(*a))
        }
        Derivation::Spectrum(kind, of) => {
            let (places, grads) = (of.map(place).join(", "), of.map(grad).join(", "));
            format!(
                "spectrum_backward<{}, {columns}>(id, {places}, {}, {from}, {grads})",
                discretization(*kind),
                place(weight)
            )
        }
    })
}
