"""A study on a head and three nodes of one machine: a node dies, the head dies, and the results are those of one node.

    python tests/cluster/three_nodes.py [--storage own | shared] [--keep-head] [--doctor]

Every node runs in a mount namespace of its own. With `own`, the cache folder has one path and is another folder on
every node, as on machines that share nothing; with `shared` it is one folder. With `--keep-head` the study goes on
without the lost node and is not interrupted. Needs root for the namespaces, and minutes. Prints what it saw, and ends
with 1 where a law does not hold.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

STUDY = """
name: spread
plm: tiny
tasks: [planted/target, planted/source]
targets: [planted/target]
task_options: {planted: {n_train: 100, n_dev: 30, n_test: 40}}
shots: [24]
methods: [single_task, multi_task, meta_dtl, majority]
settings: {lr: 3.0e-3, min_updates: 60, max_updates: 60, batch_size: 16}
search: {trials: 2, generation: 2, seeds: 2}
report: {seeds: 4}
"""
THERE = """
import ray, sys, time
for _ in range(30):
    try:
        ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
        break
    except ConnectionError:
        time.sleep(2)
while ray.cluster_resources().get("CPU", 0) < int(sys.argv[2]):
    time.sleep(0.5)
"""
ROOT = Path(__file__).resolve().parents[2]


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Nodes:
    """A head that does not train, and nodes of one CPU each, every one with its own view of the cache folder."""

    def __init__(self, place: Path, storage: str) -> None:
        self.place, self.storage, self.cache = place, storage, place / "cache"
        self.cache.mkdir()
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        paths = {"PYTHONPATH": str(ROOT), "RAYSTUDY_CACHE": str(self.cache), "CI": "true", "OMP_NUM_THREADS": "1"}
        self.env = {**os.environ, **token, **paths, "RAY_TMPDIR": "/tmp", "RAY_USAGE_STATS_ENABLED": "0"}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self.port = free_port()
        self._ray("head", "--head", f"--port={self.port}", "--num-cpus=0", "--dashboard-host=127.0.0.1")
        deadline = time.monotonic() + 90
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            assert time.monotonic() < deadline, "the head does not start"
            time.sleep(0.5)
        time.sleep(5)
        for n in (1, 2, 3):  # one after the other: each takes the first free name for its sockets
            self._ray(f"node{n}", f"--address=127.0.0.1:{self.port}", "--num-cpus=1")
            command = [sys.executable, "-c", THERE, f"127.0.0.1:{self.port}", str(n)]
            subprocess.run(command, env=self.env, check=True, timeout=120)

    def _ray(self, name: str, *options: str) -> None:
        folder = self.place / ("all" if self.storage == "shared" else name)
        folder.mkdir(exist_ok=True)
        start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *options]
        own = ("dashboard-agent-listen", "dashboard-agent-grpc", "metrics-export", "node-manager", "object-manager")
        start += [f"--{name}-port={free_port()}" for name in (*own, "runtime-env-agent")]
        start += ["--object-store-memory=100000000"]
        inside = 'mount --bind "$0" "$1" && shift && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", inside, str(folder), str(self.cache), *start]
        with (self.place / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        """As if its plug were pulled: every process of the node at once."""
        process = self.running.pop(name)
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                pass
        process.wait(30)

    def stop(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def python(self, *args: str) -> subprocess.Popen[bytes]:
        """A program on the head, with the head's view of the cache."""
        folder = self.place / ("all" if self.storage == "shared" else "head")
        inside = 'mount --bind "$0" "$1" && shift && exec "$@"'
        command = ["unshare", "-m", "sh", "-c", inside, str(folder), str(self.cache), sys.executable, *args]
        with (self.place / "driver.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.place, env=self.env, stdout=log, stderr=subprocess.STDOUT)


def results(folder: Path) -> list[dict[str, str]]:
    """results.csv without what differs between repeats."""
    with (folder / "report" / "results.csv").open() as f:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(f)]


def records(folder: Path) -> list[Path]:
    return sorted((folder / "cells").glob("*/record.json"))


def wait_for(n: int, folder: Path, driver: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 400
    while len(records(folder)) < n:
        assert driver.poll() is None, f"the driver ended early ({driver.poll()}):\n{log.read_text()[-3000:]}"
        assert time.monotonic() < deadline, f"no cell in 400 s:\n{log.read_text()[-3000:]}"
        time.sleep(0.2)


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--storage", choices=("own", "shared"), default="own")
    asked.add_argument("--keep-head", action="store_true", help="kill a node alone")
    asked.add_argument("--doctor", action="store_true", help="print what doctor says of the nodes")
    args = asked.parse_args()
    place = Path(tempfile.mkdtemp(prefix="nodes-"))
    (place / "study.yaml").write_text(STUDY)
    nodes, log = Nodes(place, args.storage), place / "driver.log"
    try:
        return run(nodes, place, log, args)
    finally:
        nodes.stop()
        shutil.rmtree(place, ignore_errors=True)


def run(nodes: Nodes, place: Path, log: Path, args: Any) -> int:
    one = "from raystudy import api; api.run('study.yaml', local=True)"
    env = {**nodes.env, "RAYSTUDY_CACHE": str(place / "one-cache")}
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", one], cwd=place, env=env, check=True, stdout=subprocess.DEVNULL)
    (place / "results" / "spread").rename(place / "one")
    say(f"one node: {len(records(place / 'one'))} cells in {time.monotonic() - begun:.0f} s")

    nodes.start()
    command = ("-m", "raystudy.run", "study.yaml", "--address", f"127.0.0.1:{nodes.port}", "--out", "three")
    if args.doctor:
        process = nodes.python("-m", "raystudy", "doctor", "study.yaml", "--address", f"127.0.0.1:{nodes.port}")
        process.wait(180)
        print(log.read_text())
        log.write_text("")
    driver = nodes.python(*command)
    wait_for(3, place / "three", driver, log)
    before = len(records(place / "three"))
    nodes.kill("node3")
    say(f"node 3 killed at {before} cells")
    wait_for(before + 4, place / "three", driver, log)
    before = len(records(place / "three"))
    if not args.keep_head and before < len(records(place / "one")):
        nodes.kill("head")
        say(f"head killed at {before} cells; the driver ended with {driver.wait(120)}")
        nodes.stop()
        nodes.start()
        again = ("-m", "raystudy.run", "study.yaml", "--address", f"127.0.0.1:{nodes.port}", "--out", "three")
        driver = nodes.python(*again)
    code = driver.wait(600)
    say(f"the same command again ended with {code} at {len(records(place / 'three'))} cells")
    same = code == 0 and results(place / "three") == results(place / "one")
    say(f"results equal to those of one node: {same}")
    folders = [place / n for n in (("all",) if args.storage == "shared" else ("node1", "node2", "node3", "head"))]
    stages = {f.name: sorted(p.stem for p in (f / "stages").glob("*.safetensors")) for f in folders}
    made = [json.loads(p.read_text())["stages"] for p in records(place / "three")]
    say(f"stages kept: { {k: len(v) for k, v in stages.items()} }")
    counts = {how: sum(list(m.values()).count(how) for m in made) for how in ("ran", "stored")}
    say(f"stages: {counts['ran']} ran, {counts['stored']} stored")
    if not same:
        print(log.read_text()[-4000:])
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
