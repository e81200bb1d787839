"""``raystudy doctor``: checks whether a study would run here, and says how to mend what is missing.

Nothing is changed, and nothing is downloaded.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from raystudy import run as running
from raystudy.commands import Json, Out, megabytes, print_json, tell
from raystudy.errors import PreflightError, UserError
from raystudy.paths import is_file, is_folder
from raystudy.wording import counted

if TYPE_CHECKING:
    from raystudy.spec import Numerics, Places
    from raystudy.studyfile import Study

__all__ = ["Check", "agree", "checks", "doctor", "named_paths", "packages"]

EXIT_MISSING = 3
DISK = 5e9  # bytes below which a folder is called nearly full
CLOCK = 5.0  # seconds by which a filesystem's clock may differ
# Measured on the default study, resident: Python with torch, transformers and ray; then per weight of the model two
# moments, a gradient, the best and the stored copy.
PROCESS, COPIES = 0.7e9, 6
RAY = 1.5e9  # its servers on the head, without a dashboard


@dataclass(frozen=True)
class Check:
    """One answer of the doctor.

    Attributes:
        state: ``missing`` means that the study cannot run so; ``warn`` that it can, with a disadvantage.
        what: what was looked at, and what was seen.
        mend: what to do about it.
    """

    state: Literal["ok", "warn", "missing"]
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.state:<8}{self.what}" + (f" - {self.mend}" if self.mend else "")


def doctor(
    study: Annotated[str, typer.Argument(help="A study of search_spaces/studies, or a .yaml file.")] = "quickstart",
    data_root: Annotated[str | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str | None, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="a.b=value, in place of the study file's.")] = None,
    address: Annotated[
        str | None, typer.Option(help="A running Ray cluster, e.g. auto: ask each of its nodes.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the network for models or data.")] = False,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy model and data to nodes that have nothing at their path.")
    ] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Check what a study needs on this machine (or cluster); exit code 3 if something is missing."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported
    loaded_study, places, folder = running.open_study(
        study, running.RunOptions(data_root, plm, set=tuple(set_ or ()), out=out)
    )
    all_checks = [] if not copy else list(_copied(places, address))
    for check in all_checks if not as_json else ():
        tell(str(check), hang=8)
    for check in checks(loaded_study, places, folder, address):
        all_checks.append(check)
        if not as_json:
            tell(str(check), hang=8)
    if as_json:
        print_json({"study": loaded_study.name, "checks": [asdict(c) for c in all_checks]})
    raise typer.Exit(EXIT_MISSING if any(c.state == "missing" for c in all_checks) else 0)


def checks(study: Study, places: Places, folder: Path, address: str | None = None) -> Iterator[Check]:
    """Every check, the quick ones first."""
    from raystudy.machine.resources import machine_facts

    assert places.shared is not None
    shared = Path(places.shared)
    yield from packages()
    yield from _folders(folder, shared)
    if address is None:
        yield from _ray_starts()
    yield from _ray(address)
    if not (yield from _imports()):
        return  # the rest cannot be asked
    weights = yield from _model(places)
    yield from _data(study, places)
    paths = named_paths(places)
    here = machine_facts(paths, cuda=study.numerics.device == "cuda" or address is None)
    if address is None:
        yield from _room(here, study.numerics, weights)
        yield from _precision(here, study, places)
    else:
        yield from _cluster(here, address, shared, paths, study.numerics)


def named_paths(places: Places) -> list[str]:
    """What a study reads by its path, so that it must be there on every node."""
    return [p for p in (places.data_root, places.plm if os.sep in places.plm else None) if p]


def _copied(places: Places, address: str | None) -> Iterator[Check]:
    """Copy model and data to the nodes that lack them, and say what came of it."""
    from raystudy.machine.cluster_nodes import copy_to_nodes, facts_of_nodes, joined

    if address is None:
        yield Check("warn", "there are no nodes to copy to", "--address")
        return
    assert places.shared is not None
    with suppress(PreflightError), joined(address):  # a cluster that cannot be joined is told below, with what to do
        nodes = facts_of_nodes(Path(places.shared), named_paths(places))
        for path in named_paths(places):
            hosts = [n["host"] for n in nodes if "error" not in n and not n["there"][path]]
            for host, problem in copy_to_nodes(Path(path), hosts).items() if hosts else ():
                what = f"{path} copied to node {host}"
                yield Check("missing", f"{what}: {problem}") if problem else Check("ok", what)


def packages(requirements: Sequence[str] | None = None, python_range: str | None = None) -> Iterator[Check]:
    """Check Python and every library against the ranges that raystudy was installed with.

    Args:
        requirements, python_range: what to check instead of the requirements of the installed raystudy.
    """
    import platform

    try:
        requirements = requires("raystudy") or [] if requirements is None else requirements
        python_range = (metadata("raystudy")["Requires-Python"] or "") if python_range is None else python_range
    except PackageNotFoundError:
        yield Check("warn", "raystudy is not installed, only found: its requirements are unknown", "pip install -e .")
        return
    here = platform.python_version()
    if SpecifierSet(python_range).contains(here, prereleases=True):
        yield Check("ok", f"Python {here}")
    else:
        yield Check(
            "missing", f"Python {here}, must be {python_range}", "make a virtual environment with another Python"
        )
    fitting = 0
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        mend = f"pip install '{text.partition(';')[0].strip()}'"
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            yield Check("missing", f"{requirement.name} is not installed", mend)
            continue
        if requirement.specifier.contains(installed, prereleases=True):
            fitting += 1
        else:
            yield Check("missing", f"{requirement.name} {installed}, must be {requirement.specifier}", mend)
    yield Check("ok", f"{counted(fitting, 'library', 'libraries')} in the versions that raystudy works with")


def _imports() -> Generator[Check, None, bool]:
    """Check that the large libraries can be imported; returns whether all can."""
    for name in ("torch", "transformers", "ray", "optuna"):
        try:
            importlib.import_module(name)
        except Exception as e:  # a broken build fails in its own way
            what = f"{name} cannot be imported: {type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
            yield Check("missing", what, f"install it anew: pip install --force-reinstall {name}")
            return False
    yield Check("ok", "torch, transformers, ray and optuna can be imported")
    return True


def _folders(results: Path, shared: Path) -> Iterator[Check]:
    """Check that results and cache can be written and locked, keep the time and have room, Ray's folder too."""
    from raystudy.machine.filesystem import lock_problem, nearest_existing, probe_writing
    from raystudy.machine.ray_start import ray_folder

    unwritable: set[str] = set()
    for what, folder in (("results folder", results), ("cache folder", shared)):
        why, skew = probe_writing(folder)
        if why:
            unwritable.add(what)
            option = "--out" if folder is results else "RAYSTUDY_CACHE"
            yield Check("missing", f"{what} {folder} cannot be written: {why}", f"choose another with {option}")
            continue
        if why := lock_problem(folder):
            mend = "use a filesystem with working flock (NFS: with its lock service)"
            yield Check("missing", f"{what} {folder}: {why}", mend)
        else:
            yield Check("ok", f"{what} {folder} can be written and locked")
        if abs(skew) > CLOCK:
            mend = "set the clocks of both machines by NTP"
            yield Check("warn", f"the clock of the filesystem of the {what} is {skew:+.0f} s off", mend)
    places = {"results folder": results, "cache folder": shared, "Ray's temporary files": ray_folder()[0]}
    for place, folder in places.items():
        if place in unwritable or (folder not in (results, shared) and probe_writing(folder)[0]):
            continue  # room is not what it lacks
        what = place.removesuffix(" folder")
        usage = shutil.disk_usage(nearest_existing(folder))
        state: Literal["ok", "warn"] = "warn" if usage.free < DISK else "ok"
        yield Check(state, f"{megabytes(usage.free)} free for {what}", "make room" if state == "warn" else "")
    if (memory := Path("/dev/shm")).is_dir() and shutil.disk_usage(memory).free < 256 * 1024**2:
        yield Check("warn", "less than 256 MiB of /dev/shm: Ray is slow so", "docker run --shm-size=1g")


