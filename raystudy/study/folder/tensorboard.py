"""TensorBoard events of a study, for people to look at beside the report. They are never read back."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from raystudy.catalogue import Value, catalogue
from raystudy.spec import Record, Spec, digest

__all__ = ["TensorBoard"]


class TensorBoard:
    """Writes TensorBoard events; all of them anew when a study starts, so that a killed run leaves no holes.

    TensorBoard shows a run per arm (one variant in one setting, on all targets): the dev scores of its cells in the
    order in which they finished, and their seconds. It shows a run per configuration of a search, too: its searched
    settings (on the HPARAMS page), and its mean dev score after each of its cells.

    Args:
        folder: ``tensorboard/`` of the results folder; what is in it is removed.
        records: the records that are there already.
        own: variant -> settings that the study searches beside those of the catalogue.
    """

    def __init__(
        self, folder: Path, records: Iterable[Record], own: Callable[[str], Iterable[str]] = lambda variant: ()
    ) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.folder, self._own = folder, own
        self._writers: dict[str, SummaryWriter] = {}
        self._steps: dict[str, int] = {}
        self._scores: dict[str, list[float]] = {}  # run of a configuration -> dev scores of its cells
        for record in sorted(records, key=lambda r: (r.spec.phase == "confirm", r.spec.seed, r.id)):
            self.add(record)

    def add(self, record: Record) -> None:
        """Write the events of one more cell; a failed one has none."""
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
            self._add_to_configuration(record.spec, dev)

    def _add_to_configuration(self, spec: Spec, dev: float) -> None:
        """Write the dev score of one more cell of a search to the run of its configuration.

        Each cell has a file of its own that is closed at once, because a search may have more configurations than a
        process may have open files.

        The experiment summary that `add_hparams` would write is left out: TensorBoard takes the columns of the first
        one it meets for all runs, and without any it gathers them from the runs.
        """
        run = f"{spec.arm.stem}/{digest(spec.settings, 4)}"
        scores = self._scores.setdefault(run, [])
        scores.append(dev)
        with SummaryWriter(str(self.folder / run), filename_suffix=f".{len(scores):04d}") as writer:
            if len(scores) == 1:
                columns: dict[str, Value] = {"method": spec.variant, "setting": str(spec.setting)}
                searched = (*catalogue().searched_parameters(spec.variant, {}), *self._own(spec.variant))
                columns |= {name: spec.settings[name] for name in dict.fromkeys(searched)}
                _, start, end = hparams(columns, {})
                writer.file_writer.add_summary(start)
                writer.file_writer.add_summary(end)
            writer.add_scalar("search/dev", sum(scores) / len(scores), len(scores))

    def close(self) -> None:
        """Flush what is not written yet."""
        for writer in self._writers.values():
            writer.close()
