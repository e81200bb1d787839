"""MFT's Tables 2, 3 and 4: seven ways to fine-tune for the domains of one task. Same rows, other data."""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, Given
from raystudy.exhibits._comparison import Row, caption, columns, compared
from raystudy.exhibits._papers import MFT

__all__ = ["ROWS", "domains"]

ROWS = {
    "single_task": "BERT (S)",
    "bert_mix": "BERT (Mix)",
    "bert_mtl": "BERT (MTL)",
    "bert_adv": "BERT (Adv)",
    "mft_dc": "MFT (DC)",
    "mft_tw": "MFT (TW)",
    "mft": "MFT (Full)",
}


def domains(label: str, about: str, suite: str, notes: tuple[str, ...] = ()) -> Exhibit:
    """The table `label` over the domains of one suite."""

    def tables(given: Given) -> list[Table]:
        (shown,) = given.targets()
        rows = [Row(v, title, {"method": title}) for v, title in ROWS.items()]
        what = caption(given, f"{given.exhibit.title}, {given.heading(shown)}")
        said = notes if given.printed.file else ()  # of the paper's data and numbers
        return [compared(given.exhibit.stem, what, rows, columns(given, shown), given.n, given.printed, said)]

    return Exhibit(
        paper=MFT,
        label=label,
        about=about,
        suites=(suite,),
        methods=(*ROWS, "single_task_matched"),
        tables=tables,
        notes=("The paper defines BERT (Adv) by a BERT (C) that it has not; ours is BERT (Mix) with flipped domains.",),
    )
