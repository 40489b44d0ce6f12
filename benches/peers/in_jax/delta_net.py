"""DeltaNet and Gated DeltaNet, one layer and one head, read at the query. See src/nn/model/delta_net.rs and gated_delta_net.rs."""

import jax
import jax.numpy as jnp

from .training import joined

FORMS = {"deltanet": ["attention", "scan", "recurrent"], "gated-deltanet": ["attention", "scan", "recurrent"]}

# Added to the squared length of a key.
EPSILON = 1e-6


def initial(key, experiment):
    w, d, outputs = experiment.task.width, experiment.task.dim, experiment.task.outputs
    keys = jax.random.split(key, 3)
    shapes = {"q": (w, d), "k": (w, d), "v": (w, outputs)}
    params = {name: (0.5 / w) ** 0.5 * jax.random.normal(key, shape) for (name, shape), key in zip(shapes.items(), keys)}
    params["rate"] = (jnp.zeros((w, 1)), jnp.zeros(1))
    if experiment.sizes["gated"]:
        params["decay"] = (jnp.zeros((w, 1)), jnp.full(1, 3.0))
    return params


def gate(params, tokens):
    """(N, 1, B)."""
    mix, bias = params
    return jax.nn.sigmoid(jnp.einsum("io,tib->tob", mix, tokens) + bias[:, None])


def answer(params, x, y, experiment, form):
    tokens = joined(x, y)  # (N + 1, w, B)
    pairs, query = tokens[:-1], params["q"].T @ tokens[-1]
    keys, values = (jnp.einsum("io,tib->tob", params[name], pairs) for name in ["k", "v"])
    rates = gate(params["rate"], pairs) / ((keys * keys).sum(1, keepdims=True) + EPSILON)
    kept = gate(params["decay"], pairs) if "decay" in params else jnp.ones_like(rates)
    return {"attention": attention, "scan": scan, "recurrent": recurrent}[form](keys, values, rates, kept, query)


def back(carried, pair):
    """S_t q = a S_{t-1} (q - c k (k . q)) + c v (k . q), from the last pair to the first."""
    query, sum = carried
    key, value, rate, kept = pair
    along = rate * (key * query).sum(0, keepdims=True)
    return (kept * (query - along * key), sum + along * value), None


def attention(keys, values, rates, kept, query):
    carried = query, jnp.zeros_like(values[0])
    for pair in reversed(list(zip(keys, values, rates, kept))):
        carried, _ = back(carried, pair)
    return carried[1]


def scan(keys, values, rates, kept, query):
    (_, sum), _ = jax.lax.scan(back, (query, jnp.zeros_like(values[0])), (keys, values, rates, kept), reverse=True)
    return sum


def recurrent(keys, values, rates, kept, query):
    state = jnp.zeros((values.shape[1], *query.shape))  # (d_out, d, B)
    for key, value, rate, keep in zip(keys, values, rates, kept):
        state = keep * state
        error = value - (state * key).sum(1)
        state = state + (rate * error)[:, None] * key
    return (state * query).sum(1)
