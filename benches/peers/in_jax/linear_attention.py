"""One layer of linear self-attention, read at the query. See src/nn/model/linear_attention.rs."""

import jax
import jax.numpy as jnp

from .training import joined

FORMS = {"linear-attention": ["reordered", "projected"]}


def initial(key, experiment):
    w = experiment.task.width
    keys = jax.random.split(key, 4)
    return {name: (0.5 / w) ** 0.5 * jax.random.normal(key, (w, w)) for name, key in zip(["q", "k", "v", "o"], keys)}


def answer(params, x, y, experiment, form):
    tokens = joined(x, y)  # (T, w, B)
    query = tokens[-1]
    attended = {"reordered": reordered, "projected": projected}[form](params, tokens, query)
    return (query + params["o"].T @ attended)[experiment.task.dim :]


def reordered(params, tokens, query):
    """Keys and values are asked for one query only, so the weights can meet that query instead of every token."""
    asked = params["k"] @ (params["q"].T @ query)  # (w, B)
    scores = (tokens * asked).sum(1, keepdims=True)
    return params["v"].T @ (scores * tokens).sum(0)


def projected(params, tokens, query):
    keys = jnp.einsum("io,tib->tob", params["k"], tokens)
    values = jnp.einsum("io,tib->tob", params["v"], tokens)
    scores = (keys * (params["q"].T @ query)).sum(1, keepdims=True)
    return (scores * values).sum(0)
