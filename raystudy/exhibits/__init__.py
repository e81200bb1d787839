"""The tables and figures of the papers, one module each.

An exhibit is one of them, made again: what must be trained for it, and how our numbers stand beside the published ones.

A module `raystudy.exhibits.<paper>_<exhibit>` declares an `EXHIBIT`. ``python -m raystudy.run meta_dtl_table2`` trains
the study that it asks for and writes a report that opens with it; ``raystudy report FOLDER`` writes that again from the
files alone. Where nothing is trained (statistics of the data, examples with their scores) `run_untrained` writes it.

An exhibit has three scales: ``smoke`` takes generated tasks and a tiny random model and is done in about a minute on
two idle cores, most of which Ray takes to start; ``small`` takes few real examples and minilm, and ``paper`` the
paper's sizes and model and the methods' own defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from raystudy.catalogue import catalogue, suites
from raystudy.errors import ConfigError, unknown_name
from raystudy.exhibits._data import is_here, published_train_size
from raystudy.exhibits._papers import Paper, Published
from raystudy.plugins import find_module, module_names
from raystudy.spec import Places
from raystudy.studyfile import Study, check_study
from raystudy.yamlfile import parse_yaml, to_yaml

if TYPE_CHECKING:  # what only draws and writes is loaded when there is something to draw
    from raystudy.analysis.exhibit_page import ExhibitPage, RunScores
    from raystudy.analysis.figures import Figure
    from raystudy.analysis.numbers import Numbers
    from raystudy.analysis.report import Opening
    from raystudy.analysis.table import Table

__all__ = [
    "FLOORS",
    "LIMITS",
    "PLM",
    "SCALES",
    "SETTINGS",
    "Exhibit",
    "ExhibitResults",
    "Scale",
    "find",
    "names",
    "page_renderer",
    "papers",
    "run_untrained",
]

Scale = Literal["smoke", "small", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
PLM: Mapping[Scale, str] = {"smoke": "tiny", "small": "minilm", "paper": "google-bert/bert-base-uncased"}
FLOORS = ("majority", "frozen_logistic")
LIMITS = {"train": 256, "dev": 128, "test": 400}  # of scale small
LENGTH = 64
PLANTED = {"planted": {"relatedness": 1.0, "n_train": 400, "n_dev": 100, "n_test": 200}}
TRIALS = 8
# per scale, for every method that knows them; what stands nowhere is the method's own default
SETTINGS: Mapping[Scale, Mapping[str, Any]] = {
    "smoke": {
        "lr": 3.0e-3,
        "batch_size": 16,
        "feature": "mean",
        "dropout": 0.0,
        "min_updates": 20,
        "max_updates": 30,
        "weights": "clip0",
        "layers": "1/2 1",  # all that the tiny model has
    },
    "small": {"lr": 5.0e-5, "batch_size": 16, "feature": "mean", "freeze": "embeddings", "weights": "mean1"},
    "paper": {},
}


@dataclass(frozen=True)
class ExhibitResults:
    """The results that an exhibit is made from: a study that was run at some scale, and its numbers.

    Attributes:
        runs: the scores of single trainings on single test sentences; None where predictions are not at hand.
    """

    exhibit: Exhibit
    scale: Scale
    study: Study
    numbers: Numbers
    runs: RunScores | None = None

    @property
    def published(self) -> Published:
        """The published numbers; none beside generated tasks, where they would mean nothing."""
        return Published() if self.scale == "smoke" else self.exhibit.paper.published(self.exhibit.label)

    def targets(self) -> dict[str, tuple[str, ...]]:
        """Suite -> the targets of the study in it, in the paper's order."""
        order = [*self.exhibit.paper.tasks]
        out: dict[str, tuple[str, ...]] = {}
        asked = (*self.study.target_names, *self.study.absent_targets)
        for target in sorted(asked, key=lambda t: order.index(t) if t in order else len(order)):
            suite = self.study.suite_of(target)
            out[suite] = (*out.get(suite, ()), target)
        return {s: out[s] for s in (*self.exhibit.suites, *out) if s in out}

    def heading(self, suite: str) -> str:
        """What the paper calls a suite."""
        return self.exhibit.paper.suites[suite][0] if suite in self.exhibit.paper.suites else suite


Tables = Callable[[ExhibitResults], "Sequence[Table]"]
Figures = Callable[[ExhibitResults], "Sequence[Figure]"]