def _ray_starts() -> Iterator[Check]:
    """Check that Ray can start here, by what a run itself asks before it starts Ray."""
    from raystudy.machine.ray_start import ray_folder, ray_obstacles

    obstacles = ray_obstacles()
    yield from (Check("missing", what, mend) for what, mend in obstacles)
    if not obstacles:
        yield Check("ok", f"Ray can keep its sessions in {ray_folder()[0]}, and its token")


def _ray(address: str | None) -> Iterator[Check]:
    """Check who may talk to Ray's ports, because whoever can may run any code."""
    mode = os.environ.get("RAY_AUTH_MODE", "").lower()
    from raystudy.machine.ray_start import token_file

    path = token_file()
    has_token = bool(os.environ.get("RAY_AUTH_TOKEN")) or (path is not None and is_file(path))
    if mode and mode != "token":
        what = f"RAY_AUTH_MODE={mode}: who reaches Ray's ports may run any code here"
        yield Check("warn", what, "unset RAY_AUTH_MODE")
    elif has_token and not mode and address not in (None, "auto"):
        what = "Ray shows its token to a cluster that is named by its address only if it is told to"
        yield Check("warn", what, "RAY_AUTH_MODE=token, if that cluster asks for one")
    elif has_token:
        yield Check("ok", "Ray asks for a token, and there is one")
    elif address is not None:
        mend = "the cluster's token: `ray get-auth-token` there, then RAY_AUTH_TOKEN here"
        yield Check("warn", "there is no Ray token here; a cluster that asks for one will refuse", mend)
    else:
        yield Check("ok", "Ray asks for a token; it makes one at its first start")


