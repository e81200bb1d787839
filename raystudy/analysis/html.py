"""A report as one HTML file, which refers to nothing outside of it and can be read with JavaScript off.

``page.html.jinja`` is the frame of a page, ``parts.html.jinja`` says how tables and figures stand in it, and the pages
are ``report.html.jinja`` and ``exhibit.html.jinja``. This module turns tables and figures into what they show.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from raystudy.analysis.exhibit_page import ExhibitPage
from raystudy.analysis.figures import COLOURS, GRID, INK, MUTED, Figure
from raystudy.analysis.latex import to_latex
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.numbers import Numbers
from raystudy.analysis.section import (
    Block,
    Errors,
    Facts,
    Part,
    Pictures,
    Quotation,
    Shading,
    TableBlock,
    Title,
    Words,
    exhibit_part,
    is_shown,
)
from raystudy.analysis.table import Cell, Column, Table, blocks, cell_text, published_text, to_csv
from raystudy.errors import printable

__all__ = ["exhibit_report", "inline", "page_template", "study_report"]

_WIDE = 600  # pixels: a figure of one panel is narrower, and is shown whole on a telephone
_SVG, _XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# colour in a figure -> name in the page's style sheet, which has a light and a dark value for each
_STYLE_NAMES = {c.lower(): f"var(--c{i})" for i, c in enumerate(COLOURS)}
_STYLE_NAMES |= {INK.lower(): "var(--ink)", MUTED.lower(): "var(--faint)", GRID.lower(): "var(--grid)"}


def study_report(n: Numbers, parts: Sequence[Part], svg: Mapping[str, bytes]) -> str:
    """The text of a study's report.html.

    Args:
        parts: the sections in order.
        svg: name of a figure -> its SVG file.
    """
    return page_template("report.html.jinja").render(n=n, parts=[_part(p, svg) for p in parts if p.shown("html")])


def exhibit_report(exhibit: ExhibitPage, svg: Mapping[str, bytes]) -> str:
    """The text of the report.html of an exhibit without a study behind it."""
    parts = [exhibit_part(exhibit), Part("provenance", "Provenance", (Facts(exhibit.facts),), "Provenance")]
    return page_template("exhibit.html.jinja").render(
        title=exhibit.title, parts=[_part(p, svg) for p in parts if p.shown("html")]
    )


def page_template(name: str) -> Template:
    """A page that stands in the frame of all pages; it escapes what it is given."""
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: printable(value, "file") if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


def _part(part: Part, svg: Mapping[str, bytes]) -> dict[str, Any]:
    """What the template shows of a section."""
    blocks = [_block(b, svg) for b in part.blocks if is_shown(b, "html") or isinstance(b, Title | Shading)]
    return {"id": part.name, "title": part.title, "nav": part.nav, "level": part.level, "blocks": blocks}


def _block(block: Block, svg: Mapping[str, bytes]) -> dict[str, Any]:
    """What the template shows of a block; `kind` is the name of its macro."""
    match block:
        case Title(text):
            return {"kind": "title", "text": text}
        case Words(sentences, style):
            return {"kind": "words", "sentences": sentences, "style": style}
        case TableBlock(_, filters, formats):
            data = _table_data(block.on_page, copies=bool(formats), whole=block.table)
            return {"kind": "table", "table": data, "filter": filters, "fold": block.fold}
        case Pictures(figures):
            return {"kind": "pictures", "pictures": [_picture(f, svg[f.name]) for f in figures]}
        case Facts(values):
            return {"kind": "facts", "facts": values}
        case Quotation(text, summary):
            return {"kind": "quotation", "text": text, "summary": summary}
        case Errors(failures):
            return {"kind": "errors", "failures": failures}
        case Shading(rest):
            return {"kind": "shading", "rest": rest}


def _picture(figure: Figure, svg: bytes) -> dict[str, Any]:
    drawing = inline(svg, figure.name, figure.title)
    width = re.search(r'width="(\d+)"', drawing)
    wide = width is not None and int(width[1]) > _WIDE
    return {"name": figure.name, "title": figure.title, "svg": drawing, "wide": wide}


# ---------------------------------------------------------------------------------------------------------------------
# tables


def _table_data(table: Table, *, copies: bool, whole: Table) -> dict[str, Any]:
    """What the template shows of a table. With `copies` the `whole` is there too, in the formats that people paste."""
    parts = blocks(table)
    return {
        "name": re.sub(r"[^A-Za-z0-9_-]+", "-", table.name),
        "caption": table.caption,
        "notes": table.notes,
        "copies": {"LaTeX": to_latex(whole), "Markdown": to_markdown(whole), "CSV": to_csv(whole)} if copies else {},
        "count": len(table.rows),
        "whole": _body(table),
        # a printed page cannot be scrolled: a wide table is shown in blocks there
        "pages": [{"heading": heading, **_body(part)} for heading, part in parts] if len(parts) > 1 else [],
    }


def _body(table: Table) -> dict[str, Any]:
    return {
        "columns": [{"title": c.title, "wordy": c.wordy} for c in table.columns],
        "parts": [[list(_cells(row, table.columns)) for row in part] for part in table.parts],
    }


def _cells(row: Iterable[Cell], columns: Iterable[Column]) -> Iterable[dict[str, str]]:
    for cell, column in zip(row, columns, strict=True):
        text = cell_text(cell, column)
        head, gap, tail = text.partition(" ") if column.kind == "estimate" else (text, "", "")
        classes = {
            "n": not column.wordy,
            "best": cell.best,
            "tied": cell.tied,
            "unsure": cell.unsure,
            "code": column.kind == "code",
            f"tone-{cell.tone}": cell.tone is not None,
        }
        yield {
            "class": " ".join(k for k, v in classes.items() if v),
            "head": head,
            "tail": gap + tail,
            "marks": cell.marks,
            "published": published_text(cell, column),
        }


# ---------------------------------------------------------------------------------------------------------------------
# figures


def inline(svg: bytes, name: str, title: str) -> str:
    """A figure's SVG as part of a page: with its own ids, the page's colours and font, and a title for blind readers.

    Everything that would reach beyond the figure is left out: the style sheet for ``*``, metadata and the namespaces'
    addresses. An XML library writes the SVG, so that nothing of a study's words is markup in it.
    """
    root = ET.fromstring(svg)
    used_ids = {id_ for e in root.iter() for v in e.attrib.values() for id_ in re.findall(r"(?:^|url\()#([^)]+)", v)}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for e in root.iter():
        e.tag = str(e.tag).removeprefix(_SVG)
        e.attrib = {
            k.removeprefix(_XLINK): _attribute(k, v, name, used_ids)
            for k, v in e.attrib.items()
            if _is_needed(k, v, used_ids)
        }
        e.tail = None  # white space between elements; words are in text elements without children
        e.text = e.text if e.tag == "text" else None
    heading = ET.Element("title", {"id": f"{name}-title"})
    heading.text = title
    root.insert(0, heading)
    # matplotlib measures in points, a page in pixels
    width, height = (round(float(root.attrib[side].removesuffix("pt")) * 4 / 3) for side in ("width", "height"))
    size = {"width": str(width), "height": str(height), "viewBox": root.attrib["viewBox"]}
    root.attrib = {**size, "role": "img", "aria-labelledby": f"{name}-title"}
    return ET.tostring(root, encoding="unicode")


def _is_needed(key: str, value: str, used_ids: set[str]) -> bool:
    return value in used_ids if key == "id" else key != "version"


def _attribute(key: str, value: str, name: str, used_ids: set[str]) -> str:
    if key == "id":
        return f"{name}-{value}"
    value = re.sub(r"(^|url\()#([^)]+)", lambda m: f"{m[1]}#{name}-{m[2]}" if m[2] in used_ids else m[0], value)
    if key == "style":
        value = re.sub(r"#[0-9a-f]{6}", lambda m: _STYLE_NAMES.get(m[0], m[0]), value)
        value = re.sub(r"(font:[^;]*?px |font-family: )[^;]+", r"\1var(--sans)", value)
    return value
