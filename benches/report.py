"""Where measurements are written: sections of benches/RESULTS.md, and the table of docs/performance.md. Standard library only."""

import datetime
import os
import pathlib
import platform
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benches" / "RESULTS.md"
PERFORMANCE = ROOT / "docs" / "performance.md"


def machine():
    """The machine, its system and the compiler, in a line."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
        model = re.search(r"model name\s*:\s*(.+)", text)[1]
    except (OSError, TypeError):
        model = platform.processor() or platform.machine()
    try:
        rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, cwd=ROOT).stdout.split()
    except FileNotFoundError:
        # A program that was built elsewhere.
        rustc = []
    busy = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}, rustc {rustc[1] if len(rustc) > 1 else '?'}; load at the start {busy:.1f}"


def commit():
    return subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()


def stamp(command):
    """What was run, when, where and on which commit."""
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    return f"`{command}`, {day}, commit {commit()}. {machine()}."


def program():
    """The release build of the program, fresh."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str((ROOT / target / "release" / "innerloop").resolve())


def replace(file, name, text):
    """Puts a text between the marks of a name, or with its marks at the end of the file."""
    before, after = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    whole = file.read_text()
    if before in whole:
        start = whole.index(before) + len(before)
        whole = whole[:start] + text + whole[whole.index(after, start) :]
    else:
        whole = whole.rstrip("\n") + f"\n\n{before}{text}{after}\n"
    file.write_text(whole)


def table(head, rows):
    """A Markdown table; every column but the first is of numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def figures(number):
    """Three figures, with thousands apart."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"