@dataclass(frozen=True)
class Exhibit:
    """A table or figure of a paper.

    Attributes:
        label: as the paper numbers it: ``Table 2``.
        about: what it asks, in a sentence.
        suites: the suites of tasks that it is about; at scale ``smoke`` the paper's generated one stands for them.
        tables, figures: functions that make its tables and figures from the results.
        methods: the variants that are trained, in the order of the rows; none where nothing is trained.
        floors: the floors (methods without training) whose rows stand below them.
        smoke_methods: the variants in place of `methods` at scale ``smoke``, where some do not fit its two layers.
        targets: the tasks that are asked about; by default all targets of the suites.
        settings: the settings that the exhibit prescribes, for every method that has them.
        sizes: (scale, data root) -> keys of the study file that say how much training data there is; `settings` among
            them go over the scale's.
        own: scale -> variant -> the settings of that variant alone.
        planted: the generated suite that stands for the suites; by default the paper's.
        notes: what a reader must know of this exhibit.
        readings_of: the method whose paper is read in several ways here; empty for a table or figure of the paper.
        untrained_page: (exhibit, scale, places) -> the page of an exhibit for which nothing is trained.
        needs_model: whether that page takes an encoder.
    """

    paper: Paper
    label: str
    about: str
    suites: tuple[str, ...]
    tables: Tables | None = None
    figures: Figures | None = None
    methods: tuple[str, ...] = ()
    floors: tuple[str, ...] = FLOORS
    smoke_methods: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    sizes: Callable[[Scale, Path | None], Mapping[str, Any]] | None = None
    own: Callable[[Scale], Mapping[str, Mapping[str, Any]]] | None = None
    planted: str = ""
    notes: tuple[str, ...] = ()
    readings_of: str = ""
    untrained_page: Callable[[Exhibit, Scale, Places], ExhibitPage] | None = None
    needs_model: bool = False

    @property
    def stem(self) -> str:
        """What its files are called: ``table2``, ``fig3``."""
        kind, _, number = self.label.lower().partition(" ")
        return kind.replace("figure", "fig") + number

    @property
    def name(self) -> str:
        """The name of its module: ``meta_dtl_table2``."""
        return f"{self.paper.id}_{self.stem}"

    @property
    def title(self) -> str:
        return f"{self.label} of {self.paper.title}"

    def study(
        self, scale: Scale, root: Path | None = None, search: bool = False, overrides: Sequence[str] = ()
    ) -> Study | None:
        """The study behind the exhibit, checked as a study file is; None where nothing is trained.

        Args:
            root: the data root.
            search: tune every method on dev, `TRIALS` configurations each; else each runs with its fixed settings.
            overrides: ``a.b=value`` pairs from the command line.

        Raises:
            ConfigError: everything that is wrong with the overrides.
        """
        if not self.methods:
            return None
        name = f"{self.name}-{scale}"
        return check_study(
            parse_yaml(to_yaml(self._study_keys(name, scale, root, search)), name), name, overrides, written=False
        )

    def _study_keys(self, name: str, scale: Scale, root: Path | None, search: bool) -> dict[str, Any]:
        """The keys of the study file that this study would have."""
        smoke = scale == "smoke"
        methods = [*(self.smoke_methods if smoke and self.smoke_methods else self.methods), *self.floors]
        suite_names = [self._planted_suite] if smoke else [*self.suites]
        size_keys = dict(self.sizes(scale, root)) if self.sizes is not None else {}
        settings = {**(self.paper.settings if scale == "paper" else {}), **SETTINGS[scale], **self.settings}
        settings |= size_keys.pop("settings", {})
        own_settings = {v: dict(s) for v, s in (self.own(scale) if self.own is not None else {}).items()}
        if search and not smoke:  # what is set is not searched
            settings.pop("lr", None)
            own_settings = {
                v: {k: x for k, x in s.items() if catalogue().parameters_of(v)[k].search is None}
                for v, s in own_settings.items()
            }
        keys: dict[str, Any] = {
            "name": name,
            "about": f"{self.title} at scale {scale}: {self.about}",
            "plm": PLM[scale],
            "suite" if len(suite_names) == 1 else "suites": suite_names[0] if len(suite_names) == 1 else suite_names,
            "methods": [{m: own_settings[m]} if own_settings.get(m) else m for m in methods],
            "settings": {k: v for k, v in settings.items() if any(k in catalogue().parameters_of(m) for m in methods)},
            "report": {"seeds": 2 if smoke else 3},
        }
        if root is not None:
            keys["data_root"] = str(root)
        if smoke:
            keys |= {"task_options": PLANTED, "targets": [*suites()[self._planted_suite]["targets"][:2]]}
        elif self.targets:
            keys["targets"] = [*self.targets]
        if scale == "small":
            keys |= {"length": LENGTH, "limits": dict(LIMITS)}
        if search:
            keys["search"] = {"trials": 2, "generation": 2} if smoke else {"trials": TRIALS}
        return keys | size_keys

    @property
    def _planted_suite(self) -> str:
        return self.planted or self.paper.planted

    def tasks(self, scale: Scale) -> tuple[str, ...]:
        """The tasks of its suites, in their order."""
        suite_names = [self._planted_suite] if scale == "smoke" else self.suites
        return tuple(t for s in suite_names for t in suites()[s]["tasks"])

    def missing_data(self, scale: Scale, root: Path | None) -> tuple[str, ...]:
        """The data sets that it needs at a scale and that are not on this machine."""
        modules = dict.fromkeys(t.partition("/")[0] for t in self.tasks(scale))
        return tuple(m for m in modules if not is_here(m, root))

    def model(self, scale: Scale) -> str:
        """The encoder that it needs at a scale; empty where it needs none."""
        study = self.study(scale)
        if study is not None:
            return study.plm
        return PLM[scale] if self.needs_model else ""

    def published_train_size(self, task: str) -> int:
        """The training examples of one of its tasks where that was published; 0 where nobody says."""
        return published_train_size(self.paper, task)

    def page(self, scale: Scale, study: Study, numbers: Numbers, runs: RunScores | None = None) -> ExhibitPage:
        """The page of the exhibit, from a study's numbers and the published ones; its report opens with it."""
        from raystudy.analysis.exhibit_page import ExhibitPage
        from raystudy.exhibits._assumed import assumed_table
        from raystudy.exhibits._setup import setup_sentences

        results = ExhibitResults(self, scale, study, numbers, runs)
        return ExhibitPage(
            title=f"{self.title}, scale {scale}",
            about=f"{self.about[:1].upper()}{self.about[1:]}. {self.paper.citation}.",
            setup=tuple(setup_sentences(results)),
            tables=tuple(self.tables(results)) if self.tables is not None else (),
            figures=tuple(self.figures(results)) if self.figures is not None else (),
            assumed=assumed_table(study.variants),
        )


