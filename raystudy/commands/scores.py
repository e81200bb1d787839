"""``raystudy scores SUITE``: shows how Meta-DTL and MFT would weigh the examples of a suite. Trains nothing.

``results/scores-<suite>/`` gets report.md, scores.csv (a row per task, score and space), kg.csv (a row per pair of
classes) and figures/ (the Meta-KG as a heat map, SVG and PDF); the tables are printed as well.

``--distances`` trains an encoder on each task and shows beside the Meta-KG how far each is from each
(`task_distances`); distances.csv has a row per pair and seed. Tasks without classes have distances alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raystudy.catalogue import suites
from raystudy.commands import Json, console, print_json, tell
from raystudy.commands.folders import RESULTS
from raystudy.errors import ConfigError, DataError, PreflightError, Problem, UserError, unknown_name
from raystudy.paths import expanded_path, readable_folder

if TYPE_CHECKING:
    from raystudy.analysis.figures import Figure
    from raystudy.analysis.table import Table
    from raystudy.data.plm import PLM
    from raystudy.example_scores import ExampleScores, Spread
    from raystudy.task_distances import Distances
    from raystudy.tasks import Task

__all__ = ["scores"]

_LEAST_UPDATES = 60  # of a training on one task; fewer do not move the model
# effective share at least so much -> what a weighting does; the first two: sd of a tenth, of a third of the mean
_DOES = (
    (0.99, "the weighting changes the step size, hardly which examples count"),
    (0.9, "the weighting tells examples apart a little"),
    (0.5, "some examples count clearly more than others"),
    (0.0, "few examples carry the weight of all"),
)


def scores(
    suite: Annotated[str, typer.Argument(help="A suite of search_spaces/suites.")],
    data_root: Annotated[Path | None, typer.Option(help="Folder with one folder per task.")] = None,
    plm: Annotated[str, typer.Option(help="minilm, tiny, a folder, or a hub id.")] = "minilm",
    limit: Annotated[int, typer.Option(min=1, help="Training examples per task, stratified.")] = 256,
    out: Annotated[Path | None, typer.Option(help="Results folder (default: results/scores-SUITE).")] = None,
    distances: Annotated[
        bool, typer.Option("--distances", help="Train on each task, and show how far each is from each (TAWT).")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, max=1000, help="Of --distances: epochs of each training.")] = 4,
    lr: Annotated[float, typer.Option(min=1e-7, max=1, help="Of --distances: peak learning rate.")] = 2e-4,
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Of --distances: trainings of each task.")] = 1,
    leave_out: Annotated[
        bool, typer.Option("--leave-out", help="Do without tasks whose data are not at hand.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show how much the scores of Meta-DTL and MFT differ between examples, and which classes are close."""
    data_root = None if data_root is None else readable_folder(data_root, where="--data-root")
    folder = RESULTS / f"scores-{suite}" if out is None else expanded_path(out, "--out")
    tasks, absent = _tasks(suite, data_root, limit, leave_out)
    from raystudy.analysis.figures import draw
    from raystudy.analysis.table import to_csv
    from raystudy.data.plm import resolve
    from raystudy.example_scores import measure
    from raystudy.files import atomic_write
    from raystudy.nn.encoder import verify

    model = resolve(plm)
    verify(model)
    classes_alone = all(t.kind == "classification" for t in tasks.values())
    # where a task has no classes, the Meta-KG is refused, unless the distances are what is asked for
    measured = measure(tasks, model) if classes_alone or not distances else None
    found = _distances(suite, tasks, model, epochs, lr, seeds) if distances else None
    shown, figures, sentences = [], [], [f"{name} is left out: its data are not at hand." for name in absent]
    if measured is not None:
        shown += [_nearest(measured), _spreads(measured)]
        figures += _figures(measured, suite)
        sentences += meaning(measured)
        atomic_write(folder / "kg.csv", to_csv(_pairs(measured)))
        atomic_write(folder / "scores.csv", to_csv(shown[1]))
    if found is not None:
        shown.append(_distance_table(found))
        figures.append(_distance_figure(found, suite))
        sentences += nearness(found)
        atomic_write(folder / "distances.csv", to_csv(_distance_pairs(found)))
    for figure in figures:
        atomic_write(folder / "figures" / f"{figure.name}.svg", draw(figure, "svg"))
        atomic_write(folder / "figures" / f"{figure.name}.pdf", draw(figure, "pdf"))
    report = folder / "report.md"
    training = {"trainings": f"{epochs} epochs at {lr:g} on each task, {seeds} of each"} if distances else {}
    atomic_write(report, _report(suite, tasks, model, limit, shown, figures, sentences, training))
    if as_json:
        answer: dict[str, object] = {"report": str(report), "meaning": sentences}
        if measured is not None:
            answer |= {
                "classes": [list(node) for node in measured.nodes],
                "cosines": {space: _plain(values.tolist()) for space, values in measured.cosines.items()},
                "scores": [{k: _plain(v) for k, v in dataclasses.asdict(s).items()} for s in measured.spreads],
            }
        if found is not None:
            answer["distances"] = {
                "tasks": list(found.tasks),
                "from_to": found.distance.mean(0).tolist(),
                "own": found.own.mean(0).tolist(),
                "untouched": found.of_untouched.mean(0).tolist(),
            }
        print_json(answer)
        return
    from raystudy.terminal import show_report_table

    for table in shown:
        show_report_table(console(), table)
        tell("")
    for line in sentences:
        tell(line)
    tell(f"\n{report}")


