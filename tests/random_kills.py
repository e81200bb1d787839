"""Kill a running study at random, again and again, by SIGKILL; whatever is hit, it ends as if nothing had happened.

    python tests/random_kills.py --kills 100 --seed 0 --log kills.log

A round is a study in a fresh folder with a cache of its own. At seeded random moments (start-up included) one of these
is killed: the process that was started, the driver below it, a Tune trial, a worker of a group, the raylet, the GCS.
When the driver is gone, the same command is started again. At the end of a round the results equal those of an
undisturbed run but for seconds, no finished record was written again, every file is whole, the exit code is right, and
no process is left. Not collected by pytest; tests/test_ray.py has three of these kills.

Exit code 0 when nothing was found, 1 otherwise.
"""

from __future__ import annotations

import argparse
import collections
import csv
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq

STUDY = """
name: kills
plm: tiny
tasks: [planted/target, planted/source]
targets: [planted/target]
task_options: {planted: {n_train: 200, n_dev: 60, n_test: 100}}
shots: [24]
methods: [single_task, multi_task, meta_dtl, majority]
settings: {min_updates: 120, max_updates: 120, batch_size: 16}
search: {trials: 4, generation: 2, seeds: 2, halving: 2}
report: {seeds: 8}
"""
# kind -> what is in the title of a process of it; the first two are found by their place in the tree
KINDS = {
    "started": "",
    "driver": "",
    "trial": "ray::ResourceTrainable",
    "worker": "ray::RayTrainWorker",
    "raylet": "raylet/raylet",
    "gcs": "gcs/gcs_server",
}
FATAL = ("started", "driver", "raylet", "gcs")  # the driver ends by these
HANG = 180.0  # seconds without a sign of life


@dataclass
class Finding:
    """Everything that went wrong, and what was done."""

    kills: collections.Counter[str] = field(default_factory=collections.Counter)
    starts: int = 0
    rounds: int = 0
    twice: int = 0
    wrong: list[str] = field(default_factory=list)
    log: Any = None

    def say(self, text: str) -> None:
        line = f"{time.strftime('%H:%M:%S')} {text}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if self.log is not None:
            self.log.write(line + "\n")
            self.log.flush()

    def blame(self, text: str) -> None:
        self.wrong.append(text)
        self.say(f"WRONG: {text}")


Process = tuple[int, float]  # pid, start time in seconds: a pid alone may come back


def table() -> dict[int, tuple[int, float, str, str]]:
    """pid -> (parent, start time, state, command line) of every process."""
    wanted = ["ppid", "create_time", "status", "cmdline"]
    rows = ((p.pid, p.info) for p in psutil.process_iter(wanted))
    return {pid: (i["ppid"], i["create_time"], i["status"], " ".join(i["cmdline"] or [])) for pid, i in rows}


class Run:
    """One start of the study's command, and every process that was ever seen below it."""

    def __init__(self, folder: Path, scratch: Path, *more: str) -> None:
        self.folder, self.began = folder, time.monotonic()
        env = {
            **os.environ,
            "RAYSTUDY_CACHE": str(folder / "cache"),
            "CI": "true",
            "TMPDIR": str(scratch),
            "HF_HUB_OFFLINE": "1",
        }
        command = [sys.executable, "-m", "raystudy.run", "study.yaml", "--out", "out", *more]
        with (folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        self.family: set[Process] = set()
        self.before = len(records(folder))

    def below(self) -> dict[int, tuple[int, float, str, str]]:
        """The living processes of this run, itself included."""
        rows = table()

        def ours(pid: int) -> bool:
            while pid in rows and pid != self.process.pid:
                pid = rows[pid][0]
            return pid == self.process.pid

        mine = {pid: row for pid, row in rows.items() if ours(pid) and row[2] != psutil.STATUS_ZOMBIE}
        self.family |= {(pid, row[1]) for pid, row in mine.items()}
        return mine

    def victims(self, kind: str) -> list[int]:
        mine = self.below()
        if kind == "started":
            return [self.process.pid] if self.process.pid in mine else []
        if kind == "driver":
            return [
                pid for pid, (parent, _, _, c) in mine.items() if parent == self.process.pid and "raystudy.run" in c
            ]
        return sorted(pid for pid, (_, _, _, command) in mine.items() if KINDS[kind] in command)

    def alive(self) -> bool:
        return self.process.poll() is None

    def leftovers(self, patience: float = 20.0) -> list[str]:
        """Processes of this run that outlive it by more than `patience` seconds."""
        deadline = time.monotonic() + patience
        while True:
            rows = table()
            same = [p for p, born in self.family if p in rows and rows[p][1] == born]
            left = [p for p in same if rows[p][2] != psutil.STATUS_ZOMBIE]
            if not left or time.monotonic() > deadline:
                return [f"{p} {rows[p][3][:100]}" for p in left]
            time.sleep(0.2)

    def end(self) -> None:
        """After a hang: the state of its threads for the log, then an end to all of it."""
        for pid, (_, _, _, command) in self.below().items():
            if "raystudy.run" in command:
                subprocess.run(["py-spy", "dump", "-p", str(pid)], stdout=(self.folder / "log").open("ab"), check=False)
        for pid in self.below():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)


