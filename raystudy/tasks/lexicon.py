"""The default data: the sentiment of single terms, read from the data files of two PyPI packages without a download.

========================  ======================================================================================
``lexicon/stars``         target: five levels of sentiment of a single word, from the ten human ratings of each
                          VADER term (Hutto and Gilbert 2014)
``lexicon/polarity``      source: negative, neutral or positive sense of an adjective, text ``form: gloss``
``lexicon/subjectivity``  source: objective, mixed or subjective sense, same texts (TextBlob's en-sentiment.xml,
                          De Smedt and Daelemans)
========================  ======================================================================================

*Stars.* A rating is a whole number from -4 to 4. The cut points are whole steps of that scale, applied to the mean of
the ten: 1 = at most -2, 2 = above -2 up to -1, 3 = between -1 and 1 (less than one step from neutral, where raters
disagree on the sign), 4 = from 1 below 2, 5 = at least 2. VADER left out terms whose mean was 0, so the middle holds
weak terms, not neutral ones. A term is kept if it is a word: letters, with inner hyphens or apostrophes, at least one
vowel, from the file's alphabetical list of words (its first list is emoticons and chat abbreviations), and not in that
first list as well. Slang that is spelt like a word (`kewl`) cannot be told apart and stays.

*Polarity and subjectivity.* Polarity lies in [-1, 1]: neutral = at most 0.1 from 0. Subjectivity lies in [0, 1]:
objective = at most 0.3, mixed = 0.4 to 0.7, subjective = from 0.8. The file's header gives confidence 1.0 to
hand-tagged and 0.7 to inferred senses, but its entries hold only 0.8 and 0.9 (some under the name `reliability`), so
the hand-tagged ones cannot be told apart: all adjective senses with a gloss are used, and are partly inferred.

*Split.* Terms are grouped by the first six letters of their Snowball stem, which also joins derived forms whose stems
differ (beauti-, beautif-). A hash of the group alone decides between train, dev and test, for all parts at once: no
group of a test term is that of a dev or train term of any part, and no group of a dev term that of a train term. A
gloss that holds a word of a later split's target term is dropped, not masked: a masked gloss is no longer what the
raters saw. Opposites (happy, unhappy) are different groups.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from raystudy.errors import PreflightError, Problem
from raystudy.tasks import SPLITS, Example, Task
from raystudy.tasks._card import refuse_options, refuse_part

__all__ = ["PARTS", "group", "load", "split_of", "words"]

PARTS = ("stars", "polarity", "subjectivity")
STARS = ("1", "2", "3", "4", "5")
STAR_TEXT = {"1": "very negative", "2": "negative", "3": "neutral", "4": "positive", "5": "very positive"}
GROUP_LETTERS = 6
EVALUATED = {"test": 0.2, "dev": 0.1}  # fraction of the groups; the rest is train
LATER = {"train": ("dev", "test"), "dev": ("test",), "test": ()}

WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
TERMS = re.compile(rf"{WORD.pattern}(?: {WORD.pattern})*")


# ---------------------------------------------------------------------------------------------------------------------
# the two files


def _missing_package(what: str) -> PreflightError:
    return PreflightError(Problem(f"{what}. Install it with: pip install 'raystudy[quickstart]'", path="task lexicon"))


def _file(package: str, *parts: str) -> Path:
    """A data file inside an installed package, found without importing the package.

    Raises:
        PreflightError: the package is not installed, or does not hold the file.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, *parts)
        if path.is_file():
            return path
    if spec is None:
        raise _missing_package(f"the lexicon is read from the package {package}, which is not installed")
    raise _missing_package(f"the installed package {package} does not hold the file {'/'.join(parts)}")


@dataclass(frozen=True)
class _Sense:
    """One adjective sense: several entries may share form and gloss; then the values are those of all of them."""

    form: str
    gloss: str
    polarity: tuple[float, ...]
    subjectivity: tuple[float, ...]

    @property
    def text(self) -> str:
        return f"{self.form}: {self.gloss}"


