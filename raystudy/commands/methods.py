"""``raystudy methods``: every variant, what it is, and which of its settings a search moves."""

from __future__ import annotations

import typer

from raystudy.catalogue import catalogue
from raystudy.commands import Json, print_json

__all__ = ["methods"]


def methods(as_json: Json = False) -> None:
    """Every variant, what it is, and which of its settings a search moves."""
    cat = catalogue()
    rows = [
        {
            "id": v.id,
            "title": v.title,
            "about": v.about,
            "role": v.role,
            "paper": v.paper,
            "section": v.section,
            "rows": list(v.rows),
            "module": f"raystudy.methods.{v.method}",
            "fixes": dict(v.fixes),
            "settings": {
                n: p.model_dump(mode="json", exclude_defaults=True) | {"paper": cat.defaults(v.id)[n]}
                for n, p in cat.of(v.id).items()
            },
            "searched": list(cat.searched(v.id, {})),
        }
        for v in sorted(cat.variants.values(), key=lambda v: (v.method, v.role != "baseline"))
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        typer.echo(f"{row['id']:<22} {row['role']:<9} {row['about']}")
        if row["searched"]:
            typer.echo(f"{'':<32} searched: {', '.join(row['searched'])}")
