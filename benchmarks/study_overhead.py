"""What a cell costs beyond its own training, once the worker groups are up.

    python benchmarks/study_overhead.py [--cells 40] [--groups 2] [--json]

Trains many very small cells (planted tasks, tiny random model, no search) on one pool and divides the groups' time
that was not spent inside `train.run` by the number of cells:

    seconds_per_cell_beyond_training = (groups x wall - sum of seconds inside the cells) / cells

The wall clock runs from the moment when every group has finished its first cell (so start-up and first-use imports are
outside) to the last record written.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

STUDY = """
name: overhead
plm: tiny
suite: planted
shots: [24]
methods: [single_task]
settings: {max_updates: 20, batch_size: 16}
report: {seeds: %d}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    from raystudy.spec import Places
    from raystudy.study.folder.records import Results, dev_score
    from raystudy.study.plan import Plan
    from raystudy.study.pool.pool import Pool, Shape
    from raystudy.studyfile import read_study

    scratch = Path(tempfile.mkdtemp())
    (scratch / "study.yaml").write_text(STUDY % (args.cells + 2 * args.groups))
    places = Places(plm="tiny", shared=str(scratch / "cache"))
    specs = Plan(read_study(scratch / "study.yaml"), places).confirm({})
    results = Results(scratch / "results")
    began = time.perf_counter()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    with Pool(Shape(args.groups), places, scratch) as pool:

        def finish(wanted: int) -> float:
            inside = 0.0
            while wanted:
                for outcome in pool.take():
                    results.write(outcome)
                    pool.announce({outcome.record.id: dev_score(outcome.record)})
                    inside += sum(v for k, v in outcome.record.seconds.items() if k != "validate")
                    wanted -= 1
            return inside

        pool.submit(specs[: 2 * args.groups])
        while len(ray.get(pool.queue.status.remote())["groups"]) < args.groups:
            time.sleep(0.05)
        finish(2 * args.groups)
        started = time.perf_counter()
        pool.submit(specs[2 * args.groups :])
        inside = finish(args.cells)
        wall = time.perf_counter() - started
    ray.shutdown()
    out = {
        "cells": args.cells,
        "groups": args.groups,
        "wall_seconds": round(wall, 3),
        "seconds_inside_cells": round(inside, 3),
        "seconds_per_cell_beyond_training": round((args.groups * wall - inside) / args.cells, 3),
        "seconds_until_groups_are_up": round(started - began, 1),
    }
    print(json.dumps(out) if args.json else "\n".join(f"{k}: {v}" for k, v in out.items()))


if __name__ == "__main__":
    main()
