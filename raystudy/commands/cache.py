"""``raystudy cache ls | rm | gc``: what the stage store and the checkpoints of running cells take on disk."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.commands import Json, console, megabytes, print_json, summary, tell
from raystudy.commands.folders import RESULTS
from raystudy.errors import ConfigError, PreflightError, Problem, did_you_mean
from raystudy.paths import expanded_path, is_absent, why_no_folder
from raystudy.wording import counted

if TYPE_CHECKING:
    from raystudy.study.store.cache import Entry

__all__ = ["app", "gc", "ls", "rm"]

app = typer.Typer(
    no_args_is_help=True,
    subcommand_metavar="COMMAND [ARGS]",
    help="Stage results and checkpoints on disk. All of it may be deleted: it is computed again.",
)
Folder = Annotated[Path | None, typer.Option(help="Cache folder (default: $RAYSTUDY_CACHE, or the user's).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would go, delete nothing.")]


def _where(folder: Path | None) -> Path:
    """The cache folder, which need not be there yet.

    Raises:
        ConfigError, PreflightError: it is a file, or may not be read.
    """
    from raystudy.study.store.cache import cache_folder

    where = cache_folder() if folder is None else expanded_path(folder, "--folder")
    return _readable(where, "RAYSTUDY_CACHE" if folder is None else "--folder")


def _readable(folder: Path, option: str) -> Path:
    """`folder`, where it is one that can be read or nothing yet.

    Raises:
        ConfigError: it is neither.
    """
    if not is_absent(folder) and (why := why_no_folder(folder)):
        raise ConfigError(Problem(why, option))
    return folder


def ls(folder: Folder = None, as_json: Json = False) -> None:
    """Every stage result and checkpoint: what it is of, its size, when it was last used."""
    from raystudy.study.store.cache import entries, held, leftovers

    where = _where(folder)
    found, left = entries(where), leftovers(where)
    busy = {e.key for e in found if held(e)}
    total = sum(e.size for e in found)
    if as_json:
        rows = [
            {
                "key": e.key,
                "kind": e.kind,
                "of": dict(e.about),
                "bytes": e.size,
                "used": e.used,
                "fresh": e.fresh,
                "held": e.key in busy,
                "path": str(e.path),
            }
            for e in found
        ]
        print_json({"folder": str(where), "bytes": total, "entries": rows, "leftovers": [str(p) for p in left]})
        return
    from raystudy.terminal import Column, grid

    columns = [
        Column("key", whole=True),
        Column("what", least=10),
        Column("method", whole=True),
        Column("model", whole=True, spare=2),
        Column("seed", right=True, whole=True, spare=1),
        Column("target", whole=True),
        Column("size", right=True, whole=True),
        Column("used", right=True, whole=True, spare=3),
        Column("", least=6),
    ]
    lines = []
    for e in found:
        # a digest begins with what tells it apart; a model's is long, and a person knows it by its name
        state = "in use" if e.key in busy else "" if e.fresh else "of other code"
        lines.append(
            [
                e.key[:12],
                str(e.about.get("part", "?")) if e.kind == "stage" else "checkpoint of a cell",
                str(e.about.get("method", "")),
                str(e.about.get("plm", ""))[:8],
                str(e.about.get("seed", "")),
                str(e.about.get("target", "")),
                megabytes(e.size),
                _ago(e.used),
                state,
            ]
        )
    if found:
        grid(console(), columns, lines)
    old = [e for e in found if not e.fresh]
    tell(f"{where}: {counted(len(found), 'entry', 'entries')}, {megabytes(total)}")
    if old:
        size = megabytes(sum(e.size for e in old))
        tell(
            f"{len(old)} of them ({size}) made by other code or libraries than stand here: python -m raystudy cache gc"
        )
    if left:
        tell(f"{counted(len(left), 'file')} left by processes that died: python -m raystudy cache gc")


def rm(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys, or the first letters of each.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Delete entries. Refuses all of it when one is being computed now."""
    from raystudy.study.store.cache import entries, held, remove

    if bool(keys) == everything:
        raise ConfigError("name the keys to delete, or --all")
    where = _where(folder)
    found = entries(where)
    chosen = found if everything else _chosen(keys or [], found)
    if busy := [e.key[:12] for e in chosen if held(e)]:
        raise PreflightError(Problem(f"is computed now by a running study: {', '.join(busy)}", file=str(where)))
    if everything and chosen and not yes:
        size = megabytes(sum(e.size for e in chosen))
        typer.confirm(f"Delete {counted(len(chosen), 'entry', 'entries')} ({size}) of {where}?", abort=True, err=True)
    _report([e for e in chosen if remove(e)], [], as_json, done=True)


def gc(
    keep_gb: Annotated[float | None, typer.Option(min=0, help="Then the least used, until so much is left.")] = None,
    results: Annotated[Path, typer.Option(help="Folder with the results folders of studies.")] = RESULTS,
    dry_run: DryRun = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Delete what no run will ask for: of other code or libraries, of cells that are recorded, left by the dead."""
    from raystudy.study.store.cache import entries, junk, leftovers, oldest_beyond, remove

    where = _where(folder)
    found = entries(where)
    results = _readable(expanded_path(results, "--results"), "--results")
    recorded = {p.parent.name for p in results.glob("*/cells/*/record.json")}
    chosen = junk(found, recorded)
    if keep_gb is not None:
        chosen += oldest_beyond([e for e in found if e not in chosen], keep_gb * 1e9)
    gone: list[Entry | Path] = [*chosen, *leftovers(where)]
    if not dry_run:
        gone = [thing for thing in gone if remove(thing)]
    _report(
        [t for t in gone if not isinstance(t, Path)], [t for t in gone if isinstance(t, Path)], as_json, not dry_run
    )


def _chosen(keys: Sequence[str], found: Sequence[Entry]) -> list[Entry]:
    """The entries that `keys` begin.

    Raises:
        ConfigError: every key that begins none or several.
    """
    chosen, problems = [], []
    for key in keys:
        fits = [e for e in found if e.key.startswith(key)] if key else []
        if len(fits) == 1:
            chosen += fits
        elif fits:
            problems.append(Problem(f"begins {len(fits)} entries: {', '.join(e.key[:16] for e in fits)}", f"KEY {key}"))
        else:
            problems.append(Problem(f"no entry begins so{did_you_mean(key, [e.key for e in found])}", f"KEY {key}"))
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(chosen))


def _report(gone: Sequence[Entry], left: Sequence[Path], as_json: bool, done: bool) -> None:
    size = sum(e.size for e in gone)
    if as_json:
        data: dict[str, Any] = {"deleted": done, "bytes": size, "entries": [e.key for e in gone]}
        print_json({**data, "leftovers": [str(p) for p in left]})
        return
    word = "deleted" if done else "would delete"
    for e in gone:
        what = " ".join(str(e.about[k]) for k in ("part", "method") if k in e.about) or e.kind
        tell(f"{word} {e.key[:12]}  {what}  {megabytes(e.size)}")
    of = f"{counted(len(gone), 'entry', 'entries')} ({megabytes(size)})"
    tell(f"{word} {of} and {counted(len(left), 'leftover file')}")


def _ago(used: float) -> str:
    seconds = max(0.0, time.time() - used)
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name} ago"
    return "just now" if used else ""


for command in (ls, rm, gc):
    app.command(short_help=summary(command))(command)