def _model(places: Places) -> Generator[Check, None, int]:
    """Check that the model is here. Returns the bytes of its weights, 0 where unknown."""
    from huggingface_hub import HfApi, constants

    from raystudy.data.plm import HUB_FILES, is_local, resolve
    from raystudy.huggingface import cached_snapshot, download_command

    where, offline = places.plm, constants.HF_HUB_OFFLINE
    weights = 0
    local = is_local(where) or is_folder(Path(where))
    if not local:
        try:
            there = cached_snapshot(where, "model", places.revision, HUB_FILES) is not None
        except (OSError, ValueError):
            there = False  # no hub id at all: asking the hub for it says so
        if not there:
            get = download_command(where, "model", places.revision)
            what = f"the model {where} is not on this machine, and the hub "
            if offline:
                yield Check("missing", f"{what}is not asked (HF_HUB_OFFLINE)", f"on a machine with a network: {get}")
                return weights
            try:
                HfApi().model_info(where, revision=places.revision, timeout=10)
            except Exception as e:
                yield Check("missing", f"{what}does not give it ({_first(e)})", f"on a machine with a network: {get}")
            else:
                yield Check("warn", f"the model {where} will be downloaded when the study starts", get)
            return weights
    try:
        plm = resolve(where, places.revision)
        if plm.folder is not None:
            weights = sum(p.stat().st_size for p in plm.folder.glob("*.safetensors"))
        yield Check("ok", f"model {plm.name}" + (f", {megabytes(weights)} of weights" if weights else ""))
    except UserError as e:
        for line in e.lines:
            yield Check("missing", line)
    state = "offline: nothing is asked of the network" if offline else "online"
    yield Check("ok", f"Hugging Face cache {constants.HF_HUB_CACHE}, {state}")
    return weights


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _data(study: Study, places: Places) -> Iterator[Check]:
    """Check that every task is there, can be read, and can give what the study asks for."""
    from raystudy.study.plan import Plan

    plan = Plan(study, places)
    try:
        n = sum(len(examples) for task in plan.tasks.values() for examples in task.splits.values())
        yield Check("ok", f"{counted(len(plan.tasks), 'task')}, {counted(n, 'example')} after limits")
    except UserError as e:
        for line in e.lines:
            yield Check("missing", line)


