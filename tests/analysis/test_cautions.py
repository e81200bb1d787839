"""What stands below the scores because nobody would guess it: from the facts of records, with counts and cures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from raystudy.analysis import cautions
from raystudy.analysis.compute import compute
from raystudy.analysis.sections.scores import main_table
from raystudy.spec import Record
from raystudy.studyfile import Study

Make = Callable[..., Record]

CUT = {"examples": 60, "pieces": 6000, "longest": 412, "cut": 30, "cut_pieces": 1500}
UNREAD = "answered with the most frequent tag of train, O"


def facts(form: str = "single", length: int = 128, positions: int = 512, side: str = "end", **splits: Any) -> Any:
    return {"form": form, "length": length, "positions": positions, "side": side, "splits": splits}


def of(r: Record, **more: Any) -> Record:
    return replace(r, facts={**r.facts, **more})


def notes(study: Study, records: list[Record]) -> str:
    return "\n".join(note.text for note in main_table(compute(study, records)).notes)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (
            facts(train=CUT, test={**CUT, "cut": 1, "cut_pieces": 6}),
            (
                "texts longer than 128 word pieces lose their end: 30 of 60 in train and 1 of 60 in test, 13 % of all "
                "pieces; `length: 412` reads them whole"
            ),
        ),
        (
            facts(test=CUT, side="start", positions=200),
            (
                "texts longer than 128 word pieces lose their start: 30 of 60 in test, 25 % of all pieces; "
                "`length: 200`, all that the model has positions for, cuts fewer (the longest takes 412)"
            ),
        ),
        (
            facts("pair", 200, 200, dev={**CUT, "cut_first": 30, "cut_second": 4}),
            (
                "pairs longer than 200 word pieces lose their end: 30 of 60 in dev, 25 % of all pieces (of the first "
                "text in 30 and of the second text in 4); `length` cannot be raised: the model has 200 positions, the "
                "longest takes 412"
            ),
        ),
        (
            facts("tagging", test={**CUT, "words": 4000, "cut_words": 900}),
            (
                "sentences longer than 128 word pieces lose their end: 30 of 60 in test, 25 % of all pieces, with "
                f"them 900 of 4,000 words in test, which are {UNREAD}; `length: 412` reads them whole"
            ),
        ),
        (
            facts("tagging", train={"words": 70}, test={"words": 500, "words_without_pieces": 3}),
            (
                "of some words the tokenizer makes no word piece (invisible characters, for instance): 3 of 500 "
                f"words in test; they teach nothing and are {UNREAD}"
            ),
        ),
        (
            facts(train={"examples": 9, "empty": 2}),
            (
                "of some texts the tokenizer makes no word piece, so that all of them look alike to a model: "
                "2 of 9 in train"
            ),
        ),
        (
            facts("pair", test={"examples": 9, "half_empty": 1}),
            "of some pairs the tokenizer makes no word piece of one of the two texts: 1 of 9 in test",
        ),
        (
            facts(dev={"examples": 9, "special": 1}),
            (
                "some texts hold a special token of the tokenizer as text ([SEP], say), which is read as that token: "
                "1 of 9 in dev"
            ),
        ),
        (facts(train={"examples": 9, "pieces": 70, "longest": 20}), None),
    ],
)
def test_what_no_model_reads_is_counted_with_its_cure(told: Any, said: str | None) -> None:
    assert list(cautions.coverage("t", told, UNREAD)) == ([f"t: {said}"] if said else [])


def test_a_report_says_it_below_the_scores_from_its_records_alone(study: Study, make: Make) -> None:
    few, more = ({**CUT, "words": 4000, "cut_words": n} for n in (900, 950))
    records = [
        of(make("single_task", seed=s), coverage={"polarity": facts("tagging", test=x)}, unread_tag="O")
        for s, x in enumerate((few, more))
    ]
    said = notes(study, records)
    # of draws that differ, the most
    assert f"950 of 4,000 words in test, which are {UNREAD}; `length: 412` reads them whole." in said
    assert "longer than" not in notes(study, [make("single_task")])
    # searched cells and failed ones are no part of the table
    assert "longer than" not in notes(study, [replace(records[0], spec=replace(records[0].spec, phase="search"))])


def test_the_majority_class_is_named(study: Study, make: Make) -> None:
    told = {"answer": "ham", "count": 180, "n": 200}
    said = notes(study, [of(make("majority"), majority=told)])
    assert "Majority class, from the labels of the whole training split: polarity ham (180 of 200)." in said
    tied = notes(study, [of(make("majority"), majority={**told, "tied": ["ham", "spam"]})])
    assert "ham (180 of 200, as frequent as spam: the first in the order of the label set)." in tied
    assert "polarity 3.25, the mean of 200." in notes(
        study, [of(make("majority"), majority={"answer": 3.25, "n": 200})]
    )


def test_names_of_classes_reach_no_terminal_raw(study: Study, make: Make) -> None:
    told = {"answer": "\x1b[31mham", "count": 180, "n": 200, "tied": ["\x1b[31mham", "a" * 999]}
    said = notes(study, [of(make("majority"), majority=told, positive="\x07")])
    assert "\x1b" not in said and "\x07" not in said and len(said) < 3000


def test_f1_says_its_class(study: Study, make: Make) -> None:
    assert "F1 is that of one class: spam of polarity." in notes(study, [of(make("single_task"), positive="spam")])


def test_draws_of_one_number_are_named(study: Study, make: Make) -> None:
    units = [{"polarity": {"mean": 3.0, "sd": 1.0, "constant": c}} for c in (True, False, True)]
    said = notes(study, [of(make("single_task", seed=s), unit=u) for s, u in enumerate(units)])
    assert "polarity: all training labels are one number, so that nothing can be learned from them: " in said
    assert "from them: seed 0 (k=20), seed 2 (k=20)." in said


def test_short_trainings_are_named_with_the_setting_that_lengthens_them(study: Study, make: Make) -> None:
    def trained(**updates: int) -> list[Record]:
        return [replace(make(v), updates={"mmt": 90, "finetune": n}) for v, n in updates.items()]

    said = notes(study, trained(single_task=3, meta_dtl=59, multi_task=60, majority=0))
    assert (
        "Fewer than 60 updates in a stage, which may be too few to learn anything: single-task 3 (finetune) and "
        "Meta-DTL 59 (finetune); `min_updates: 60` in `settings` makes them longer."
    ) in said
    assert "updates in a stage" not in notes(study, trained(single_task=60, meta_dtl=60, majority=0))


def test_rows_of_one_training_are_named(study: Study, make: Make) -> None:
    """Controls are others' settings by definition, and one cell with other settings is another training."""
    made = {"lr": 1e-4, "heads": "own"}
    both = study.model_copy(update={"methods": ("single_task", "multi_task", "bert_mtl", "meta_dtl")})

    def said(**settings: Any) -> str:
        records = [make(v, seed=s, settings=dict(made)) for v in ("multi_task", "meta_dtl") for s in (0, 1)]
        records += [make("bert_mtl", seed=s, settings={**made, **(settings if s else {})}) for s in (0, 1)]
        return notes(both, records)

    assert "multi-task and BERT (MTL) have the same settings here: their rows are one training" in said()
    assert "the same settings" not in said(lr=2e-4)


@pytest.mark.parametrize(("score", "low"), [(0.4, True), (0.5, True), (0.51, False)])
def test_a_baseline_that_is_not_above_the_majority_class_is_named(
    study: Study, make: Make, score: float, low: bool
) -> None:
    said = notes(study, [make("single_task", test=score), make("majority", test=0.5), make("meta_dtl", test=0.3)])
    words = (
        f"Single-task is not above the majority class on polarity (k=20) ({100 * score:.1f}, 50.0): it may have been"
    )
    assert (words in said) is low
    assert said.count("is not above") == low
