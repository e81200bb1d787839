"""How good was what a study told of the time that is left: every number that it told, against what came.

    python benchmarks/time_left.py RESULTS [RESULTS ...] [--json]

A run writes what it tells into `logs/events.jsonl` of its results folder. For each of its numbers from the first minute
on, the time that was left then is known afterwards:

    factor = the larger of told / left and left / told; 1 is perfect

The last half minute is left out: what is told there is mostly how long the report takes. Trains nothing.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

FIRST, LAST = 60.0, 30.0  # seconds after the start, and before the end, that do not count


def runs(folder: Path) -> list[list[tuple[float, float]]]:
    """Every run of a study to its end: (seconds since its start, seconds that it told were left), the last told 0."""
    found: list[list[tuple[float, float]]] = []
    for line in (folder / "logs" / "events.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "left":
            if not found or event["elapsed"] < found[-1][-1][0]:
                found.append([])
            found[-1].append((event["elapsed"], event["seconds"]))
    return [told for told in found if told[-1][1] == 0.0]


def judged(told: list[tuple[float, float]]) -> dict[str, Any]:
    """What the numbers of one run were worth."""
    end = told[-1][0]
    factors = [
        (max(seconds / (end - at), (end - at) / seconds) if seconds > 0 else float("inf"), at, seconds)
        for at, seconds in told
        if at <= end - LAST
    ]
    later = [f for f in factors if f[1] >= FIRST]
    worst = max(later, default=None)
    return {
        "seconds": round(end, 1),
        "told_at_start": round(told[0][1], 1),
        "factor_at_start": round(factors[0][0], 2) if factors else None,
        "numbers_from_first_minute": len(later),
        "worst_factor_from_first_minute": round(worst[0], 2) if worst else None,
        "worst_at": round(worst[1], 1) if worst else None,
    }


def main() -> None:
    """Judge, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    out = [{"results": str(folder), **judged(told)} for folder in args.results for told in runs(folder)]
    if args.json:
        print(json.dumps(out))
        return
    for row in out:
        print("; ".join(f"{k} {v}" for k, v in row.items()))


if __name__ == "__main__":
    main()