def _tasks(suite: str, root: Path | None, limit: int, leave_out: bool) -> tuple[dict[str, Task], list[str]]:
    """The tasks of a suite, with at most `limit` training examples each, and the names of those left out.

    Raises:
        ConfigError: no such suite. PreflightError, DataError: every task that is missing or unfit.
    """
    from raystudy.data.fewshot import cap
    from raystudy.tasks import expand, load

    if suite not in suites():
        raise ConfigError(Problem(unknown_name("suite", suite, list(suites())), "SUITE"))
    of_suite = suites()[suite]["task_options"]
    names = [*dict.fromkeys(n for of in expand(suites()[suite]["tasks"], root=root).values() for n in of)]
    absent = [n for n in names if leave_out and not _at_hand(n, root, _options(of_suite, n, names))]
    tasks: dict[str, Task] = {}
    errors: list[UserError] = []
    for name in (n for n in names if n not in absent):
        try:
            tasks[name] = cap(load(name, root=root, options=_options(of_suite, name, absent)), train=limit)
        except UserError as e:
            errors.append(e)
    if errors:
        raise type(max(errors, key=lambda e: e.exit_code))(p for e in errors for p in e.problems)
    if few := [name for name, t in tasks.items() if t.kind == "classification" and limit < len(t.labels)]:
        rule = "must be at least the number of classes"
        raise DataError(Problem(f"{rule}, {len(tasks[n].labels)} in {n}, but is {limit}", "--limit") for n in few)
    return tasks, absent


def _options(of_suite: Mapping[str, Mapping[str, Any]], name: str, absent: Sequence[str]) -> dict[str, Any]:
    """What the suite says of how a task is read; the texts of `absent` tasks need not be left out of it."""
    options = dict(of_suite.get(name.partition("/")[0], {}))
    if "without" in options:
        options["without"] = [t for t in options["without"] if t not in absent]
    return options


def _at_hand(name: str, root: Path | None, options: Mapping[str, Any]) -> bool:
    """Whether the data of a task can be had; what else is wrong with them is no matter here."""
    from raystudy.tasks import load

    try:
        load(name, root=root, options=options)
    except PreflightError:
        return False
    except UserError:
        return True
    return True


def _plain(x: object) -> object:
    """`x` with None in the place of NaN, which JSON does not have."""
    if isinstance(x, list):
        return [_plain(v) for v in x]
    return None if isinstance(x, float) and math.isnan(x) else x


# ---------------------------------------------------------------------------------------------------------------------
# tables and figures


