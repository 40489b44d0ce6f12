//! The phases of each step from the gradient by its result to those by its inputs and weights.

use super::super::program::{Kernel, NodeId};
use super::composite::{
    linear_attend_backward, recurrent_backward, selective_scan_backward, window_layer_backward, window_scan_backward,
};
use super::{Beside, Phase, Places, activation, calls, fast_weights, further, project_grad_x, project_grads, scale};
use crate::nn::graph::Size;

/// From the gradient by the result to those by inputs and weights.
pub fn backward(p: &Places<'_>) -> Vec<Phase> {
    let (own, kept, grad, scratch) = (&p.own, &p.kept, &p.grad, &p.scratch);
    let Size { length, width } = p.node.size;
    let count = length * width;
    let (v, w, gw) = (p.value, p.weight, p.grad_weight);
    let by = |node: NodeId| {
        let (mode, place) = (p.grad_of)(node);
        (mode.name(), place)
    };
    match &p.node.kernel {
        Kernel::Tokens => Vec::new(),
        Kernel::Part { x, first, factor } => {
            let ((mode, to), all) = (by(*x), p.size(*x).numbers());
            vec![calls([format!("scale_backward<{mode}, {count}, {first}, {all}>(id, {grad}, {factor:?}f, {to})")])]
        }
        Kernel::Plus(parts) => {
            let call = |part: &NodeId| {
                let (mode, to) = by(*part);
                format!("scale_backward<{mode}, {count}, 0, {count}>(id, {grad}, 1.0f, {to})")
            };
            vec![Phase::Calls(parts.iter().map(call).collect())]
        }
        Kernel::Times([x, y]) => {
            let call = |part: NodeId, other: NodeId| {
                let (mode, to) = by(part);
                format!("times_backward<{mode}, {count}>(id, {}, {grad}, {to})", v(other))
            };
            vec![calls([call(*x, *y), call(*y, *x)])]
        }
        Kernel::Apply(f, x) => {
            let (mode, to) = by(*x);
            vec![calls([format!("apply_backward<{mode}, {}, {count}>(id, {}, {grad}, {to})", activation(*f), v(*x))])]
        }
        Kernel::PlusRow(x, row) => {
            let (mode, to) = by(*x);
            vec![calls([
                format!("scale_backward<{mode}, {count}, 0, {count}>(id, {grad}, 1.0f, {to})"),
                format!("plus_row_grad_row<{count}, {width}>(id, {grad}, {})", gw(*row)),
            ])]
        }
        Kernel::TimesRow(x, row) => {
            let (mode, to) = by(*x);
            vec![calls([
                format!("times_row_grad_x<{mode}, {count}, {width}>(id, {}, {grad}, {to})", w(*row)),
                format!("times_row_grad_row<{count}, {width}>(id, {}, {grad}, {})", v(*x), gw(*row)),
            ])]
        }
        Kernel::Project { x, weight, bias } => {
            let grad_x = project_grad_x(p, (*weight, length), grad, (p.grad_of)(*x));
            // Where ∂x stands in place of x, the weights have to be done with x first.
            match (p.grad_replaces)(*x) {
                true => {
                    vec![calls([project_grads(p, *x, (*weight, *bias), &Beside::alone())]), calls([grad_x])]
                }
                false => vec![calls([grad_x, project_grads(p, *x, (*weight, *bias), &p.beside)])],
            }
        }
        Kernel::Normalise { x, gain, bias } => {
            let (mode, to) = by(*x);
            vec![
                calls([
                    format!(
                        "norm_grad_x<{mode}, {length}, {width}>(id, {}, {}, {kept}, {grad}, {to})",
                        v(*x),
                        w(*gain)
                    ),
                    format!("norm_grad_parts<{length}, {width}>(id, {}, {kept}, {grad}, {scratch})", v(*x)),
                ]),
                calls([
                    format!("sum_lanes<{width}>(id, {scratch}, {})", gw(*gain)),
                    format!("sum_lanes<{width}>(shifted(id, {width}), {}, {})", further(scratch, width), gw(*bias)),
                ]),
            ]
        }
        Kernel::SoftmaxAttend { parts: [q, k, x], heads } => {
            let sizes = format!("{length}, {}, {heads}, {}", p.size(*k).length, width / heads);
            let [(mode_q, to_q), (mode_k, to_k), (mode_v, to_v)] = [by(*q), by(*k), by(*x)];
            vec![
                calls([
                    format!("attend_grad_p<{sizes}>(id, {}, {grad}, {scratch})", v(*x)),
                    format!("attend_grad_seen<{mode_v}, {sizes}>(id, {kept}, {grad}, {to_v})"),
                ]),
                calls([format!("attend_grad_scores<{sizes}>(id, {kept}, {scratch})")]),
                calls([
                    format!("attend_sums<{mode_q}, {sizes}>(id, {scratch}, {}, {to_q})", v(*k)),
                    format!("attend_grad_seen<{mode_k}, {sizes}>(id, {scratch}, {}, {to_k})", v(*q)),
                ]),
            ]
        }
        Kernel::Convolve { x, taps, bias } => {
            let (mode, to) = by(*x);
            let sizes = format!("{length}, {width}, {}", p.program.weights[*taps].shape.0);
            vec![calls([
                format!("convolve_grad_x<{mode}, {sizes}>(id, {}, {grad}, {to})", w(*taps)),
                format!("convolve_grad_weights<{sizes}>(id, {}, {grad}, {}, {})", v(*x), gw(*taps), gw(*bias)),
            ])]
        }
        Kernel::DiagonalScan { x, spectrum } => {
            let (mode, to) = by(*x);
            let (t, n) = (p.size(*x).length, width / 2);
            let back = match length {
                1 => format!(
                    "diagonal_last_backward<{mode}, {t}, {n}>(id, {}, {kept}, {grad}, {to}, {scratch})",
                    w(*spectrum)
                ),
                _ => format!(
                    "diagonal_backward<{mode}, {length}, {t}, {n}>(id, {}, {}, {kept}, {grad}, {to}, {scratch})",
                    v(*x),
                    w(*spectrum)
                ),
            };
            vec![calls([back]), calls([format!("sum_lanes<{}>(id, {scratch}, {})", 2 * width, gw(*spectrum))])]
        }
        Kernel::SelectiveScan { parts, rate, heads } => selective_scan_backward(p, *parts, *rate, *heads),
        Kernel::WindowScan { x, window, weights } => window_scan_backward(p, (*x, *window), *weights),
        Kernel::WindowLayer { x, weights } => window_layer_backward(p, *x, *weights),
        Kernel::LinearAttend { x, keys, qk, vo } => linear_attend_backward(p, *x, *keys, [*qk, *vo]),
        Kernel::Recurrent { x, cell, gates } => recurrent_backward(p, *x, *cell, gates),
        Kernel::PlusToken(x, y) => {
            let ((mode_x, to_x), (mode_y, to_y)) = (by(*x), by(*y));
            vec![calls([
                format!("scale_backward<{mode_x}, {count}, 0, {count}>(id, {grad}, 1.0f, {to_x})"),
                format!("plus_token_grad_y<{mode_y}, {length}, {width}>(id, {grad}, {to_y})"),
            ])]
        }
        Kernel::SoftmaxTokens(x) => {
            let (mode, to) = by(*x);
            vec![calls([format!("softmax_tokens_backward<{mode}, {length}, {width}>(id, {own}, {grad}, {to})")])]
        }
        Kernel::Contract([x, y]) => {
            let ((mode_x, to_x), (mode_y, to_y)) = (by(*x), by(*y));
            let sizes = format!("{}, {}, {}", p.size(*x).length, p.size(*x).width, p.size(*y).width);
            vec![calls([
                format!("contract_grad_x<{mode_x}, {sizes}>(id, {}, {grad}, {to_x})", v(*y)),
                format!("contract_grad_y<{mode_y}, {sizes}>(id, {}, {grad}, {to_y})", v(*x)),
            ])]
        }
        Kernel::MatrixTimes([x, y]) => {
            let ((mode_x, to_x), (mode_y, to_y)) = (by(*x), by(*y));
            let sizes = format!("{count}, {}", p.size(*y).numbers());
            vec![calls([
                format!("matrix_times_grad_x<{mode_x}, {sizes}>(id, {}, {grad}, {to_x})", v(*y)),
                format!("matrix_times_grad_y<{mode_y}, {sizes}>(id, {}, {grad}, {to_y})", v(*x)),
            ])]
        }
        Kernel::DecayScan { x, decay } => {
            let (mode, to) = by(*x);
            vec![calls([
                format!("decay_scan_grad_x<{mode}, {}, {width}>(id, {}, {grad}, {to})", p.size(*x).length, w(*decay)),
                format!("decay_scan_grad_decay<{width}>(id, {kept}, {grad}, {})", gw(*decay)),
            ])]
        }
        Kernel::Reverse(x) => {
            let (mode, to) = by(*x);
            vec![calls([format!("reverse_backward<{mode}, {length}, {width}>(id, {grad}, {to})")])]
        }
        Kernel::ScaleVectors { x, rates, rule } => {
            let (mode, to) = by(*x);
            let none = || ("NONE", "nullptr".to_owned());
            let (rate_mode, to_rates) = rates.map_or_else(none, by);
            let rates = rates.map_or_else(|| "nullptr".to_owned(), v);
            let sizes = format!("{mode}, {rate_mode}, {}, {length}, {width}", scale(*rule));
            let x = v(*x);
            vec![calls([format!("scale_vectors_backward<{sizes}>(id, {x}, {rates}, {grad}, {to}, {to_rates})")])]
        }
        Kernel::FastWeights(parts) => {
            let (sizes, given) = fast_weights(p, parts);
            let none = || ("NONE", "nullptr".to_owned());
            let all = parts.sequences().map(|part| part.map_or_else(none, by));
            let (modes, to): (Vec<&str>, Vec<String>) = all.into_iter().unzip();
            let (modes, to, tokens) = (modes.join(", "), to.join(", "), p.size(parts.keys).length);
            vec![calls([format!(
                "fast_weights_backward<{modes}, {tokens}, {sizes}>(id, {given}, {kept}, {grad}, \
                 FastWeightGrads{{{to}}})"
            )])]
        }
        Kernel::Mesa { parts: [keys, values, query], log, steps, floor } => {
            let Size { length: tokens, width: n } = p.size(*keys);
            let given = [v(*keys), v(*values), v(*query), w(*log)].join(", ");
            let (modes, to): (Vec<&str>, Vec<String>) = [by(*keys), by(*values), by(*query)].into_iter().unzip();
            let (modes, to) = (modes.join(", "), to.join(", "));
            let sizes = format!("{modes}, {tokens}, {}, {n}, {width}, {steps}", tokens - 1);
            vec![
                calls([format!("mesa_backward<{sizes}>(id, {given}, {floor:?}f, {grad}, {to}, {scratch})")]),
                calls([format!("sum_lanes<{n}>(id, {scratch}, {})", gw(*log))]),
            ]
        }
        Kernel::Ridge { x, log, dim, .. } => {
            let sizes = format!("{}, {dim}, {count}", p.size(*x).length - 1);
            vec![
                calls([format!("ridge_grad_solution<{sizes}>(id, {}, {grad}, {scratch})", v(*x))]),
                calls([format!("ridge_grad_log<{dim}>(id, {}, {kept}, {scratch})", w(*log))]),
                calls([format!("sum_lanes<1>(id, {}, {})", further(scratch, *dim), gw(*log))]),
            ]
        }
    }
}
