"""Paces: how many seconds this machine takes for one unit of a training's work, kept in the cache folder.

What takes the time of a training is told apart by its `PARTS`, the same that a record has seconds of. The unit of each
is one that a plan can count: a pass of a transfer or an adaptation, a training example of which constants are computed,
an example that is judged. A pass over one batch takes the longer, the more word pieces the batch has, and the longer,
the more of the model is trained. `Work` names all that a pace depends on; paces of work that differs only in the
number of word pieces answer for each other in proportion.

A pace comes from records, where there are some, and else from a measurement (`calibrate.py`). It is forgotten with the
code that it was seen with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from raystudy.errors import UserError
from raystudy.files import atomic_write
from raystudy.spec import digest

__all__ = ["PARTS", "Pace", "Paces", "Part", "Work"]

Part = Literal["load", "constants", "transfer", "adapt", "evaluate", "start", "finish"]
# of a training; `start` and `finish` are those of a run: until its first training begins, and after its last one
PARTS: tuple[Part, ...] = ("load", "constants", "transfer", "adapt", "evaluate")

_TRAINED: tuple[Part, ...] = ("transfer", "adapt")  # whose unit is a pass
_MOST = 4000  # paces that are kept; those that were seen longest ago go first
_USUAL: dict[Part, float] = {"load": 0.15, "start": 30.0, "finish": 8.0}  # seconds, until they were seen once


@dataclass(frozen=True)
class Work:
    """What the time of one unit of work depends on.

    Attributes:
        part: of a training, or of a run.
        variant: the method's; none for what is the same for all.
        model: a digest of the pre-trained model.
        batch: examples of a pass.
        tokens: word pieces of a mean example of the data that the part reads.
        freeze: which part of the model is not trained, as the setting of that name says.
        workers: that train together. threads: of each.
        code: a digest of the method's code and of the libraries below it.
    """

    part: Part
    variant: str = ""
    model: str = ""
    batch: int = 1
    tokens: float = 1.0
    freeze: str = "none"
    precision: str = "fp32"
    device: str = "cpu"
    workers: int = 1
    threads: int = 1
    code: str = ""

    @property
    def pieces(self) -> float:
        """Word pieces of a unit: of a batch, or of an example."""
        return max(self.tokens, 1.0) * (self.batch if self.part in _TRAINED else 1)


@dataclass(frozen=True)
class Pace:
    """What was seen of one kind of work.

    Attributes:
        amount: units of work. seconds: that they took together.
        measured: whether a calibration saw it, and no record yet.
        seen: when it was seen last, in seconds since 1970.
    """

    amount: float
    seconds: float
    measured: bool = False
    seen: float = 0.0

    @property
    def of_one(self) -> float:
        """Seconds of a unit."""
        return self.seconds / self.amount

    def with_records(self, amount: float, seconds: float, now: float) -> Pace:
        """With what further records say: a calibration is forgotten for it, and what was seen in earlier runs fades."""
        old = 0.0 if self.measured else min(1.0, amount / self.amount)
        return Pace(old * self.amount + amount, old * self.seconds + seconds, seen=now)


@dataclass
class Paces:
    """The paces that are known of one machine.

    Attributes:
        machine: what tells it from others: its processor, or the address of a cluster.
        file: where they are kept; None = nowhere.
        known: what was there, and what calibrations and records have brought since.
        slowdown: how many times as long as alone work takes, because other programs are at work now. It concerns paces
            from calibrations, which count the time of the processor; records have it in them.
    """

    machine: Mapping[str, str]
    file: Path | None = None
    known: dict[Work, Pace] = field(default_factory=dict)
    slowdown: float = 1.0
    _fresh: dict[Work, tuple[float, float]] = field(default_factory=dict)  # of this run's records: amount, seconds
    _measured: set[Work] = field(default_factory=set)

    @classmethod
    def of(cls, machine: Mapping[str, str], cache: Path | None) -> Paces:
        """Those that were kept in a cache folder; none where there is nothing that can be read."""
        file = cache / "pace" / f"{digest(dict(machine))}.json" if cache is not None else None
        return cls(machine, file, _read(file))

    def measured(self, work: Work, amount: float, seconds: float) -> None:
        """A calibration has seen `amount` units take so many seconds."""
        self.known[work] = Pace(amount, seconds, measured=True, seen=time.time())
        self._measured.add(work)

    def recorded(self, work: Work, amount: float, seconds: float) -> None:
        """A record says that `amount` units took so many seconds."""
        if amount > 0 and seconds >= 0:
            before = self._fresh.get(work, (0.0, 0.0))
            self._fresh[work] = before[0] + amount, before[1] + seconds

    def keep(self) -> None:
        """Write what this run has seen to the file, beside what others have written meanwhile.

        A cache that cannot be written costs the next plan a calibration.
        """
        if self.file is None or not (self._fresh or self._measured):
            return
        now = time.time()
        with suppress(OSError, UserError, Timeout):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.file.with_suffix(".lock"), timeout=5):
                kept = _read(self.file)
                kept |= {w: self.known[w] for w in self._measured if w not in kept}
                for work, (amount, seconds) in self._fresh.items():
                    kept[work] = (
                        kept[work].with_records(amount, seconds, now)
                        if work in kept
                        else Pace(amount, seconds, seen=now)
                    )
                newest = sorted(kept, key=lambda w: -kept[w].seen)[:_MOST]
                rows = [{"work": asdict(w), **asdict(kept[w])} for w in newest]
                atomic_write(self.file, json.dumps({"machine": dict(self.machine), "paces": rows}))
        self._fresh.clear()
        self._measured.clear()

    def has(self, work: Work) -> bool:
        """Whether records or a calibration have seen this work, or the same with other word pieces."""
        return work in self.known or _nearest(work, self._like(work)) is not None

    def seconds(self, work: Work) -> float | None:
        """Seconds of a unit: as was seen of this work, of the same with other word pieces, or of another method's.

        A pass is so defined that it costs about the same in every method, so another method's is a fair guess. None
        where nothing was seen that could tell.
        """
        if work in self.known:
            return self._of_one(work)
        near = _nearest(work, self._like(work)) or self._of_another_method(work)
        if near is not None:
            return self._of_one(near) * (1.0 if work.part == "load" else work.pieces / near.pieces)
        return _USUAL.get(work.part)

    def _of_one(self, work: Work) -> float:
        pace = self.known[work]
        return pace.of_one * (self.slowdown if pace.measured else 1.0)

    def _like(self, work: Work) -> Iterable[Work]:
        """Known work that differs from `work` in its word pieces alone."""
        return (w for w in self.known if replace(w, batch=work.batch, tokens=work.tokens) == work)

    def _of_another_method(self, work: Work) -> Work | None:
        """Known work of another method, or of another part that counts in passes, with the same model and settings."""
        parts = _TRAINED if work.part in _TRAINED else (work.part,)
        rivals = [
            w
            for w in self.known
            if w.part in parts
            and replace(w, part=work.part, variant=work.variant, batch=work.batch, tokens=work.tokens, code=work.code)
            == work
        ]
        return _nearest(work, rivals)


def _nearest(work: Work, known: Iterable[Work]) -> Work | None:
    """The work with about as many word pieces, of several the closest; None where there is none within a factor 8."""
    near = [w for w in known if 1 / 8 <= w.pieces / work.pieces <= 8]
    return min(near, key=lambda w: abs(w.pieces - work.pieces), default=None)


def _read(file: Path | None) -> dict[Work, Pace]:
    """The paces of a file; none of one that is not there, or holds something else."""
    if file is None:
        return {}
    paces: dict[Work, Pace] = {}
    with suppress(OSError, ValueError, TypeError, KeyError):
        for row in json.loads(file.read_text(encoding="utf-8"))["paces"]:
            pace = Pace(float(row["amount"]), float(row["seconds"]), bool(row["measured"]), float(row["seen"]))
            if pace.amount > 0 and pace.seconds >= 0:
                paces[Work(**row["work"])] = pace
    return paces
