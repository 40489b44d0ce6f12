#!/usr/bin/env python3
"""Attacks on a built innerloop that take minutes, so that they are no part of `cargo test`.

    scripts/trust.py kills   [--count 1000]    kill -9 at random moments around saves: no session is lost or damaged
    scripts/trust.py signals [--count 100]     every signal in every state of the lab: saved, terminal restored, 128+n
                             (--states paused,saving: only in these)
    scripts/trust.py sweeps  [--count 20]      kill -9 at random moments of a sweep: it ends with the same table
    scripts/trust.py keys    [--count 50000]   random keys: no panic, and the lab always leaves when TERM is sent
    scripts/trust.py soak    [--seconds 1800]  trains a million steps in the lab: memory stays flat
    scripts/trust.py watchers [--count 30] [--seconds 600]  what so many watchers of a run cost it
    scripts/trust.py link    [--count 40] [--rate 5000] [--delay 0.05]  how long a key waits behind a link of so many
                             bytes a second and so many seconds of round trip, at 160x48, while a run trains
    scripts/trust.py gallery [--count 400]     how long a key waits in the gallery with so many sessions

`--program` names the program, else target/release/innerloop. `--seed` repeats a run. Needs only Python 3 and Linux.
Mutated presets and sessions: `INNERLOOP_FUZZ_SECONDS=600 cargo test --test bad_input -- --ignored --nocapture`.
"""

import argparse
import csv
import fcntl
import os
import pty
import random
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time

STUCK = 60.0
"""Seconds after which a program that should have ended counts as stuck."""

ROUND = 15.0
"""Seconds in which watchers are stopped and continued once: the speed of a machine changes within a minute."""

SETTLED = 15.0
"""Seconds after which programs have done what they do when they open."""

MILLION = 1_050_000
"""Steps of a soak: a little more than a million, as the first seconds are slower."""

STATES = ["opening", "training", "paused", "measuring", "saving", "question"]

ENDING = ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "XCPU"]


class Lab:
    """The program in a pseudo-terminal of its own."""

    def __init__(self, program, arguments, folder, rows=36, columns=120):
        self.output = b""
        environment = dict(os.environ, TERM="xterm-256color", XDG_STATE_HOME=os.path.join(folder, "state"))
        environment.pop("INNERLOOP_SAVES", None)
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            # A signal that is ignored when the program starts stays ignored, and shells start background jobs so.
            for name in ENDING:
                signal.signal(getattr(signal, "SIG" + name), signal.SIG_DFL)
            os.execvpe(program, [program, *arguments], environment)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.code = None

    def read(self, seconds):
        """Takes in output for at most so long; false once the terminal is closed."""
        ready, _, _ = select.select([self.terminal], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self.terminal, 1 << 16)
        except OSError:
            return False
        self.output = (self.output + data)[-1_000_000:]
        return bool(data)

    def until(self, *words):
        """Waits until one of these was on the screen."""
        deadline = time.monotonic() + STUCK
        while not any(word.encode() in self.output for word in words):
            if not self.read(0.2) or time.monotonic() > deadline:
                raise AssertionError(f"waited in vain for {words}: …{self.text()[-600:]}")

    def press(self, keys):
        try:
            os.write(self.terminal, keys)
        except OSError:
            pass

    def send(self, name):
        os.kill(self.pid, getattr(signal, "SIG" + name))

    def end(self):
        """Waits for the end; the exit code."""
        deadline = time.monotonic() + STUCK
        while self.code is None:
            self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it did not end: …{self.text()[-600:]}")
        while self.read(0.0) and select.select([self.terminal], [], [], 0.0)[0]:
            pass
        return self.code

    def running(self):
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is None

    def restored(self):
        """Whether the alternate screen was left, the cursor shown, and the line discipline restored."""
        left = self.output.rfind(b"\x1b[?1049l") > self.output.rfind(b"\x1b[?1049h")
        shown = self.output.rfind(b"\x1b[?25h") > self.output.rfind(b"\x1b[?25l")
        try:
            modes = termios.tcgetattr(self.terminal)[3]
            lines = bool(modes & termios.ICANON and modes & termios.ECHO)
        except termios.error:
            lines = True
        return left and shown and lines

    def text(self):
        return re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b" ", self.output).decode(errors="replace")

    def close(self):
        if self.running():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)


