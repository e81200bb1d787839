r"""A table as LaTeX for a paper, which needs ``\usepackage{booktabs}`` and nothing else."""

from __future__ import annotations

import re
import unicodedata

from raystudy.analysis.table import PUBLISHED, Cell, Column, Table, blocks, cell_text, published_text
from raystudy.errors import printable

__all__ = ["escape", "to_latex"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # in the old font encoding these three print as other characters
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    '"': "''",
    # at the start of a row these two would be read as arguments of the row before
    "[": "{[}",
    "*": "{*}",
    "`": r"\textasciigrave{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "∞": r"$\infty$",
    "−": "$-$",
    "→": r"$\rightarrow$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≈": r"$\approx$",
    "≠": r"$\neq$",
    "·": r"$\cdot$",
    "★": r"$\star$",
    "°": r"$^{\circ}$",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "\u00a0": "~",
    "\n": " ",
}
_GREEK = {
    "ALPHA": r"\alpha", "BETA": r"\beta", "GAMMA": r"\gamma", "DELTA": r"\delta", "EPSILON": r"\epsilon",
    "ZETA": r"\zeta", "ETA": r"\eta", "THETA": r"\theta", "IOTA": r"\iota", "KAPPA": r"\kappa",
    "LAMDA": r"\lambda", "MU": r"\mu", "NU": r"\nu", "XI": r"\xi", "PI": r"\pi", "RHO": r"\rho",
    "SIGMA": r"\sigma", "TAU": r"\tau", "UPSILON": r"\upsilon", "PHI": r"\phi", "CHI": r"\chi",
    "PSI": r"\psi", "OMEGA": r"\omega",
}  # fmt: skip
# capitals that Greek and Latin share have no command
_SHARED = {"ALPHA": "A", "BETA": "B", "EPSILON": "E", "ZETA": "Z", "ETA": "H", "IOTA": "I", "KAPPA": "K", "MU": "M",
           "NU": "N", "OMICRON": "O", "RHO": "P", "TAU": "T", "CHI": "X"}  # fmt: skip
_LONG = 40  # characters from which a column of words breaks its lines


def _character(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if ord(c) < 128:
        return c
    name = unicodedata.name(c, "")
    if match := re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", name):
        case, letter = match.groups()
        if case == "CAPITAL" and letter in _SHARED:
            return _SHARED[letter]
        if letter in _GREEK:
            command = _GREEK[letter]
            return f"${command if case == 'SMALL' else command[:1] + command[1:].capitalize()}$"
    return c


def escape(text: str) -> str:
    """`text` so that LaTeX prints it; letters beyond ASCII are left to the document's input encoding, UTF-8."""
    text = printable(text, "file")
    # two hyphens would be a dash, two apostrophes or commas a quotation mark
    return "".join(_character(a) + "{}" * (a == b and a in "-',") for a, b in zip(text, f"{text} "[1:], strict=True))


def _entry(cell: Cell, column: Column) -> str:
    text = _minus(cell_text(cell, column), column)
    if column.kind == "code" and cell.value is not None:
        text = rf"\texttt{{{text}}}"
    text = rf"\textbf{{{text}}}" if cell.best else text
    return text + (rf"\textsuperscript{{{escape(cell.marks)}}}" if cell.marks else "")


def _minus(text: str, column: Column) -> str:
    """`text` escaped; before a number a minus sign, not a hyphen."""
    return escape(text if column.wordy else re.sub(r"(?<![\w.])-(?=\d)", "−", text))


def to_latex(table: Table) -> str:
    r"""A ``table`` environment with a caption, a booktabs ``tabular``, and notes in small type. Best values are bold.

    A table with more estimates than a page holds becomes one ``tabular`` per group of columns, all under one caption.
    """
    parts = blocks(table)
    columns = max(len(block.columns) for _, block in parts)
    estimates = max(sum(c.kind == "estimate" for c in block.columns) for _, block in parts)
    wide = columns > 8 or estimates > 3
    environment = "table*" if wide else "table"  # both columns of a two-column page; the same as table on others
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{{environment}}}",
        r"\centering",
        rf"\caption{{{escape(table.caption)}}}",
        rf"\label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', table.name)}}}",
    ]
    if wide:
        lines += [r"\scriptsize", r"\setlength{\tabcolsep}{2.5pt}"]
    for i, (heading, block) in enumerate(parts):
        lines += [rf"\emph{{{escape(heading)}}}\\[2pt]"] if heading else []
        lines += _tabular(block)
        lines += [r"\\[6pt]"] if i + 1 < len(parts) else []
    if table.notes:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        for note in table.notes:
            mark = rf"\textsuperscript{{{escape(note.mark)}}}" if note.mark else ""
            lines.append(rf"{mark}{escape(note.text)}\par")
        lines.append(r"\end{minipage}")
    return "\n".join([*lines, rf"\end{{{environment}}}"]) + "\n"


def _tabular(table: Table) -> list[str]:
    lines = [
        rf"\begin{{tabular}}{{@{{}}{_alignment(table)}@{{}}}}",
        r"\toprule",
        " & ".join(escape(c.title) for c in table.columns) + r" \\",
        r"\midrule",
    ]
    for i, row in enumerate(table.rows):
        lines += [r"\midrule"] if i in table.breaks else []
        lines.append(" & ".join(_entry(x, c) for x, c in zip(row, table.columns, strict=True)) + r" \\")
        below = [_minus(published_text(x, c), c) for x, c in zip(row, table.columns, strict=True)]
        lines += [" & ".join([rf"\quad {PUBLISHED}", *below[1:]]) + r" \\"] if any(below) else []
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _alignment(table: Table) -> str:
    out = ""
    for i, c in enumerate(table.columns):
        long = c.wordy and max((len(cell_text(row[i], c)) for row in table.rows), default=0) > _LONG
        out += "p{40mm}" if long else "l" if c.wordy else "r"
    return out
