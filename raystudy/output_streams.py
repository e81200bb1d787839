"""Replaces stdout and stderr of a command by streams that never end it, even when they are closed or full.

The same rule holds for all commands:

    nobody reads      the stream was closed at the start (``>&-``), or its reader has left (``| head -1``): the command
                      goes on to its end, and its exit code says how it ended, as if all had been read
    it cannot be      a full disk or device: the command goes on too; but where what it printed was all that was asked
    written           for, a code of 0 would be untrue, so it becomes 3, with words on the other stream

What a run could not print is kept in ``logs/driver.log`` of its results folder.
"""

from __future__ import annotations

import errno
import io
import os
import select
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["SafeOutput", "output_stream", "run_with_safe_output", "write_error"]

EXIT_CANNOT_WRITE = 3
_STREAMS = ("stdin", "stdout", "stderr")
_NOBODY_READS = (errno.EPIPE, errno.EBADF)


class SafeOutput(io.FileIO):
    """A file descriptor to which a write never fails. Once it takes no more, the rest goes to `overflow`, or nowhere.

    Attributes:
        error: why the descriptor takes no more; None as long as it does.
        overflow: a file to which what cannot be written is appended.
    """

    def __init__(self, descriptor: int, *, closed: bool = False, overflow: Path | None = None) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.error = OSError(errno.EBADF, os.strerror(errno.EBADF)) if closed else None
        self.overflow = overflow
        self._headed = False

    def write(self, data: Any, /) -> int:
        """Write bytes; returns how many there were, whatever became of them."""
        view = memoryview(data).cast("B")
        done = 0
        while self.error is None and done < len(view):
            try:
                written = super().write(view[done:])
            except OSError as e:
                self.error = e
                break
            if written is None:  # a descriptor that does not block and is busy
                select.select([], [self.fileno()], [])
            else:
                done += written
        if done < len(view):
            self._keep(view[done:])
        return len(view)

    def _keep(self, rest: memoryview) -> None:
        if self.overflow is None or self.error is None:
            return
        with suppress(OSError), self.overflow.open("ab") as f:
            if not self._headed:
                why = self.error.strerror or self.error
                when = time.strftime("%Y-%m-%d %H:%M:%S")
                f.write(f"{when} {shlex.join(sys.argv)}: what could not be printed ({why}):\n".encode(errors="replace"))
                self._headed = True
            f.write(rest)

    @property
    def unread(self) -> bool:
        """Whether nobody reads what is written, because whoever started the command wants it so."""
        return self.error is not None and self.error.errno in _NOBODY_READS


class _Text(io.TextIOWrapper):
    """A text stream over a `SafeOutput`, which it names."""

    def __init__(self, raw: SafeOutput, encoding: str) -> None:
        self.output = raw
        # a name that this encoding cannot say is written in escapes
        super().__init__(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


def output_stream(
    descriptor: int, *, closed: bool = False, overflow: Path | None = None, encoding: str = "utf-8"
) -> _Text:
    """A text stream on `descriptor`, which it does not close; see `SafeOutput`."""
    return _Text(SafeOutput(descriptor, closed=closed, overflow=overflow), encoding)


def write_error(stream: Any) -> OSError | None:
    """Why a stream takes no more; None as long as it does, and for streams that are not of this module."""
    return stream.output.error if isinstance(stream, _Text) else None


def run_with_safe_output(command: Callable[[], Any]) -> int:
    """Run `command` with streams that outlive stdout and stderr, and return its exit code."""
    out, err = _own_streams()
    try:
        code: int = command() or 0
    except SystemExit as e:  # what `typer` ends a command with
        code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    for stream in (out, err):
        stream.flush()
    if (why := out.output.error) is not None and not out.output.unread:
        err.write(f"the output cannot be written: {why.strerror or why}\n")
        err.flush()
        return code or EXIT_CANNOT_WRITE
    return code


def _own_streams() -> tuple[_Text, _Text]:
    """Replace stdout and stderr by streams of this module, and let a closed descriptor lead to the null device.

    It must lead somewhere: else the next file that is opened gets its number, and with it all that is printed.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor, inheritable=True)
                os.close(nowhere)
            else:
                os.set_inheritable(descriptor, True)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  a descriptor, for as long as we live
    streams = []
    for descriptor in (1, 2):
        name = _STREAMS[descriptor]
        old_stream = getattr(sys, name)
        if old_stream is not None:
            with suppress(OSError, ValueError):
                old_stream.flush()
        streams.append(
            output_stream(
                descriptor, closed=old_stream is None, encoding=getattr(old_stream, "encoding", None) or "utf-8"
            )
        )
        setattr(sys, name, streams[-1])
    return streams[0], streams[1]
