"""Whether the machines of a running Ray cluster offer what this machine offers, and share a folder with it.

What a study reads, a model's folder or that of the data, can be copied to nodes that have nothing at its path.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from raystudy.errors import PreflightError, Problem
from raystudy.files import atomic_write
from raystudy.machine.resources import machine_facts

__all__ = ["content_digest", "copy_to_nodes", "facts_of_every_node", "facts_of_nodes", "joined"]

_PATIENCE = 60.0  # seconds for a node's answer: it may have to start Python and import torch


def _facts_of_node(
    driver_file: str, node_file: str, paths: Sequence[str], gpus: bool = False, digests: bool = False
) -> dict[str, Any]:
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
    return {
        **machine_facts(paths, cuda=gpus),
        "reads": driver_text,
        "cannot_write": write_problem,
        "time": time.time(),
        "disk": shutil.disk_usage(Path(node_file).parent).free if not write_problem else 0,
        "token": os.environ.get("RAY_AUTH_MODE", ""),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "nccl": _nccl() if gpus else "",
        "digests": {p: content_digest(Path(p)) for p in paths} if digests else {},
    }


def _nccl() -> str:
    """The version of NCCL that this torch speaks between GPUs; empty where it has none."""
    import torch

    if not torch.cuda.is_available():
        return ""
    return ".".join(str(n) for n in torch.cuda.nccl.version())  # type: ignore[no-untyped-call]


def content_digest(path: Path) -> str:
    """A digest of a file, or of all files below a folder with their names; empty where there is nothing to read."""
    h = hashlib.blake2b(digest_size=16)
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    try:
        for file in files:
            h.update(str(file.relative_to(path)).encode() + b"\0")
            with file.open("rb") as f:
                while block := f.read(1 << 20):
                    h.update(block)
    except OSError:
        return ""
    return h.hexdigest() if files else ""


@contextmanager
def joined(address: str) -> Iterator[None]:
    """While open, this process is a client of the cluster at `address`.

    Raises:
        PreflightError: the cluster cannot be joined.
    """
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except Exception as e:  # ConnectionError, RuntimeError for other versions, an error of its own for a wrong token
        text = " ".join(str(e).split())[:300]
        raise PreflightError(Problem(f"cannot be joined: {type(e).__name__}: {text}", f"--address {address}")) from None
    try:
        yield
    finally:
        ray.shutdown()


def facts_of_every_node(
    address: str, shared: Path, paths: Sequence[str], *, gpus: bool = False, digests: bool = False
) -> list[Mapping[str, Any]]:
    """`facts_of_nodes` of a cluster that is joined for that, and left again.

    Raises:
        PreflightError: the cluster cannot be joined.
    """
    with joined(address):
        return facts_of_nodes(shared, paths, gpus=gpus, digests=digests)


def facts_of_nodes(
    shared: Path, paths: Sequence[str], *, gpus: bool = False, digests: bool = False
) -> list[Mapping[str, Any]]:
    """What `machine_facts` says on every node of the joined cluster, and whether `shared` is one folder for all.

    The facts of a node have ``host``, ``resources`` (what Ray gives out there), and either ``error`` (why it could not
    be asked), or the facts of the machine; ``shares``: whether the node could read what this machine wrote in
    `shared`, and this machine what the node wrote; ``clock``: by how many seconds its clock is off at least; ``disk``:
    free bytes where the cache lies; ``token``, ``threads``: RAY_AUTH_MODE and OMP_NUM_THREADS of its workers.

    Args:
        gpus: ask for GPUs and NCCL, which loads torch on every node.
        digests: compare the content of `paths`, which reads all of it on every node.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = uuid.uuid4().hex
    driver_file = shared / f".probe-{token}"
    shared.mkdir(parents=True, exist_ok=True)
    began = time.time()
    try:
        atomic_write(driver_file, token)
        facts_of_node = ray.remote(num_cpus=0, max_retries=0)(_facts_of_node)
        answers = []
        for node in ray.nodes():
            if node["Alive"]:
                strategy = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
                node_file = shared / f".probe-{token}-{node['NodeID']}"
                remote = facts_of_node.options(scheduling_strategy=strategy).remote
                asked = remote(str(driver_file), str(node_file), list(paths), gpus, digests)
                answers.append((node, node_file, asked))
        nodes: list[Mapping[str, Any]] = []
        for node, node_file, answer in answers:
            cluster_facts = {"host": node["NodeManagerHostname"], "resources": node["Resources"]}
            try:
                facts: dict[str, Any] = ray.get(answer, timeout=_PATIENCE)
                shares = facts["reads"] == token and node_file.is_file()
                clock = min(0.0, facts["time"] - began) or max(0.0, facts["time"] - time.time())
                nodes.append({**facts, **cluster_facts, "shares": shares, "clock": clock})
            except Exception as e:  # a node that dies, hangs, or has no raystudy to import
                nodes.append({**cluster_facts, "error": (str(e).strip().splitlines() or [type(e).__name__])[-1]})
        return nodes
    finally:
        for path in shared.glob(f"*probe-{token}*"):
            path.unlink(missing_ok=True)


def copy_to_nodes(path: Path, hosts: Sequence[str]) -> dict[str, str]:
    """Copy a folder or file to the same path on nodes that have nothing there; host -> what went wrong, or "".

    Ray carries it. On the node it appears by one rename, after its digest was found to be that of the original; what is
    there already is never written over.

    Args:
        hosts: names of nodes of the cluster that is joined.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(path, arcname="content")
    content = ray.put(packed.getvalue())
    unpack = ray.remote(num_cpus=0, max_retries=0)(_unpack)
    asked = {
        node["NodeManagerHostname"]: unpack.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(content, str(path), content_digest(path))
        for node in ray.nodes()
        if node["Alive"] and node["NodeManagerHostname"] in hosts
    }
    out = {}
    for host, answer in asked.items():
        try:
            out[host] = str(ray.get(answer, timeout=10 * _PATIENCE))
        except Exception as e:
            out[host] = (str(e).strip().splitlines() or [type(e).__name__])[-1]
    return out


def _unpack(content: bytes, path: str, digest: str) -> str:
    """On a node: make `path` from an archive; why it cannot be, or an empty string."""
    goal = Path(path)
    if goal.exists():
        return "" if content_digest(goal) == digest else "there is something else at that path"
    new = goal.with_name(f".{goal.name}.{uuid.uuid4().hex}.new")
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            archive.extractall(new, filter="data")  # nothing outside of `new`, no links that lead there, no devices
        if content_digest(new / "content") != digest:
            return "the copy has another digest"
        os.rename(new / "content", goal)
    except (OSError, tarfile.TarError) as e:
        return str(e)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return ""
