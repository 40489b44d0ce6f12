"""The causal softmax transformer, its last layer asked at the query only. See src/nn/model/transformer.rs."""

import jax
import jax.numpy as jnp

from .training import joined

FORMS = {"transformer": ["batch_first", "batch_last"]}

WIDER = 4


def initial(key, experiment):
    n, layers, task = experiment.sizes["units"], experiment.sizes["layers"], experiment.task
    keys = iter(jax.random.split(key, 40))
    glorot = jax.nn.initializers.glorot_uniform()
    shrink = (2 * layers) ** -0.5

    def linear(outputs, inputs, scale=1.0):
        return scale * glorot(next(keys), (outputs, inputs)), jnp.zeros((outputs, 1))

    def norm():
        return jnp.ones((n, 1)), jnp.zeros((n, 1))

    def layer():
        return {
            "norm1": norm(),
            "qkv": tuple(jnp.concatenate(part) for part in zip(*[linear(n, n) for _ in range(3)])),
            "project": linear(n, n, shrink),
            "norm2": norm(),
            "widen": linear(WIDER * n, n),
            "narrow": linear(n, WIDER * n, shrink),
        }

    return {
        "embed": linear(n, task.width),
        "layers": [layer() for _ in range(layers)],
        "norm": norm(),
        "decode": linear(task.outputs, n),
    }


def linear(layer, rows):
    """W x + b of every column: (outputs, …)."""
    weight, bias = layer
    return (weight @ rows.reshape(len(rows), -1) + bias).reshape(-1, *rows.shape[1:])


def normalise(layer, rows):
    gain, bias = (part.reshape(-1, *[1] * (rows.ndim - 1)) for part in layer)
    centred = rows - rows.mean(0)
    return gain * centred * jax.lax.rsqrt((centred * centred).mean(0) + 1e-5) + bias


def attend(queries, keys, values, form):
    """(h, w, M, B) asked of (h, w, T, B); the last query is the last token."""
    asked, length, width = queries.shape[2], keys.shape[2], queries.shape[1]
    later = jnp.arange(length)[None, :] > jnp.arange(length - asked, length)[:, None]
    if form == "batch_first":
        q, k, v = (jnp.transpose(part, (3, 0, 2, 1)) for part in (queries, keys, values))  # (B, h, ·, w)
        scores = q @ k.swapaxes(2, 3) / width**0.5
        weights = jax.nn.softmax(jnp.where(later, -jnp.inf, scores), -1)
        return jnp.transpose(weights @ v, (1, 3, 2, 0))
    scores = (queries[:, :, :, None] * keys[:, :, None]).sum(1) / width**0.5  # (h, M, T, B)
    weights = jax.nn.softmax(jnp.where(later[:, :, None], -jnp.inf, scores), 2)
    return (weights[:, None] * values[:, :, None]).sum(3)


def answer(params, x, y, experiment, form):
    n, heads = experiment.sizes["units"], experiment.sizes["heads"]
    tokens = linear(params["embed"], jnp.swapaxes(joined(x, y), 0, 1))  # (n, T, B)
    for number, layer in enumerate(params["layers"]):
        last = number + 1 == len(params["layers"])
        normal = normalise(layer["norm1"], tokens)
        weight, bias = layer["qkv"]
        if last:
            tokens = tokens[:, -1:]
            queries = linear((weight[:n], bias[:n]), normal[:, -1:])
            keys, values = jnp.split(linear((weight[n:], bias[n:]), normal), 2)
        else:
            queries, keys, values = jnp.split(linear(layer["qkv"], normal), 3)
        parts = (part.reshape(heads, n // heads, *part.shape[1:]) for part in (queries, keys, values))
        attended = attend(*parts, form).reshape(n, *tokens.shape[1:])
        tokens = tokens + linear(layer["project"], attended)
        wide = jax.nn.gelu(linear(layer["widen"], normalise(layer["norm2"], tokens)), approximate=True)
        tokens = tokens + linear(layer["narrow"], wide)
    return linear(params["decode"], normalise(params["norm"], tokens[:, 0]))