def _nearest(measured: ExampleScores) -> Table:
    """A table with the nearest class of another task for each class; the cosine between the two is beta."""
    from raystudy.analysis.table import Cell, Column, Table, changes

    rows = []
    for i, (task, words) in enumerate(measured.nodes):
        row = [Cell(task), Cell(words)]
        for values in measured.cosines.values():
            others = [
                (float(v), node)
                for v, node in zip(values[i], measured.nodes, strict=True)
                if node[0] != task and not math.isnan(v)
            ]
            cosine, node = max(others, key=lambda o: o[0], default=(math.nan, ("", "")))
            row += [Cell(": ".join(node) if others else None), Cell(cosine)]
        rows.append(tuple(row))
    columns = [Column("task", "task", "code"), Column("class", "class")]
    for space in measured.cosines:
        columns += [
            Column(f"nearest {space}", f"nearest class of another task, {space}"),
            Column(f"beta {space}", "β", "number", digits=3),
        ]
    caption = "The Meta-KG, the nearest class of another task for each class; their cosine is β of all its examples."
    return Table("nearest", caption, tuple(columns), tuple(rows), breaks=changes([t for t, _ in measured.nodes]))


def _spreads(measured: ExampleScores) -> Table:
    """A table of how the scores are spread, with a row per task, score and space."""
    from raystudy.analysis.table import Cell, Column, Note, Table, changes

    numbers = {
        "mean": "mean",
        "sd": "sd",
        "least": "min",
        "p5": "5 %",
        "median": "median",
        "p95": "95 %",
        "greatest": "max",
        "not_positive": "share ≤ 0",
        "within": "within classes",
        "effective": "effective n / n",
    }
    columns = (
        Column("task", "task", "code"),
        Column("score", "score"),
        Column("space", "embeddings"),
        Column("n", "n", "count"),
        *(Column(name, title, "number", digits=3) for name, title in numbers.items()),
    )
    symbol_titles = {"alpha": "α", "beta": "β", "m mean1": "m (mean1)"}
    rows = tuple(
        (
            Cell(s.task),
            Cell(s.score, symbol_titles.get(s.score, "")),
            Cell(s.space),
            Cell(s.n),
            *(Cell(getattr(s, name)) for name in numbers),
        )
        for s in measured.spreads
    )
    typical = (
        "t: MFT's typicality (eq. 1, a = 0.5)" if measured.domains else "t of MFT needs the same classes everywhere"
    )
    symbols = (
        "α, β, m = (α + β) / 2: Meta-DTL (sec. 3.2). m (mean1): clipped at 0, then rescaled to mean 1 over all tasks. "
        f"{typical}. Centred: the common mean of all tasks taken off the embeddings. That makes the means of K tasks "
        "sum to zero, which pulls their cosines towards -1 / (K - 1): with few tasks, centring drives tasks apart."
    )
    shares = (
        "Within classes: the share of a score's variance that lies within classes; the rest only weighs classes "
        "against each other. Effective n / n: (Σw)² / Σw² / n with the score as weight, negative ones as 0; 1 means "
        "that all examples count alike."
    )
    return Table(
        "scores",
        "Spread of the scores over the training examples.",
        columns,
        rows,
        (Note(symbols), Note(shares)),
        changes([s.task for s in measured.spreads]),
    )


def _pairs(measured: ExampleScores) -> Table:
    """A table of the whole Meta-KG, with a row per pair of classes."""
    from raystudy.analysis.table import Cell, Column, Table

    names = ("task", "class", "other task", "other class")
    columns = tuple(Column(n, n) for n in names) + tuple(Column(s, s, "number", digits=3) for s in measured.cosines)
    rows = tuple(
        (*map(Cell, (*a, *b)), *(Cell(float(v[i, j])) for v in measured.cosines.values()))
        for i, a in enumerate(measured.nodes)
        for j, b in enumerate(measured.nodes)
    )
    return Table("kg", "The Meta-KG.", columns, rows)


def _figures(measured: ExampleScores, suite: str) -> list[Figure]:
    from raystudy.analysis.heatmap import heat_map

    tasks = list(dict.fromkeys(task for task, _ in measured.nodes))
    one = len({t.partition("/")[0] for t in tasks}) == 1 and all("/" in t for t in tasks)
    groups = [(t.partition("/")[2] if one else t, [c for of, c in measured.nodes if of == t]) for t in tasks]
    out = []
    for space, values in measured.cosines.items():
        heading = f"Meta-KG of {suite}, " + ("raw embeddings" if space == "raw" else "centred embeddings")
        title = f"{heading}: cosines between all classes, a frame around the nearest one of another task"
        out.append(heat_map(f"kg_{space}", title, heading, groups, values, about_zero=space == "centred"))
    return out


