"""GD-SSM: S_t = Λ ⊙ S_{t−1} + X_tᵀ Q X_t, ŷ = C S_N X_Nᵀ D. See src/nn/model/gd_ssm.rs."""

import jax
import jax.numpy as jnp

FORMS = {"gd-ssm": ["closed", "unrolled", "scan"]}


def initial(key, experiment):
    d = experiment.task.dim
    keys = jax.random.split(key, 4)
    return {
        "decay": jax.random.uniform(keys[0], (d, d), minval=0.8, maxval=1.0),
        "mix": 0.3 * jax.random.normal(keys[1], (3, 3)),
        "pick": 0.3 * jax.random.normal(keys[2], (3,)),
        "read": 0.1 / d**0.5 * jax.random.normal(keys[3], (d, d)),
    }


def answer(params, x, y, experiment, form):
    windows = jnp.stack([x[:-1], y[:-1], x[1:]], 2)  # (N, d, 3, B)
    mixed = (params["mix"].T[:, :, None] * windows[:, :, :, None, :]).sum(2)  # Q X_t: (N, d, 3, B)
    query = (params["pick"][:, None] * windows[-1]).sum(1)  # X_Nᵀ D: (d, B)
    gathered = {"closed": closed, "unrolled": unrolled, "scan": scan}[form](params["decay"], windows, mixed, query)
    return params["read"] @ gathered


def closed(decay, windows, mixed, query):
    """S_N query as one contraction with Λ^{N−t}: the state is never written down."""
    powers = [jnp.ones_like(decay)]
    for _ in range(len(windows) - 1):
        powers.append(powers[-1] * decay)
    powers = jnp.stack(powers[::-1])  # (N, d, d)
    asked = mixed * query[:, None, :]
    return (windows * jnp.einsum("nij,njab->niab", powers, asked)).sum((0, 2))


def update(window, mixed):
    """X_tᵀ Q X_t: (d, d, B)."""
    return (window[:, None] * mixed[None, :]).sum(2)


def unrolled(decay, windows, mixed, query):
    state = 0.0
    for window, right in zip(windows, mixed):
        state = decay[:, :, None] * state + update(window, right)
    return (state * query).sum(1)


def scan(decay, windows, mixed, query):
    _, dim, _, batch = windows.shape
    step = lambda state, at: (decay[:, :, None] * state + update(*at), None)
    state, _ = jax.lax.scan(step, jnp.zeros((dim, dim, batch)), (windows, mixed))
    return (state * query).sum(1)
