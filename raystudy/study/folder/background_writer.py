"""Runs a writer that is slow or may fail in a thread of its own, so that it never stops a study.

A full disk must not end a study because of TensorBoard's events; and TensorBoard's own writer waits for ever once its
thread has died of an OSError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

__all__ = ["BackgroundWriter"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Writer(Protocol[T_contra]):
    """What takes items one after another until it is closed."""

    def add(self, item: T_contra, /) -> None: ...
    def close(self) -> None: ...


class BackgroundWriter(Generic[T]):
    """Starts a daemon thread that creates a writer and passes it every item.

    If the writer fails, nothing more is written and the study goes on.

    Args:
        make_writer: called in the thread, because creating a writer may fail or hang, too.
        patience: seconds for which `close` waits.

    Attributes:
        error: what the writer failed with.
    """

    def __init__(self, make_writer: Callable[[], Writer[T]], patience: float = 10.0) -> None:
        self.error: Exception | None = None
        self._patience = patience
        self._items: SimpleQueue[tuple[T] | None] = SimpleQueue()  # None ends the thread
        self._thread = threading.Thread(target=self._write_items, args=(make_writer,), daemon=True)
        self._thread.start()

    def _write_items(self, make_writer: Callable[[], Writer[T]]) -> None:
        try:
            writer = make_writer()
            while (item := self._items.get()) is not None:
                writer.add(*item)
            writer.close()
        except Exception as e:
            self.error = e

    def add(self, item: T) -> None:
        """Hand over one more item; never waits."""
        self._items.put((item,))

    def close(self) -> None:
        """Wait until everything is written, but no longer than the patience."""
        self._items.put(None)
        self._thread.join(self._patience)
