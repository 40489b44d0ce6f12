#!/usr/bin/env python3
"""Steps per second on a GPU beside JAX, PyTorch and the processor; benches/gpu.sh calls it.

Every number comes from a process of its own, which is alone on the GPU while it is timed; what is compiled before is compiled side
by side. Measured in the order of COLUMNS until the time is over. Where both devices were
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
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
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
COLUMNS = [OURS, "JAX jit", "PyTorch compiled", CPU, "PyTorch eager"]
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


class Peer:
    """A peer's process: it compiles when it starts, and is timed when it is asked."""

    def __init__(self, options, preset, batch, column):
        self.framework, changes = PEERS[column]
        self.name = f"{column}, {preset} at {batch}"
        plan = replace(on_gpu(self.framework, preset), **changes, device="cpu" if options.device == "cpu" else "cuda")
        if plan.device == "cpu":
            plan = replace(plan, cuda_graphs=False)
        worker = [options.python, str(HERE / "peers" / "worker.py"), self.framework, preset, str(batch), json.dumps(asdict(plan))]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(worker, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.end = time.monotonic() + PATIENCE

    def answer(self):
        """The next line that it prints."""
        watch = threading.Timer(max(0.0, self.end - time.monotonic()), self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        if not line:
            self.errors.seek(0)
            raise RuntimeError(f"{self.name}: {self.errors.read().strip().splitlines()[-1:]}")
        return json.loads(line)

    def speed(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        self.end = time.monotonic() + PATIENCE
        return self.answer()["steps_per_s"]

    def close(self):
        self.process.kill()
        self.process.wait()
        self.errors.close()


def measure_peers(options, speeds, column):
    """All models at one batch start and compile side by side; then each is timed alone."""
    for batch in options.batches:
        if time.monotonic() > options.end:
            return print(f"{column}: the time is over at {batch}", flush=True)
        peers = [Peer(options, preset, batch, column) for preset in options.presets]
        ready = []
        for preset, one in zip(options.presets, peers):
            try:
                options.versions[one.framework] = one.answer()["version"]
                ready.append((preset, one))
            except (RuntimeError, json.JSONDecodeError) as error:
                print(f"not measured: {error}", flush=True)
        for preset, one in ready:
            try:
                found(speeds, (preset, batch, column), one.speed(options.seconds))
            except (RuntimeError, json.JSONDecodeError) as error:
                print(f"not measured: {error}", flush=True)
        for one in peers:
            one.close()


def found(speeds, key, speed):
    speeds[key] = speed
    preset, batch, column = key
    print(f"{column:18} {preset:18} {batch:7} {report.figures(speed):>9} steps/s", flush=True)


def measure(options, speeds, column):
    device = options.device if column == OURS else "cpu"
    for batch in options.batches:
        for preset in options.presets:
            if time.monotonic() > options.end:
                return print(f"{column}: the time is over at {preset}, {batch}", flush=True)
            try:
                found(speeds, (preset, batch, column), ours(options, preset, batch, device))
            except (RuntimeError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
                print(f"not measured: {error}", flush=True)


def compile_kernels(options):
    """Kernels are kept on disk: compiled side by side, so that runs that are timed find them there."""
    presets = [path.stem for path in sorted((report.ROOT / "presets").glob("*.ron"))]
    runs = [(preset, None) for preset in presets] + [(p, batch) for batch in options.batches for p in options.presets]

    def compile_one(run):
        try:
            train(options, *run, options.device, 1)
        except (RuntimeError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            print(f"not compiled: {error}", flush=True)

    began = time.monotonic()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, runs))
    print(f"{len(runs)} kernels compiled in {time.monotonic() - began:.0f} s", flush=True)


def print_auto(options):
    """What `auto` chooses for each preset at its own batch, and why."""
    for path in sorted((report.ROOT / "presets").glob("*.ron")):
        if time.monotonic() > options.end:
            break
        answer = train(options, path.stem, None, "auto", 1)
        print(f"auto {path.stem:26} {answer['device_note'] or answer['device']}", flush=True)


def check_auto(options, speeds):
    """Whether `auto` takes the faster device, where both were measured."""
    wrong = []
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
    if options.device != "cpu":
        compile_kernels(options)
        print_auto(options)
    for column in COLUMNS:
        if column == CPU and options.device == "cpu" or column in PEERS and PEERS[column][0] in missing:
            continue
        (measure_peers if column in PEERS else measure)(options, speeds, column)
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
