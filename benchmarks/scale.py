"""What a study of many trivial cells costs, on three nodes of one machine.

    python benchmarks/scale.py [--cells 2000] [--json]

Runs `python -m raystudy.run` on a cluster of three raylets of one CPU each and prints

    overhead                   seconds of a group's time per cell beyond its own, for each tenth of the cells, in order
    last_to_first              the last tenth's over the first's (bar: 1.3); the first cells of a group, which load
                               libraries, are not counted
    driver_growth_mb           resident memory of the driver, from its first record to its last (bar: 100)
    placement_groups           those that are left when it has ended (bar: 0)
    status_s, report_s         seconds of `raystudy status` and `raystudy report` on all cells (bar: 10)
    queue_calls_per_s          how many calls one queue answers a second, from one caller
    on_paper                   what follows for 100 nodes
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STUDY = """
name: scale
plm: tiny
tasks: [planted/target, planted/source]
targets: [planted/target]
task_options: {planted: {n_train: 20, n_dev: 10, n_test: 10}}
shots: [6]
methods: [majority]
report: {seeds: %d, baseline: majority}
"""
NODES = 3


def main() -> None:
    """Run, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        found = measured(Path(folder), args.cells)
    if args.json:
        print(json.dumps(found, indent=1))
    else:
        print("\n".join(f"{k:<20} {v}" for k, v in found.items()))


def measured(place: Path, cells: int) -> dict[str, Any]:
    """Everything that is printed."""
    import psutil
    import ray
    from ray.cluster_utils import Cluster
    from ray.util import placement_group_table

    (place / "study.yaml").write_text(STUDY % cells)
    os.environ["RAYSTUDY_CACHE"] = str(place / "cache")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(NODES):
            cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
        command = [sys.executable, "-m", "raystudy.run", "study.yaml", "--address", cluster.address, "--out", "out"]
        log = (place / "log").open("wb")
        driver = subprocess.Popen(command, cwd=place, stdout=log, stderr=log)
        memory: list[int] = []
        while driver.poll() is None:
            time.sleep(1)
            if any((place / "out" / "cells").glob("*/record.json")):
                # the driver proper is the largest of the command's processes
                ones = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
                memory.append(max((p.memory_info().rss for p in ones if p.is_running()), default=0))
        if driver.returncode:
            raise SystemExit((place / "log").read_text()[-3000:])
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        left = sum(g["state"] != "REMOVED" for g in placement_group_table().values())
        calls = queue_calls()
        ray.shutdown()
    finally:
        cluster.shutdown()
    records = [(p.stat().st_mtime, json.loads(p.read_text())) for p in (place / "out" / "cells").glob("*/record.json")]
    overhead = tenths(sorted(records, key=lambda r: r[0]))
    steady = [m for m in memory if m] or [0]
    return {
        "cells": len(records),
        "overhead": [round(x, 4) for x in overhead],
        "last_to_first": round(overhead[-1] / overhead[0], 3) if overhead[0] > 0 else None,
        "driver_growth_mb": round((steady[-2 if len(steady) > 1 else -1] - steady[0]) / 1e6, 1),
        "placement_groups": left,
        "status_s": seconds("status", "out", "--json", place=place),
        "report_s": seconds("report", "out", place=place),
        "queue_calls_per_s": round(calls),
        "on_paper": on_paper(sum(overhead) / len(overhead), calls),
    }


def tenths(records: list[tuple[float, dict[str, Any]]]) -> list[float]:
    """Seconds of a group's time per cell beyond the cell's own, of each tenth of the records by time."""
    records = records[10 * NODES :]
    size = len(records) // 10
    out = []
    for i in range(10):
        some = records[i * size : (i + 1) * size]
        inside = sum(v for _, r in some for k, v in r["seconds"].items() if k != "validate")
        out.append((NODES * (some[-1][0] - some[0][0]) - inside) / (len(some) - 1))
    return out


def queue_calls() -> float:
    """Calls a second that one queue answers to one caller who waits for each."""
    import ray

    from raystudy.study.pool.cell_queue import CellQueue

    queue: Any = ray.remote(num_cpus=0)(CellQueue).remote(1)
    ray.get(queue.status.remote())
    began = time.perf_counter()
    for _ in range(300):
        ray.get(queue.status.remote())
    return 300 / (time.perf_counter() - began)


def seconds(*command: str, place: Path) -> float:
    """How long a command of `raystudy` takes, from its start to its end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", "raystudy", *command], cwd=place, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - began, 2)


def on_paper(overhead: float, calls: float) -> str:
    """What these figures come to with a group on each of 100 nodes."""
    idle = 100 * 20  # an idle rank asks every 0.05 s
    return (
        f"100 idle groups ask the queue {idle} times a second, and it answers about {calls:.0f} to one caller: "
        "between the generations of a search the queue is what saturates first. Busy, a cell costs it four calls: "
        f"{calls / 4:.0f} cells a second, with {overhead:.2f} s of a group beside each. "
        "Cells of ten seconds are 10 a second."
    )


if __name__ == "__main__":
    main()
