"""How each peer is run: of the forms that its framework allows, the fastest that was found here.

`run.py --search` measures the others again. A new machine or version may prefer another.

torch.compile is taken where it was seen to help: Mamba (432 steps a second for 292 at batch 64, twice the speed at 2,048), Mamba-2
(1.3 to 1.4 times), and at 2,048 LRU and S5 (611 for 579). At 2,048 the transformer and linear attention stayed as they were. It was not
tried for GD-SSM, GRU and LSTM, nor at 64 for linear attention, LRU and S5; the transformer had not compiled there after 400 s
on a busy machine.
"""

from dataclasses import asdict, dataclass, replace


@dataclass(frozen=True)
class Plan:
    """How the same mathematics is written and run."""

    # The name in the model's file.
    form: str
    threads: int = 1
    # JAX: training steps in one dispatch.
    at_once: int = 1
    # JAX: sequences that go through the model together; None: all of a device.
    chunk: int | None = None
    # JAX: CPU devices that share a batch.
    devices: int = 1
    # PyTorch: torch.compile for the forward and backward pass.
    compiled: bool = False
    # PyTorch: the compiled passes are recorded as CUDA graphs.
    cuda_graphs: bool = False
    # Where it runs: "cpu" or "cuda", with matrix products in full float32 precision.
    device: str = "cpu"

    def describe(self):
        plain = asdict(Plan(self.form))
        said = [f"{name} {value}" for name, value in asdict(self).items() if value != plain[name]]
        return ", ".join([self.form, *said])


# A batch counts as small up to here: handing its work to a second thread costs more than it saves.
SMALL = 256


def jax_small(form):
    return Plan(form, at_once=20)


def jax_large(form, chunk=128):
    return Plan(form, threads=2, at_once=2, chunk=chunk, devices=2)


JAX = {
    "gd-ssm": (jax_small("closed"), jax_large("closed")),
    "linear-attention": (jax_small("reordered"), jax_large("reordered")),
    "deltanet": (jax_small("attention"), jax_large("attention")),
    "gated-deltanet": (jax_small("attention"), jax_large("attention")),
    "gru": (jax_small("scan"), jax_large("scan")),
    "lstm": (jax_small("unrolled"), jax_large("unrolled")),
    "lru": (jax_small("kernel"), jax_large("kernel")),
    "s5": (jax_small("kernel"), jax_large("kernel")),
    "mamba": (Plan("closed", threads=2), jax_large("closed", 64)),
    "mamba2": (jax_small("closed"), jax_large("closed", 64)),
    "transformer": (Plan("batch_first"), jax_large("batch_first", 64)),
}

TORCH = {
    "gd-ssm": (Plan("closed"), Plan("closed", threads=2)),
    "linear-attention": (Plan("reordered"), Plan("reordered", threads=2)),
    "deltanet": (Plan("parallel"), Plan("parallel", threads=2)),
    "gated-deltanet": (Plan("parallel"), Plan("parallel", threads=2)),
    "gru": (Plan("cell"), Plan("cell", threads=2)),
    "lstm": (Plan("library"), Plan("library", threads=2)),
    "lru": (Plan("kernel"), Plan("kernel", compiled=True)),
    "s5": (Plan("kernel"), Plan("kernel", compiled=True)),
    "mamba": (Plan("closed", threads=2, compiled=True), Plan("closed", threads=2, compiled=True)),
    "mamba2": (Plan("closed", compiled=True), Plan("closed", threads=2, compiled=True)),
    "transformer": (Plan("library", threads=2), Plan("library", threads=2)),
}

PLANS = {"jax": JAX, "torch": TORCH}


def best(framework, preset, batch):
    small, large = PLANS[framework][preset]
    return small if batch <= SMALL else large


def on_gpu(framework, preset):
    """The plan for a GPU: the form that was fastest on a processor for a small batch, which is the one with the fewest operations."""
    form = PLANS[framework][preset][0].form
    return Plan(form, at_once=20 if framework == "jax" else 1, device="cuda")


def safe(plan):
    """The same form without what can fail: one device, nothing compiled by torch."""
    return replace(plan, devices=1, at_once=1, compiled=False)


def candidates(framework, preset, batch, forms):
    """Every form in every way to run it that is worth a try."""
    if framework == "torch":
        return [Plan(form, threads, compiled=compiled) for form in forms for compiled in (False, True) for threads in (1, 2)]
    small = [dict(at_once=20), dict(threads=2), dict(threads=2, at_once=20)]
    large = [dict(threads=2, at_once=2, chunk=chunk, devices=2) for chunk in (64, 128)]
    large += [dict(threads=2, chunk=256), dict(threads=2), dict(chunk=64)]
    return [Plan(form, **ways) for form in forms for ways in (small if batch <= SMALL else large)]
