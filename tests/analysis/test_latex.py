"""LaTeX: what is printed is what was meant, and every file compiles as far as one can tell without LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from raystudy.analysis.latex import escape, to_latex
from raystudy.analysis.table import Cell, Column, Note, Table

NASTY = 'a&b %c #d_e $f {g} ~h ^i \\j <k> |l| [m] *n "o" `p` ± – ∞ † ‡ § ¶ × λ Ω Α → ≤ é'


def braces(text: str) -> list[int]:
    """Depth after each unescaped brace."""
    depth, out = 0, []
    for mark in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(mark, 0)
        out.append(depth)
    return out


def lint(text: str) -> None:
    """Balanced braces, dollars and environments; as many cells as columns; no bare special character."""
    depths = braces(text)
    assert min(depths) == 0 and depths[-1] == 0
    environments = []
    for what, name in re.findall(r"\\(begin|end)\{(\w+\*?)\}", text):
        assert what == "begin" or environments.pop() == name
        if what == "begin":
            environments.append(name)
    assert not environments
    for spec, body in re.findall(r"\\begin\{tabular\}\{@\{\}(.+?)@\{\}\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in body.strip().splitlines() if line.endswith(r" \\")]
        assert rows and all(len(re.findall(r"(?<!\\)&", row)) == len(spec.replace("p{40mm}", "p")) - 1 for row in rows)
        assert not any(re.match(r"\s*[\[*]", row) for row in rows)  # would be an argument of the row before
    for line in text.splitlines()[1:]:  # the first is a comment
        assert line.count("$") % 2 == line.count(r"\$") % 2
        assert not re.search(r"(?<!\\)[#%]", line)
        math = re.sub(r"\\\$", "", line)
        outside = "".join(math.split("$")[::2])
        assert not re.search(r"(?<!\\)[_^~]", outside) and not re.search("[<>|]", outside.replace("@{}", ""))
        assert not re.search("[±×∞→≤λΩ†‡§¶–★]", line)


@pytest.mark.parametrize(
    ("plain", "latex"),
    [
        ("&%#_$", r"\&\%\#\_\$"),
        ("{}", r"\{\}"),
        ("\\", r"\textbackslash{}"),
        ("72.0 ± 1.3", r"72.0 $\pm$ 1.3"),
        ("<0.001", r"$<$0.001"),
        ("λ", r"$\lambda$"),
        ("ΩΑ", r"$\Omega$A"),
        ("Meta-FT*", "Meta-FT{*}"),
        ("é", "é"),
    ],
)
def test_escapes(plain, latex):
    assert escape(plain) == latex


def test_a_table_of_nasty_words():
    columns = (Column("a", NASTY), Column("b", "x", "number", signed=True))
    rows = ((Cell(NASTY, marks="†‡"), Cell(-1.25, best=True)), (Cell("[x]"), Cell(float("inf"))), (Cell("*"), Cell()))
    text = to_latex(Table("x", NASTY, columns, rows, (Note(NASTY, "§"),), breaks=(1,)))
    lint(text)
    assert r"\textbf{$-$1.2}" in text and r"$+$" not in text and "+$\\infty$" in text
    assert text.count(r"\midrule") == 2 and r"\caption{" in text and r"\footnotesize" in text


def test_every_table_of_a_report(rich_report: Path):
    files = sorted((rich_report.parent / "tables").glob("*.tex"))
    assert len(files) == 8
    for path in files:
        lint(path.read_text())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX on this machine")
def test_latex_takes_every_table(rich_report: Path, tmp_path: Path):
    tables = rich_report.parent / "tables"
    inputs = "\n".join(rf"\input{{{path}}}\clearpage" for path in sorted(tables.glob("*.tex")))
    nasty = Table("x", NASTY, (Column("a", "a"),), ((Cell(NASTY, marks="†"),),), (Note(NASTY),))
    (tmp_path / "nasty.tex").write_text(to_latex(nasty))
    head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
    (tmp_path / "all.tex").write_text(f"{head}\n{inputs}\n\\input{{nasty}}\n\\end{{document}}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
