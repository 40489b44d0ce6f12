"""LRU and S5: one bare layer of a complex diagonal recurrence. See src/nn/model/lru.rs, s5.rs and stack.rs."""

import jax
import jax.numpy as jnp
import numpy as np

from .training import joined

FORMS = {preset: ["kernel", "last", "unrolled", "scan", "associative"] for preset in ("lru", "s5")}


def initial(key, experiment):
    n, h, task = experiment.sizes["states"], experiment.sizes["width"], experiment.task
    keys = iter(jax.random.split(key, 9))
    normal = lambda shape, spread: spread * jax.random.normal(next(keys), shape)
    params = {
        "encode": normal((task.width, h), task.width**-0.5),
        "write": normal((2, n, h), (0.5 / h) ** 0.5),
        "read": normal((2, h, n), n**-0.5),
        "feedthrough": normal((h,), 1.0),
        "decode": normal((h, task.outputs), h**-0.5),
    }
    if experiment.preset == "lru":
        square = jax.random.uniform(next(keys), (n,), minval=1e-6, maxval=1.0 - 1e-6)
        phase = np.pi / 10 * jax.random.uniform(next(keys), (n,), minval=1e-6)
        params |= {"size": jnp.log(-0.5 * jnp.log(square)), "phase": jnp.log(phase), "gamma": 0.5 * jnp.log(1 - square)}
    else:
        root = np.sqrt(np.arange(2 * n) + 0.5)
        upper = np.triu(np.outer(root, root), 1)
        frequencies = np.sort(np.linalg.eigvals(upper - upper.T).imag)[n:]
        step = jax.random.uniform(next(keys), (n,), minval=np.log(0.001), maxval=np.log(0.1))
        params |= {"damping": jnp.full(n, np.log(0.5)), "frequency": jnp.float32(frequencies), "step": step}
    return params


def spectrum(params):
    """λ and the gain of the input, both complex: (n)."""
    if "size" in params:
        decay = jnp.exp(jax.lax.complex(-jnp.exp(params["size"]), jnp.exp(params["phase"])))
        return decay, jnp.exp(params["gamma"]).astype(decay.dtype)
    rate = jax.lax.complex(-jnp.exp(params["damping"]), params["frequency"])
    decay = jnp.exp(rate * jnp.exp(params["step"]))
    return decay, (decay - 1.0) / rate


def answer(params, x, y, experiment, form):
    tokens = joined(x, y)  # (T, w, B)
    decay, gain = spectrum(params)
    query = params["encode"].T @ tokens[-1]  # (H, B)
    if form == "kernel":
        recurred = kernel(params, decay, gain, tokens)
    else:
        inputs = jnp.einsum("wh,twb->thb", params["encode"], tokens)
        drive = jnp.einsum("nh,thb->tnb", params["write"].reshape(-1, inputs.shape[1]), inputs)
        n = len(decay)
        drive = gain[:, None] * jax.lax.complex(drive[:, :n], drive[:, n:])
        states = {"last": last, "unrolled": unrolled, "scan": scan, "associative": associative}[form](decay, drive)
        recurred = params["read"][0] @ states.real - params["read"][1] @ states.imag
    update = recurred + params["feedthrough"][:, None] * query
    return params["decode"].T @ (query + update)


def powers_of(decay, count):
    """λ^{T−1}, …, λ, 1: (T, n)."""
    powers = [jnp.ones_like(decay)]
    for _ in range(count - 1):
        powers.append(powers[-1] * decay)
    return jnp.stack(powers[::-1])


def kernel(params, decay, gain, tokens):
    """The convolution that the recurrence is, at its last place: Re(C λ^k g B) W_in meets each token. S4's other form."""
    encoded = params["write"] @ params["encode"].T  # (2, n, w)
    write = gain[:, None] * jax.lax.complex(encoded[0], encoded[1])
    steps = powers_of(decay, len(tokens))[:, :, None] * write  # (T, n, w)
    both = jnp.concatenate([steps.real, steps.imag], 1)
    read = jnp.concatenate([params["read"][0], -params["read"][1]], 1)  # (H, 2n)
    weights = jnp.einsum("hn,tnw->htw", read, both)
    return weights.reshape(len(read), -1) @ tokens.reshape(-1, tokens.shape[-1])


def last(decay, drive):
    return (powers_of(decay, len(drive))[:, :, None] * drive).sum(0)


def unrolled(decay, drive):
    state = drive[0]
    for at in drive[1:]:
        state = decay[:, None] * state + at
    return state


def scan(decay, drive):
    step = lambda state, at: (decay[:, None] * state + at, None)
    return jax.lax.scan(step, jnp.zeros_like(drive[0]), drive)[0]


def associative(decay, drive):
    join = lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1])
    decays = jnp.broadcast_to(decay[:, None], (len(drive), len(decay), 1))
    return jax.lax.associative_scan(join, (decays, drive))[1][-1]
