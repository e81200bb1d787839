"""``raystudy exhibits [NAME]``: lists the papers' tables and figures, what each takes, lacks and where it is made."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.commands import Json, console, print_json, tell
from raystudy.commands.folders import RESULTS
from raystudy.errors import ConfigError, Problem, unknown_name
from raystudy.paths import readable_folder
from raystudy.wording import counted, listed

if TYPE_CHECKING:
    from raystudy.exhibit_costs import Cost, Made, Pace
    from raystudy.exhibits import Exhibit, Scale

__all__ = ["exhibits"]


def exhibits(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="An exhibit or a paper: mft_table4, mft.")
    ] = None,
    scale: Annotated[str, typer.Option(help="Whose cost is listed: smoke, small or paper.")] = "small",
    data_root: Annotated[Path | None, typer.Option(help="Folder with one folder per task.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of results folders, in which exhibits were made.")] = RESULTS,
    as_json: Json = False,
) -> None:
    """List the papers' tables and figures: what each takes, at which scale it was made, what is missing for it."""
    from raystudy.exhibit_costs import made_below, paces_of
    from raystudy.exhibits import SCALES, find, names, papers

    problems = []
    known = [n for n in names() if name in (None, n, find(n).paper.id)]
    if not known:
        problems.append(Problem(unknown_name("exhibit or paper", str(name), [*names(), *papers()]), "NAME"))
    if scale not in SCALES:
        problems.append(Problem(unknown_name("scale", scale, SCALES), "--scale"))
    root = None
    try:
        root = None if data_root is None else readable_folder(data_root, where="--data-root")
    except ConfigError as e:
        problems += e.problems
    if problems:
        raise ConfigError(problems)
    made = made_below(results)
    paces = paces_of(m.folder for m in made)
    chosen = [find(n) for n in known]
    if as_json:
        print_json([_row(e, root, made, paces) for e in chosen])
    elif name in known:
        _show(chosen[0], root, made, paces)
    else:
        _list(chosen, scale, root, made, paces)  # type: ignore[arg-type]


def _row(exhibit: Exhibit, root: Path | None, made: list[Made], paces: dict[str, Pace]) -> dict[str, Any]:
    """What `--json` prints of an exhibit."""
    from raystudy.exhibit_costs import cost_of, missing_model
    from raystudy.exhibits import SCALES

    scales = {}
    for scale in SCALES:
        cost = cost_of(exhibit, scale, paces)
        model = exhibit.model(scale)
        scales[scale] = {
            "model": model,
            **({k: v for k, v in asdict(cost).items() if k != "model"} if cost is not None else {}),
            "missing": {
                "data": list(exhibit.missing_data(scale, root)),
                "model": missing_model(model) or None,
            },
            "made": [
                {"folder": str(m.folder), "rendered": m.rendered, "done": m.done, "planned": m.planned}
                for m in made
                if (m.exhibit, m.scale) == (exhibit.name, scale)
            ],
        }
    return {
        "id": exhibit.name,
        "paper": exhibit.paper.id,
        "title": exhibit.title,
        "about": exhibit.about,
        "reading": bool(exhibit.readings_of),
        "trains": bool(exhibit.methods),
        "suites": list(exhibit.suites),
        "scales": scales,
    }


def _cost_words(cost: Cost | None) -> tuple[str, str]:
    """(passes, time) of an exhibit."""
    from raystudy.exhibit_costs import spoken_time

    return ("", "seconds") if cost is None else (f"{cost.passes:,.0f}", spoken_time(cost.seconds))


def _missing_words(exhibit: Exhibit, scale: Scale, root: Path | None) -> str:
    from raystudy.exhibit_costs import missing_model

    model = exhibit.model(scale)
    absent = missing_model(model) if model else ""
    return ", ".join([*exhibit.missing_data(scale, root), *([f"model {absent}"] if absent else [])])


def _list(chosen: list[Exhibit], scale: Scale, root: Path | None, made: list[Made], paces: dict[str, Pace]) -> None:
    """Print a table of the exhibits, and below it those that are no table or figure of a paper."""
    from raystudy.exhibit_costs import cost_of
    from raystudy.terminal import TerminalColumn, print_table

    columns = [
        TerminalColumn("exhibit", whole=True),
        TerminalColumn("cells", right=True, whole=True, spare=2),
        TerminalColumn("passes", right=True, whole=True),
        TerminalColumn("time", right=True, whole=True),
        TerminalColumn("made at", least=7),
        TerminalColumn("missing", least=20),
        TerminalColumn("what it shows", least=30, spare=1),
    ]
    costs = {e.name: cost_of(e, scale, paces) for e in chosen}
    for title, group in (
        ("", [e for e in chosen if not e.readings_of]),
        ("readings of passages that a paper leaves open (not in the papers):", [e for e in chosen if e.readings_of]),
    ):
        if not group:
            continue
        if title:
            tell(f"\n{title}")
        rows = []
        for e in group:
            cost = costs[e.name]
            where = dict.fromkeys(str(m) for m in made if m.exhibit == e.name)
            cells = "" if cost is None else f"{cost.cells:,}"
            rows.append([e.name, cells, *_cost_words(cost), ", ".join(where), _missing_words(e, scale, root), e.about])
        print_table(console(), columns, rows)
    trained = [c for c in costs.values() if c is not None]
    known = sum(c.pace.trainings for c in {c.model: c for c in trained}.values())
    basis = f"the pace of {counted(known, 'training')} on this machine" if known else "a guess of the pace of a core"
    tell(
        f"\nPasses (forward and backward over one batch) and time on all cores at scale {scale}, by {basis} and by the "
        "sizes that the data sets were published with: `python -m raystudy.run NAME --dry-run` reads the data."
    )
    if root is None and scale != "smoke":
        tell("Missing is what lies in no cache of this machine; your own folders: --data-root DIR")
    tell("A whole paper at once: python -m raystudy.run reproduce --paper NAME")


def _show(exhibit: Exhibit, root: Path | None, made: list[Made], paces: dict[str, Pace]) -> None:
    """Print one exhibit with its cost at every scale."""
    from raystudy.exhibit_costs import cost_of
    from raystudy.exhibits import SCALES
    from raystudy.terminal import TerminalColumn, print_facts, print_table

    tables = "nothing is trained for it" if not exhibit.methods else ", ".join(exhibit.methods)
    facts = {
        "exhibit": f"{exhibit.name}: {exhibit.title}",
        "paper": exhibit.paper.citation,
        "what it shows": exhibit.about,
        "suites": listed(exhibit.suites),
        "methods": tables,
    }
    print_facts(console(), facts.items())
    tell("")
    columns = [
        TerminalColumn("scale", whole=True),
        TerminalColumn("model", whole=True, spare=1),
        TerminalColumn("cells", right=True, whole=True),
        TerminalColumn("passes", right=True, whole=True),
        TerminalColumn("time", right=True, whole=True),
        TerminalColumn("missing", least=20),
        TerminalColumn("made in", least=20),
    ]
    rows = []
    for scale in SCALES:
        cost = cost_of(exhibit, scale, paces)
        own = [m for m in made if (m.exhibit, m.scale) == (exhibit.name, scale)]
        folders = ", ".join(f"{m.folder}{'' if m.complete else f' ({m.done}/{m.planned} cells)'}" for m in own)
        cells = "" if cost is None else f"{cost.cells:,}"
        model = exhibit.model(scale)
        rows.append([scale, model, cells, *_cost_words(cost), _missing_words(exhibit, scale, root), folders])
    print_table(console(), columns, rows)
    tell(f"\npython -m raystudy.run {exhibit.name} --scale small makes it.")