def names() -> tuple[str, ...]:
    """All exhibits, sorted."""
    return module_names("exhibits")


def papers() -> tuple[str, ...]:
    """The ids of the papers whose exhibits are here, sorted."""
    return tuple(sorted({find(name).paper.id for name in names()}))


def find(name: str) -> Exhibit:
    """The exhibit of the module `name`.

    Raises:
        ConfigError: no such exhibit; the message names the nearest one.
    """
    exhibit = find_module("exhibits", name).EXHIBIT
    assert isinstance(exhibit, Exhibit)
    return exhibit


def page_renderer(
    manifest_entry: Mapping[str, Any] | None,
) -> Callable[[Study, Numbers, RunScores], ExhibitPage] | None:
    """The function that makes the page of the exhibit that a manifest names; None where it names none.

    Args:
        manifest_entry: ``{"exhibit": name, "scale": scale}``.

    Raises:
        ConfigError: this version does not know the exhibit or the scale.
    """
    if manifest_entry is None:
        return None
    exhibit, scale = find(manifest_entry["exhibit"]), manifest_entry["scale"]
    if scale not in SCALES:
        raise ConfigError(unknown_name("scale", scale, SCALES))
    return partial(exhibit.page, scale)


def run_untrained(
    name: str,
    scale: Scale,
    places: Places,
    folder: Path,
    opens: Callable[[Opening], None] = lambda opening: None,
) -> Path:
    """Compute an exhibit for which nothing is trained, and write its report; returns the path of report.md.

    Args:
        places: the data root, and the encoder where the exhibit needs one (`PLM` has each scale's).
        folder: the results folder; the report goes into ``folder/report``.
        opens: is called with the first part of the report, once all of it is written.

    Raises:
        UserError: the exhibit needs training; data or model are missing.
    """
    from raystudy.analysis.report import build_exhibit_report

    exhibit = find(name)
    if exhibit.untrained_page is None:
        raise ConfigError(f"{name} is shown from a study's results; run the study")
    return build_exhibit_report(exhibit.untrained_page(exhibit, scale, places), folder, opens)
