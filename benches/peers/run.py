#!/usr/bin/env python3
"""innerloop against JAX and PyTorch: the same models, tasks, sizes, loss and optimiser, tasks drawn afresh in every step.

    python3 benches/peers/run.py                 all models at batch 64 and 2,048; writes benches/RESULTS.md and the table of docs/performance.md
    python3 benches/peers/run.py --quick         fewer, shorter rounds; writes nothing
    python3 benches/peers/run.py --models gru,s5 --batches 64 --rounds 9
    python3 benches/peers/run.py --search jax --models gru    every form that a peer may take; see plans.py

Each side is timed in its steady state, by turns, several rounds; compiling, warming up and measuring are left out on both.
Ours is the program itself: `innerloop train PRESET --json`. Medians are compared. The machine should be idle otherwise.
"""

import argparse
import importlib.util
import json
import pathlib
import re
import select
import statistics
import subprocess
import sys
import time
from dataclasses import asdict

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import report
from experiments import EXPERIMENTS
from plans import best, candidates, safe
from worker import FILES

FRAMEWORKS = ["jax", "torch"]
NAMES = {"jax": "JAX", "torch": "PyTorch"}
# Seconds after which a peer that does not answer is given up; compiling takes less.
PATIENCE = 100


class PeerFailed(Exception):
    """A worker process that does not answer."""