def kills(options):
    """Kills a run that does nothing but save, again and again."""
    program, folder = options.program, tempfile.mkdtemp()
    train = [program, "train", "mlp", "--steps", "0", "--save", "s.ron", "--force", "--json"]
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    began = time.monotonic()
    subprocess.run(train, check=True, **quiet)
    whole = time.monotonic() - began
    path = os.path.join(folder, "s.ron")
    with open(path, "rb") as file:
        expected = file.read()
    for number in range(options.count):
        child = subprocess.Popen(train, **quiet)
        time.sleep(random.uniform(0.0, whole))
        child.kill()
        child.wait()
        with open(path, "rb") as file:
            assert file.read() == expected, f"kill {number}: the session is damaged"
    left = [name for name in os.listdir(folder) if name != "s.ron"]
    time.sleep(3)
    subprocess.run(train, check=True, **quiet)
    after = [name for name in os.listdir(folder) if name != "s.ron"]
    assert not after, f"left: {after}"
    shutil.rmtree(folder)
    return f"{options.count} kills, no session damaged; {len(left)} files left by them, all removed by the next run"


def sweeps(options):
    """Kills a sweep at random moments, and starts it again until it is done."""
    folder, killed = tempfile.mkdtemp(), 0
    plan = ["sweep", "gd-ssm", "lru", "--vary", "task.context=5,10", "--seeds", "2", "--steps", "600"]
    quiet = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def table(name):
        with open(os.path.join(folder, name, "results.csv"), newline="") as file:
            rows = list(csv.reader(file))
        timed = [i for i, column in enumerate(rows[0]) if "seconds" in column or column.endswith("_s")]
        return [[cell for i, cell in enumerate(row) if i not in timed] for row in rows]

    began = time.monotonic()
    subprocess.run([options.program, *plan, "--out", "whole"], check=True, **quiet)
    whole = time.monotonic() - began
    expected = table("whole")
    assert len(expected) == 9, f"{len(expected) - 1} rows, not 8"
    while killed < options.count:
        shutil.rmtree(os.path.join(folder, "cut"), ignore_errors=True)
        while True:
            child = subprocess.Popen([options.program, *plan, "--out", "cut"], start_new_session=True, **quiet)
            try:
                child.wait(random.uniform(0.0, whole) if killed < options.count else None)
                assert child.returncode == 0, f"exit {child.returncode}"
                break
            except subprocess.TimeoutExpired:
                # Its runs are processes of the same group.
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                killed += 1
        assert table("cut") == expected, f"after {killed} kills the table is another one"
    shutil.rmtree(folder)
    return f"{killed} kills of sweeps, and the same table each time"


def reach(state, program, folder):
    """The lab in a state."""
    # A preset that opens at once, or whose measurements take a while. So many steps that the run does not end first.
    preset = "gd-ssm" if state in ("opening", "measuring") else "first-look"
    arguments = ["run", preset, "--set", "train.steps=1000000"]
    if state == "opening":
        arguments += ["--set", "task.dim=96", "--set", "task.context=96"]
    lab = Lab(program, arguments, folder)
    if state == "opening":
        lab.until("opening")
        return lab
    # The sign of a run that trains; while it opens the panes are there, but it is not.
    lab.until("▶")
    time.sleep(0.2)
    keys = {"training": b"", "paused": b" ", "measuring": b"o", "saving": b"s", "question": b"q"}
    lab.press(keys[state])
    lab.read(random.uniform(0.0, 0.1))
    return lab


def signals(options):
    """Sends every signal in every state."""
    sent = 0
    for state in options.states.split(","):
        assert state in STATES, f"{state} is none of {', '.join(STATES)}"
        for name in ENDING:
            for _ in range(options.count):
                folder = tempfile.mkdtemp()
                lab = reach(state, options.program, folder)
                lab.send(name)
                code = lab.end()
                expected = 128 + getattr(signal, "SIG" + name)
                assert code == expected, f"{name} while {state}: {code}, not {expected}: …{lab.text()[-400:]}"
                assert lab.restored(), f"{name} while {state}: the terminal is not restored"
                saves = os.path.join(folder, "saves")
                found = os.listdir(saves) if os.path.isdir(saves) else []
                sessions = [file for file in found if file.endswith(".ron")]
                assert len(sessions) == (0 if state == "opening" else 1), f"{name} while {state}: {found}"
                check = [options.program, "check", *(os.path.join(saves, file) for file in sessions)]
                assert not sessions or subprocess.run(check, stdout=subprocess.DEVNULL).returncode == 0
                lab.close()
                shutil.rmtree(folder)
                sent += 1
            print(f"{state}: {name} × {options.count}", flush=True)
    return f"{sent} signals: each ended with 128+n, the run saved, the terminal restored"


