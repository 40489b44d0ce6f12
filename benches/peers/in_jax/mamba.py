"""Mamba and Mamba-2: one layer, asked at the query. See src/nn/model/mamba.rs, mamba2.rs and stack.rs."""

import jax
import jax.numpy as jnp
import numpy as np

from .training import joined

FORMS = {preset: ["closed", "unrolled", "scan", "associative"] for preset in ("mamba", "mamba2")}

TAPS = 4


def initial(key, experiment):
    sizes, task = experiment.sizes, experiment.task
    h, e, n = sizes["width"], sizes["inner"], sizes["states"]
    keys = iter(jax.random.split(key, 20))

    def uniform(shape, inputs):
        return jax.random.uniform(next(keys), shape, minval=-(inputs**-0.5), maxval=inputs**-0.5)

    def steps(count):
        drawn = jnp.exp(jax.random.uniform(next(keys), (count,), minval=np.log(0.001), maxval=np.log(0.1)))
        return jnp.log(jnp.expm1(drawn))

    ends = {
        "encode": task.width**-0.5 * jax.random.normal(next(keys), (task.width, h)),
        "decode": h**-0.5 * jax.random.normal(next(keys), (h, task.outputs)),
        "gate": uniform((h, e), h),
        "out": uniform((e, h), e),
    }
    if experiment.preset == "mamba":
        return ends | {
            "read_in": uniform((h, e), h),
            "taps": uniform((TAPS, e), TAPS),
            "bias": uniform((e,), TAPS),
            "write": uniform((e, n), e),
            "read": uniform((e, n), e),
            "down": uniform((e, sizes["rank"]), e),
            "up": uniform((sizes["rank"], e), sizes["rank"]),
            "step": steps(e),
            "rate": jnp.log(jnp.broadcast_to(jnp.arange(1.0, n + 1), (e, n))),
            "feedthrough": jnp.ones(e),
        }
    m = sizes["heads"]
    return ends | {
        "read_in": uniform((h, e + 2 * n), h),
        "taps": uniform((TAPS, e + 2 * n), TAPS),
        "bias": uniform((e + 2 * n,), TAPS),
        "to_step": uniform((h, m), h),
        "step": steps(m),
        "rate": jnp.log(jax.random.uniform(next(keys), (m,), minval=1.0, maxval=16.0)),
        "feedthrough": jnp.ones(m),
    }


def answer(params, x, y, experiment, form):
    tokens = jnp.einsum("wh,twb->thb", params["encode"], joined(x, y))  # (T, H, B)
    layer = mamba if experiment.preset == "mamba" else mamba2
    inner = layer(params, tokens, experiment.sizes, form)  # (E, B)
    gated = inner * jax.nn.silu(params["gate"].T @ tokens[-1])
    return params["decode"].T @ (tokens[-1] + params["out"].T @ gated)


def convolved(params, tokens):
    """SiLU of the short causal convolution over a projection: (T, E, B)."""
    rows = jnp.einsum("he,thb->teb", params["read_in"], tokens)
    padded = jnp.pad(rows, ((TAPS - 1, 0), (0, 0), (0, 0)))
    taps = params["taps"][:, :, None]
    sums = sum(taps[k] * padded[k : k + len(rows)] for k in range(TAPS))
    return jax.nn.silu(sums + params["bias"][:, None])


def mamba(params, tokens, sizes, form):
    inputs = convolved(params, tokens)
    low = jnp.einsum("er,teb->trb", params["down"], inputs)
    steps = jax.nn.softplus(jnp.einsum("re,trb->teb", params["up"], low) + params["step"][:, None])
    write = jnp.einsum("en,teb->tnb", params["write"], inputs)
    read = params["read"].T @ inputs[-1]  # Only the query is asked.
    rate = -jnp.exp(params["rate"])[:, :, None]  # (E, N, 1)
    drive = (steps * inputs)[:, :, None] * write[:, None]  # (T, E, N, B)
    state = last_state(lambda t: steps[t, :, None] * rate, drive, steps[:, :, None], rate, form)
    return (state * read).sum(1) + params["feedthrough"][:, None] * inputs[-1]


def mamba2(params, tokens, sizes, form):
    e, n, m = sizes["inner"], sizes["states"], sizes["heads"]
    rows = convolved(params, tokens)
    inputs, write, read = rows[:, :e], rows[:, e : e + n], rows[-1, e + n :]
    raw = jnp.einsum("hm,thb->tmb", params["to_step"], tokens) + params["step"][:, None]
    steps = jax.nn.softplus(raw)  # (T, M, B)
    rate = -jnp.exp(params["rate"])[:, None]  # (M, 1)
    by_head = inputs.reshape(len(rows), m, e // m, -1)  # (T, M, P, B)
    if form == "closed":
        # Masked attention, of which one row is wanted.
        after = jnp.cumsum(steps[::-1], 0)[::-1] - steps
        weights = (write * read).sum(1)[:, None] * jnp.exp(rate * after) * steps  # (T, M, B)
        answers = (weights[:, :, None] * by_head).sum(0)
    else:
        drive = (steps[:, :, None] * by_head)[:, :, :, None] * write[:, None, None]  # (T, M, P, N, B)
        rate = rate[:, None, None]
        state = last_state(lambda t: steps[t, :, None, None] * rate, drive, steps[:, :, None, None], rate, form)
        answers = (state * read).sum(2)
    return (answers + params["feedthrough"][:, None, None] * by_head[-1]).reshape(e, -1)


def last_state(exponent, drive, steps, rate, form):
    """h_T of h_t = exp(Δ_t A) h_{t−1} + drive_t."""
    if form == "closed":
        after = jnp.cumsum(steps[::-1], 0)[::-1] - steps
        return (jnp.exp(rate * after) * drive).sum(0)
    if form == "unrolled":
        state = drive[0]
        for t in range(1, len(drive)):
            state = jnp.exp(exponent(t)) * state + drive[t]
        return state
    if form == "scan":
        step = lambda state, at: (jnp.exp(at[0] * rate) * state + at[1], None)
        return jax.lax.scan(step, jnp.zeros_like(drive[0]), (steps, drive))[0]
    join = lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1])
    return jax.lax.associative_scan(join, (jnp.exp(steps * rate), drive))[1][-1]