class Peer:
    """A worker process."""

    def __init__(self, framework, preset, batch, plan):
        command = [sys.executable, str(HERE / "worker.py"), framework, preset, str(batch), json.dumps(asdict(plan))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = self.answer()

    def answer(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.process.kill()
            raise PeerFailed(f"{'ended early' if ready else 'is stuck'}: {' '.join(self.process.args[1:])}")
        return json.loads(line)

    def time(self, seconds):
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return self.answer()["steps_per_s"]

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Ours:
    """The program, trained for about as long as a round lasts."""

    def __init__(self, program, preset, batch):
        never = 1_000_000
        fields = [f"train.batch={batch}", f"train.steps={never}", f"train.measure_every={never}"]
        self.command = [program, "train", preset, "--device", "cpu", "--json"]
        for field in fields:
            self.command += ["--set", field]
        self.hello = self.train(20)
        self.speed = self.train(max(20, int(self.hello["steps_per_s"] * 0.2)))["steps_per_s"]

    def train(self, steps):
        done = subprocess.run([*self.command, "--steps", str(steps)], capture_output=True, text=True, cwd=report.ROOT)
        if done.returncode != 0:
            raise SystemExit(f"run.py: {' '.join(self.command)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def time(self, seconds):
        self.speed = self.train(max(20, int(self.speed * seconds)))["steps_per_s"]
        return self.speed


def compare(program, preset, batch, options, plans):
    """The medians of steps per second of each side, timed by turns."""
    ours = Ours(program, preset, batch)
    sides = {"ours": ours}
    for framework, plan in plans.items():
        sides[framework] = Peer(framework, preset, batch, plan)
        theirs, own = sides[framework].hello["parameters"], ours.hello["parameters"]
        if theirs != own:
            raise SystemExit(f"run.py: {preset} has {own} parameters here and {theirs} in {framework}")
    speeds = {side: [] for side in sides}
    for _ in range(options.rounds):
        for side, runner in sides.items():
            time.sleep(0.1)  # Threads of the last side go to sleep.
            speeds[side].append(runner.time(options.seconds))
    versions = {framework: sides[framework].hello["version"] for framework in plans}
    for framework in plans:
        sides[framework].end()
    return {side: statistics.median(values) for side, values in speeds.items()}, versions


def measure(program, preset, batch, options):
    """A row of the table, and the frameworks' versions. Should a peer fail, both take a plainer plan."""
    plans = {framework: best(framework, preset, batch) for framework in options.frameworks}
    try:
        medians, versions = compare(program, preset, batch, options, plans)
    except PeerFailed as failure:
        print(f"run.py: a peer {failure}; once more with a plainer plan", file=sys.stderr)
        plans = {framework: safe(plan) for framework, plan in plans.items()}
        try:
            medians, versions = compare(program, preset, batch, options, plans)
        except PeerFailed as failure:
            raise SystemExit(f"run.py: a peer {failure}") from failure
    return row(preset, batch, medians, plans), versions


def asked(preset, batch):
    """How many times the faster peer's speed is the aim."""
    if preset == "gd-ssm":
        return 5.0 if batch <= 64 else 4.0
    return 1.5 if batch <= 64 else 1.0


def row(preset, batch, medians, plans):
    fastest = max(plans, key=lambda framework: medians[framework])
    ratio = medians["ours"] / medians[fastest]
    return {
        "preset": preset,
        "batch": batch,
        **medians,
        "fastest": fastest,
        "form": plans[fastest].describe(),
        "ratio": ratio,
        "reached": ratio >= asked(preset, batch),
    }


def results(rows, versions, options):
    """The section of RESULTS.md."""
    head = ["model", "batch", "innerloop", *(NAMES[f] for f in options.frameworks), "times the faster peer", "aim", "peers' form"]
    lines = []
    for r in rows:
        speeds = [report.figures(r[side]) for side in ["ours", *options.frameworks]]
        mark = "" if r["reached"] else " (missed)"
        aim = f"{asked(r['preset'], r['batch'])}{mark}"
        lines.append([r["preset"], f"{r['batch']:,}", *speeds, f"{r['ratio']:.2f}", aim, f"{NAMES[r['fastest']]}: {r['form']}"])
    used = ", ".join(f"{NAMES[f]} {version}" for f, version in versions.items())
    command = "python3 benches/peers/run.py " + " ".join(sys.argv[1:])
    note = f"Steps per second, medians of {options.rounds} rounds of {options.seconds} s, by turns. {used}.\n"
    return f"\n## Against JAX and PyTorch\n\n{report.stamp(command.strip())}\n{note}\n{report.table(head, lines)}"


def summary(rows, options):
    """The table of docs/performance.md: a line for each model."""
    batches = sorted({r["batch"] for r in rows})
    lines = []
    for preset in dict.fromkeys(r["preset"] for r in rows):
        cells = [f"`{preset}`"]
        for batch in batches:
            r = next(r for r in rows if (r["preset"], r["batch"]) == (preset, batch))
            missed = "" if r["reached"] else f", below our aim of {asked(preset, batch):g}"
            cells += [report.figures(r["ours"]), f"{r['ratio']:.1f} × {NAMES[r['fastest']]}{missed}"]
        lines.append(cells)
    head = ["model"]
    for batch in batches:
        head += [f"steps/s, batch {batch:,}", "against the faster peer"]
    return report.table(head, lines)


def search(options):
    """Times every candidate of one framework."""
    framework = options.search
    for preset in options.models:
        forms = forms_of(framework, preset)
        for batch in options.batches:
            for plan in candidates(framework, preset, batch, forms):
                peer = Peer(framework, preset, batch, plan)
                speed = statistics.median(peer.time(options.seconds) for _ in range(options.rounds))
                peer.end()
                print(f"{preset:18} {batch:6} {report.figures(speed):>8} steps/s  {plan.describe()}", flush=True)


def forms_of(framework, preset):
    """Read from the model's file, which cannot be imported here: that would start the framework."""
    text = (HERE / f"in_{framework}" / f"{FILES[preset]}.py").read_text()
    return eval(re.search(r"^FORMS = (.+)$", text, re.MULTILINE)[1])[preset]


def read_options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    listed = lambda text: text.split(",")
    parser.add_argument("--models", type=listed, default=list(EXPERIMENTS), help="comma-separated presets")
    parser.add_argument("--batches", type=lambda text: [int(b) for b in text.split(",")], default=[64, 2048])
    parser.add_argument("--frameworks", type=listed, default=FRAMEWORKS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="how long one side trains in a round")
    parser.add_argument("--quick", action="store_true", help="3 rounds of 0.4 s; writes nothing")
    parser.add_argument("--search", choices=FRAMEWORKS, help="time all forms of a framework instead")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 3, 0.4
    for name, known in [("models", EXPERIMENTS), ("frameworks", FRAMEWORKS)]:
        for given in getattr(options, name):
            if given not in known:
                parser.error(f"--{name}: {given} is not among {', '.join(known)}")
    return options


def main():
    options = read_options()
    for framework in options.frameworks:
        if importlib.util.find_spec(framework) is None:
            raise SystemExit(
                f"run.py: {framework} is not installed for {sys.executable}\n"
                "install it:  python3 -m pip install -r benches/peers/requirements.txt\n"
                "or leave it out:  --frameworks jax"
            )
    if options.search:
        return search(options)
    program = report.program()
    began, rows, versions = time.monotonic(), [], {}
    for preset in options.models:
        for batch in options.batches:
            result, versions = measure(program, preset, batch, options)
            rows.append(result)
            sides = ["ours", *options.frameworks]
            speeds = "  ".join(f"{NAMES.get(side, 'innerloop')} {report.figures(result[side]):>7}" for side in sides)
            print(f"{preset:18} {batch:6}  {speeds}  ratio {result['ratio']:.2f}", flush=True)
    missed = [f"{r['preset']} at {r['batch']}" for r in rows if not r["reached"]]
    print(f"took {time.monotonic() - began:.0f} s; below the aim: {', '.join(missed) or 'none'}")
    complete = options.models == list(EXPERIMENTS) and options.frameworks == FRAMEWORKS and len(options.batches) > 1
    if options.quick or not complete:
        print("nothing written: RESULTS.md takes full runs of all models only")
        return
    report.replace(report.RESULTS, "peers", results(rows, versions, options))
    report.replace(report.PERFORMANCE, "performance", summary(rows, options))


if __name__ == "__main__":
    main()
