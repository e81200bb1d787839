"""``raystudy cache ls | rm | gc``: shows and deletes what stage results and checkpoints of cells take on disk."""

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
    """List every stage result and checkpoint: what it belongs to, its size, when it was last used."""
    from raystudy.study.store.cache import LIMIT, entries, is_being_computed, leftovers, total_bytes

    where = _where(folder)
    entries_here, leftover_files = entries(where), leftovers(where)
    keys_in_use = {e.key for e in entries_here if is_being_computed(e)}
    total = total_bytes(entries_here)
    if as_json:
        rows = [
            {
                "key": e.key,
                "kind": e.kind,
                "of": dict(e.about),
                "bytes": e.size,
                "used": e.last_use,
                "fresh": e.fresh,
                "held": e.key in keys_in_use,
                "path": str(e.path),
            }
            for e in entries_here
        ]
        print_json(
            {"folder": str(where), "bytes": total, "entries": rows, "leftovers": [str(p) for p in leftover_files]}
        )
        return
    from raystudy.terminal import TerminalColumn, print_table

    columns = [
        TerminalColumn("key", whole=True),
        TerminalColumn("what", least=10),
        TerminalColumn("method", whole=True),
        TerminalColumn("model", whole=True, spare=2),
        TerminalColumn("seed", right=True, whole=True, spare=1),
        TerminalColumn("target", whole=True),
        TerminalColumn("size", right=True, whole=True),
        TerminalColumn("used", right=True, whole=True, spare=3),
        TerminalColumn("", least=6),
    ]
    lines = []
    for e in entries_here:
        # a digest begins with what tells it apart; a model's is long, and a person knows it by its name
        state = "in use" if e.key in keys_in_use else "" if e.fresh else "of other code"
        lines.append(
            [
                e.key[:12],
                str(e.about.get("part", "?")) if e.kind == "stage" else "checkpoint of a cell",
                str(e.about.get("method", "")),
                str(e.about.get("plm", ""))[:8],
                str(e.about.get("seed", "")),
                str(e.about.get("target", "")),
                megabytes(e.size),
                _ago(e.last_use),
                state,
            ]
        )
    if entries_here:
        print_table(console(), columns, lines)
    old = [e for e in entries_here if not e.fresh]
    each = sum(e.size for e in entries_here)
    shared = f" ({megabytes(each)} if equal tensors were not kept once)" if each > total else ""
    most = f"at most {megabytes(LIMIT)} of stage results are kept"
    tell(f"{where}: {counted(len(entries_here), 'entry', 'entries')}, {megabytes(total)}{shared}; {most}")
    if old:
        size = megabytes(total - total_bytes([e for e in entries_here if e.fresh]))
        tell(
            f"{len(old)} of them ({size}) made by other code or libraries than stand here: python -m raystudy cache gc"
        )
    if leftover_files:
        tell(f"{counted(len(leftover_files), 'file')} left by processes that died: python -m raystudy cache gc")


def rm(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys, or the first letters of each.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Delete entries. Refuses all of it when one is being computed now."""
    from raystudy.study.store.cache import entries, is_being_computed, remove, remove_tensors, total_bytes

    if bool(keys) == everything:
        raise ConfigError("name the keys to delete, or --all")
    where = _where(folder)
    entries_here = entries(where)
    entries_to_delete = entries_here if everything else _entries_of_keys(keys or [], entries_here)
    if busy := [e.key[:12] for e in entries_to_delete if is_being_computed(e)]:
        raise PreflightError(Problem(f"is computed now by a running study: {', '.join(busy)}", file=str(where)))
    if everything and entries_to_delete and not yes:
        size = megabytes(total_bytes(entries_to_delete))
        typer.confirm(
            f"Delete {counted(len(entries_to_delete), 'entry', 'entries')} ({size}) of {where}?", abort=True, err=True
        )
    deleted = [e for e in entries_to_delete if remove(e)]
    remaining = [e for e in entries_here if e not in deleted]
    remove_tensors(deleted, remaining)
    _report(deleted, [], total_bytes(entries_here) - total_bytes(remaining), as_json, done=True)


def gc(
    keep_gb: Annotated[float | None, typer.Option(min=0, help="Then the least used, until so much is left.")] = None,
    results: Annotated[Path, typer.Option(help="Folder with the results folders of studies.")] = RESULTS,
    dry_run: DryRun = False,
    folder: Folder = None,
    as_json: Json = False,
) -> None:
    """Delete what no run will ask for: what other code or libraries made, and what finished or killed cells left."""
    from raystudy.study.store.cache import (
        Entry,
        entries,
        junk,
        leftovers,
        oldest_beyond,
        remove,
        remove_tensors,
        total_bytes,
    )

    where = _where(folder)
    entries_here = entries(where)
    results = _readable(expanded_path(results, "--results"), "--results")
    recorded = {p.parent.name for p in results.glob("*/cells/*/record.json")}
    entries_to_delete = junk(entries_here, recorded)
    if keep_gb is not None:
        entries_to_delete += oldest_beyond([e for e in entries_here if e not in entries_to_delete], keep_gb * 1e9)
    deleted: list[Entry | Path] = [*entries_to_delete, *leftovers(where)]
    if not dry_run:
        deleted = [thing for thing in deleted if remove(thing)]
    gone = [t for t in deleted if isinstance(t, Entry)]
    remaining = [e for e in entries_here if e not in gone]
    if not dry_run:
        remove_tensors(gone, remaining)
    freed = total_bytes(entries_here) - total_bytes(remaining)
    _report(gone, [t for t in deleted if isinstance(t, Path)], freed, as_json, done=not dry_run)


def _entries_of_keys(keys: Sequence[str], entries_here: Sequence[Entry]) -> list[Entry]:
    """The entries that `keys` begin.

    Raises:
        ConfigError: every key that begins none or several.
    """
    entries, problems = [], []
    for key in keys:
        matches = [e for e in entries_here if e.key.startswith(key)] if key else []
        if len(matches) == 1:
            entries += matches
        elif matches:
            problems.append(
                Problem(f"begins {len(matches)} entries: {', '.join(e.key[:16] for e in matches)}", f"KEY {key}")
            )
        else:
            problems.append(
                Problem(f"no entry begins so{did_you_mean(key, [e.key for e in entries_here])}", f"KEY {key}")
            )
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(entries))


def _report(deleted: Sequence[Entry], leftover_files: Sequence[Path], size: int, as_json: bool, *, done: bool) -> None:
    """Say what was deleted, or would be, and the bytes that this frees."""
    if as_json:
        data: dict[str, Any] = {"deleted": done, "bytes": size, "entries": [e.key for e in deleted]}
        print_json({**data, "leftovers": [str(p) for p in leftover_files]})
        return
    word = "deleted" if done else "would delete"
    for e in deleted:
        what = " ".join(str(e.about[k]) for k in ("part", "method") if k in e.about) or e.kind
        tell(f"{word} {e.key[:12]}  {what}  {megabytes(e.size)}")
    of = f"{counted(len(deleted), 'entry', 'entries')} ({megabytes(size)})"
    tell(f"{word} {of} and {counted(len(leftover_files), 'leftover file')}")


def _ago(used: float) -> str:
    seconds = max(0.0, time.time() - used)
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {name} ago"
    return "just now" if used else ""


for command in (ls, rm, gc):
    app.command(short_help=summary(command))(command)
