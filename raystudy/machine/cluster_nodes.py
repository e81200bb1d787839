"""Whether the machines of a running Ray cluster offer what this machine offers, and share a folder with it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raystudy.errors import PreflightError, Problem
from raystudy.files import atomic_write
from raystudy.machine.resources import machine_facts

__all__ = ["facts_of_every_node"]

_PATIENCE = 60.0  # seconds for a node's answer: it may have to start Python and import torch


def _facts_of_node(driver_file: str, node_file: str, paths: Sequence[str]) -> dict[str, Any]:
    """On a node: read the file that the driver wrote, write the file of this node, and answer the node's facts."""
    try:
        driver_text = Path(driver_file).read_text(encoding="utf-8")
    except OSError as e:
        driver_text = e.strerror or str(e)
    try:
        atomic_write(Path(node_file), "here")
        write_problem = ""
    except PreflightError as e:
        write_problem = e.problems[0].message
    return {**machine_facts(paths), "reads": driver_text, "cannot_write": write_problem}


def facts_of_every_node(address: str, shared: Path, paths: Sequence[str]) -> list[Mapping[str, Any]]:
    """What `machine_facts` says on every node of a running cluster, and whether `shared` is one folder for all.

    The facts of a node have ``host``, ``resources`` (what Ray gives out there), and either ``error`` (why it could not
    be asked), or the facts of the machine and ``shares``: whether the node could read what this machine wrote in
    `shared`, and this machine what the node wrote.

    Raises:
        PreflightError: the cluster cannot be joined.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = uuid.uuid4().hex
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as e:  # ConnectionError, RuntimeError for other versions, an error of its own for a wrong token
        text = " ".join(str(e).split())[:300]
        raise PreflightError(Problem(f"cannot be joined: {type(e).__name__}: {text}", f"--address {address}")) from None
    driver_file = shared / f".probe-{token}"
    try:
        atomic_write(driver_file, token)
        facts_of_node = ray.remote(num_cpus=0, max_retries=0)(_facts_of_node)
        answers = []
        for node in ray.nodes():
            if node["Alive"]:
                strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                node_file = shared / f".probe-{token}-{node['NodeID']}"
                remote = facts_of_node.options(scheduling_strategy=strategy).remote
                answers.append((node, node_file, remote(str(driver_file), str(node_file), list(paths))))
        nodes: list[Mapping[str, Any]] = []
        for node, node_file, answer in answers:
            cluster_facts = {"host": node["NodeManagerHostname"], "resources": node["Resources"]}
            try:
                facts: dict[str, Any] = ray.get(answer, timeout=_PATIENCE)
                shares = facts["reads"] == token and node_file.is_file()
                nodes.append({**facts, **cluster_facts, "shares": shares})
            except Exception as e:  # a node that dies, hangs, or has no raystudy to import
                nodes.append({**cluster_facts, "error": (str(e).strip().splitlines() or [type(e).__name__])[-1]})
        return nodes
    finally:
        for path in shared.glob(f"*probe-{token}*"):
            path.unlink(missing_ok=True)
        ray.shutdown()