# ---------------------------------------------------------------------------------------------------------------------
# distances


def _distances(suite: str, tasks: Mapping[str, Task], model: PLM, epochs: int, lr: float, seeds: int) -> Distances:
    """Train on each task of a suite; its own length is the suite's."""
    from raystudy.task_distances import distances

    settings = {"lr": lr, "batch_size": 16, "source_epochs": epochs, "clip": 1.0, "feature": "mean"}
    settings |= {"freeze": "embeddings", "min_updates": _LEAST_UPDATES}
    length = suites()[suite]["length"]
    length = min(length, model.positions) if length else None
    return distances(tasks, model, settings=settings, seeds=range(seeds), length=length)


def _distance_table(found: Distances) -> Table:
    """A table with a row per target and a column per source, so that the numbers of a row can be compared."""
    from raystudy.analysis.table import Cell, Column, Note, Table

    mean, own, untouched = found.distance.mean(0), found.own.mean(0), found.of_untouched.mean(0)
    columns = (
        Column("target", "target", "code"),
        Column("own", "least loss of its own", "number", digits=3),
        *(Column(f"from {name}", f"from {name}", "number", digits=3, signed=True) for name in found.tasks),
        Column("from untouched", "from the untouched model", "number", digits=3, signed=True),
    )
    rows = tuple(
        (
            Cell(name),
            Cell(float(own[t])),
            *(Cell(float(mean[s, t])) for s in range(len(found.tasks))),
            Cell(float(untouched[t])),
        )
        for t, name in enumerate(found.tasks)
    )
    definition = (
        "How much more loss the target's best head has on an encoder that was trained on the source than on one that "
        "was trained on the target itself, over the target's training examples, in nats per example or word (of "
        "numbers, squared standard deviations). Below zero, the source taught the encoder more. Two rows are in the "
        "losses of two targets, and cannot be compared."
    )
    return Table("distances", "Task distances, from each source to each target.", columns, rows, (Note(definition),))


def _distance_pairs(found: Distances) -> Table:
    """A table with a row per source, target and seed."""
    from raystudy.analysis.table import Cell, Column, Table

    names = ("source", "target")
    columns = (
        *(Column(n, n) for n in names),
        Column("seed", "seed", "count"),
        *(Column(n, n, "number", digits=4) for n in ("least loss", "distance")),
    )
    rows = tuple(
        (Cell(a), Cell(b), Cell(seed), Cell(float(found.least[seed, s, t])), Cell(float(found.distance[seed, s, t])))
        for s, a in enumerate(found.tasks)
        for t, b in enumerate(found.tasks)
        for seed in range(len(found.least))
    )
    return Table("distances", "Task distances.", columns, rows)


def _distance_figure(found: Distances, suite: str) -> Figure:
    from raystudy.analysis.heatmap import heat_map

    heading = f"Task distances of {suite}: from a column's task to a row's"
    title = f"{heading}; a frame around the nearest source of each row"
    groups = [(name, [name]) for name in found.tasks]
    values = found.distance.mean(0).T
    return heat_map("distances", title, heading, groups, values, about_zero=True, unit="nats", nearest="least")


def nearness(found: Distances) -> Iterable[str]:
    """A sentence for each target: which source is the nearest, and whether any is nearer than the untouched model."""
    mean, untouched = found.distance.mean(0), found.of_untouched.mean(0)
    for t, name in enumerate(found.tasks):
        others = [(float(mean[s, t]), source) for s, source in enumerate(found.tasks) if s != t]
        nearest, source = min(others)
        helps = [s for d, s in sorted(others) if d < untouched[t]]
        than = f"than the untouched model ({untouched[t]:+.3f})"
        nearer = f"nearer {than}: {', '.join(helps)}" if helps else f"no source is nearer {than}"
        yield f"{name}: the nearest source is {source}, at a distance of {nearest:+.3f}; {nearer}."


