"""The page that sums up a whole paper made again: what is done, runs or is missing, with links to the reports."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from raystudy.analysis.html import page_template
from raystudy.analysis.markdown import escape
from raystudy.files import atomic_write
from raystudy.wording import listed

__all__ = ["STATES", "ReproducedExhibit", "ReproductionPage", "write_reproduction_page"]

# what an exhibit of a reproduction may be, in the order of the summary, in words
STATES = {
    "done": "done",
    "running": "running",
    "begun": "begun, not running now",
    "waiting": "not begun",
    "missing": "cannot be made here",
}


@dataclass(frozen=True)
class ReproducedExhibit:
    """One table or figure of a reproduction.

    Attributes:
        state: one of `STATES`.
        done, failed, planned: its cells; none where nothing is trained.
        report: the path of its report from the page; empty where there is none yet.
        missing: why it cannot be made here.
    """

    exhibit: str
    title: str
    about: str
    state: str
    done: int
    failed: int
    planned: int
    report: str
    missing: str

    @property
    def cells(self) -> str:
        """How many of its cells are done: ``12 of 40``."""
        if not self.planned:
            return ""
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self.planned}{failed}"


@dataclass(frozen=True)
class ReproductionPage:
    """A reproduction, ready to be written.

    Attributes:
        when: the time at which its folder was looked at.
        command: what makes it, and goes on with it.
    """

    title: str
    citations: tuple[str, ...]
    rows: tuple[ReproducedExhibit, ...]
    when: str
    command: str

    @property
    def summary(self) -> str:
        """How many exhibits are in which state: ``3 done, 1 running and 5 not begun``."""
        counts = Counter(row.state for row in self.rows)
        return listed(f"{counts[state]} {words}" for state, words in STATES.items() if counts[state])

    @property
    def cells(self) -> tuple[int, int]:
        """The cells that are done, and those that are planned as far as it is known."""
        return sum(row.done for row in self.rows), sum(row.planned for row in self.rows)


def write_reproduction_page(page: ReproductionPage, folder: Path) -> Path:
    """Write ``index.html`` and ``index.md`` into the folder; returns the path of index.html."""
    atomic_write(folder / "index.md", _markdown(page))
    path = folder / "index.html"
    atomic_write(path, page_template("reproduction.html.jinja").render(page=page, states=STATES))
    return path


def _markdown(page: ReproductionPage) -> str:
    lines = [f"# {escape(page.title)}", "", f"{escape(page.summary)} (as of {page.when}).", ""]
    lines += ["| exhibit | state | cells | what it shows |", "| :--- | :--- | :--- | :--- |"]
    for row in page.rows:
        title = f"[{escape(row.title)}]({row.report.replace('.html', '.md')})" if row.report else escape(row.title)
        state = STATES[row.state] + (f": {escape(row.missing)}" if row.state == "missing" else "")
        lines.append(f"| {title} | {state} | {row.cells} | {escape(row.about)} |")
    return "\n".join([*lines, "", f"Made by `{page.command}`; the same command goes on."]) + "\n"
