"""Which families of methods cannot take part in a study that compares families, and why."""

from __future__ import annotations

from raystudy.analysis.league import Apart, family_of, is_league
from raystudy.catalogue import catalogue
from raystudy.study.plan import Plan

__all__ = ["families_apart"]


def families_apart(plan: Plan) -> list[Apart]:
    """The methods that the study does not have and could not have, by reason, and families that it leaves out.

    There are none where the study is no league of families (`analysis.league`).
    """
    study, cat = plan.study, catalogue()
    roles = {v: cat.variant(v).role for v in study.variants}
    if not is_league(roles, len(study.target_names), study.search.trials):
        return []
    here = {family_of(v) for v in study.variants}
    reasons: dict[tuple[str, str], list[str]] = {}
    for variant in cat.variants.values():
        if variant.role != "method" or variant.id in study.variants:
            continue
        reason = plan.refusal_of(variant.id)
        if reason or variant.method not in here:
            reasons.setdefault((variant.method, reason or "not among the methods of the study"), []).append(variant.id)
    return [Apart(family, tuple(variants), reason) for (family, reason), variants in reasons.items()]