KEYS = [b"\x1b", b"\r", b"\t", b" ", b"\x1b[A", b"\x1b[B", b"\x1b[C", b"\x1b[D", b"\x1b[H", b"\x1b[F", b"\x7f",
        b"\x1b[5~", b"\x1b[6~", b"\x1b[Z", b"\x0c", b"\x1b[200~pasted\x1b[201~", "й".encode()]


def keys(options):
    """Presses random keys; a lab that is left is opened again."""
    folder, pressed, opened = tempfile.mkdtemp(), 0, 0
    while pressed < options.count:
        lab = Lab(options.program, random.choice([[], ["run", "first-look"], ["run", "gd-ssm"]]), folder)
        opened += 1
        lab.until("\x1b[?1049h")
        while lab.running() and pressed < options.count:
            # Without Ctrl-Z and Ctrl-C, which end or stop it by design, and Q and q now and then only.
            letters = [bytes([c]) for c in range(33, 127) if chr(c) not in "qZ"]
            burst = [random.choice(KEYS if random.random() < 0.4 else letters) for _ in range(20)]
            burst += [b"q"] if random.random() < 0.02 else []
            lab.press(b"".join(burst))
            pressed += len(burst)
            if random.random() < 0.05:
                rows, columns = random.randint(1, 60), random.randint(1, 200)
                fcntl.ioctl(lab.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            lab.read(random.choice([0.0, 0.02, 0.1]))
        if lab.running():
            lab.send("TERM")
        code = lab.end()
        assert code in (0, 143) and b"panicked" not in lab.output, f"exit {code}: …{lab.text()[-800:]}"
        assert lab.restored()
        lab.close()
    shutil.rmtree(folder)
    return f"{pressed} keys in {opened} labs"


def memory(pid):
    """Resident memory in MB."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(options):
    """Trains in the lab and measures its memory."""
    folder = tempfile.mkdtemp()
    pace = f"train.pace=Some({MILLION / options.seconds:.0f})"
    preset = ["run", "gd-ssm", "--set", "train.steps=1000000000", "--set", pace]
    lab = Lab(options.program, preset, folder)
    lab.until("Hidden state")
    began, samples = time.monotonic(), []
    while time.monotonic() - began < options.seconds:
        deadline = time.monotonic() + options.seconds / 60
        while time.monotonic() < deadline:
            assert lab.read(0.5), "it ended"
        samples.append(memory(lab.pid))
        print(f"{time.monotonic() - began:6.0f} s  {samples[-1]:7.1f} MB", flush=True)
    lab.send("TERM")
    assert lab.end() == 143
    saves = os.path.join(folder, "saves")
    with open(os.path.join(saves, next(name for name in os.listdir(saves) if name.endswith(".ron")))) as file:
        step = re.search(r"\bstep: *(\d+)", file.read()).group(1)
    third = len(samples) // 3
    middle, last = max(samples[third : 2 * third]), max(samples[2 * third :])
    assert last < middle + 2.0, f"memory grows: {middle:.1f} MB, then {last:.1f} MB"
    shutil.rmtree(folder)
    return f"memory stays at {last:.1f} MB; {int(step):,} steps"


def saved(file):
    """The step of a session, and when it was written."""
    with open(file) as session:
        step = int(re.search(r"\bstep: *(\d+)", session.read()).group(1))
    return step, os.stat(file).st_mtime


def pace(file, labs, seconds):
    """Steps per second over about so long, from save to save, while these watch."""

    def next_save():
        before = os.stat(file).st_mtime
        while os.stat(file).st_mtime == before:
            drain(labs, 0.1)
        return saved(file)

    first, began = next_save(), time.monotonic()
    while time.monotonic() - began < seconds:
        last = next_save()
    return (last[0] - first[0]) / (last[1] - first[1])


def each(labs, name):
    for lab in labs:
        lab.send(name)


def processor_time(labs):
    """Seconds of processors that these have taken so far."""
    ticks = 0
    for lab in labs:
        with open(f"/proc/{lab.pid}/stat") as file:
            ticks += sum(int(field) for field in file.read().rsplit(") ", 1)[1].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def drain(labs, seconds):
    """Reads what all terminals were sent, at most for so long."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([lab.terminal for lab in labs], [], [], left)
        for lab in labs:
            assert lab.terminal not in ready or lab.read(0), f"a watcher ended: {lab.text()[-600:]}"


def watchers(options):
    """Trains without watchers and with many, by turns, and compares the speed."""
    folder, labs, ratios, shares = tempfile.mkdtemp(), [], [], []
    file = os.path.join(folder, "run.ron")
    train = [options.program, "train", "gd-ssm", "--set", "train.steps=1000000000", "--set", "train.warmup=0"]
    train += ["--save", file, "--save-every", "1", "--device", "cpu"]
    trainer = subprocess.Popen(train, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not os.path.exists(file):
            assert trainer.poll() is None, "the run ended"
            time.sleep(0.1)
        for _ in range(options.count):
            # One after the other: each computes what the references answer when it opens.
            labs.append(Lab(options.program, ["watch", file, "--device", "cpu"], folder))
            while b"Hidden state" not in labs[-1].output:
                drain(labs, 0.1)
        # What they do once, when they open, is not what watching costs.
        drain(labs, SETTLED)
        # They are stopped and continued by turns, and each time is compared with those before and after it. They are stopped for
        # a third of the time only: what a watcher missed it reads when it is continued, so half as much again as without stops.
        each(labs, "STOP")
        alone = [pace(file, labs, ROUND / 3)]
        for _ in range(max(2, round(options.seconds / ROUND))):
            each(labs, "CONT")
            before, began = processor_time(labs), time.monotonic()
            watched = pace(file, labs, 2 * ROUND / 3)
            shares.append((processor_time(labs) - before) / (time.monotonic() - began) / os.cpu_count())
            each(labs, "STOP")
            alone.append(pace(file, labs, ROUND / 3))
            ratios.append(watched / statistics.mean(alone[-2:]))
            print(f"{alone[-1]:8.0f} steps/s alone, {watched:8.0f} watched by {options.count}, "
                  f"who take {100 * shares[-1]:.1f} % of the machine", flush=True)
        each(labs, "CONT")
        for lab in labs:
            lab.send("TERM")
            lab.end()
            lab.close()
    finally:
        trainer.kill()
        trainer.wait()
    shutil.rmtree(folder)
    slower, share = 1 - statistics.median(ratios), statistics.mean(shares)
    error = 1.25 * statistics.stdev(ratios) / len(ratios) ** 0.5
    found = (f"{options.count} watchers take {100 * share:.1f} % of the machine and slow training by {100 * slower:.1f} "
             f"± {100 * error:.1f} % (median of {len(ratios)}, and its standard error)")
    # Beyond what the machine's own changes of speed explain.
    assert slower - 2 * error <= 0.03 and share <= 0.015, found
    return found


HEADERS = 76
"""Bytes of TCP, IP and SSH around what is sent at once."""

REQUEST, REPORT = b"\x1b[5n", b"\x1b[0n"
"""The program asks the terminal for its status, and the terminal reports it."""


class Link:
    """A slow link between a lab and its terminal, with a buffer in front of it that takes everything at once.

    What is read at once is one packet: as with SSH, it is of use when its last byte has come.
    """

    def __init__(self, lab, rate, delay):
        self.lab, self.rate, self.one_way = lab, rate, delay / 2
        self.free, self.coming, self.typed = 0.0, [], []
        self.shown, self.packets = b"", 0

    def press(self, keys):
        self.typed.append((time.monotonic() + self.one_way, keys))

    def until(self, word):
        """Passes packets on until this word is in one; the time at which it came."""
        deadline = time.monotonic() + STUCK
        while True:
            now = time.monotonic()
            if now > deadline:
                raise AssertionError(f"waited in vain for {word}")
            while self.typed and self.typed[0][0] <= now:
                self.lab.press(self.typed.pop(0)[1])
            while self.coming and self.coming[0][0] <= now:
                packet = self.coming.pop(0)[1]
                self.shown = (self.shown + packet)[-100_000:]
                self.packets += 1
                for _ in range(packet.count(REQUEST)):
                    self.press(REPORT)
                if word.encode() in packet:
                    return now
            soonest = min((at for at, _ in self.coming[:1] + self.typed[:1]), default=now + 0.2)
            self.lab.output = b""
            if not self.lab.read(max(0.0, min(soonest - now, 0.2))):
                raise AssertionError("the lab has ended")
            if self.lab.output:
                now = time.monotonic()
                self.free = max(self.free, now) + (len(self.lab.output) + HEADERS) / self.rate
                self.coming.append((self.free + self.one_way, self.lab.output))


def waits(seconds):
    """The median and the longest of some times, in milliseconds."""
    return f"median {1000 * sorted(seconds)[len(seconds) // 2]:.0f} ms, longest {1000 * max(seconds):.0f} ms"


def link(options):
    """Presses Space behind a simulated slow link while a run trains."""
    folder, seconds = tempfile.mkdtemp(), []
    arguments = ["run", "first-look", "--steps", "1000000000", "--color", "truecolor"]
    lab = Lab(options.program, arguments, folder, rows=48, columns=160)
    slow = Link(lab, options.rate, options.delay)
    # While it opens, the panes are there, but it does not train.
    slow.until("▶")
    # The whole screen comes, and the rate of the link is found out.
    settled = time.monotonic() + 15
    while time.monotonic() < settled:
        slow.until("")
    for number in range(options.count):
        pressed = time.monotonic()
        slow.press(b" ")
        seconds.append(slow.until("training" if number % 2 else "paused") - pressed)
        if number % 2:
            # Until frames wait in front of the link again.
            settled = time.monotonic() + random.uniform(1.0, 2.0)
            while time.monotonic() < settled:
                slow.until("")
    lab.close()
    shutil.rmtree(folder)
    pausing = waits(seconds[0::2])
    assert max(seconds[0::2]) <= 0.5, f"a key that pauses waits: {pausing}"
    return f"{options.rate:.0f} bytes a second, round trip {1000 * options.delay:.0f} ms: a key that pauses waits: {pausing}"


def gallery(options):
    """Moves through many saved sessions."""
    folder, seconds = tempfile.mkdtemp(), []
    train = [options.program, "train", "gd-ssm", "--steps", "400", "--save", "first.ron"]
    subprocess.run(train, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    saves = os.path.join(folder, "saves")
    os.mkdir(saves)
    for number in range(options.count):
        shutil.copy(os.path.join(folder, "first.ron"), os.path.join(saves, f"run-{number}.ron"))
    began = time.monotonic()
    lab = Lab(options.program, ["--saves", saves], folder, rows=48, columns=160)
    lab.until("Lessons")
    lab.press(b"ll")
    lab.until("Sessions")
    # All are listed once nothing is shown any more.
    while lab.output:
        listed = time.monotonic() - began
        lab.output = b""
        lab.read(2.0)
    for _ in range(50):
        pressed = time.monotonic()
        lab.press(random.choice([b"j", b"j", b"k", b"J"]))
        lab.read(STUCK)
        seconds.append(time.monotonic() - pressed)
        # The rest of the frame.
        while lab.output:
            lab.output = b""
            lab.read(0.1)
    lab.close()
    shutil.rmtree(folder)
    assert max(seconds) <= 0.05, f"a key waits: {waits(seconds)}"
    return f"{options.count} sessions listed {listed:.1f} s after the start; 50 keys wait: {waits(seconds)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    attacks = {
        "kills": (kills, 1000),
        "signals": (signals, 100),
        "sweeps": (sweeps, 20),
        "keys": (keys, 50_000),
        "soak": (soak, 0),
        "watchers": (watchers, 30),
        "link": (link, 40),
        "gallery": (gallery, 400),
    }
    parser.add_argument("attack", choices=attacks)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float, default=1800.0)
    parser.add_argument("--rate", type=float, default=5000.0, help="bytes a second of the link")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds of the link's round trip")
    parser.add_argument("--states", default=",".join(STATES), help="those of `signals`, separated by commas")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    parser.add_argument("--program", default=os.path.join(root, "target/release/innerloop"))
    options = parser.parse_args()
    attack, count = attacks[options.attack]
    options.count = options.count or count
    options.program = os.path.abspath(options.program)
    random.seed(options.seed)
    print(f"{options.attack} with --seed {options.seed} on {options.program}", flush=True)
    try:
        print(attack(options))
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")


if __name__ == "__main__":
    main()