def records(folder: Path) -> dict[str, tuple[int, str]]:
    """cell -> (modification time, digest) of every record."""
    out = {}
    for path in (folder / "out" / "cells").glob("*/record.json"):
        try:
            out[path.parent.name] = (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        except FileNotFoundError:
            continue
    return out


def results(folder: Path) -> list[dict[str, str]]:
    """results.csv without the seconds."""
    with (folder / "out" / "report" / "results.csv").open() as f:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(f)]


def sign_of_life(folder: Path) -> tuple[float, int]:
    """What changes while a run makes progress."""
    files = [folder / "log", *(folder / "out" / "logs").glob("ray.log"), *folder.glob("cache/running/*/where.json")]
    return sum(p.stat().st_size for p in files if p.exists()), len(records(folder))


class Round:
    """One study from its first start to its end, disturbed."""

    def __init__(self, folder: Path, scratch: Path, found: Finding, chance: random.Random, lasts: float) -> None:
        self.folder, self.scratch, self.found, self.chance, self.lasts = folder, scratch, found, chance, lasts
        self.first: dict[str, tuple[int, str]] = {}  # every record as it was first seen
        folder.mkdir(parents=True)
        (folder / "study.yaml").write_text(STUDY)

    def watch(self, run: Run, until: float | None = None) -> str:
        """Wait for the moment, or for the end of the run: "moment", "ended" or "hang"."""
        last, since = sign_of_life(self.folder), time.monotonic()
        while run.alive():
            run.below()
            for cell, what in records(self.folder).items():
                self.first.setdefault(cell, what)
            if until is not None and time.monotonic() >= until:
                return "moment"
            if (now := sign_of_life(self.folder)) != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > HANG:
                return "hang"
            time.sleep(0.1)
        return "ended"

    def moment(self, run: Run) -> float:
        """When the next kill falls: anywhere in a run's life, or soon after its first new record."""
        if self.chance.random() < 0.4:
            return run.began + self.chance.uniform(0, self.lasts)
        while run.alive() and len(records(self.folder)) == run.before and time.monotonic() - run.began < 90:
            run.below()
            time.sleep(0.05)
        return time.monotonic() + self.chance.uniform(0, self.lasts / 4)

    def disturb(self, kills: int) -> bool:
        """Start the study until it is finished, with at most so many kills; whether it finished."""
        left, more = kills, ()
        while True:
            run = Run(self.folder, self.scratch, *more)
            self.found.starts += 1
            while True:
                state = self.watch(run, self.moment(run) if left else None)
                if state != "moment":
                    break
                if (kind := self.kill(run)) is None:
                    continue
                left -= 1
                if kind in FATAL:
                    state = self.watch(run)
                    break
            if state == "hang":
                self.found.blame(f"no progress for {HANG:.0f} s; see {self.folder}/log")
                run.end()
            code = run.process.wait(60)
            if rest := run.leftovers():
                self.found.blame(f"processes left: {rest}")
                for pid in (int(r.split()[0]) for r in rest):
                    os.kill(pid, signal.SIGKILL)
            if code in (0, 1):
                lost = [
                    c for c in self.first if "died twice" in (self.folder / "out/cells" / c / "record.json").read_text()
                ]
                if code == 1 and lost and not more:  # two kills met one cell: by design it has failed now
                    self.found.twice += len(lost)
                    self.first = {c: w for c, w in self.first.items() if c not in lost}
                    more, left = ("--retry-failed",), 0
                    continue
                return code == 0
            if code not in (3, -signal.SIGKILL, 128 + signal.SIGKILL):
                self.found.blame(f"exit code {code}; see {self.folder}/log")
                return False
            tail = (self.folder / "log").read_text(errors="replace")[-4000:]
            if code == 3 and "the same command goes on" not in tail:
                self.found.blame(f"exit code 3 without a word of what to do; see {self.folder}/log")
            self.found.say(f"      driver ended with {code}, {len(records(self.folder))} records; once more")

    def kill(self, run: Run) -> str | None:
        """Kill one process of a random kind that is there now; its kind."""
        kinds = [k for k in KINDS if run.victims(k)]
        if not kinds:
            return None
        kind = self.chance.choice(kinds)
        victims = run.victims(kind)
        if not victims:
            return None
        pid = self.chance.choice(victims)
        after, there = time.monotonic() - run.began, len(records(self.folder))
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return None
        self.found.kills[kind] += 1
        number = self.found.kills.total()
        self.found.say(f"{number:4}  {kind:<8} {after:5.1f} s after the start, {there} records, pid {pid}")
        return kind

    def check(self, whole: Path) -> None:
        """The laws of a finished round."""
        blame, out = self.found.blame, self.folder / "out"
        if results(self.folder) != results(whole):
            blame(f"other results than the undisturbed run; see {out}")
        now = records(self.folder)
        if now.keys() != records(whole).keys():
            blame(f"other cells than the undisturbed run; see {out}")
        if changed := [c for c, what in self.first.items() if now.get(c) != what]:
            blame(f"finished records were written again: {changed}")
        for path in out.rglob("*"):
            try:
                if path.suffix == ".json":
                    json.loads(path.read_text())
                elif path.suffix == ".parquet":
                    pq.read_table(path)
                elif path.suffix == ".new":
                    raise ValueError("half-written")
            except Exception as e:
                blame(f"{path}: {type(e).__name__} {e}")
        if left := [p for p in (self.folder / "cache" / "running").glob("*") if p.suffix != ".new"]:
            blame(f"checkpoints of finished cells: {left}")