def _room(here: Mapping[str, Any], numerics: Numerics, weights: int) -> Iterator[Check]:
    """Check that the cores, the memory and the GPUs of one machine suffice for at least one group of workers."""
    from raystudy.machine.resources import unused_gpus

    cuda, cores, workers = numerics.device == "cuda", here["cpus"], numerics.workers
    if cores < workers:
        what = f"{counted(cores, 'CPU core')} for {workers} workers per training"
        yield Check("missing", what, f"--workers {cores}, or a larger machine")
    else:
        yield Check("ok", counted(cores, "CPU core"))
    size = 2 if numerics.precision == "fp64" else 1
    per_worker = PROCESS + (0 if cuda else COPIES * weights * size)
    groups = max(1, (len(here["gpus"]) if cuda else cores) // workers)
    needed = RAY + groups * workers * per_worker
    what = f"{megabytes(here['memory'])} of memory free, about {megabytes(needed)} needed by {counted(groups, 'group')}"
    if needed <= here["memory"]:
        yield Check("ok", what)
    else:
        fit = int((here["memory"] - RAY) // (workers * per_worker))
        yield Check("warn", what, f"--groups {fit}" if fit >= 1 else "a smaller model, or a larger machine")
    if not cuda:
        if here["gpus"]:
            mend = "--set numerics.device=cuda uses it"
            yield Check("ok", f"trains on the CPU, though there is a {here['gpus'][0]['name']}", mend)
        else:
            yield from (Check("ok", line) for line in unused_gpus(numerics.device))
        return
    if len(here["gpus"]) < workers:
        gpus = counted(len(here["gpus"]), "GPU")
        what = f"numerics.device is cuda for {counted(workers, 'worker')}, and torch sees {gpus}"
        mend = "a torch built for CUDA and an NVIDIA driver; or --set numerics.device=cpu"
        yield Check("missing", what, mend)
    for gpu in here["gpus"]:
        least = COPIES * weights * size + 2e9  # and the activations of a batch
        what = f"GPU {gpu['name']}: {megabytes(gpu['free'])} of {megabytes(gpu['total'])} free"
        yield Check("warn", what, "smaller batch_size or length") if gpu["free"] < least else Check("ok", what)


def _precision(here: Mapping[str, Any], study: Study, places: Places) -> Iterator[Check]:
    """Check that this machine computes in bf16, where a study asks for it."""
    from raystudy.data.plm import resolve
    from raystudy.machine.bfloat16 import check_precision

    if study.numerics.device == "cuda" and not here["gpus"]:
        return
    try:
        plm = resolve(places.plm, places.revision)
    except UserError:
        return  # told with the model
    cache = Path(places.shared) if places.shared else None
    try:
        for line in check_precision(study.numerics, study.numerics.force, plm, cache):
            yield Check("warn" if study.numerics.force else "ok", line)
    except PreflightError as e:
        for problem in e.problems:
            yield Check("missing", str(problem), "--set numerics.precision=fp32")


def _cluster(
    here: Mapping[str, Any], address: str, shared: Path, paths: Sequence[str], numerics: Numerics
) -> Iterator[Check]:
    from raystudy.machine.cluster_nodes import content_digest, facts_of_every_node

    try:
        nodes = facts_of_every_node(address, shared, paths, gpus=numerics.device == "cuda", digests=True)
    except PreflightError as e:
        token = "" if os.environ.get("RAY_AUTH_MODE") else ", and RAY_AUTH_MODE=token here"
        yield from (Check("missing", str(p), f"the same versions there as here{token}") for p in e.problems)
        return
    yield from agree({**here, "digests": {p: content_digest(Path(p)) for p in paths}}, nodes, shared)
    yield from _each_node(nodes, numerics)
    unit = "GPU" if numerics.device == "cuda" else "CPU"
    have = int(sum(n["resources"].get(unit, 0) for n in nodes))
    state: Literal["ok", "missing"] = "ok" if have >= numerics.workers else "missing"
    mend = "" if state == "ok" else f"{counted(numerics.workers, 'worker')} per training need as many"
    yield Check(state, f"Ray gives out {counted(have, unit)} on {counted(len(nodes), 'node')}", mend)


def _each_node(nodes: Sequence[Mapping[str, Any]], numerics: Numerics) -> Iterator[Check]:
    """Check of every node its clock, disk, memory, token, threads, and GPUs with their NCCL."""
    answering = [n for n in nodes if "error" not in n]
    for node in answering:
        name = f"node {node['host']}"
        if abs(node["clock"]) > CLOCK:
            yield Check("warn", f"the clock of {name} is {node['clock']:+.0f} s off", "set it by NTP")
        if node["cannot_write"]:
            yield Check("missing", f"{name} cannot write its cache: {node['cannot_write']}", "RAYSTUDY_CACHE elsewhere")
        elif node["disk"] < DISK:
            yield Check("warn", f"{name} has {megabytes(node['disk'])} of disk left for its cache", "make room")
        if node["memory"] < PROCESS:
            yield Check("warn", f"{name} has {megabytes(node['memory'])} of memory free", "a larger machine")
        if node["token"].lower() != "token":
            what = f"{name} was started without RAY_AUTH_MODE=token: who reaches its ports may run any code there"
            yield Check("warn", what, "RAY_AUTH_MODE=token before `ray start`, on every node")
        gpus = ", ".join(f"{g['name']} ({megabytes(g['free'])} free)" for g in node["gpus"])
        facts = [f"{megabytes(node['memory'])} of memory", f"{megabytes(node['disk'])} of disk"]
        facts += [f"{node['threads'] or 'all'} threads"] + ([gpus] if gpus else [])
        facts += [f"NCCL {node['nccl']}"] if node["nccl"] else []
        yield Check("ok", f"{name}: {counted(node['cpus'], 'core')}, {', '.join(facts)}")
        if numerics.device == "cuda" and node["resources"].get("GPU") and not node["gpus"]:
            what = f"{name} gives out GPUs, and its torch sees none"
            yield Check("missing", what, "a torch built for CUDA and an NVIDIA driver there")
    if len(versions := {n["nccl"] for n in answering if n["nccl"]}) > 1:
        yield Check("missing", f"the nodes have NCCL {', '.join(sorted(versions))}", "the same torch everywhere")


def agree(here: Mapping[str, Any], nodes: Sequence[Mapping[str, Any]], shared: Path) -> Iterator[Check]:
    """Check that the nodes run what this machine runs, see its data and model, and share its cache folder."""
    hosts_apart = []
    for node in nodes:
        name = f"node {node['host']}"
        if "error" in node:
            yield Check("missing", f"{name} does not answer: {node['error']}", "install raystudy there as it is here")
            continue
        pairs = {"Python": (here["python"], node["python"])}
        pairs |= {p: (v, node["versions"].get(p, "unknown")) for p, v in here["versions"].items()}
        if wrong := [f"{p} {theirs} (here {ours})" for p, (ours, theirs) in pairs.items() if ours != theirs]:
            yield Check("missing", f"{name} has {', '.join(wrong)}", "the same versions everywhere, to the last digit")
        elif node["program"] != here["program"]:
            yield Check(
                "missing", f"{name} has other sources of raystudy", "the same checkout everywhere (ray rsync-up)"
            )
        else:
            yield Check("ok", f"{name} has the same Python, libraries and raystudy")
        for path in [p for p, there in node["there"].items() if here["there"][p] and not there]:
            yield Check("missing", f"{name} does not see {path}", "the same path on every node, or `doctor --copy`")
        for path, ours in here.get("digests", {}).items():
            theirs = node.get("digests", {}).get(path, "")
            if theirs and theirs != ours:
                yield Check("missing", f"{name} has other content at {path}", "remove it there, then `doctor --copy`")
        hosts_apart += [] if node["shares"] else [node["host"]]
    if hosts_apart:
        what = f"{shared} is not one folder for all: {', '.join(hosts_apart)} has its own"
        mend = "RAYSTUDY_CACHE on shared storage, else stages are computed once per node and a lost cell starts over"
        yield Check("warn", what, mend)
    elif nodes:
        yield Check("ok", f"every node shares {shared}")
