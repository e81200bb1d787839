"""``optuna.journal``: what Optuna knows of the searches, for optuna-dashboard. It is written and never read back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

__all__ = ["OptunaJournal"]


class OptunaJournal(BaseJournalBackend):
    """A journal in memory that is also written to a file, for as long as that succeeds."""

    def __init__(self, path: Path) -> None:
        self._logs: list[dict[str, Any]] = []
        self._file: JournalFileBackend | None = None
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            self._file = JournalFileBackend(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._logs += json.loads(json.dumps(logs))  # what a reader of the file would get
        try:
            if self._file is not None:
                self._file.append_logs(logs)
        except OSError:  # a full disk: from here on the file would have a hole
            self._file = None

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return self._logs[log_number_from:]
