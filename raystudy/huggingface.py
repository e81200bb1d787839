"""Gives repositories of the Hugging Face hub as folders: downloads them once, and finds them in the cache after that.

The network is asked before anything is trained, and with a time limit. A repository that cannot be had is a
`PreflightError` that names the command to run. The cache is the hub client's own (``HF_HOME``, ``HF_HUB_CACHE``), so
files that ``hf download`` brought are found here, and files that were downloaded here are found by other programs. No
code of a repository is ever run.
"""

from __future__ import annotations

import logging
import math
import os
import re
import shlex
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from raystudy.errors import PreflightError, Problem, quoted

__all__ = ["Snapshot", "absent_shards", "cached_snapshot", "download_command", "fetch"]

RepositoryKind = Literal["model", "dataset"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The files of a repository at one commit: in `folder` lie those that were asked for, and perhaps others."""

    folder: Path
    commit: str


def download_command(repo_id: str, kind: RepositoryKind, revision: str | None = None) -> str:
    """The shell command that brings a repository into the cache."""
    words = ["hf", "download", *(["--repo-type", "dataset"] if kind == "dataset" else []), repo_id]
    return shlex.join([*words, "--revision", revision] if revision else words)


@lru_cache
def fetch(repo_id: str, kind: RepositoryKind, revision: str | None, files: tuple[str, ...], where: str) -> Snapshot:
    """The files of a repository that match one of the shell patterns `files`, downloaded where they are not cached.

    A process asks once, so that it reads one commit of a branch however often it is asked for one.

    Without a revision the newest commit of ``main`` is taken. Where the hub does not answer, that is the newest one it
    was last heard of, and the commit that is given back says which.

    Args:
        where: what the problem is about, as a `Problem` names it.

    Raises:
        PreflightError: the repository or revision does not exist, is closed, or can neither be reached nor be found in
            the cache.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HFValidationError, RevisionNotFoundError

    # of the HTTP library, whichever one the hub's client uses
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # isort: skip

    why = None if constants.HF_HUB_OFFLINE else _recent_failure(constants.ENDPOINT)
    try:
        if not constants.HF_HUB_OFFLINE and why is None:
            try:
                # snapshot_download asks the same, but would wait for ever for a hub that takes calls and says nothing
                HfApi().repo_info(repo_id, repo_type=kind, revision=revision, timeout=_timeout())
                return _snapshot(repo_id, kind, revision, files, local=False)
            except RevisionNotFoundError:
                complaint = f"the hub has the {_NOUN[kind]} {repo_id}, but not its revision {revision!r}"
                raise PreflightError(Problem(complaint, where)) from None
            except (HTTPError, OSError) as e:
                why = e
                if not isinstance(e, OSError):  # no answer at all
                    _NO_ANSWER[constants.ENDPOINT] = time.monotonic(), e
        snapshot = cached_snapshot(repo_id, kind, revision, files)
    except HFValidationError:
        raise PreflightError(Problem(f"must be a hub id (owner/name), but is {quoted(repo_id, 200)}", where)) from None
    if snapshot is None:
        raise PreflightError(Problem(_reason(repo_id, kind, revision, why), where))
    if why is not None:
        _LOG.warning(
            "%s: taken from the cache at %s, because the hub failed: %s", repo_id, snapshot.commit, _first_line(why)
        )
    return snapshot


def cached_snapshot(repo_id: str, kind: RepositoryKind, revision: str | None, files: Sequence[str]) -> Snapshot | None:
    """What `fetch` would give without a network, or None where something is missing."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return _snapshot(repo_id, kind, revision, files, local=True)
    except LocalEntryNotFoundError:
        return None


def _snapshot(
    repo_id: str, kind: RepositoryKind, revision: str | None, files: Sequence[str], *, local: bool
) -> Snapshot:
    from huggingface_hub import snapshot_download

    folder = snapshot_download(
        repo_id, repo_type=kind, revision=revision, allow_patterns=list(files), local_files_only=local
    )
    return Snapshot(Path(folder), Path(folder).name)


# A study asks for many repositories, and waits only once for a hub that does not answer: endpoint -> when, why.
_NO_ANSWER: dict[str, tuple[float, Exception]] = {}


def _recent_failure(endpoint: str) -> Exception | None:
    """Why the hub gave no answer, if it gave none within the last minute."""
    when, why = _NO_ANSWER.get(endpoint, (-math.inf, None))
    return why if time.monotonic() - when < 60 else None


def _timeout() -> float:
    """Seconds to wait for an answer: the user's own wish, else less than the client's default of 10."""
    from huggingface_hub import constants

    return constants.HF_HUB_ETAG_TIMEOUT if "HF_HUB_ETAG_TIMEOUT" in os.environ else 5.0


_NOUN = {"model": "model", "dataset": "data set"}


def _reason(repo_id: str, kind: RepositoryKind, revision: str | None, why: Exception | None) -> str:
    """Why a repository that is not in the cache cannot be had, and what to do; `why` is None for a hub not asked."""
    from huggingface_hub import constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    what, download = f"the {_NOUN[kind]} {repo_id}", download_command(repo_id, kind, revision)
    not_cached = f"{what} is not, or not wholly, in the cache {constants.HF_HUB_CACHE}"
    if why is None:
        return f"{not_cached}, and the network is switched off (HF_HUB_OFFLINE); where there is one, run: {download}"
    if isinstance(why, GatedRepoError):
        page = f"{constants.ENDPOINT}/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        return f"{what} is gated: agree to its terms at {page}, then run: hf auth login"
    if isinstance(why, RepositoryNotFoundError):
        return f"the hub has no {_NOUN[kind]} {repo_id}, or it is private (then run: hf auth login)"
    if isinstance(why, HfHubHTTPError) and why.response.status_code in (401, 403):
        return f"{what} is closed to you (the hub answers {why.response.status_code}); run: hf auth login"
    failure = f"cannot be had from {constants.ENDPOINT} ({_first_line(why)})"
    return f"{not_cached} and {failure}; with a network, run: {download}"


def _first_line(error: Exception) -> str:
    """An error's class and the first line of what it says."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def absent_shards(names: Iterable[str]) -> list[str]:
    """Which numbered parts of files are missing (``train-00001-of-00003.parquet``), as after a broken-off download."""
    parts: dict[tuple[str, str], set[str]] = defaultdict(set)
    for name in names:
        if m := re.fullmatch(r"(.*-)(\d{5,})-of-(\d{5,})\D.*", name):
            parts[m[1], m[3]].add(m[2])
    return [
        f"{int(total) - len(present)} of the {int(total)} files {stem}NNNNN-of-{total}"
        for (stem, total), present in sorted(parts.items())
        if len(present) < int(total)
    ]
