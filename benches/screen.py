#!/usr/bin/env python3
"""What the screen costs: python3 benches/screen.py [--quick]. Writes benches/RESULTS.md, unless quick.

Drives the release build in a pseudo-terminal of 160x48, and `cargo bench --bench frame`. Standard library only.
"""

import argparse
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import statistics
import struct
import subprocess
import tempfile
import termios
import time

import report

COLUMNS, ROWS = 160, 48
# Longer than any wait here should take.
STUCK = 120


class Lab:
    """The program in a pseudo-terminal."""

    def __init__(self, program, arguments, folder):
        self.began = time.perf_counter()
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
            os.chdir(folder)
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", INNERLOOP_SAVES=str(folder))
            os.environ.pop("NO_COLOR", None)
            os.execv(program, [program, *arguments])

    def read(self, seconds, until=None):
        """What arrives within the time, or up to some bytes."""
        end, seen = time.perf_counter() + seconds, b""
        while (left := end - time.perf_counter()) > 0:
            ready, _, _ = select.select([self.terminal], [], [], left)
            if ready:
                try:
                    seen += os.read(self.terminal, 1 << 16)
                except OSError:
                    break
            if until is not None and until in seen:
                break
        return seen

    def wait_for(self, text):
        seen = self.read(STUCK, text.encode())
        if text.encode() not in seen:
            raise SystemExit(f"screen.py: the lab never showed {text!r}")
        return seen

    def press(self, keys):
        os.write(self.terminal, keys.encode())

    def saved(self, folder):
        """Saves, and tells when and at which step."""
        before, began, presses = newest(folder), time.monotonic(), 0
        while newest(folder) == before:
            if time.monotonic() - began >= 5 * presses:
                presses += 1
                self.press("s")
            if presses > 5:
                raise SystemExit("screen.py: the lab does not save")
            self.read(0.02)
        when, file = newest(folder)
        step = re.search(r"checkpoint:.*?step: (\d+)", pathlib.Path(file).read_text(), re.DOTALL)
        return when / 1e9, int(step[1])

    def most_memory(self):
        """VmHWM in MB."""
        status = pathlib.Path(f"/proc/{self.process}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024

    def end(self):
        os.kill(self.process, signal.SIGTERM)
        self.read(1)
        os.close(self.terminal)
        os.waitpid(self.process, 0)


def newest(folder):
    files = [(entry.stat().st_mtime_ns, entry.path) for entry in os.scandir(folder) if entry.name.endswith(".ron")]
    return max(files, default=None)


def preset(folder, name, **fields):
    """A copy of a preset with other values for some of its fields."""
    text = (report.ROOT / "presets" / f"{name}.ron").read_text()
    for field, value in fields.items():
        text, found = re.subn(rf"\b{field}: [^,\n]+,", f"{field}: {value},", text, count=1)
        if not found:
            raise SystemExit(f"screen.py: presets/{name}.ron has no {field}")
    file = pathlib.Path(folder) / "preset" / f"{name}.ron"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return str(file)


def speed(program, rounds, seconds):
    """Steps per second without the lab and in it, by turns, as fast as the machine can: the median of the ratios of a
    round, for the machine is not equally fast in all of them, with their quartiles, and the medians of both."""
    with tempfile.TemporaryDirectory() as folder:
        file = preset(folder, "gd-ssm", steps=100_000_000, pace="None", warmup=0)
        headless, lab = [], []
        for _ in range(rounds):
            steps = 2000
            for _ in range(2):
                command = [program, "train", file, "--steps", str(steps), "--json", "--device", "cpu"]
                said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
                steps = int(said["steps_per_s"] * seconds)
            headless.append(said["steps_per_s"])
            run = Lab(program, ["run", file, "--device", "cpu"], folder)
            run.wait_for("▶ training")
            run.read(0.5)
            began, first = run.saved(folder)
            run.read(seconds)
            ended, last = run.saved(folder)
            run.end()
            lab.append((last - first) / (ended - began))
            for entry in os.scandir(folder):
                if entry.is_file():
                    os.unlink(entry.path)
        ratios = [b / a for a, b in zip(headless, lab)]
        return statistics.quantiles(ratios, n=4), statistics.median(headless), statistics.median(lab)


def first_frame(program, arguments, text, rounds):
    """Milliseconds from the start to the first frame, median."""
    times = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            run = Lab(program, arguments, folder)
            run.wait_for(text)
            times.append(1e3 * (time.perf_counter() - run.began))
            run.end()
    return statistics.median(times)


def bytes_per_second(program, seconds):
    """The busiest second while training with default settings, the mean, and how many bytes come while paused."""
    with tempfile.TemporaryDirectory() as folder:
        run = Lab(program, ["run", "gd-ssm", "--device", "cpu"], folder)
        run.wait_for("▶ training")
        run.read(0.3)
        counts = [len(run.read(1.0)) for _ in range(seconds)]
        run.press(" ")
        run.wait_for("paused")
        run.read(0.5)
        paused = len(run.read(2.0))
        run.end()
    return max(counts), statistics.mean(counts), paused


def memory(program, steps):
    """The most memory that a run of so many steps took, in the lab, and how long that was."""
    with tempfile.TemporaryDirectory() as folder:
        file = preset(folder, "gd-ssm", steps=steps, pace="None", measure_every=1000, batch=16)
        run = Lab(program, ["run", file, "--device", "cpu"], folder)
        began = time.monotonic()
        seen = b""
        while "■ finished".encode() not in seen and time.monotonic() - began < 400:
            seen = seen[-100:] + run.read(0.5)
        most, spent = run.most_memory(), time.monotonic() - began
        done = run.saved(folder)[1]
        run.end()
    return most, done, spent


def gd_ssm(program, rounds):
    """Seconds of the whole command `innerloop train gd-ssm`, median, and its loss against GD-1's."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        done = subprocess.run([program, "train", "gd-ssm", "--json"], capture_output=True, check=True, text=True)
        times.append(time.perf_counter() - began)
    return statistics.median(times), json.loads(done.stdout)["equivalence"]["loss_gap"]


def frame():
    """Milliseconds of a frame drawn whole and written out, median of cargo bench."""
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "frame"]
    text = subprocess.run(command, cwd=report.ROOT, capture_output=True, check=True, text=True).stdout
    line = next(line for line in text.splitlines() if "redrawn_and_written" in line)
    median = re.findall(r"([\d.]+) (ns|µs|ms|s)\b", line)[2]
    return float(median[0]) * {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}[median[1]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 20,000 steps; writes nothing")
    options = parser.parse_args()
    rounds, steps = (2, 20_000) if options.quick else (5, 1_000_000)
    program = report.program()
    stamp = report.stamp("python3 benches/screen.py")
    rows = []

    def row(what, value, aim, reached):
        rows.append([what, value, aim + ("" if reached else " (missed)")])
        print(f"{what}: {value}; aim {rows[-1][2]}", flush=True)

    (low, share, high), headless, lab = speed(program, *((2, 1.0) if options.quick else (25, 2.0)))
    said = f"{share:.1%}, quartiles {low:.1%} and {high:.1%} ({lab:,.0f} and {headless:,.0f} steps/s)"
    row("gd-ssm in the lab, of its headless speed", said, "≥ 97 %", share >= 0.97)
    drawn = frame()
    row("a frame, drawn whole and written", f"{drawn:.2f} ms", "≤ 2 ms", drawn <= 2)
    for what, arguments, text in [("gallery", [], "GD-SSM"), ("lab", ["run", "gd-ssm"], "GD-SSM")]:
        first = first_frame(program, arguments, text, 2 * rounds + 1)
        row(f"first frame of the {what}", f"{first:.0f} ms after start", "≤ 100 ms", first <= 100)
    most, mean, paused = bytes_per_second(program, 3 if options.quick else 6)
    row("to the terminal while training, busiest second", f"{most / 1000:.1f} kB (mean {mean / 1000:.1f})", "≤ 30 kB", most <= 30_000)
    row("to the terminal in 2 s while paused", f"{paused} bytes", "0", paused == 0)
    seconds, gap = gd_ssm(program, rounds)
    row("`innerloop train gd-ssm`, whole", f"{seconds:.2f} s, loss {gap:+.2%} of GD-1", "≤ 3 s, within 1 %", seconds <= 3 and abs(gap) <= 0.01)
    peak, done, spent = memory(program, steps)
    row(f"memory of {done:,} steps in the lab", f"{peak:.0f} MB at most, in {spent:.0f} s", "< 200 MB", peak < 200 and done >= steps)
    if not options.quick:
        text = f"\n## The screen\n\n{stamp} The lab at {COLUMNS}x{ROWS}, truecolor.\n\n"
        report.replace(report.RESULTS, "screen", text + report.table(["what", "measured", "aim"], rows))


if __name__ == "__main__":
    main()
