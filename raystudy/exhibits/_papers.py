"""The papers whose exhibits are here: what they call the data, how they trained, and what they print."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = [
    "DOU2019",
    "METAXT",
    "META_DTL",
    "MFT",
    "TAWT",
    "TAWT_VECTORS",
    "TAWT_WORDS",
    "Paper",
    "Published",
    "PublishedNumber",
    "published_folder",
]


@dataclass(frozen=True)
class PublishedNumber:
    """One published number: a score in percent, a gain in points, or a count. `mark` is the sign printed beside it."""

    key: tuple[str, ...]
    value: float
    mark: str = ""


def published_folder() -> Path:
    """The folder ``results/published``, which lies beside the package in a checkout and inside it in a wheel."""
    inside = Path(__file__).parents[1] / "results_published"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "results" / "published"


@lru_cache
def _rows(file: str) -> tuple[dict[str, str], ...]:
    with (published_folder() / file).open(encoding="utf-8", newline="") as f:
        return tuple(csv.DictReader(f))


@dataclass(frozen=True)
class Published:
    """The published numbers of one table, found by the columns of its file; there are none if `file` is empty."""

    file: str = ""

    def find(self, **fields: str) -> PublishedNumber | None:
        """The one number whose columns are `fields`; None where there is none, or the paper prints a dash.

        Raises:
            ValueError: several numbers fit.
        """
        if not self.file:
            return None
        fits = [row for row in _rows(self.file) if all(row[k] == v for k, v in fields.items())]
        if len(fits) > 1:
            raise ValueError(f"{self.file}: {fields} must name one number, but {len(fits)} fit")
        if not fits or fits[0]["value"] in ("", "-"):
            return None
        row = fits[0]
        key = tuple(row[k] for k in ("paper", "exhibit", "plm", "method", "dataset", "setting", "metric"))
        return PublishedNumber(key, float(row["value"]), row["mark"])

    def mark(self, **fields: str) -> str:
        """The sign that the paper prints beside the number whose columns are `fields`; empty where there is none."""
        fits = [row for row in _rows(self.file) if all(row[k] == v for k, v in fields.items())] if self.file else []
        return fits[0]["mark"] if len(fits) == 1 else ""


@dataclass(frozen=True)
class Paper:
    """A paper whose exhibits are here.

    Attributes:
        id, file: the first part of its exhibits' names, and of the names of its files in ``results/published``.
        encoder, casing: its pre-trained model, as `plm` says in those files, and what that leaves open.
        suites: our suites of tasks -> the paper's heading for them, and its name for their average.
        tasks: our tasks -> the paper's name of the data set, in the paper's order.
        in_place_of: those of our tasks that the paper does not have -> the paper's data set that they stand in for,
            whose numbers stand beside ours.
        length: its longest sequence in word pieces, in words.
        training: what it says of the training and of what it tuned, in words.
        runs: what its numbers are means of.
        settings: settings for which it prints one value for every method, where the methods' own defaults differ.
        planted: the suite of generated tasks that stands for its suites at scale ``smoke``.
        statistics: whether its Table 1 has the sizes of its data.
        small: what its exhibits read at scale ``small``, in words, where that is not what others do.
    """

    id: str
    file: str
    title: str
    citation: str
    encoder: str
    casing: str
    suites: Mapping[str, tuple[str, str]]
    tasks: Mapping[str, str]
    length: str
    training: str
    runs: str
    planted: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    in_place_of: Mapping[str, str] = field(default_factory=dict)
    statistics: bool = True
    small: str = ""

    def dataset(self, task: str) -> str:
        """The data set whose published numbers stand beside those of a task of ours; empty where there is none."""
        return self.in_place_of.get(task) or self.tasks.get(task, "")

    def published(self, label: str) -> Published:
        """The numbers of the exhibit ``Table 2``."""
        return Published(f"{self.file}_{label.lower().replace(' ', '')}.csv")

    def short(self, task: str) -> str:
        """What the paper calls a task, without the data set that the task is a part of."""
        return self.tasks.get(task, task).rpartition("/")[2]


META_DTL = Paper(
    id="meta_dtl",
    file="metadtl",
    title="Meta-DTL",
    citation="Wang et al. 2021, Meta Distant Transfer Learning for Pre-trained Language Models",
    encoder="BERT-base",
    casing="in which casing is not printed",
    suites={
        "review": ("Review Analysis", "Avg. (review)"),
        "nli": ("NLI", "Avg. (NLI)"),
        "lexical": ("Lexical Semantics", "Avg. (lexical)"),
    },
    tasks={
        "sst5": "SST-5",
        "amazon_mds": "Amazon",
        "imdb": "IMDb",
        "mnli": "MNLI",
        "scitail": "SciTail",
        "hypenet_lex": "Shwartz",
        "bless": "BLESS",
    },
    length="128, pairs of terms 32",
    training="batches of 32; tuned are the learning rate (5e-5 or 1e-5), the MMT epochs (1 to 3) and those of "
    "fine-tuning (3 to 5); lambda is 0.1; the epochs of the baselines are not printed",
    runs="three random runs",
    planted="planted",
    settings={"lr": 5.0e-5},
)

MFT = Paper(
    id="mft",
    file="mft",
    title="MFT",
    citation="Wang et al. 2020, Meta Fine-Tuning Neural Language Models for Multi-Domain Text Mining",
    encoder="BERT-base-uncased",
    casing="",
    suites={
        "mnli_genres": ("MNLI", "MNLI/Average"),
        "amazon_domains": ("Amazon", "Amazon/Average"),
        "taxonomy": ("Taxonomy", "Taxonomy/Average"),
    },
    tasks={
        "mnli/telephone": "MNLI/Telephone",
        "mnli/government": "MNLI/Government",
        "mnli/slate": "MNLI/Slate",
        "mnli/travel": "MNLI/Travel",
        "mnli/fiction": "MNLI/Fiction",
        "amazon_mds/books": "Amazon/Book",
        "amazon_mds/dvd": "Amazon/DVD",
        "amazon_mds/electronics": "Amazon/Electronics",
        "amazon_mds/kitchen": "Amazon/Kitchen",
        "wn_taxonomy_apv/animal": "Taxonomy/Animal",
        "wn_taxonomy_apv/plant": "Taxonomy/Plant",
        "wn_taxonomy_apv/vehicle": "Taxonomy/Vehicle",
    },
    length="not printed",
    training="the learning rate is 2e-5 everywhere, lambda 0.1, alpha 0.5, Ls {4, 8, 12}; 1 or 2 epochs of MFT, 2 to 4 "
    "of fine-tuning; the batch size and the baselines' epochs are not printed",
    runs="three runs",
    planted="planted_domains",
    settings={"lr": 2.0e-5},
)

METAXT = Paper(
    id="metaxt",
    file="metaxt",
    title="MetaXT",
    citation="Sharma et al. 2021, MetaXT: Meta Cross-Task Transfer between Disparate Label Spaces",
    encoder="BERT, and a German BERT for German names",
    casing="in which size and casing is not printed",
    suites={
        "polarity_to_five": ("SST-5 in place of Yelp", ""),
        "polarity_to_stars": ("Amazon stars", ""),
        "pos_to_mwe": ("POS to MWE", ""),
        "ner_de": ("German NER", ""),
        "chunk_to_ner": ("chunks to names, in place of German NER", ""),
    },
    tasks={
        "amazon_mds": "Amazon products",
        "sst5": "SST-5",
        "imdb": "IMDb",
        "amazon_mds_stars": "Amazon stars",
        "ud_ewt_upos": "UD English",
        "streusle_mwe": "Streusle",
        "conll2003_de": "Conll03(Germ)",
        "germeval14": "GermEval14",
    },
    length="128, for tagging 64",
    training="batches of 10, split in two for MetaXT; everything else was selected on dev and is not printed",
    runs="five runs",
    planted="planted",
    # three epochs of twenty examples would be six updates
    settings={"lr": 3.0e-5, "batch_size": 10, "min_updates": 100},
    in_place_of={
        "amazon_mds": "Yelp Pol",
        "sst5": "Yelp Full",
        "imdb": "Amazon Pol",
        "amazon_mds_stars": "Amazon Full",
    },
    small="k examples of the target, 2,000 of the source, and 500 to test",
)

DOU2019 = Paper(
    id="dou2019",
    file="dou2019",
    title="Dou et al. 2019",
    citation="Dou et al. 2019, Investigating Meta-Learning Algorithms for Low-Resource Natural Language Understanding "
    "Tasks",
    encoder="BERT-base",
    casing="in which casing is not printed",
    suites={"glue": ("GLUE", ""), "glue_scitail": ("SciTail", "")},
    tasks={
        "cola": "CoLA",
        "mrpc": "MRPC",
        "stsb": "STS-B",
        "rte": "RTE",
        "sst2": "SST-2",
        "qqp": "QQP",
        "mnli": "MNLI",
        "qnli": "QNLI",
        "scitail": "SciTail",
    },
    length="not printed",
    training="Adam, batches of 32, learning rates of 5e-5, 5 epochs of meta-learning, 5 inner steps at 1e-3, 8 tasks "
    "per step; the fine-tuning is not printed, and BERT and MT-DNN come from other programs with other optimizers",
    runs="a number of runs that is not printed",
    planted="planted",
    statistics=False,
    settings={"lr": 5.0e-5},
)

TAWT = Paper(
    id="tawt",
    file="tawt",
    title="TAWT",
    citation="Chen et al. 2022, Weighted Training for Cross-Task Learning",
    encoder="BERT-base-cased",
    casing="",
    suites={"tagging": ("sequence tagging", "Avg")},
    tasks={
        "ud_ewt_upos": "PoS",
        "conll2000_chunk": "Chunking",
        "predicates": "Predicate Detection",
        "wnut17": "NER",
    },
    length="128",
    training="batches of 32, 4 epochs, a learning rate of 5e-5; eta is 1, c is 1 for joint training and the best of "
    "0.3, 1, 10, 30 and 100 for pre-training, chosen for each target on a split that is not said",
    runs="one run",
    planted="planted_tags",
    statistics=False,
    settings={"lr": 5.0e-5, "epochs": 4},
    small="the paper's numbers of target sentences, and 500 sentences of every source",
)

# the two experiments of TAWT that need no language model
TAWT_WORDS = Paper(
    id="tawt",
    file="tawt",
    title="TAWT",
    citation="Chen et al. 2022, Weighted Training for Cross-Task Learning",
    encoder="a network of one hidden ReLU layer, 4096 wide, over five GloVe embeddings of 50 numbers each, for this "
    "experiment",
    casing="",
    suites={"name_words": ("Words of names", "")},
    tasks={"word_vectors/wnut17": "named entity classification on entity words"},
    length="",
    training="Adam at 3e-4 with batches of 128 and 200 epochs; weights are updated every 5 epochs, with 5 times the "
    "identity for the inverse Hessian",
    runs="an unknown number of runs",
    planted="planted_vectors",
)
TAWT_VECTORS = Paper(
    id="tawt",
    file="tawt",
    title="TAWT",
    citation="Chen et al. 2022, Weighted Training for Cross-Task Learning",
    encoder="a network of one hidden ReLU layer, 4096 wide, for this experiment",
    casing="",
    suites={"teachers": ("Task distance", "")},
    tasks={"teachers/target": "T_0"},
    length="",
    training="Adam at 3e-4 with batches of 100 and 100 epochs",
    runs="an unknown number of runs",
    planted="teachers",
)
