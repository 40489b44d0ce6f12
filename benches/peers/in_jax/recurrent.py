"""GRU and LSTM. See src/nn/model/recurrent.rs, gru.rs and lstm.rs."""

import jax
import jax.numpy as jnp

from .training import joined

FORMS = {"gru": ["unrolled", "scan"], "lstm": ["unrolled", "scan"]}

GATES = {"gru": 3, "lstm": 4}


def initial(key, experiment):
    """Of each gate W (n, w), b (n) and U (n, n), one gate below the other."""
    gates, n, w = GATES[experiment.preset], experiment.sizes["units"], experiment.task.width
    keys = jax.random.split(key, 3)
    glorot = jax.nn.initializers.glorot_uniform()
    turn = jax.nn.initializers.orthogonal()
    bias = jnp.zeros((gates, n))
    if experiment.preset == "lstm":
        bias = bias.at[1].set(1.0)  # The cell begins by remembering.
    return {
        "token": jnp.concatenate([glorot(k, (n, w)) for k in jax.random.split(keys[0], gates)]),
        "bias": bias.reshape(-1),
        "past": jnp.concatenate([turn(k, (n, n)) for k in jax.random.split(keys[1], gates)]),
        "out": glorot(keys[2], (experiment.task.outputs, n)),
        "out_bias": jnp.zeros(experiment.task.outputs),
    }


def gru(past, carried, token):
    """Gates z, r and the candidate; r is applied before U."""
    h, n = carried, len(carried)
    z, r = jnp.split(jax.nn.sigmoid(token[: 2 * n] + past[: 2 * n] @ h), 2)
    candidate = jnp.tanh(token[2 * n :] + past[2 * n :] @ (r * h))
    return candidate + z * (h - candidate)


def lstm(past, carried, token):
    """Gates i, f, o and the cell's input."""
    h, c = carried
    n = len(h)
    reads = token + past @ h
    i, f, o = jnp.split(jax.nn.sigmoid(reads[: 3 * n]), 3)
    c = f * c + i * jnp.tanh(reads[3 * n :])
    return o * jnp.tanh(c), c


def answer(params, x, y, experiment, form):
    tokens = joined(x, y)  # (T, w, B)
    n, batch = experiment.sizes["units"], tokens.shape[-1]
    reads = jnp.einsum("gw,twb->tgb", params["token"], tokens) + params["bias"][:, None]
    zero = jnp.zeros((n, batch))
    cell, carried = (gru, zero) if experiment.preset == "gru" else (lstm, (zero, zero))
    if form == "scan":
        carried, _ = jax.lax.scan(lambda carried, token: (cell(params["past"], carried, token), None), carried, reads)
    else:
        for token in reads:
            carried = cell(params["past"], carried, token)
    h = carried if experiment.preset == "gru" else carried[0]
    return params["out"] @ h + params["out_bias"][:, None]