# ---------------------------------------------------------------------------------------------------------------------
# words


def meaning(measured: ExampleScores) -> Iterable[str]:
    """A sentence for each task on what a weighting by m does there, and for each domain on a weighting by t."""
    for task in dict.fromkeys(s.task for s in measured.spreads):
        of = {(s.score, s.space): s for s in measured.spreads if s.task == task}
        average = f"; its examples weigh {of['m mean1', 'raw'].mean:.2f} of the mean over all tasks"
        for symbol in ("m", "t") if measured.domains else ("m",):
            raw, centred = (_about(symbol, of[symbol, space]) for space in ("raw", "centred"))
            yield f"{task}: {raw}{average if symbol == 'm' else ''}. Centred, {centred}."


def _about(symbol: str, s: Spread) -> str:
    if math.isnan(s.effective):
        return f"no {symbol} is positive, so that no example has a weight"
    does = next(words for least, words in _DOES if s.effective >= least)
    where = f"{symbol} runs from {s.p5:z.2f} to {s.p95:z.2f} (5 % to 95 %)"
    if s.not_positive:
        share = _percent(s.not_positive)
        where += f" and is not positive for {share} of the examples, which `weights: raw` refuses; clipped at 0"
    sentence = f"{where}: {does} (effective sample size {s.effective:.3f} n)"
    if s.within < 0.5:  # NaN where nothing varies
        sentence += f", and {_percent(1 - s.within)} of the variance only tells classes apart"
    return sentence


def _percent(share: float) -> str:
    if 0 < share < 0.01 or 0.99 < share < 1:
        return "less than 1 %" if share < 0.5 else "more than 99 %"
    return f"{100 * share:.0f} %"


def _report(
    suite: str,
    tasks: Mapping[str, Task],
    model: PLM,
    limit: int,
    tables: Sequence[Table],
    figures: Sequence[Figure],
    sentences: Sequence[str],
    training: Mapping[str, str],
) -> str:
    """The text of report.md."""
    from raystudy.analysis.markdown import to_markdown

    sizes = ", ".join(f"{name} {len(t.splits['train'])}" for name, t in tasks.items())
    facts = {
        "model": f"{model.about}; digest {model.digest}",
        "training examples": f"{sizes} (at most {limit} a task, stratified)",
        "longest sequence": ", ".join(f"{n} {k}" for n, k in _lengths(tasks, model).items()) + " word pieces",
        "data": ", ".join(f"{name} {t.digest}" for name, t in tasks.items()),
        **training,
    }
    table_of, pictures = {t.name: t for t in tables}, [f"![{f.title}](figures/{f.name}.svg)" for f in figures]
    of_distances = [p for p, f in zip(pictures, figures, strict=True) if f.name == "distances"]
    parts = [f"# Scores of the suite {suite}"]
    if "nearest" in table_of:
        what = "What the weighting of Meta-DTL and MFT has to work with here"
        parts.append(f"{what}: embeddings of the untouched model, no training.")
    parts += ["## What it means", "\n".join(f"- {line}" for line in sentences)]
    if "nearest" in table_of:
        parts += [
            "## Meta-KG",
            "In each row a frame marks the nearest class of another task.",
            *(p for p in pictures if p not in of_distances),
            to_markdown(table_of["nearest"]),
            "All pairs of classes are in kg.csv.",
        ]
    if "distances" in table_of:
        parts += [
            "## Task distances",
            "For these an encoder was trained on each task. In each row a frame marks the nearest source.",
            *of_distances,
            to_markdown(table_of["distances"]),
            "All pairs and seeds are in distances.csv.",
        ]
    if "scores" in table_of:
        parts += ["## Scores", to_markdown(table_of["scores"])]
    parts += ["## Provenance", "\n".join(f"- {name}: {text}" for name, text in facts.items())]
    return "\n\n".join(p.strip("\n") for p in parts) + "\n"


def _lengths(tasks: Mapping[str, Task], model: PLM) -> dict[str, int]:
    return {name: min(t.length, model.positions) for name, t in tasks.items()}
