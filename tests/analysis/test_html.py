"""report.html: whole in one file, safe, the same numbers as elsewhere, and a real browser shows it."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from analysis.conftest import Left, left_by, svg_alone, table_of

from raystudy.analysis import html
from raystudy.analysis.compute import compute
from raystudy.analysis.figures import draw
from raystudy.analysis.markdown import to_markdown
from raystudy.analysis.section import fill
from raystudy.analysis.sections import SECTIONS
from raystudy.analysis.table import cell_text
from raystudy.catalogue import catalogue

VOID = {"meta", "link", "br", "input", "img", "hr"}
MB = 1024 * 1024


class Page(HTMLParser):
    """What a page holds: tags with attributes, ids, words per element, rows of every table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[tuple[tuple[str, ...], str]] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append((tuple(self.open), data))
        if ("td" in self.open or "th" in self.open) and "sup" not in self.open:
            self.tables[-1][-1][-1] += data

    def values(self, key: str) -> list[str]:
        return [attrs[key] or "" for _, attrs in self.tags if key in attrs]


def self_contained(text: str) -> None:
    """Nothing is fetched, and every reference inside the page has its target, once."""
    page = Page(text)
    ids = Counter(page.values("id"))
    assert {i: n for i, n in ids.items() if n > 1} == {}
    asked = [v for key in ("href", "xlink:href") for v in page.values(key)]
    assert all(v.startswith("#") for v in asked)
    styles = [w for stack, w in page.words if stack[-1:] == ("style",)] + page.values("style")
    asked += [u for key in ("clip-path", "fill", "stroke", "mask", "filter") for u in page.values(key) if "url(" in u]
    urls = [u for s in (*styles, *asked) for u in re.findall(r"url\(([^)]*)\)", s)]
    assert all(u.startswith("#") for u in urls)
    assert not any("@import" in s for s in styles)
    for target in [a[1:] for a in asked if a.startswith("#")] + [u[1:] for u in urls]:
        assert ids[target] == 1, target
    for target in (t for v in page.values("aria-labelledby") for t in v.split()):
        assert ids[target] == 1, target
    for key in ("src", "srcset", "data", "action", "poster"):
        assert page.values(key) == []
    assert not {"link", "iframe", "object", "embed", "base", "img"} & {tag for tag, _ in page.tags}
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(key.startswith("on") for _, attrs in page.tags for key in attrs)


@pytest.fixture(scope="module")
def text(rich_report: Path) -> str:
    return rich_report.read_text()


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_one_file_that_refers_to_nothing_outside(text):
    self_contained(text)
    assert "default-src 'none'" in text and len(text) < 5 * MB


def test_order_and_headings(page, text):
    assert re.findall(r'<section id="(\w+)"', text) == [
        "verdict", "scores", "differences", "curves", "significance", "search", "cost", "failures", "provenance",
    ]  # fmt: skip
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert ("html", {"lang": "en"}) in page.tags


def test_tables_and_figures_say_what_they_are(page, text):
    count = Counter(tag for tag, _ in page.tags)
    assert count["table"] == count["caption"] > 5
    assert all("scope" in attrs for tag, attrs in page.tags if tag == "th")
    assert count["svg"] == len(re.findall(r"<svg [^>]*aria-labelledby=\"(\S+)\"[^>]*><title id=\"\1\">", text)) > 5


def test_every_number_is_the_same_in_all_formats(rich, rich_report, page):
    """A cell's words in HTML, Markdown and LaTeX are those that `printed` gives; CSV has the number behind them."""
    numbers = compute(rich.study, rich.records, rich.rows, importances=rich.importances, tasks=rich.tasks)
    folder = rich_report.parent / "tables"
    for name, table in {
        "main": table_of(numbers, "main"),
        "comparison": table_of(numbers, "comparison"),
        "search": table_of(numbers, "search"),
        "cost": table_of(numbers, "cost"),
    }.items():
        want = [[cell_text(x, c) for x, c in zip(row, table.columns, strict=True)] for row in table.rows]
        assert want in [rows[1:] for rows in page.tables]
        md = [line for line in (folder / f"{name}.md").read_text().splitlines() if line.startswith("| ")][2 - 1 :]
        md = [[_bare(x) for x in line.strip("| ").split(" | ")] for line in md if not line.startswith("| :")]
        assert md == want
        tex = re.findall(r"^(.*) \\\\$", (folder / f"{name}.tex").read_text(), re.MULTILINE)[1:]
        assert [[_untex(x) for x in re.split(r"(?<!\\) & ", line)] for line in tex] == want
        rows = list(csv.DictReader(io.StringIO((folder / f"{name}.csv").read_text())))
        for line, row in zip(rows, table.rows, strict=True):
            for cell, column in zip(row, table.columns, strict=True):
                if not column.wordy and line[column.name]:
                    assert float(line[column.name]) == cell.value
    assert to_markdown(table_of(numbers, "main")) == (folder / "main.md").read_text()


def _bare(cell: str) -> str:
    return re.sub(r"[†‡§¶*°]|\\(?=[<|*])", "", cell)


def _untex(cell: str) -> str:
    cell = re.sub(r"\\textsuperscript\{.*?\}\}?$", "", cell)
    for tex, plain in ((r"$\pm$", "±"), ("$-$", "-"), ("$<$", "<"), ("$>$", ">"), (r"$\rightarrow$", "→"), (r"\_", "_"),
                       ("--", "–"), (r"$\approx$", "≈")):  # fmt: skip
        cell = cell.replace(tex, plain)
    return re.sub(r"\\textbf\{(.*)\}", r"\1", cell)


