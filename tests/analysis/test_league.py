"""The league: which variant stands for a family, who leads, what the words say, and who cannot take part."""

from __future__ import annotations

from pathlib import Path

import pytest

from raystudy.analysis.compute import compute
from raystudy.analysis.league import Apart, family_of, is_league
from raystudy.analysis.report import write
from raystudy.analysis.sections import league as section
from raystudy.analysis.sources import Sources
from raystudy.catalogue import space_folder
from raystudy.run import RunOptions, open_study
from raystudy.spec import Record
from raystudy.study.folder.families import families_apart
from raystudy.study.plan import Plan
from raystudy.studyfile import Study, read_study

TARGETS = ("a", "b", "c")
GAINS = {"meta_dtl": -0.1, "meta_dtl_wo_imk": 0.3, "meta_ft": 0.05, "metaxt": 0.02, "reptile": 0.1}
STUDY = {"name": "x", "tasks": TARGETS, "targets": TARGETS, "search": {"trials": 4}}


def records(make, gains=GAINS) -> list[Record]:
    """Dev is one point above test, but for the family of Meta-DTL: there dev and test disagree on the variants."""
    out = []
    for target in TARGETS:
        for seed in range(3):
            for variant, gain in {"single_task": 0.0, "single_task_matched": 0.5, **gains}.items():
                test = 0.4 + gain + 0.001 * seed
                dev = {"meta_dtl": 0.9, "meta_dtl_wo_imk": 0.2}.get(variant, test)
                out.append(make(variant, target, seed, test, dev=dev, k=None, suite=TARGETS))
    return out


def numbers(make, **changes):
    methods = ("single_task", "single_task_matched", *GAINS)
    return compute(Study(**{**STUDY, "methods": methods, **changes}), records(make))


def test_dev_chooses_a_familys_variant_and_test_its_place(make):
    ((one,), _) = section.SECTION.of(numbers(make))
    assert [(r.family, r.variant, r.rank) for r in one.rows] == [
        ("maml", "reptile", 1),
        ("mft", "meta_ft", 2),
        ("metaxt", "metaxt", 3),
        ("single_task", "single_task", 4),  # the control takes no part
        ("meta_dtl", "meta_dtl", 5),
    ]
    assert [r.score for r in one.rows] == pytest.approx([0.501, 0.451, 0.421, 0.401, 0.301])
    assert one.rows[0].of.gain.mean == pytest.approx(0.1)
    first, *_ = numbers(make).words["league"]
    assert str(first).startswith("Reptile (maml) leads the league of 5 families over 3 targets")


def test_only_a_study_that_searches_several_families_on_three_targets_is_one(make):
    assert section.SECTION.of(numbers(make, search={"trials": 0})) == ((), ())
    assert section.SECTION.of(numbers(make, targets=TARGETS[:2])) == ((), ())
    roles = dict.fromkeys(("single_task", "meta_dtl", "meta_dtl_alpha", "meta_ft", "metaxt"), "baseline")
    assert not is_league(roles, 3, 4) and is_league({**roles, "reptile": "method"}, 3, 4)
    assert not is_league({**roles, "frozen_logistic": "floor"}, 3, 4)


def test_who_cannot_take_part_stands_below_with_the_reason(make, tmp_path: Path):
    apart = (Apart("tawt", ("tawt_pre", "tawt_pre_w"), "reads no such tasks"),)
    study = Study(**{**STUDY, "methods": ("single_task", "single_task_matched", *GAINS)})
    path = write(Sources.of(study, records(make), apart=apart), tmp_path)
    text = path.read_text(encoding="utf-8")
    assert "## League of families" in text and "| tawt_pre, tawt_pre_w | reads no such tasks |" in text
    assert "League of families" in path.with_suffix(".html").read_text(encoding="utf-8")


def test_the_league_has_every_family_and_says_why_mft_itself_has_no_place():
    study, places, _ = open_study("league", RunOptions())
    plan = Plan(study, places)
    here = set(map(family_of, study.variants))
    assert here >= {"meta_dtl", "mft", "metaxt", "maml", "tawt", "tawt_samples", "task_distance", "multi_task"}
    (mft,) = families_apart(plan)
    assert mft.family == "mft" and "mft" in mft.variants and "the same classes in every domain" in mft.reason
    fdu = read_study(space_folder() / "studies" / "league_fdu.yaml")
    assert len(fdu.targets) == 8 and "mft" in fdu.variants
    assert fdu.search.trials == 8  # of every method alike
