"""``raystudy methods [NAME]``: lists every variant and what a search moves, or shows all settings of one.

A method of a user's own is shown by its file, ``methods ./stilts.py``, which is read and not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from raystudy.catalogue import Catalogue, Parameter, Variant, catalogue, own_variants
from raystudy.commands import Json, console, print_json, tell
from raystudy.errors import ConfigError, Problem, unknown_name
from raystudy.own_entries import use_named
from raystudy.own_modules import names_a_file, own_module, split_entry
from raystudy.wording import spelt

__all__ = ["methods"]


def methods(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A variant or a method: metaxt_centred, metaxt, floors; or ./mine.py."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List every variant, what it is, and which of its settings a search moves, or show all settings of one."""
    if name is not None and names_a_file(name):
        path, part = split_entry(name)
        own = use_named("methods", path, "NAME")
        declared = own_variants(own)
        name = part or (declared[0] if len(declared) == 1 else own.name)
    cat = catalogue()
    variants = sorted(cat.variants.values(), key=lambda v: (v.method, v.role != "baseline"))
    if name is not None:
        variants = _variants_of(name, cat)
    if as_json:
        print_json([_row(v, cat) for v in variants])
        return
    if name is None:
        _list(variants, cat)
        tell("\npython -m raystudy methods NAME shows all settings of one, with the papers' values and the ranges.")
    elif len(variants) == 1:
        _show(variants[0], cat)
    else:
        tell(f"{name}: {len(variants)} variants of one method")
        _list(variants, cat)
        tell("\npython -m raystudy methods NAME shows all settings of one.")


def _variants_of(name: str, cat: Catalogue) -> list[Variant]:
    """The variant of that name, which may carry settings, or all variants of a method that is no variant itself.

    Raises:
        ConfigError: there is neither, or the settings in the name are wrong.
    """
    base = name.partition("[")[0]
    if base not in cat.variants:
        if name in cat.parameters:
            return [v for v in cat.variants.values() if v.method == name]
        raise ConfigError(Problem(unknown_name("method", name, [*{**cat.variants, **cat.parameters}]), "NAME"))
    return [cat.variant(name)]


def _row(v: Variant, cat: Catalogue) -> dict[str, Any]:
    """What `--json` prints of a variant."""
    return {
        "id": v.id,
        "title": v.title,
        "about": v.about,
        "role": v.role,
        "paper": v.paper,
        "section": v.section,
        "rows": list(v.rows),
        "index": list(v.index),
        "module": own.file if (own := own_module("methods", v.method)) else f"raystudy.methods.{v.method}",
        "fixes": dict(v.fixes),
        "settings": {
            n: p.model_dump(mode="json", exclude_defaults=True) | {"paper": cat.defaults(v.id)[n]}
            for n, p in cat.parameters_of(v.id).items()
        },
        "searched": list(cat.searched_parameters(v.id, {})),
    }


def _list(variants: list[Variant], cat: Catalogue) -> None:
    from raystudy.terminal import TerminalColumn, print_table

    rows = []
    for v in variants:
        searched = ", ".join(cat.searched_parameters(v.id, {}))
        rows.append([v.id, v.role, v.about + (f"\nsearched: {searched}" if searched else "")])
    print_table(
        console(),
        [
            TerminalColumn("variant", whole=True),
            TerminalColumn("role", whole=True),
            TerminalColumn("what it is", least=30),
        ],
        rows,
    )


def _show(v: Variant, cat: Catalogue) -> None:
    """Print one variant within its method: what it is, what defines it, what may be set and what a search moves."""
    from raystudy.terminal import TerminalColumn, print_facts, print_table

    siblings = [other.id for other in cat.variants.values() if other.method == v.method]
    facts = {
        "variant": f"{v.id} ({v.title}), a {v.role}" if v.role != "method" else f"{v.id} ({v.title})",
        "what it is": v.about,
        "method": f"{v.method}, whose variants are {', '.join(siblings)}",
        "paper": ", ".join(part for part in (v.paper, v.section) if part),
        "called": "; ".join(v.rows),
        "copies": v.copies and f"the settings of {v.copies}",
        "defined by": ", ".join(f"{k} = {spelt(x)}" for k, x in v.fixes.items()),
        **({"file": own.file} if (own := own_module("methods", v.method)) else {"page": f"docs/methods/{v.method}.md"}),
    }
    print_facts(console(), facts.items())
    rules, searched = cat.parameters_of(v.id), cat.searched_parameters(v.id, {})
    values = cat.defaults(v.id)
    free = {n: p for n, p in rules.items() if n not in v.fixes and _can_matter(p, v, rules)}
    if not free:
        return
    tell("")
    columns = [
        TerminalColumn("setting", whole=True),
        TerminalColumn("symbol", whole=True, spare=3),
        TerminalColumn("default", whole=True),
        TerminalColumn("may be", least=12, spare=1),
        TerminalColumn("searched", least=12),
        TerminalColumn("what it is", least=24),
    ]
    rows = [
        [n, p.symbol, spelt(values[n]), _range(p), _search(p) if n in searched else "", p.about]
        for n, p in free.items()
    ]
    if hidden_columns := print_table(console(), columns, rows):
        tell(f"\nLeft out on a terminal of this width: {', '.join(hidden_columns)}. --json has everything.")


def _can_matter(p: Parameter, v: Variant, rules: Mapping[str, Parameter]) -> bool:
    """Whether what defines the variant leaves the setting in effect."""
    excluded = any(other in v.fixes and v.fixes[other] in values for other, values in p.unless.items())
    given = any(
        o in v.fixes and v.fixes[o] != rules[o].paper and _can_matter(rules[o], v, rules) for o in p.unless_given
    )
    possible = all(v.fixes.get(other, allowed[0]) in allowed for other, allowed in p.when.items())
    return possible and not excluded and not given


def _range(p: Parameter) -> str:
    if p.type == "bool":
        return "true, false"
    if p.type in ("layers", "map", "weights"):
        return p.type
    if p.type == "depth":
        return ", ".join([*map(str, p.choices), "a number of lower layers"])
    return ", ".join(map(str, p.choices)) if p.choices else p.interval


def _search(p: Parameter) -> str:
    s = p.search
    assert s is not None
    if s.choices or p.type in ("choice", "bool"):
        return ", ".join(spelt(c) for c in (s.choices or p.choices or (False, True)))
    assert s.low is not None
    assert s.high is not None
    step = f", by {spelt(s.step, 6)}" if s.step else ""
    return f"{spelt(s.low, 6)} to {spelt(s.high, 6)}" + (", log" if s.log else "") + step
