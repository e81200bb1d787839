"""Whether the machines of a running Ray cluster offer what this machine offers, and share a folder with it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raystudy.errors import PreflightError, Problem
from raystudy.files import atomic_write
from raystudy.machine.resources import look

__all__ = ["on_every_node"]

_PATIENCE = 60.0  # seconds for a node's answer: it may have to start Python and import torch


def _visit(probe: str, mine: str, paths: Sequence[str]) -> dict[str, Any]:
    """On a node: read the file `probe` that the driver wrote, write the file `mine`, and look around."""
    try:
        reads = Path(probe).read_text(encoding="utf-8")
    except OSError as e:
        reads = e.strerror or str(e)
    try:
        atomic_write(Path(mine), "here")
        wrote = ""
    except PreflightError as e:
        wrote = e.problems[0].message
    return {**look(paths), "reads": reads, "cannot_write": wrote}


def on_every_node(address: str, shared: Path, paths: Sequence[str]) -> list[Mapping[str, Any]]:
    """Ask every node of a running cluster: what `look` says there, and whether `shared` is one folder for all.

    Each answer has ``host``, ``resources`` (what Ray gives out there), and either ``error`` (it could not be asked) or
    what `look` says with ``shares`` (it read what this machine wrote in `shared`, and the other way round).

    Raises:
        PreflightError: the cluster cannot be joined.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = uuid.uuid4().hex
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as e:  # ConnectionError, RuntimeError for other versions, an error of its own for a wrong token
        said = " ".join(str(e).split())[:300]
        raise PreflightError(Problem(f"cannot be joined: {type(e).__name__}: {said}", f"--address {address}")) from None
    probe = shared / f".probe-{token}"
    try:
        atomic_write(probe, token)
        visit = ray.remote(num_cpus=0, max_retries=0)(_visit)
        asked = []
        for node in ray.nodes():
            if node["Alive"]:
                place = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                mine = shared / f".probe-{token}-{node['NodeID']}"
                answer = visit.options(scheduling_strategy=place).remote(str(probe), str(mine), list(paths))
                asked.append((node, mine, answer))
        found: list[Mapping[str, Any]] = []
        for node, mine, answer in asked:
            known = {"host": node["NodeManagerHostname"], "resources": node["Resources"]}
            try:
                there: dict[str, Any] = ray.get(answer, timeout=_PATIENCE)
                found.append({**there, **known, "shares": there["reads"] == token and mine.is_file()})
            except Exception as e:  # a node that dies, hangs, or has no raystudy to import
                found.append({**known, "error": (str(e).strip().splitlines() or [type(e).__name__])[-1]})
        return found
    finally:
        for path in shared.glob(f"*probe-{token}*"):
            path.unlink(missing_ok=True)
        ray.shutdown()
