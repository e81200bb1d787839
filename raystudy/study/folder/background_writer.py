"""A view written aside: by a thread of its own, so that no full disk and no hanging writer ever stops a study.

TensorBoard's writer, for one, waits for ever once its own thread has died of an OSError.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

__all__ = ["BackgroundWriter"]

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """What takes things one after another until it is closed."""

    def add(self, thing: T_contra, /) -> None: ...
    def close(self) -> None: ...


class BackgroundWriter(Generic[T]):
    """Makes a sink and feeds it in a daemon thread. An error ends the view, and nothing else; `error` has it."""

    def __init__(self, make: Callable[[], Sink[T]], patience: float = 10.0) -> None:
        self.error: Exception | None = None
        self._patience = patience
        self._things: SimpleQueue[tuple[T] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._feed, args=(make,), daemon=True)
        self._thread.start()

    def _feed(self, make: Callable[[], Sink[T]]) -> None:
        try:
            sink = make()
            while (thing := self._things.get()) is not None:
                sink.add(*thing)
            sink.close()
        except Exception as e:
            self.error = e

    def add(self, thing: T) -> None:
        """Hand on one more thing; never waits."""
        self._things.put((thing,))

    def close(self) -> None:
        """Wait until everything is written, but not for ever."""
        self._things.put(None)
        self._thread.join(self._patience)