def test_figures_take_the_colours_of_the_page(text):
    for svg in re.findall(r"<svg .*?</svg>", text, re.DOTALL):
        assert not re.search(r"(?:fill|stroke|color): ?(?:#|rgb|white|black)", svg)
        assert "DejaVu" not in svg and "<style" not in svg and "http" not in svg


def _contrast(a: str, b: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(text, mode):
    palettes = [
        dict(re.findall(r"--(\w+): (#\w{6})", block)) for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    ]
    colours = palettes[0] | (palettes[1] if mode == "dark" else {})
    for words in ("ink", "soft", "link", "worse"):
        for behind in ("page", "raised"):
            assert _contrast(colours[words], colours[behind]) >= 4.5, (words, behind)
    assert min(_contrast(colours[words], colours["tie"]) for words in ("ink", "soft")) >= 4.5
    for line in ("faint", "c0", "c1", "c2", "better", "equivalent"):  # graphics: 3 is what WCAG asks for
        assert _contrast(colours[line], colours["page"]) >= 3.0, line


def test_what_a_study_says_is_never_markup(tmp_path: Path):
    evil = "<script>alert(1)</script>"
    left = left_by({"single_task": 0.0, "meta_dtl": 2.0}, (evil, "b&b"), (5, 10), seeds=2, trials=2,
                   error="Traceback\nValueError: </pre><script>alert(2)</script>")  # fmt: skip
    left.facts["model"], left.notes, left.study_text = (
        "<img src=x>",
        ("</p><b>",),
        "name: </pre><script>alert(3)</script>",
    )
    with svg_alone():
        path = left.build(tmp_path)
    text = path.read_text()
    self_contained(text)
    assert "alert(" not in re.sub(
        "<template>.*?</template>", "", text.replace("&lt;script&gt;alert(", ""), flags=re.DOTALL
    )
    words = "".join(w for _, w in Page(text).words)
    assert all(f"<script>alert({i})</script>" in words for i in (1, 2, 3)) and "<img src=x>" in words
    assert "<script" not in path.with_name("report.md").read_text().replace("\\<script", "").split("```yaml")[
        0
    ].replace("`ValueError: </pre><script>alert(2)</script>`", "")


def test_a_large_study_stays_below_five_megabytes(monkeypatch):
    """20 methods, 5 targets, 5 seeds, 60 trials. The catalogue has fewer methods, so some get a second name."""
    known = [v for v in catalogue().variants.values() if v.role == "method"]
    for i in range(20 - len(known)):
        twin = known[i % len(known)].model_copy(update={"id": f"twin_{i}", "title": f"twin {i}"})
        monkeypatch.setitem(catalogue().variants, twin.id, twin)
    names = [v for v in catalogue().variants if catalogue().variant(v).role == "method"]
    methods = dict.fromkeys(["single_task", *names[:19]], 1.0)
    left = left_by(methods, tuple(f"task_{i}" for i in range(5)), (20,), trials=60)
    assert len(methods) == 20 and len(left.rows) == 20 * 5 * 60
    numbers = compute(
        left.study, left.records, left.rows, facts=left.facts, importances=left.importances, tasks=left.tasks
    )
    parts = fill(numbers, SECTIONS)
    text = html.study_report(numbers, parts, {f.name: draw(f) for p in parts for f in p.figures})
    assert len(text.encode()) < 5 * MB
    self_contained(text)


# ---------------------------------------------------------------------------------------------------------------------
# a real browser

BROWSER = next((b for b in ("chromium", "chromium-browser", "google-chrome") if shutil.which(b)), None)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_browser_shows_it_without_complaint(rich_report: Path, tmp_path: Path):
    done = _browse(rich_report, tmp_path, "--enable-logging=stderr", "--dump-dom")
    assert "CONSOLE" not in done.stderr
    assert "Meta-DTL beats single-task" in done.stdout and "</html>" in done.stdout
    assert 'role="button"' in done.stdout and '<div class="tools" hidden' not in done.stdout


@pytest.mark.skipif(BROWSER is None or shutil.which("pdftotext") is None, reason="no Chromium or no poppler here")
def test_with_scripts_off_and_on_paper_it_says_the_same(rich_report: Path, tmp_path: Path):
    """The page's own policy forbids its script here: `--dump-dom` and printing need a browser whose scripts are on."""
    page, pdf = tmp_path / "off.html", tmp_path / "printed.pdf"
    page.write_text(rich_report.read_text().replace("script-src 'unsafe-inline'", "script-src 'none'"))
    dom = _browse(page, tmp_path, "--dump-dom").stdout
    assert "Meta-DTL beats single-task" in dom and 'role="button"' not in dom and '<div class="tools" hidden' in dom
    _browse(page, tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
    words = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], capture_output=True, text=True, check=True).stdout
    assert "Meta-DTL beats single-task" in words and "Copy LaTeX" not in words
    assert "FloatingPointError: the loss is not finite" in words
    assert words.count("t-test") > 1 + words.count("paired t-test")  # a header is repeated on the next page


def _browse(page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    always = ("--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile / 'profile'}")
    command = [str(BROWSER), *always, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)


def test_left_is_what_the_report_says(rich: Left, page: Page):
    """The cells that are listed are those of the study, each with its id."""
    ids = {r.id for r in rich.records if r.spec.phase == "confirm"}
    (cells,) = (rows for rows in page.tables if rows[0][-1] == "cell")
    assert {row[-1] for row in cells[1:]} == ids
