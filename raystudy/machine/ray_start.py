"""What a Ray of this machine's own needs to start: room for its sessions, a token, and shared memory.

A run asks `ray_obstacles` before it starts Ray, and `raystudy doctor` asks the same.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from raystudy.errors import PreflightError
from raystudy.machine.filesystem import probe_writing
from raystudy.paths import absolute_path, is_file, is_folder

__all__ = ["OBJECT_STORE", "ray_folder", "ray_obstacles", "token_file"]

# Below the folder for temporary files Ray makes this one (with the time and the number of the process in its name), and
# the path of a socket in it may not be longer than the kernel's structure for it.
_SOCKET = "ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST = 103 if sys.platform == "darwin" else 107  # bytes
OBJECT_STORE = 256 * 1024**2  # bytes that Ray is told to share between its processes


def ray_folder() -> tuple[Path, str]:
    """(the folder in which Ray makes its sessions, the variable that names it), chosen as Ray chooses them."""
    for name in ("RAY_TMPDIR", *(["TMPDIR"] if sys.platform.startswith("linux") else [])):
        if folder := os.environ.get(name):
            return absolute_path(folder, where=name, error=PreflightError), name
    return Path("/tmp"), "TMPDIR"


def ray_obstacles() -> list[tuple[str, str]]:
    """What keeps a Ray of this machine's own from starting: pairs of (what is wrong, what to do)."""
    return [*_no_room_for_sessions(), *_no_token(), *_no_shared_memory()]


def _no_room_for_sessions() -> Iterator[tuple[str, str]]:
    try:
        folder, name = ray_folder()
    except PreflightError as e:
        yield str(e), "name another folder"
        return
    size, most = len(os.fsencode(folder)), _LONGEST - len(_SOCKET) - 1
    if size > most:
        text = f"the path of the folder for temporary files, {folder}, has {size} bytes, and Ray's sockets need one of "
        yield f"{text}at most {most}", f"set {name} to a shorter path, /tmp for instance"
    if why := probe_writing(folder)[0]:
        yield f"the folder for temporary files, {folder}, cannot be written: {why}", f"set {name} to one that can be"
    try:
        scratch = Path(tempfile.gettempdir())
    except OSError as e:
        yield f"there is no folder for temporary files: {e.strerror or e}", "set TMPDIR to one that can be written"
        return
    if scratch != folder and (why := probe_writing(scratch)[0]):
        yield f"the folder for temporary files, {scratch}, cannot be written: {why}", "set TMPDIR to one that can be"


def token_file() -> Path | None:
    """Where Ray looks for its token; None where this user has no home."""
    if path := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        return absolute_path(path, where="RAY_AUTH_TOKEN_PATH", error=PreflightError)
    try:
        return Path.home() / ".ray" / "auth_token"
    except RuntimeError:
        return None


def _no_token() -> Iterator[tuple[str, str]]:
    if os.environ.get("RAY_AUTH_MODE", "token").lower() != "token" or os.environ.get("RAY_AUTH_TOKEN"):
        return
    path = token_file()
    if path is None:
        yield "there is no home folder, in which Ray keeps its token", "set HOME to a folder that can be written"
    elif is_file(path):
        if not os.access(path, os.R_OK):
            yield f"Ray's token {path} cannot be read", "make it yours (chown), or set RAY_AUTH_TOKEN"
    elif os.environ.get("RAY_AUTH_TOKEN_PATH"):
        yield f"RAY_AUTH_TOKEN_PATH names {path}, and there is no such file", "unset it, or write a token there"
    elif why := probe_writing(path.parent)[0]:
        text = f"the home folder {path.parents[1]} cannot be written ({why}), and Ray keeps its token there"
        yield text, "set HOME to one that can be, or RAY_AUTH_TOKEN to a secret of your own"


def _no_shared_memory() -> Iterator[tuple[str, str]]:
    memory = Path("/dev/shm")
    if not sys.platform.startswith("linux"):
        return
    if not is_folder(memory):
        yield "there is no /dev/shm, through which Ray's processes share data", "mount a tmpfs there"
    elif shutil.disk_usage(memory).free >= OBJECT_STORE and (why := probe_writing(memory)[0]):
        yield f"/dev/shm cannot be written: {why}", "chmod 1777 /dev/shm, as root"
