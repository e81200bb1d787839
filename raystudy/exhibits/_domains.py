"""MFT's Tables 2, 3 and 4: seven ways to fine-tune for the domains of one task, on three data sets."""

from __future__ import annotations

from raystudy.analysis.table import Table
from raystudy.exhibits import Exhibit, ExhibitResults
from raystudy.exhibits._comparison import Row, caption, columns, comparison_table
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

    def tables(results: ExhibitResults) -> list[Table]:
        (suite_of_results,) = results.targets()
        rows = [Row(v, title, {"method": title}) for v, title in ROWS.items()]
        what = caption(results, f"{results.exhibit.title}, {results.heading(suite_of_results)}")
        table_notes = notes if results.published.file else ()  # of the paper's data and numbers
        return [
            comparison_table(
                results.exhibit.stem,
                what,
                rows,
                columns(results, suite_of_results),
                results.numbers,
                results.published,
                table_notes,
            )
        ]

    return Exhibit(
        paper=MFT,
        label=label,
        about=about,
        suites=(suite,),
        methods=(*ROWS, "single_task_matched"),
        tables=tables,
        notes=("The paper defines BERT (Adv) by a BERT (C) that it has not; ours is BERT (Mix) with flipped domains.",),
    )
