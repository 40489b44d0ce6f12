"""One training step in JAX, whole in one program: tasks, forward and backward pass, Adam."""

import math
from functools import partial

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jax.sharding import PartitionSpec


def sample(key, task, batch):
    """x (N+1, d, B) with the query last, y (N+1, d_out, B) with the query's answer last.

    The batch comes last, so that every loop of the processor runs along it: in this order XLA draws numbers four times as fast.
    """
    key_w, key_x, key_drift, key_noise = jax.random.split(key, 4)
    w = jax.random.normal(key_w, (task.outputs, task.dim, batch))
    half = task.range / 2
    x = jax.random.uniform(key_x, (task.context + 1, task.dim, batch), minval=-half, maxval=half)
    # Written as a product and a sum, XLA fuses it; as a batched product it does not.
    if task.drift > 0.0:
        # W takes a step after each pair; the query asks for where it is then.
        steps = task.drift * jax.random.normal(key_drift, (task.context, *w.shape))
        w = w + jnp.concatenate([jnp.zeros_like(w)[None], jnp.cumsum(steps, 0)])
    else:
        w = w[None]
    y = (x[:, None, :, :] * w).sum(2)
    if task.noise > 0.0:
        y = y.at[:-1].add(task.noise * jax.random.normal(key_noise, (task.context, task.outputs, batch)))
    return x, y


def joined(x, y):
    """Tokens [x; y], the query's with y = 0: (N+1, d + d_out, B)."""
    return jnp.concatenate([x, y.at[-1].set(0.0)], 1)


def learning_rate(training, step):
    warm = jnp.minimum((step + 1) / training.warmup, 1.0)
    along = jnp.minimum(step / training.steps, 1.0)
    cosine = 0.5 * (1.0 + jnp.cos(math.pi * along))
    return training.lr * warm * (training.final_lr + (1.0 - training.final_lr) * cosine)


def adam(training, step, params, slope, moments):
    """All parameters as one vector, so that the update is one loop."""
    first, second = moments
    if training.clip is not None:
        slope = slope * jnp.minimum(1.0, training.clip / jnp.sqrt(jnp.sum(slope * slope)))
    first = training.beta1 * first + (1.0 - training.beta1) * slope
    second = training.beta2 * second + (1.0 - training.beta2) * slope * slope
    t = step + 1.0
    rate = learning_rate(training, step) / (1.0 - training.beta1**t)
    scale = jnp.sqrt(second / (1.0 - training.beta2**t)) + training.epsilon
    return params - rate * first / scale, (first, second)


class Trainer:
    """`model` is a module with `initial(key, experiment)` and `answer(params, x, y, experiment, form)`."""

    def __init__(self, model, experiment, batch, plan, seed=1):
        key = jax.random.key(seed)
        flat, unravel = ravel_pytree(model.initial(jax.random.fold_in(key, 0), experiment))
        self.parameters = flat.size
        self.steps_in_a_call, self.devices = plan.at_once, plan.devices
        self.state = (flat, (jnp.zeros_like(flat), jnp.zeros_like(flat)), jnp.float32(0), jax.random.fold_in(key, 1))
        chunk = plan.chunk or batch // plan.devices
        chunks = batch // plan.devices // chunk

        def loss(flat, key):
            x, y = sample(key, experiment.task, chunk)
            answer = model.answer(unravel(flat), x, y, experiment, plan.form)
            return 0.5 * jnp.mean((answer - y[-1]) ** 2)

        def mean(params, key):
            """Loss and gradient of the batch, a chunk that fits into the cache after the other."""
            if chunks == 1:
                return jax.value_and_grad(loss)(params, key)
            add = lambda sums, key: (jax.tree.map(jnp.add, sums, jax.value_and_grad(loss)(params, key)), None)
            zero = (jnp.float32(0), jnp.zeros_like(params))
            sums, _ = jax.lax.scan(add, zero, jax.random.split(key, chunks))
            return jax.tree.map(lambda total: total / chunks, sums)

        def one(state, _):
            params, moments, step, key = state
            key, used = jax.random.split(key)
            if plan.devices > 1:
                used = jax.random.fold_in(used, jax.lax.axis_index("devices"))
            value, slope = mean(params, used)
            if plan.devices > 1:
                value, slope = jax.lax.pmean((value, slope), "devices")
            params, moments = adam(experiment.training, step, params, slope, moments)
            return (params, moments, step + 1, key), value

        def several(state):
            if plan.at_once == 1:
                return one(state, None)
            state, losses = jax.lax.scan(one, state, None, length=plan.at_once)
            return state, losses[-1]

        if plan.devices > 1:
            mesh = jax.make_mesh((plan.devices,), ("devices",), devices=jax.devices()[: plan.devices])
            everywhere = PartitionSpec()
            several = jax.shard_map(several, mesh=mesh, in_specs=everywhere, out_specs=everywhere, check_vma=False)
        self.several = partial(jax.jit, donate_argnums=0)(several)

    def run(self, calls):
        """Trains for `calls` dispatches and waits until they are done."""
        for _ in range(calls):
            self.state, value = self.several(self.state)
            if self.devices > 1:
                # Runs that overlap on two devices can wait for each other's sums for ever.
                value.block_until_ready()
        jax.block_until_ready(self.state)
        return float(value)
