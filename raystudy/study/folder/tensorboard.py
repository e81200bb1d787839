"""TensorBoard events of a study, for people to look at beside the report. They are never read back."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from raystudy.catalogue import Value, catalogue
from raystudy.spec import Record, Spec, digest

__all__ = ["TensorBoard"]


class TensorBoard:
    """TensorBoard events, written anew from the records when a study starts, so a killed run leaves no holes.

    One run per arm: dev scores in the order in which cells finished, seconds beside them. One run per configuration of
    a search: its searched settings (the HPARAMS page), and its mean dev score after each of its cells.
    """

    def __init__(self, folder: Path, records: Iterable[Record]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._steps: dict[str, int] = {}
        self._scores: dict[str, list[float]] = {}  # of a configuration's cells
        for record in sorted(records, key=lambda r: (r.spec.phase == "confirm", r.spec.seed, r.id)):
            self.add(record)

    def add(self, record: Record) -> None:
        """One more finished cell."""
        if record.status != "done":
            return
        arm = record.spec.arm.stem
        if arm not in self._writers:
            self._writers[arm] = SummaryWriter(str(self.folder / arm), flush_secs=10)
        tag = f"{record.spec.phase}/{record.spec.target}"
        step = self._steps[arm + tag] = self._steps.get(arm + tag, -1) + 1
        dev = record.metrics["dev"][record.facts["metric"]]
        self._writers[arm].add_scalar(f"{tag}/dev", dev, step)
        self._writers[arm].add_scalar(f"{tag}/seconds", record.wall, step)
        if record.spec.phase == "search":
            self._configuration(record.spec, dev)

    def _configuration(self, spec: Spec, dev: float) -> None:
        """A file per cell, closed at once: a search may have more configurations than a process may have open files.

        The experiment summary that `add_hparams` would write is left out: TensorBoard takes the columns of the first
        one it meets for all runs, and without any it gathers them from the runs.
        """
        run = f"{spec.arm.stem}/{digest(spec.settings, 4)}"
        scores = self._scores.setdefault(run, [])
        scores.append(dev)
        with SummaryWriter(str(self.folder / run), filename_suffix=f".{len(scores):04d}") as writer:
            if len(scores) == 1:
                shown: dict[str, Value] = {"method": spec.variant, "setting": str(spec.setting)}
                shown |= {name: spec.settings[name] for name in catalogue().searched_parameters(spec.variant, {})}
                _, start, end = hparams(shown, {})
                writer.file_writer.add_summary(start)
                writer.file_writer.add_summary(end)
            writer.add_scalar("search/dev", sum(scores) / len(scores), len(scores))

    def close(self) -> None:
        """Flush what is not written yet."""
        for writer in self._writers.values():
            writer.close()