def _vader(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """(word -> sum of its ten ratings, reason -> terms left out)."""
    rows = []
    left_out: Counter[str] = Counter()
    for line in path.read_text(encoding="utf-8").splitlines():
        term, *_, ratings = line.split("\t") if "\t" in line else ("", "")
        if WORD.fullmatch(term):
            rows.append((term, sum(json.loads(ratings))))
        elif term:
            left_out["emoticons, digits, symbols or several words"] += 1
    # Two alphabetical lists: the words begin where the initial letter last falls back.
    start = max((i for i in range(1, len(rows)) if rows[i][0][0] < rows[i - 1][0][0]), default=0)
    chat = {term for term, _ in rows[:start]}
    left_out["in the list of chat abbreviations"] = start + sum(t in chat for t, _ in rows[start:])
    kept = {}
    for term, total in rows[start:]:
        if term in chat:
            continue
        if not re.search("[aeiouy]", term):
            left_out["without a vowel"] += 1
        else:
            kept[term] = total
    return kept, dict(left_out)


def _textblob(path: Path) -> tuple[list[_Sense], dict[str, int]]:
    """(senses in file order, reason -> entries left out)."""
    entries: dict[tuple[str, str], list[tuple[float, float]]] = {}
    left_out: Counter[str] = Counter()
    for word in ET.parse(path).getroot().iter("word"):
        form, gloss = word.get("form", "").lower(), " ".join(word.get("sense", "").split())
        if word.get("pos") != "JJ":
            left_out["not tagged as an adjective"] += 1
        elif not gloss:
            left_out["without a gloss"] += 1
        elif not TERMS.fullmatch(form):
            left_out["form with digits or symbols"] += 1
        else:
            values = float(word.get("polarity", "nan")), float(word.get("subjectivity", "nan"))
            entries.setdefault((form, gloss), []).append(values)
    senses = [_Sense(f, g, *map(tuple, zip(*values, strict=True))) for (f, g), values in entries.items()]
    return senses, dict(left_out)


# ---------------------------------------------------------------------------------------------------------------------
# groups and splits


@cache
def _stemmer() -> Callable[[str], str]:
    try:
        from nltk.stem.snowball import SnowballStemmer
    except ImportError:
        raise _missing_package(
            "the lexicon groups words by stem with the package nltk, which is not installed"
        ) from None
    stem: Callable[[str], str] = SnowballStemmer("english").stem
    return stem


@cache
def group(word: str) -> str:
    """What must not be shared between train and evaluation: the first six letters of the word's Snowball stem."""
    return _stemmer()(word)[:GROUP_LETTERS]


def words(text: str) -> list[str]:
    """The words of a text, lower case; a hyphen or an apostrophe ends a word."""
    return re.findall("[a-z]+", text.lower())


def split_of(group: str) -> str:
    """The split of a group: a function of its letters alone, so that adding terms moves no other."""
    u = int.from_bytes(hashlib.blake2b(f"lexicon {group}".encode(), digest_size=8).digest()) / 2**64
    for split, fraction in EVALUATED.items():
        if u < fraction:
            return split
        u -= fraction
    return "train"


def _one_split(text: str) -> str:
    """The split on which all words of a term agree, or an empty string."""
    splits = {split_of(group(w)) for w in words(text)}
    return splits.pop() if len(splits) == 1 else ""


# ---------------------------------------------------------------------------------------------------------------------
# tasks


def star(total: int) -> str:
    """The level of a term from the sum of its ten ratings (whole numbers from -4 to 4)."""
    return "1" if total <= -20 else "2" if total <= -10 else "3" if total < 10 else "4" if total < 20 else "5"


def polarity(value: float) -> str:
    """The class of a polarity in [-1, 1]; the file has steps of 0.1 and a few of 0.05."""
    return "neutral" if abs(value) < 0.15 else "negative" if value < 0 else "positive"


def subjectivity(value: float) -> str:
    """The class of a subjectivity in [0, 1], in steps of 0.1."""
    return "objective" if value < 0.35 else "mixed" if value < 0.75 else "subjective"


@dataclass(frozen=True)
class _Lexicon:
    """Both files, read and split once per process."""

    stars: Mapping[str, tuple[tuple[str, int], ...]]  # split -> (term, sum of ratings)
    senses: Mapping[str, tuple[_Sense, ...]]
    star_notes: tuple[str, ...]
    sense_notes: tuple[str, ...]


def _in_words(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in left_out.items() if n)


@lru_cache(maxsize=1)
def _read(vader: Path, textblob: Path) -> _Lexicon:
    try:
        terms, terms_out = _vader(vader)
        senses, senses_out = _textblob(textblob)
    except (OSError, ValueError, ET.ParseError) as e:
        raise _missing_package(f"a lexicon file cannot be read as its known version ({e})") from None
    stars: dict[str, list[tuple[str, int]]] = {s: [] for s in SPLITS}
    between_splits = 0
    for term, total in sorted(terms.items()):
        if split := _one_split(term):
            stars[split].append((term, total))
        else:
            between_splits += 1
    terms_out["whose parts fall in different splits"] = between_splits
    evaluated = {s: {group(w) for term, _ in stars[s] for w in words(term)} for s in SPLITS}
    senses_of, gloss_notes = _split_senses(senses, evaluated)
    rule = (
        f"split by a hash of the first {GROUP_LETTERS} letters of the Snowball stem, the same for all parts: "
        + ", ".join(f"{s} {len(stars[s])} terms" for s in SPLITS)
    )
    return _Lexicon(
        stars={s: tuple(rows) for s, rows in stars.items()},
        senses=senses_of,
        star_notes=(
            f"{sum(map(len, stars.values()))} words of VADER; left out: {_in_words(terms_out)}",
            "mean of ten ratings from -4 to 4, cut at -2, -1, 1 and 2; slang spelt like a word stays",
            rule,
        ),
        sense_notes=(
            f"{sum(map(len, senses_of.values()))} adjective senses of TextBlob; left out: {_in_words(senses_out)}",
            "partly inferred: the file marks hand-tagged senses with 1.0, but every entry has 0.8 or 0.9",
            *gloss_notes,
            rule,
        ),
    )


def _split_senses(
    senses: Iterable[_Sense], evaluated: Mapping[str, set[str]]
) -> tuple[dict[str, tuple[_Sense, ...]], tuple[str, ...]]:
    """Senses by the split of their form, without those whose gloss would give a later split away, and what was dropped.

    Args:
        evaluated: split -> groups of the target's terms in it.
    """
    rows: dict[str, list[_Sense]] = {s: [] for s in SPLITS}
    between_splits = 0
    for sense in senses:
        if split := _one_split(sense.form):
            rows[split].append(sense)
        else:
            between_splits += 1
    given_away, repeated = 0, 0
    senses_of: dict[str, tuple[_Sense, ...]] = {}
    for split in SPLITS:
        later_terms = set().union(*(evaluated[s] for s in LATER[split]))
        later_glosses = {sense.gloss for s in LATER[split] for sense in rows[s]}
        admitted = []
        for sense in rows[split]:
            if later_terms.intersection(group(w) for w in words(sense.gloss)):
                given_away += 1
            elif sense.gloss in later_glosses:
                repeated += 1
            else:
                admitted.append(sense)
        senses_of[split] = tuple(admitted)
    dropped_note = (
        f"dropped: {given_away} senses whose gloss holds a word of a later split's target term, {repeated} whose gloss "
        f"is also that of a later split's sense, {between_splits} whose words fall in different splits"
    )
    return senses_of, (dropped_note, "a gloss may still hold a word that is another sense's form in a later split")


def _star_rows(lexicon: _Lexicon) -> Iterator[tuple[str, Example]]:
    for split, terms in lexicon.stars.items():
        for term, total in terms:
            yield split, Example(star(total), text=term, group=group(words(term)[0]))


def _sense_rows(
    lexicon: _Lexicon, values: Callable[[_Sense], tuple[float, ...]], label: Callable[[float], str]
) -> Iterator[tuple[str, Example | None]]:
    """(split, example), or None for a sense whose entries disagree on the class."""
    for split, senses in lexicon.senses.items():
        for sense in senses:
            classes = {label(v) for v in values(sense)}
            example = Example(classes.pop(), text=sense.text, group=group(words(sense.form)[0]))
            yield split, None if classes else example


def load(part: str = "", *, root: Path | None = None, **options: Any) -> Task:
    """``stars``, ``polarity`` or ``subjectivity``; always the same examples in the same order.

    Args:
        root: not read; the data come with the packages vaderSentiment and textblob.

    Raises:
        PreflightError: a package is missing; ConfigError: no such part, or any option (there are none).
    """
    refuse_part("lexicon", part, PARTS)
    refuse_options("lexicon", options, ())
    lexicon = _read(_file("vaderSentiment", "vader_lexicon.txt"), _file("textblob", "en", "en-sentiment.xml"))
    rows: list[tuple[str, Example | None]]
    labels: tuple[str, ...]
    if part == "stars":
        rows, labels, notes = list(_star_rows(lexicon)), STARS, lexicon.star_notes
        source = "Hutto, Gilbert 2014, VADER: A Parsimonious Rule-based Model for Sentiment Analysis (ICWSM)"
    elif part == "polarity":
        rows = list(_sense_rows(lexicon, lambda s: s.polarity, polarity))
        labels, notes = ("negative", "neutral", "positive"), ("cut at -0.1 and 0.1", *lexicon.sense_notes)
    else:
        rows = list(_sense_rows(lexicon, lambda s: s.subjectivity, subjectivity))
        labels, notes = ("objective", "mixed", "subjective"), ("cut at 0.3 and 0.7", *lexicon.sense_notes)
    if part != "stars":
        source = "De Smedt, Daelemans 2012, Pattern for Python (JMLR), en-sentiment.xml as shipped with TextBlob"
        notes = (*notes, f"dropped: {sum(e is None for _, e in rows)} senses whose entries disagree on the class")
    return Task(
        name=f"lexicon/{part}",
        form="single",
        labels=labels,
        splits={s: tuple(e for split, e in rows if split == s and e is not None) for s in SPLITS},
        metric="accuracy",
        metrics=("macro_f1",),
        label_text=STAR_TEXT if part == "stars" else {},
        length=32,
        source=source,
        licence="MIT (VADER)" if part == "stars" else "PDDL (en-sentiment.xml)",
        notes=notes,
    )
