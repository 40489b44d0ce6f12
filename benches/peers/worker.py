"""One peer in a process of its own: python3 worker.py FRAMEWORK PRESET BATCH PLAN, with the plan as JSON.

It compiles, warms up, and says in a line of JSON what it is. For every line that it then reads, it trains for that many
seconds and answers with the speed. It ends with its input.
"""

import importlib
import json
import os
import sys
import time

from experiments import EXPERIMENTS
from plans import Plan

FILES = {
    "gd-ssm": "gd_ssm",
    "linear-attention": "linear_attention",
    "deltanet": "delta_net",
    "gated-deltanet": "delta_net",
    "gru": "recurrent",
    "lstm": "recurrent",
    "lru": "diagonal",
    "s5": "diagonal",
    "mamba": "mamba",
    "mamba2": "mamba",
    "transformer": "transformer",
}


def prepare(framework, plan):
    """Threads must be set before a framework starts its own."""
    if framework == "jax":
        os.environ["NPROC"] = str(plan.threads)
        os.environ["JAX_PLATFORMS"] = plan.device
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        import jax

        if plan.device == "cpu":
            jax.config.update("jax_num_cpu_devices", plan.devices)
        else:
            jax.config.update("jax_default_matmul_precision", "highest")
        return jax.__version__
    os.environ["OMP_NUM_THREADS"] = str(plan.threads)
    import torch

    torch.set_num_threads(plan.threads)
    if plan.device != "cpu":
        # Weights, tasks and constants alike are made where this says.
        torch.set_default_device(plan.device)
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    return torch.__version__


def timed(trainer, seconds):
    """Steps per second over about that time, in pieces short enough to end in time."""
    calls, done, began = 1, 0, time.perf_counter()
    while True:
        loss = trainer.run(calls)
        done += calls
        spent = time.perf_counter() - began
        if spent >= seconds:
            return {"steps_per_s": done * trainer.steps_in_a_call / spent, "loss": loss}
        calls = max(1, int(min(seconds / 2, seconds - spent) * done / spent))


def main():
    framework, preset, batch, plan = sys.argv[1:]
    plan = Plan(**json.loads(plan))
    version = prepare(framework, plan)
    training = importlib.import_module(f"in_{framework}.training")
    model = importlib.import_module(f"in_{framework}.{FILES[preset]}")
    trainer = training.Trainer(model, EXPERIMENTS[preset], int(batch), plan)
    trainer.run(3)
    timed(trainer, 0.2)
    print(json.dumps({"version": version, "parameters": trainer.parameters}), flush=True)
    for line in sys.stdin:
        print(json.dumps(timed(trainer, float(line))), flush=True)


if __name__ == "__main__":
    main()
