"""What both frameworks train: the sizes of presets/*.ron and how each is optimised.

A batch is not a part of it: every model is timed at several. run.py holds the parameter counts against the program's own.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Task:
    """Linear regression in context, y = W x: `outputs` numbers from `dim`, after `context` pairs, x in U(-range/2, range/2)."""

    dim: int
    outputs: int
    context: int
    range: float
    # Standard deviations of the targets' noise and of the step that W takes after each pair.
    noise: float = 0.0
    drift: float = 0.0

    @property
    def width(self):
        """The width of a joined token [x; y]."""
        return self.dim + self.outputs


@dataclass(frozen=True)
class Training:
    """Adam with a warm-up and half a cosine, as src/optim/mod.rs has it."""

    lr: float
    steps: int
    warmup: int
    final_lr: float
    clip: float | None = None
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8


@dataclass(frozen=True)
class Experiment:
    preset: str
    task: Task
    training: Training
    sizes: dict = field(default_factory=dict)


FIVE = Task(dim=5, outputs=1, context=10, range=2.0)

DRIFTING = Task(dim=5, outputs=5, context=20, range=2.0, noise=0.1, drift=0.3)

EXPERIMENTS = {
    experiment.preset: experiment
    for experiment in [
        Experiment("gd-ssm", Task(10, 10, 10, 1.0), Training(0.002, 4000, 800, 0.01)),
        Experiment("linear-attention", Task(10, 1, 10, 2.0), Training(0.003, 2000, 50, 0.01)),
        Experiment("deltanet", Task(10, 1, 10, 2.0), Training(0.01, 2000, 50, 0.01), {"gated": False}),
        Experiment("gated-deltanet", DRIFTING, Training(0.01, 2000, 100, 0.01), {"gated": True}),
        Experiment("gru", FIVE, Training(0.01, 2000, 50, 0.0, clip=1.0), {"units": 32}),
        Experiment("lstm", FIVE, Training(0.01, 2000, 50, 0.0, clip=1.0), {"units": 32}),
        Experiment("lru", FIVE, Training(0.003, 1000, 50, 0.0), {"width": 16, "states": 32}),
        Experiment("s5", FIVE, Training(0.003, 1000, 50, 0.0), {"width": 16, "states": 32}),
        Experiment("mamba", FIVE, Training(0.01, 3000, 50, 0.0), {"width": 16, "inner": 32, "states": 8, "rank": 1}),
        Experiment("mamba2", FIVE, Training(0.01, 3000, 50, 0.0), {"width": 16, "heads": 4, "inner": 32, "states": 8}),
        Experiment("transformer", FIVE, Training(0.003, 2000, 50, 0.0, clip=1.0), {"units": 32, "heads": 2, "layers": 2}),
    ]
}
