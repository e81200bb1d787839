"""The files in ``search_spaces/`` and the modules in ``methods/`` say the same."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import pytest

from raystudy.catalogue import Parameter, catalogue, out_of_effect
from raystudy.methods import BaseMethod, Settings
from raystudy.plugins import module_names

METHODS = tuple(sorted(catalogue().parameters))
RULES = [pytest.param(m, n, p, id=f"{m}.{n}") for m in METHODS for n, p in catalogue().parameters[m].items()]


def module_of(method: str) -> Any:
    return importlib.import_module(f"raystudy.methods.{method}")


def test_every_module_has_a_file_and_every_file_a_module() -> None:
    assert set(METHODS) == set(module_names("methods"))
    assert {v.method for v in catalogue().variants.values()} == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_hparams_are_the_parameters(method: str) -> None:
    module, rules = module_of(method), catalogue().parameters[method]
    assert issubclass(module.Method, BaseMethod)
    assert issubclass(module.HParams, Settings)
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(module.HParams)}
    # the same names, but for the underscore behind a word that Python keeps for itself
    assert fields.keys() == rules.keys()
    for name, field in fields.items():
        # the default is the paper's value, in the parameter's own type
        assert field.default == rules[name].check(rules[name].paper), name
        assert type(field.default) is type(rules[name].check(rules[name].paper)), name


@pytest.mark.parametrize(("method", "name", "rule"), RULES)
def test_paper_value_is_legal_and_searched(method: str, name: str, rule: Parameter) -> None:
    paper = rule.check(rule.paper)
    # a parameter that nothing reads would be searched in vain, and would be in no key
    assert rule.reads
    assert rule.about
    search = rule.search
    if search is None:
        return
    options = search.choices or rule.choices
    if options:
        assert paper in options
        for option in options:
            rule.check(option)
        return
    if rule.type == "bool":
        return
    assert search.low is not None
    assert search.high is not None
    # both ends are legal, and the paper's value and every value that is tried first lie between them
    assert search.low < search.high
    for end in (search.low, search.high):
        rule.check(end)
    assert search.low <= paper <= search.high  # type: ignore[operator]
    for value in search.enqueue:
        assert search.low <= rule.check(value) <= search.high  # type: ignore[operator]
    if search.log:
        assert search.low > 0


@pytest.mark.parametrize("method", METHODS)
def test_conditions_name_earlier_parameters(method: str) -> None:
    rules = catalogue().parameters[method]
    before: list[str] = []
    for name, rule in rules.items():
        for other, allowed in rule.when.items():
            assert other in before, f"{name} waits for {other}, which is declared after it"
            for value in allowed:
                rules[other].check(value)
        assert set(rule.unless_given) <= set(before)
        before.append(name)


@pytest.mark.parametrize("method", METHODS)
def test_a_reading_is_another_way_to_run_a_variant_that_there_is(method: str) -> None:
    for reading in catalogue().readings[method]:
        of = catalogue().variant(reading.of or method)
        other = catalogue().variant(reading.variant or of.id)
        assert of.method == other.method == method
        assert catalogue().resolve(other.id, reading.settings) != catalogue().defaults(of.id)


def test_no_search_moves_what_literal_weights_leave_without_effect() -> None:
    dead, rules = {"rounds", "eta", "initial"}, catalogue().parameters["tawt"]
    for variant in ("tawt_fixed", "tawt_pre_fixed", "tawt_distance"):
        learned, literal = (
            set(catalogue().searched_parameters(variant, {"weighting": "fixed", **fixed}))
            for fixed in ({}, {"omega": {"a": 0.5, "b": 0.5}})
        )
        assert {"rounds", "eta"} < learned
        assert literal == learned - dead
        settings = catalogue().resolve(variant, {"weighting": "fixed", "omega": {"a": 0.5, "b": 0.5}})
        assert all(out_of_effect(rules, name, settings) for name in (*dead, "rounded", "dissimilarity", "damping"))
        in_name = catalogue().with_settings(variant, {"weighting": "fixed", "omega": {"a": 0.5, "b": 0.5}})
        assert not dead & set(catalogue().searched_parameters(in_name.id, {}))
    # where weights are learned all the same, the literal ones are what has no effect
    for variant in ("tawt_pre_w", "tawt_joint_w", "tawt_distance"):
        given = {"omega": {"a": 0.5, "b": 0.5}, **({"weighting": "adaptive"} if variant == "tawt_distance" else {})}
        assert set(catalogue().searched_parameters(variant, given)) == set(catalogue().searched_parameters(variant, {}))
        settings = catalogue().resolve(variant, given)
        assert out_of_effect(rules, "omega", settings) and not out_of_effect(rules, "eta", settings)


@pytest.mark.parametrize("variant", sorted(catalogue().variants))
def test_variants_are_well_defined(variant: str) -> None:
    v, rules = catalogue().variant(variant), catalogue().parameters_of(variant)
    assert v.id == variant
    assert v.title
    assert v.about
    for name, value in v.fixes.items():
        assert rules[name].check(value) == value
    assert not v.defaults.keys() & v.fixes.keys()
    for name, value in v.defaults.items():
        # as the paper's value of a parameter: legal, another one, and where a search looks
        assert rules[name].check(value) == value != rules[name].check(rules[name].paper)
        search = rules[name].search
        if search is not None and search.low is not None and search.high is not None:
            assert search.low <= value <= search.high  # type: ignore[operator]
    # what a variant is may not be searched away
    assert not set(catalogue().searched_parameters(variant, {})) & set(v.fixes)
    assert catalogue().resolve(variant) == catalogue().defaults(variant)
    if v.copies:
        assert catalogue().variant(v.copies).method == v.method


def test_variants_differ() -> None:
    """Two variants with the same settings, and the same ones to search, would be one arm twice.

    A control copies another's settings, and an upper bound has other data.
    """
    seen: dict[Any, str] = {}
    for name, v in catalogue().variants.items():
        if v.role not in ("control", "bound"):
            searched = tuple(catalogue().searched_parameters(name, {}))
            what = (v.method, tuple(sorted(catalogue().defaults(name).items(), key=str)), searched)
            assert what not in seen, f"{name} is {seen.get(what)}"
            seen[what] = name


def test_index_of_the_papers_variants() -> None:
    """Every variant of the papers whose methods are here is one of ours, and stands where its paper stands."""
    first = {"meta_dtl": 1, "mft": 11, "metaxt": 19, "dou2019": 25, "tawt": 32}
    ends = [*list(first.values())[1:], 39]
    places = {paper: range(start, end) for (paper, start), end in zip(first.items(), ends, strict=True)}
    found: dict[int, list[str]] = {}
    for name, v in catalogue().variants.items():
        for i in v.index:
            found.setdefault(i, []).append(name)
        assert not v.index or v.role in ("method", "baseline"), f"{name} is no variant of a paper"
        # the paper that names it is one that counts it
        assert not v.index or any(i in places[v.paper] for i in v.index), name
    assert set(found) >= set(range(1, 37))
    assert set(found) <= set(range(1, 39))
    assert catalogue().variant("single_task").index == (1, 11, 19, 32)
    # a setting in the name makes it no other item of the list
    assert catalogue().variant("meta_dtl[pool=cls]").index == (5,)
