"""Steps a second of PyTorch, eager, on one device: the fastest form of a model that in_torch/ has.

    python3 benches/peers/on_a_card.py PRESET BATCH DEVICE SECONDS

benches/gpu.sh calls it.
"""

import importlib
import sys
import time

import torch
from experiments import EXPERIMENTS
from in_torch.training import Trainer
from plans import Plan
from worker import FILES

FORMS = {
    "gd-ssm": ["closed", "recurrent"],
    "linear-attention": ["reordered", "projected"],
    "transformer": ["library", "plain"],
}


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def speed(preset, batch, device, seconds, form):
    model = importlib.import_module("in_torch." + FILES[preset])
    trainer = Trainer(model, EXPERIMENTS[preset], batch, Plan(form))

    def took(steps):
        began = time.perf_counter()
        trainer.run(steps)
        wait(device)
        return time.perf_counter() - began

    took(3)
    steps = max(3, int(seconds / (took(3) / 3)))
    return steps / took(steps)


def main():
    preset, batch, device, seconds = sys.argv[1], int(sys.argv[2]), torch.device(sys.argv[3]), float(sys.argv[4])
    # Weights, tasks and constants alike are made where this says; products in full single precision, as in the lab.
    torch.set_default_device(device)
    torch.backends.cuda.matmul.allow_tf32 = False
    found = [speed(preset, batch, device, seconds / len(FORMS[preset]), form) for form in FORMS[preset]]
    print(f"{max(found):.1f}")


if __name__ == "__main__":
    main()
