#!/usr/bin/env python3
"""Steps per second on a GPU beside JAX, PyTorch and the processor; benches/gpu.sh calls it.

Every number comes from a process of its own. Measured in the order of COLUMNS until the time is over. Where both devices were
measured, what `--device auto` chooses must not be the slower one. Standard library only; writes a section of benches/RESULTS.md when
a GPU was measured.
"""

import argparse
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import time
from dataclasses import asdict, replace

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "peers")]

import report
from experiments import EXPERIMENTS
from plans import on_gpu

OURS, CPU = "innerloop", "innerloop, cpu"
# Each peer: its framework, and how its plan differs.
PEERS = {
    "JAX jit": ("jax", {}),
    "PyTorch compiled": ("torch", {"compiled": True, "cuda_graphs": True}),
    "PyTorch eager": ("torch", {}),
}
COLUMNS = [OURS, "JAX jit", CPU, "PyTorch compiled", "PyTorch eager"]
# Seconds after which a process that does not answer is given up.
PATIENCE = 150
# A trial of a tenth of a second may mistake devices that are as fast as each other.
MARGIN = 0.85


def train(options, preset, batch, device, steps):
    never = 1_000_000
    command = [options.program, "train", preset, "--device", device, "--json", "--steps", str(steps)]
    own = [f"train.batch={batch}"] if batch else []
    for field in [*own, f"train.steps={never}", f"train.measure_every={never}"]:
        command += ["--set", field]
    done = subprocess.run(command, capture_output=True, text=True, cwd=report.ROOT, timeout=PATIENCE)
    if done.returncode != 0:
        raise RuntimeError(f"{preset} at {batch} on {device}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout)


def ours(options, preset, batch, device):
    speed, steps = 0.0, 4
    # Longer and longer: the first steps are slower.
    for share in (0.0, 0.1, 1.0):
        steps = max(steps, min(int(speed * options.seconds * share), 400_000))
        speed = train(options, preset, batch, device, steps)["steps_per_s"]
    return speed


def peer(options, preset, batch, column):
    framework, changes = PEERS[column]
    plan = replace(on_gpu(framework, preset), **changes, device="cpu" if options.device == "cpu" else "cuda")
    if plan.device == "cpu":
        plan = replace(plan, cuda_graphs=False)
    command = [options.python, str(HERE / "peers" / "worker.py"), framework, preset, str(batch), json.dumps(asdict(plan))]
    done = subprocess.run(command, input=f"{options.seconds}\n", capture_output=True, text=True, timeout=PATIENCE)
    lines = done.stdout.splitlines()
    if done.returncode != 0 or len(lines) < 2:
        raise RuntimeError(f"{column}, {preset} at {batch}: {done.stderr.strip().splitlines()[-1:]}")
    options.versions[framework] = json.loads(lines[0])["version"]
    return json.loads(lines[1])["steps_per_s"]


def measure(options, speeds, column):
    for batch in options.batches:
        for preset in options.presets:
            if time.monotonic() > options.end:
                return print(f"{column}: the time is over at {preset}, {batch}", flush=True)
            try:
                if column in (OURS, CPU):
                    speed = ours(options, preset, batch, options.device if column == OURS else "cpu")
                else:
                    speed = peer(options, preset, batch, column)
            except (RuntimeError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
                print(f"not measured: {error}", flush=True)
                continue
            speeds[preset, batch, column] = speed
            print(f"{column:18} {preset:18} {batch:7} {report.figures(speed):>9} steps/s", flush=True)


def check_auto(options, speeds):
    """Whether `auto` takes the faster device, at each preset's own batch and at those of the table."""
    wrong = []
    for path in sorted((report.ROOT / "presets").glob("*.ron")):
        if time.monotonic() > options.end:
            break
        answer = train(options, path.stem, None, "auto", 1)
        print(f"auto {path.stem:26} {answer['device_note'] or answer['device']}", flush=True)
    for preset in options.presets:
        for batch in options.batches:
            both = [speeds.get((preset, batch, column)) for column in (OURS, CPU)]
            if None in both or time.monotonic() > options.end:
                continue
            answer = train(options, preset, batch, "auto", 1)
            taken = both[1] if answer["device"] == "cpu" else both[0]
            print(f"auto {preset:18} {batch:7} {answer['device_note'] or answer['device']}", flush=True)
            if taken < MARGIN * max(both):
                wrong.append(f"{preset} at {batch}: {report.figures(taken)} instead of {report.figures(max(both))} steps/s")
    print(f"{'auto takes the faster device':44} {'FAILED' if wrong else 'passed'}", *wrong, sep="\n    ")
    return not wrong


def rows(options, speeds):
    lines = []
    for preset in options.presets:
        for batch in options.batches:
            found = [speeds.get((preset, batch, column)) for column in COLUMNS]
            fastest = max((s for s, column in zip(found, COLUMNS) if s and column in PEERS), default=None)
            ratio = f"{found[0] / fastest:.2f}" if found[0] and fastest else "–"
            lines.append([preset, f"{batch:,}", *(report.figures(s) if s else "–" for s in found), ratio])
    return lines


def gpu_name():
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return "a GPU"


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    variable = os.environ.get
    parser.add_argument("--program", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--time-limit", type=float, required=True, help="seconds")
    options = parser.parse_args()
    options.end = time.monotonic() + options.time_limit
    options.program = str(pathlib.Path(options.program).resolve())
    options.presets = (variable("PRESETS") or " ".join(EXPERIMENTS)).split()
    options.batches = [int(batch) for batch in (variable("BATCHES") or "64 2048 16384 65536").split()]
    options.seconds = float(variable("SECONDS_EACH") or 1.5)
    options.python, options.versions = sys.executable, {}
    return options


def main():
    options = read_options()
    began, speeds = time.monotonic(), {}
    print("== steps per second, tasks sampled anew in every step")
    missing = {name for name in ("jax", "torch") if importlib.util.find_spec(name) is None}
    for name in sorted(missing):
        print(f"{name} is not measured: it is not installed for {options.python}")
    for column in COLUMNS:
        if column == CPU and options.device == "cpu" or column in PEERS and PEERS[column][0] in missing:
            continue
        measure(options, speeds, column)
    good = options.device == "cpu" or check_auto(options, speeds)
    table = report.table(["model", "batch", *COLUMNS, "times the fastest peer"], rows(options, speeds))
    print(table + f"the table took {time.monotonic() - began:.0f} s")
    if options.device == "cpu":
        print("nothing written: RESULTS.md takes what a GPU was measured at")
    else:
        used = ", ".join(f"{name} {version}" for name, version in options.versions.items()) or "neither JAX nor PyTorch"
        note = (
            f"{gpu_name()}, with {os.environ.get('RAYON_NUM_THREADS', 'all')} cores for the processor; {used}, in full float32 "
            "precision. Steps per second; JAX does 20 steps in a call, PyTorch compiled has CUDA graphs."
        )
        text = f"\n## On a GPU\n\n{report.stamp('benches/gpu.sh')}\n{note}\n\n{table}"
        report.replace(report.RESULTS, "gpu", text)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
