//! The backward phases of scans, window recurrences, linear attention and recurrent cells.

use super::super::program::{CellKind, NodeId, WeightId};
use super::{GradMode, Phase, Places, calls, cell, further, past, project_grad_x};
use crate::nn::step::Window;

pub fn selective_scan_backward(p: &Places<'_>, parts: [NodeId; 4], rate: WeightId, heads: usize) -> Vec<Phase> {
    let [step, x, write, read] = parts;
    let (m, t, e, n) = (p.node.size.length, p.size(x).length, p.size(x).width, p.size(write).width);
    let [(mode_step, to_step), (mode_x, to_x), (mode_write, to_write), (mode_read, to_read)] =
        parts.map(|part| (p.grad_of)(part)).map(|(mode, to)| (mode.name(), to));
    let (kept, grad, scratch) = (&p.kept, &p.grad, &p.scratch);
    let [delta, input, b, c] = [step, x, write, read].map(|part| (p.value)(part));
    let (a, grad_rate) = ((p.weight)(rate), (p.grad_weight)(rate));
    let sums = if heads > 0 {
        calls([
            format!("selective_grad_delta<{mode_step}, {t}, {e}, {heads}>(id, {scratch}, {to_step})"),
            format!("selective_grad_rate<{e}, {heads}>(id, {scratch}, {grad_rate})"),
            format!(
                "selective_grad_write<{mode_write}, {t}, {e}, {n}, {heads}>(id, {delta}, {input}, {kept}, {to_write})"
            ),
        ])
    } else {
        calls([
            format!("sum_lanes<{}>(id, {scratch}, {grad_rate})", e * n),
            format!(
                "selective_grad_write<{mode_write}, {t}, {e}, {n}, {heads}>(id, {delta}, {input}, {kept}, {to_write})"
            ),
        ])
    };
    vec![
        calls([format!("selective_grad_read<{mode_read}, {m}, {t}, {e}, {n}>(id, {kept}, {grad}, {to_read})")]),
        calls([format!(
            "selective_grad_states<{mode_step}, {mode_x}, {m}, {t}, {e}, {n}, {heads}>(id, {delta}, {input}, {b}, {c}, \
             {a}, {kept}, {grad}, {to_step}, {to_x}, {scratch})"
        )]),
        sums,
    ]
}

/// The scratch of a window recurrence: ∂S, then ∂query, then sums, then what leads to them.
pub fn window_scan_backward(
    p: &Places<'_>,
    (x, window): (NodeId, Window),
    [decay, mix, pick]: [WeightId; 3],
) -> Vec<Phase> {
    let (d, n, w) = (p.node.size.width, window.count(p.size(x).length), window.rows());
    let (kept, grad) = (&p.kept, &p.grad);
    let state = &p.scratch;
    let grad_query = further(state, d * d);
    let sums = further(state, d * d + d);
    let rest = further(state, d * d + d + w * w + w);
    let left = further(state, d * d + d + w * w + w + w * n * d);
    let (tokens, last) = ((p.value)(x), further(&(p.value)(x), window.stride() * (n - 1) * d));
    let [lambda, q, picks] = [decay, mix, pick].map(|weight| (p.weight)(weight));
    let (mode, to) = (p.grad_of)(x);
    let start = calls([
        format!("window_grad_query<{d}>(id, {kept}, {grad}, {grad_query})"),
        format!("window_grad_state<{w}, {d}>(id, {last}, {picks}, {grad}, {state})"),
    ]);
    let by_decay = format!("window_grad_decay<{d}>(id, {kept}, {state}, {})", (p.grad_weight)(decay));
    let mut phases = vec![start];
    if mode == GradMode::None {
        phases.push(calls([
            by_decay,
            format!("window_grad_mix<{w}, {n}, {d}>(id, {tokens}, {lambda}, {state}, {rest})"),
        ]));
        phases.push(calls([format!("window_sum_parts<{w}, {d}>(id, {last}, {grad_query}, {rest}, {sums})")]));
    } else {
        phases.push(calls([
            by_decay,
            format!("window_grad_rows<{w}, {n}, {d}>(id, {tokens}, {lambda}, {state}, {rest})"),
            format!("window_grad_columns<{w}, {n}, {d}>(id, {tokens}, {lambda}, {state}, {left})"),
        ]));
        phases.push(calls([
            format!("window_sum_mix<{w}, {n}, {d}>(id, {tokens}, {rest}, {sums})"),
            format!("window_sum_pick<{w}, {d}>(id, {last}, {grad_query}, {})", further(&sums, w * w)),
            format!(
                "window_grad_x<{}, {w}, {n}, {d}>(id, {q}, {picks}, {rest}, {left}, {grad_query}, {to})",
                mode.name()
            ),
        ]));
    }
    phases.push(calls([
        format!("sum_lanes<{}>(id, {sums}, {})", w * w, (p.grad_weight)(mix)),
        format!("sum_lanes<{w}>(id, {}, {})", further(&sums, w * w), (p.grad_weight)(pick)),
    ]));
    phases
}

