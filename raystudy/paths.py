"""Handles the paths that a person names in a study file, an option or the environment. No other module does.

Such a path may be relative, begin with ``~``, hold a NUL, be longer than a file system allows, lead in a circle of
links, or to a place that may not be read. Python answers each of these with another exception, or with none; here each
becomes a `Problem` in words. Every path that goes to a worker is made absolute, because the current folder of a worker
is not that of the command.
"""

from __future__ import annotations

import errno
import os
from collections.abc import MutableMapping
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Literal

from raystudy.errors import ConfigError, PreflightError, Problem, UserError, quoted

__all__ = [
    "absolute_environment",
    "absolute_path",
    "expanded_path",
    "is_absent",
    "is_file",
    "is_folder",
    "kind_of",
    "readable_folder",
    "results_path",
    "why_no_folder",
]

# nothing can lie at such a path; every other error means that it cannot be looked at
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
# variables of the environment that hold a path, of ours and of the libraries that workers use
_VARIABLES = (
    *("RAYSTUDY_CACHE", "HOME", "TMPDIR", "RAY_TMPDIR", "RAY_AUTH_TOKEN_PATH", "XDG_CACHE_HOME", "MPLCONFIGDIR"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_ASSETS_CACHE", "HF_XET_CACHE"),
    *("HF_TOKEN_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)

PathKind = Literal["folder", "file", "other", "nothing", "closed"]


def expanded_path(path: str | Path, where: str = "", file: str = "", error: type[UserError] = ConfigError) -> Path:
    """`path` with a leading ``~`` written out, else as it is: for what only this process uses and shows.

    Args:
        where, file: what the problem is about, as a `Problem` names it.

    Raises:
        error: it is empty, holds a NUL, or the ``~`` of a user that this machine does not know.
    """
    text = os.fspath(path)
    if not text:  # an unset variable of a shell, mostly; Python would take the current folder
        raise error(Problem("must be a path, but is empty", where, file))
    if "\0" in text:
        raise error(
            Problem(f"must be a path, but {quoted(text)} holds a NUL character, which no path can", where, file)
        )
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user, or a user without a home
        user = Path(text).parts[0]
        raise error(Problem(f"no home folder is known for the {user} of {quoted(text)}", where, file)) from None


def absolute_path(
    path: str | Path, base: Path | None = None, where: str = "", file: str = "", error: type[UserError] = ConfigError
) -> Path:
    """`path` as an absolute one, links in it left as they are; relative to `base`, or to the current folder.

    Raises:
        error: as `expanded_path`; or the current folder is needed and is no more.
    """
    joined = (base or Path()) / expanded_path(path, where, file, error)
    try:
        return joined.absolute()
    except OSError:
        why = f"cannot be made of {quoted(str(joined))}: the current folder is no more"
        raise error(Problem(f"an absolute path {why}", where, file)) from None


def kind_of(path: Path) -> PathKind:
    """What lies at `path`, links followed; ``closed`` where that cannot be known, for want of a right or of a disk."""
    return _kind_and_reason(path)[0]


def is_folder(path: Path) -> bool:
    """Whether a folder lies at `path`. No path raises; what cannot be looked at is none."""
    return kind_of(path) == "folder"


def is_file(path: Path) -> bool:
    """Whether a regular file lies at `path`. No path raises; what cannot be looked at is none."""
    return kind_of(path) == "file"


def is_absent(path: Path) -> bool:
    """Whether nothing lies at `path`, and something could: unlike a name that is too long, or a path below a file."""
    return _kind_and_reason(path) == ("nothing", os.strerror(errno.ENOENT))


def _kind_and_reason(path: Path) -> tuple[PathKind, str]:
    """(what lies at `path`, the system's words where nothing does or where it cannot be looked at)."""
    try:
        mode = path.stat().st_mode
    except ValueError:  # a NUL
        return "nothing", "no path holds a NUL character"
    except OSError as e:
        return "nothing" if e.errno in _NOTHING else "closed", e.strerror or str(e)
    return "folder" if S_ISDIR(mode) else "file" if S_ISREG(mode) else "other", ""


def readable_folder(
    path: str | Path, base: Path | None = None, where: str = "", file: str = "", error: type[UserError] = ConfigError
) -> Path:
    """The folder at `path` (see `absolute_path`), links resolved.

    Raises:
        error: it is no folder, or one that may not be read.
    """
    folder = Path(os.path.realpath(absolute_path(path, base, where, file, error)))
    if why := why_no_folder(folder):
        raise error(Problem(why, where, file))
    return folder


def results_path(path: str | Path, where: str = "", file: str = "") -> Path:
    """`path` (see `expanded_path`), at which a folder lies or nothing does yet: what a run may write its results to.

    Raises:
        ConfigError: a file lies there, the name is too long, or it cannot be looked at.
    """
    folder = expanded_path(path, where, file)
    if not is_absent(folder) and (why := why_no_folder(folder)):
        raise ConfigError(Problem(why, where, file))
    return folder


def why_no_folder(path: Path) -> str:
    """Why `path` is not a folder that can be read, in words; empty where it is one."""
    kind, reason = _kind_and_reason(path)
    name = str(path) if len(str(path)) <= 300 else f"{str(path)[:200]} ... {str(path)[-60:]}"
    if kind == "nothing":
        usual = reason in ("", os.strerror(errno.ENOENT))
        return f"is not a folder: {name}" + ("" if usual else f" ({reason})")
    if kind == "closed":
        return f"cannot be looked at: {name} ({reason})"
    if kind != "folder":
        return f"is not a folder, but a file: {name}"
    try:
        os.scandir(path).close()
    except OSError as e:
        return f"is a folder that cannot be read: {name} ({e.strerror or e})"
    if not os.access(path, os.X_OK):
        return f"is a folder in which nothing can be read: {name} ({os.strerror(errno.EACCES)})"
    return ""


def absolute_environment(environment: MutableMapping[str, str]) -> None:
    """Make the paths in `environment` absolute. A worker inherits the environment, but not the current folder.

    Raises:
        PreflightError: one of them cannot be a path, with its name.
    """
    for name in ("TMPDIR", "RAY_TMPDIR"):
        if environment.get(name) == "":  # Ray would take it for the current folder
            del environment[name]
    for name in _VARIABLES:
        if text := environment.get(name):
            # the hub's client writes variables out in its own
            text = os.path.expandvars(text) if name.startswith("HF_") else text
            environment[name] = str(absolute_path(text, where=name, error=PreflightError))
