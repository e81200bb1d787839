"""Which way of transferring knowledge from other tasks helps a low-resource text task, and is the difference real?

A map of the package, bottom to top; each room imports only from those above it in this list:

    errors, files, plugins  what is wrong and where; whole files or none; modules that are found by name
    code_versions           which code and libraries make a result
    huggingface             repositories of the Hugging Face hub as folders
    yamlfile, catalogue     YAML with line numbers; variants and parameters (``search_spaces/``)
    spec, studyfile         Arm, Spec, Record; the study file
    metrics, tasks          the metrics; labelled data sets
    predictions             the answers to a split, as they are judged and stored
    data, nn                few-shot cuts, draws, ragged batches; encoder, losses, gradients, data-parallel workers
    methods                 one file per algorithm
    analysis                statistics, tables, figures, the report (HTML, Markdown, LaTeX, JSON): from records alone
    train, evaluate         run one Spec and judge it, without ray
    model                   a trained method as a folder: written, opened here or in transformers, asked for answers
    example_scores          by which scores Meta-DTL and MFT would weigh the examples of a suite, without training
    task_distances          how far the tasks of a suite are from one another (TAWT), by a training on each
    exhibits                the papers' tables and figures: what they train, and ours beside the published
    machine                 what this machine or a cluster can do for a study: cores, memory, GPUs, bfloat16, locks
    study                   plan, search, pool of Ray Train groups, the folder of results, the store of shared stages
    cluster, supervise      ray for the duration of a run; a run that is watched
    exhibit_costs           what the papers' exhibits take, what is missing for them, and which were made
    reproduce               all exhibits of a paper, one after another, to one page
    run, live_view, terminal, commands    the command line, and what a person sees there
    own_files, api          a study of a user's files; what a program or a notebook calls

From Python: `load_study`, `plan`, `run`, `results`, `fit`, `load_model` (raystudy/api.py explains them), and
``train.run(spec, places)`` for one training. They are found when they are asked for: the package itself loads nothing.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raystudy import train
    from raystudy.api import fit, load_model, load_study, plan, results

__all__ = ["__version__", "fit", "load_model", "load_study", "plan", "results", "run", "train"]

try:
    __version__ = version("raystudy")
except PackageNotFoundError:  # on the path, but not installed: `doctor` says so
    __version__ = "of unknown version"

_FUNCTIONS = ("fit", "load_model", "load_study", "plan", "results")


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module("raystudy.api"), name)
    if name in ("run", "train"):  # `run` is a module that may be called
        return import_module(f"raystudy.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