pub fn window_layer_backward(p: &Places<'_>, x: NodeId, [decay, mix, pick]: [WeightId; 3]) -> Vec<Phase> {
    let (d, n) = (p.node.size.width, Window::Three.count(p.size(x).length - 1));
    let (kept, grad, state) = (&p.kept, &p.grad, &p.scratch);
    let grad_query = further(state, d * d);
    let sums = further(state, d * d + (n + 1) * d);
    let right = further(state, d * d + (n + 1) * d + 12);
    let left = further(state, d * d + (n + 1) * d + 12 + 3 * n * d);
    let tokens = (p.value)(x);
    let [lambda, q, picks] = [decay, mix, pick].map(|weight| (p.weight)(weight));
    let (mode, to) = (p.grad_of)(x);
    vec![
        calls([
            format!("window_layer_grad_query<{n}, {d}>(id, {kept}, {grad}, {grad_query})"),
            format!("window_layer_grad_state<{n}, {d}>(id, {tokens}, {picks}, {grad}, {state})"),
        ]),
        calls([
            format!("window_grad_decay<{d}>(id, {kept}, {state}, {})", (p.grad_weight)(decay)),
            format!("window_grad_rows<3, {n}, {d}>(id, {tokens}, {lambda}, {state}, {right})"),
            format!("window_grad_columns<3, {n}, {d}>(id, {tokens}, {lambda}, {state}, {left})"),
        ]),
        calls([
            format!("window_sum_mix<3, {n}, {d}>(id, {tokens}, {right}, {sums})"),
            format!("window_layer_sum_pick<{n}, {d}>(id, {tokens}, {grad_query}, {})", further(&sums, 9)),
            format!(
                "window_layer_grad_x<{}, {n}, {d}>(id, {q}, {picks}, {right}, {left}, {grad_query}, {to})",
                mode.name()
            ),
        ]),
        calls([
            format!("sum_lanes<9>(id, {sums}, {})", (p.grad_weight)(mix)),
            format!("sum_lanes<3>(id, {}, {})", further(&sums, 9), (p.grad_weight)(pick)),
        ]),
    ]
}

/// Kept: queries, scores, sums; scratch: the gradients by these, in the same order.
pub fn linear_attend_backward(p: &Places<'_>, x: NodeId, keys: usize, [qk, vo]: [WeightId; 2]) -> Vec<Phase> {
    let (m, t, wide) = (p.node.size.length, p.size(x).length, p.node.size.width);
    let (kept, grad, scratch) = (&p.kept, &p.grad, &p.scratch);
    let (tokens, asking) = ((p.value)(x), further(&(p.value)(x), (t - m) * wide));
    let (scores, sums) = (m * wide, m * (wide + keys));
    let (grad_scores, grad_sums) = (further(scratch, scores), further(scratch, sums));
    let (mode, to) = (p.grad_of)(x);
    let square = format!("{m}, {wide}, {wide}");
    vec![
        calls([
            format!("project_grad_x<SET, {square}, COLUMNS_FIRST>(id, {}, {grad}, {grad_sums})", (p.weight)(vo)),
            format!(
                "project_grad_weight<{square}, false, 1>(id, {}, {grad}, {}, nullptr)",
                further(kept, sums),
                (p.grad_weight)(vo)
            ),
        ]),
        calls([format!("linear_scores<{m}, {keys}, {wide}>(id, {grad_sums}, {tokens}, {grad_scores})")]),
        calls([format!("linear_sums<{m}, {keys}, {wide}>(id, {grad_scores}, {tokens}, {scratch})")]),
        calls([
            format!(
                "project_grad_weight<{square}, false, 1>(id, {asking}, {scratch}, {}, nullptr)",
                (p.grad_weight)(qk)
            ),
            format!(
                "linear_grad_e<{}, {m}, {t}, {keys}, {wide}>(id, {}, {kept}, {scratch}, {grad}, {to})",
                mode.name(),
                (p.weight)(qk)
            ),
        ]),
    ]
}

pub fn recurrent_backward(p: &Places<'_>, x: NodeId, kind: CellKind, gates: &[[WeightId; 3]]) -> Vec<Phase> {
    let (m, t, units, wide) = (p.node.size.length, p.size(x).length, p.node.size.width, p.size(x).width);
    let (kept, grad, scratch) = (&p.kept, &p.grad, &p.scratch);
    let (name, weights, each) = (cell(kind), past(p, gates), t * units);
    let step = format!("recurrent_backward<{name}, {m}, {t}, {units}>(id, {weights}, {kept}, {grad}, {scratch}, t)");
    let mut phases = vec![vec![step]];
    if kind == CellKind::Gru {
        phases.push(vec![format!("recurrent_grad_candidate<{t}, {units}>(id, {weights}, {kept}, {scratch}, t)")]);
    }
    let mut last = Vec::new();
    let (mut mode, to) = (p.grad_of)(x);
    // All gates' weights share the threads: each call begins where the one before ends.
    let (mut shift, calls) = ("0".to_owned(), gates.len() * 2);
    for (g, [weight, u, bias]) in gates.iter().enumerate() {
        let slopes = further(kept, g * each);
        let (tokens, grads) = ((p.value)(x), ((p.grad_weight)(*weight), (p.grad_weight)(*bias)));
        last.push(format!(
            "project_grad_weight<{t}, {wide}, {units}, true, {calls}>(shifted(id, {shift}), {tokens}, {slopes}, \
             {}, {})",
            grads.0, grads.1
        ));
        shift += &format!(" + weight_items({t}, {wide}, {units}, true, {calls})");
        if t > 1 {
            // A gate reads h of the token before; the candidate of a GRU reads r ⊙ h, which stands at its own token.
            let reads_reset = kind == CellKind::Gru && g == 2;
            let read = further(kept, gates.len() * each + if reads_reset { each + units } else { 0 });
            let sizes = format!("{}, {units}, {units}, false, {calls}", t - 1);
            last.push(format!(
                "project_grad_weight<{sizes}>(shifted(id, {shift}), {read}, {}, {}, nullptr)",
                further(&slopes, units),
                (p.grad_weight)(*u)
            ));
            shift += &format!(" + weight_items({sizes})");
        }
        last.push(project_grad_x(p, (*weight, t), &slopes, (mode, to.clone())));
        if mode == GradMode::Set {
            mode = GradMode::Add;
        }
    }
    vec![Phase::Over { count: t, last_first: true, phases }, Phase::Calls(last)]
}
