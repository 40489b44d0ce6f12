//! The phases of each step from its inputs to its result.

use super::super::program::{CellKind, Kernel, WeightId};
use super::{Beside, Phase, Places, activation, calls, cell, fast_weights, further, past, project, scale};
use crate::nn::graph::Size;
use crate::nn::step::Window;

/// From the inputs to the result.
pub fn forward(p: &Places<'_>) -> Vec<Phase> {
    let (own, kept, Size { length, width }) = (&p.own, &p.kept, p.node.size);
    let count = length * width;
    let (v, w) = (p.value, p.weight);
    match &p.node.kernel {
        Kernel::Tokens => Vec::new(),
        Kernel::Part { x, first, factor } => {
            let all = p.size(*x).numbers();
            vec![calls([format!("scale_forward<{count}, {first}, {all}>(id, {}, {factor:?}f, {own})", v(*x))])]
        }
        Kernel::Plus([x, y]) => vec![calls([format!("plus_forward<{count}>(id, {}, {}, {own})", v(*x), v(*y))])],
        Kernel::Times([x, y]) => vec![calls([format!("times_forward<{count}>(id, {}, {}, {own})", v(*x), v(*y))])],
        Kernel::Apply(f, x) => {
            vec![calls([format!("apply_forward<{}, {count}>(id, {}, {own})", activation(*f), v(*x))])]
        }
        Kernel::PlusRow(x, row) => {
            vec![calls([format!("plus_row_forward<{count}, {width}>(id, {}, {}, {own})", v(*x), w(*row))])]
        }
        Kernel::TimesRow(x, row) => {
            vec![calls([format!("times_row_forward<{count}, {width}>(id, {}, {}, {own})", v(*x), w(*row))])]
        }
        Kernel::Project { x, weight, bias } => vec![calls([project(p, *x, (*weight, *bias), own, &p.beside)])],
        Kernel::Normalise { x, gain, bias } => vec![calls([format!(
            "norm_forward<{length}, {width}>(id, {}, {}, {}, {kept}, {own})",
            v(*x),
            w(*gain),
            w(*bias)
        )])],
        Kernel::SoftmaxAttend { parts: [q, k, x], heads } => {
            let sizes = format!("{length}, {}, {heads}, {}", p.size(*k).length, width / heads);
            vec![
                calls([format!("attend_scores<{sizes}>(id, {}, {}, {kept})", v(*q), v(*k))]),
                calls([format!("attend_softmax<{length}, {}, {heads}>(id, {kept})", p.size(*k).length)]),
                calls([format!("attend_sums<SET, {sizes}>(id, {kept}, {}, {own})", v(*x))]),
            ]
        }
        Kernel::Convolve { x, taps, bias } => {
            let sizes = format!("{length}, {width}, {}", p.program.weights[*taps].shape.0);
            vec![calls([format!("convolve_forward<{sizes}>(id, {}, {}, {}, {own})", v(*x), w(*taps), w(*bias))])]
        }
        Kernel::DiagonalScan { x, spectrum } => {
            let (t, n) = (p.size(*x).length, width / 2);
            if length == 1 {
                let call = format!("diagonal_last_forward<{t}, {n}>(id, {}, {}, {kept}, {own})", v(*x), w(*spectrum));
                return vec![calls([call])];
            }
            let sizes = format!("{length}, {t}, {n}");
            vec![calls([format!("diagonal_forward<{sizes}>(id, {}, {}, {kept}, {own})", v(*x), w(*spectrum))])]
        }
        Kernel::SelectiveScan { parts: [step, x, write, read], rate, heads } => {
            let (t, e, n) = (p.size(*x).length, p.size(*x).width, p.size(*write).width);
            let (step, x, write) = (v(*step), v(*x), v(*write));
            vec![
                calls([format!(
                    "selective_states<{t}, {e}, {n}, {heads}>(id, {step}, {x}, {write}, {}, {kept})",
                    w(*rate)
                )]),
                calls([format!("selective_read<{length}, {t}, {e}, {n}>(id, {}, {kept}, {own})", v(*read))]),
            ]
        }
        Kernel::WindowScan { x, window, weights: [decay, mix, pick] } => {
            let (n, rows) = (window.count(p.size(*x).length), window.rows());
            let last = further(&v(*x), window.stride() * (n - 1) * width);
            let given = format!("{}, {}, {}", v(*x), w(*decay), w(*mix));
            let states = format!("window_states<{rows}, {n}, {width}>(id, {given}, {kept})");
            let read = format!("window_read<{rows}, {width}>(id, {last}, {}, {kept}, {own})", w(*pick));
            vec![calls([states]), calls([read])]
        }
        Kernel::WindowLayer { x, weights: [decay, mix, pick] } => {
            let n = Window::Three.count(length - 1);
            let states = format!("window_states<3, {n}, {width}>(id, {}, {}, {}, {kept})", v(*x), w(*decay), w(*mix));
            let read = format!("window_answers<{n}, {width}>(id, {}, {}, {kept}, {own})", v(*x), w(*pick));
            vec![calls([states]), calls([read])]
        }
        Kernel::LinearAttend { x, keys, qk, vo } => {
            let (m, t, k) = (length, p.size(*x).length, *keys);
            let (x, asking) = (v(*x), further(&v(*x), (t - m) * width));
            let (scores, sums) = (further(kept, m * width), further(kept, m * (width + k)));
            vec![
                calls([format!(
                    "project_forward<{m}, {width}, {width}, false, ROWS>(id, {asking}, {}, nullptr, {kept})",
                    w(*qk)
                )]),
                calls([format!("linear_scores<{m}, {k}, {width}>(id, {kept}, {x}, {scores})")]),
                calls([format!("linear_sums<{m}, {k}, {width}>(id, {scores}, {x}, {sums})")]),
                calls([format!("linear_answers<{m}, {width}>(id, {asking}, {sums}, {}, {own})", w(*vo))]),
            ]
        }
        Kernel::Recurrent { x, cell: kind, gates } => {
            let t = p.size(*x).length;
            let gate = |(g, [weight, _, bias]): (usize, &[WeightId; 3])| {
                let beside =
                    Beside { id: format!("shifted(id, {g} * product_threads({t}, {width}))"), calls: 1, copy: None };
                project(p, *x, (*weight, Some(*bias)), &further(kept, g * t * width), &beside)
            };
            let (past, h) = (past(p, gates), further(kept, gates.len() * t * width));
            let step = format!("recurrent_forward<{}, {t}, {width}>(id, {past}, {kept}, t)", cell(*kind));
            let mut each = vec![vec![step]];
            if *kind == CellKind::Gru {
                each.push(vec![format!("recurrent_candidate<{t}, {width}>(id, {past}, {kept}, t)")]);
            }
            vec![
                Phase::Calls(gates.iter().enumerate().map(gate).collect()),
                Phase::Over { count: t, last_first: false, phases: each },
                calls([format!(
                    "scale_forward<{count}, {}, {}>(id, {h}, 1.0f, {own})",
                    (t - length) * width,
                    t * width
                )]),
            ]
        }
        Kernel::PlusToken(x, y) => {
            vec![calls([format!("plus_token_forward<{length}, {width}>(id, {}, {}, {own})", v(*x), v(*y))])]
        }
        Kernel::SoftmaxTokens(x) => {
            vec![calls([format!("softmax_tokens_forward<{length}, {width}>(id, {}, {own})", v(*x))])]
        }
        Kernel::Contract([x, y]) => {
            let sizes = format!("{}, {}, {}", p.size(*x).length, p.size(*x).width, p.size(*y).width);
            vec![calls([format!("contract_forward<{sizes}>(id, {}, {}, {own})", v(*x), v(*y))])]
        }
        Kernel::MatrixTimes([x, y]) => {
            let sizes = format!("{count}, {}", p.size(*y).numbers());
            vec![calls([format!("matrix_times_forward<{sizes}>(id, {}, {}, {own})", v(*x), v(*y))])]
        }
        Kernel::DecayScan { x, decay } => {
            let sizes = format!("{}, {width}", p.size(*x).length);
            vec![calls([format!("decay_scan_forward<{sizes}>(id, {}, {}, {kept}, {own})", v(*x), w(*decay))])]
        }
        Kernel::Reverse(x) => vec![calls([format!("reverse_forward<{length}, {width}>(id, {}, {own})", v(*x))])],
        Kernel::ScaleVectors { x, rates, rule } => {
            let rates = rates.map_or_else(|| "nullptr".to_owned(), v);
            let rule = scale(*rule);
            vec![calls([format!("scale_vectors_forward<{rule}, {length}, {width}>(id, {}, {rates}, {own})", v(*x))])]
        }
        Kernel::FastWeights(parts) => {
            let (sizes, given) = fast_weights(p, parts);
            let query = v(parts.query);
            vec![calls([format!("fast_weights_forward<{sizes}>(id, {given}, {query}, {kept}, {own})")])]
        }
        Kernel::Mesa { parts: [keys, values, query], log, steps, floor } => {
            let Size { length: tokens, width: n } = p.size(*keys);
            let given = [v(*keys), v(*values), v(*query), w(*log)].join(", ");
            let sizes = format!("{}, {n}, {width}, {steps}", tokens - 1);
            vec![calls([format!("mesa_forward<{sizes}>(id, {given}, {floor:?}f, {own})")])]
        }
        Kernel::Ridge { x, log, dim, floor } => {
            let Size { length: tokens, width: wide } = p.size(*x);
            let (query, sizes) = (further(&v(*x), (tokens - 1) * wide), format!("{}, {dim}, {count}", tokens - 1));
            let x = v(*x);
            vec![
                calls([format!("ridge_curvature<{sizes}>(id, {x}, {}, {kept}, {floor:?}f)", w(*log))]),
                calls([format!("ridge_invert<{dim}>(id, {})", further(kept, dim * dim))]),
                calls([format!("ridge_start<{dim}>(id, {query}, {kept})")]),
                calls([format!("ridge_refine<{dim}>(id, {query}, {kept})")]),
                calls([format!("ridge_answers<{sizes}>(id, {x}, {kept}, {own})")]),
            ]
        }
    }
}
