#!/usr/bin/env python3
"""Cost against the length of the context, for every scan: python3 benches/context.py [PRESET …]. Writes benches/RESULTS.md.

Runs `cargo bench --bench context` and fits time and memory of a training step to N^k: over all N, and over N >= 100, where
what does not grow with N no longer counts for much. A part of the models is not written.
"""

import json
import math
import subprocess
import sys

import report

FROM = [0, 100]


def exponents(points):
    """k of the least-squares line through (log N, log value), for each least N."""

    def slope(least):
        xs, ys = zip(*((math.log(n), math.log(value)) for n, value in points if n >= least))
        mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
        return sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys)) / sum((x - mean_x) ** 2 for x in xs)

    return [f"{slope(least):.2f}" for least in FROM]


def main():
    wanted = sys.argv[1:]
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "context", "--", *wanted]
    done = subprocess.run(command, cwd=report.ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit("context.py: the benchmark failed")
    measured = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    lengths = sorted({m["context"] for m in measured})
    times, bytes_kept = [], []
    for preset in dict.fromkeys(m["preset"] for m in measured):
        of = [m for m in measured if m["preset"] == preset]
        pick = lambda key: [(m["context"], m[key]) for m in of]
        time, kept = pick("seconds"), pick("bytes_per_sequence")
        times.append([preset, *(report.figures(1e3 * t) for _, t in time), *exponents(time)])
        bytes_kept.append([preset, *(report.figures(b / 1024) for _, b in kept), *exponents(kept)])
    head = ["model", *(f"N = {n:,}" for n in lengths), "k", "k, N ≥ 100"]
    text = (
        f"\n## Against the length of the context\n\n{report.stamp('python3 benches/context.py')}\n"
        "Tasks drawn, forward and backward pass at batch 64, at each preset's sizes; k is fitted to N^k.\n"
        "Where what is kept for the way back outgrows the cache, a token costs up to twice as much: k is greater there.\n"
        "The transformer has no scan: its attention grows with N².\n\n"
        f"Milliseconds, median:\n\n{report.table(head, times)}\n"
        f"Most kilobytes held at once in a first step, for each sequence:\n\n{report.table(head, bytes_kept)}"
    )
    print(text)
    if not wanted:
        report.replace(report.RESULTS, "context", text)


if __name__ == "__main__":
    main()