def main() -> int:
    """Kill, start again, compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-round", type=int, default=8, help="kills in one study, at most")
    parser.add_argument("--log", type=Path)
    args = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="rk-"))  # short: Ray's sockets lie below it, and their paths are limited
    found, chance = Finding(log=args.log.open("a") if args.log else None), random.Random(args.seed)
    found.say(f"{args.kills} kills, seed {args.seed}, in {place}")
    quiet = Round(place / "whole", place / "t", found, chance, 0.0)
    (place / "t").mkdir()
    began = time.monotonic()
    if not quiet.disturb(0):
        found.blame("the undisturbed run failed")
        return 1
    lasts = time.monotonic() - began
    found.say(f"undisturbed: {len(records(place / 'whole'))} cells in {lasts:.0f} s")
    began = time.monotonic()
    while found.kills.total() < args.kills:
        found.rounds += 1
        found.say(f"round {found.rounds}")
        one = Round(place / f"r{found.rounds}", place / "t", found, chance, lasts)
        if one.disturb(min(args.per_round, args.kills - found.kills.total())):
            one.check(place / "whole")
        elif not found.wrong:
            found.blame("a round did not finish")
        shutil.rmtree(place / "t", ignore_errors=True)
        (place / "t").mkdir()
    per_kind = ", ".join(f"{n} {kind}" for kind, n in found.kills.most_common())
    minutes = (time.monotonic() - began) / 60
    found.say(
        f"{found.kills.total()} kills ({per_kind}), {found.starts} starts, {found.rounds} rounds, {minutes:.0f} min; "
        f"{found.twice} cells met twice; {len(found.wrong)} things wrong"
    )
    for text in found.wrong:
        found.say(f"  {text}")
    if not found.wrong:
        shutil.rmtree(place, ignore_errors=True)
    return int(bool(found.wrong))


if __name__ == "__main__":
    raise SystemExit(main())
