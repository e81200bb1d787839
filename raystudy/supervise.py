"""Runs a command in a child process and watches it, so that the user always gets a message and a true exit code.

A process that drives Ray cannot rely on ending by itself: when Ray's own processes (the raylet or the GCS) are gone,
Ray's core ends the driver from C++ at once, with code 1 and without a word, which would read as "done, some cells
failed". So the command forks before anything heavy is loaded. The child does all the work, and writes its exit code to
a pipe just before it ends. If a child ends without that, somebody else has ended it.

    Ctrl-C, SIGTERM    go to this process and are passed on to the child, once each (it has a process group of its own)
    the child dies     what Ray has started is ended too; its agents, and workers that just start, would stay a minute
    this process dies  the child notices by another pipe and follows at once, with all that is below it
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

__all__ = ["RESUME_HINT", "end_process", "is_supervised", "run_supervised"]

RESUME_HINT = "What was finished is kept; the same command goes on from here."

_PATIENCE = 30.0  # seconds for the child to leave after it has told its code: Ray's own exit hooks may hang
_code_pipe: int | None = None  # in the child: the end of a pipe to which it writes its exit code


def run_supervised(work: Callable[[], int], explain: Callable[[int], tuple[int, str]]) -> int:
    """The exit code of `work`, run in a child; returns in both processes (the child goes on to exit with it).

    Where a fork would not be safe (threads run, torch is loaded: a test, a notebook) or not possible, `work` runs here.

    Args:
        explain: (exit code, words for the user) for a child that ended without writing its code. It is given the
            status as `os.waitstatus_to_exitcode` gives it: a code, or the negative number of a signal.
    """
    if not hasattr(os, "fork") or threading.active_count() > 1 or "torch" in sys.modules:
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    code_reader, code_writer = os.pipe()
    life_reader, life_writer = os.pipe()  # nothing is written: its end closes when this process dies
    pid = os.fork()
    if pid == 0:
        os.close(code_reader)
        os.close(life_writer)
        return _work_in_child(work, code_writer, life_reader)
    os.close(code_writer)
    os.close(life_reader)
    _become_subreaper()
    return _watch(pid, code_reader, explain)


def is_supervised() -> bool:
    """Whether a parent watches this process, so that everything it leaves running ends with it."""
    return _code_pipe is not None


def end_process(code: int, words: str) -> None:
    """End this process at once, whatever its threads hang in; the user gets `code` and `words`."""
    if _code_pipe is None:
        sys.stderr.write(words + "\n")
    else:
        with contextlib.suppress(OSError):
            os.write(_code_pipe, bytes([code]) + words.encode())
    os._exit(code)


def _work_in_child(work: Callable[[], int], code_writer: int, life_reader: int) -> int:
    global _code_pipe  # one per process, like the process's streams
    _code_pipe = code_writer
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # a background group may write to the terminal all the same
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, args=(life_reader,), daemon=True).start()
    code = work()
    os.write(code_writer, bytes([code]))
    return code


def _interrupt(number: int, frame: Any) -> None:
    raise KeyboardInterrupt


def _end_with_parent(life_reader: int) -> None:
    """Kill this process, and all below it, when the parent dies: the parent's end of the pipe closes then."""
    os.read(life_reader, 1)
    for process in _descendants():
        with contextlib.suppress(psutil.Error):
            process.kill()
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _watch(pid: int, code_reader: int, explain: Callable[[int], tuple[int, str]]) -> int:
    def pass_on(number: int, frame: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    handlers = {s: signal.signal(s, pass_on) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        message = os.read(code_reader, 65536)  # one write of the child, or nothing when it is gone
        status = _reap(pid, _PATIENCE if message else None)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        _end_orphans()
    finally:
        for s, handler in handlers.items():
            signal.signal(s, handler)
        os.close(code_reader)
    if message:
        code, words = message[0], message[1:].decode()
    else:
        code, words = explain(os.waitstatus_to_exitcode(status))
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # the live view hides the cursor
    if words:
        sys.stderr.write(words + "\n")
    return code


def _become_subreaper() -> None:
    """Let processes below this one become its children when their parents die (on Linux; elsewhere nothing)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def _end_orphans(patience: float = 10.0) -> None:
    """Kill every child that is left, and the orphans that become children of this process by it."""
    deadline = time.monotonic() + patience
    with contextlib.suppress(ChildProcessError):  # there is none any more
        while time.monotonic() < deadline:
            for process in _descendants():
                with contextlib.suppress(psutil.Error):
                    process.kill()
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
            time.sleep(0.02)


def _descendants() -> list[psutil.Process]:
    """Every process below this one, parents before what they have started: who is ended is not started anew."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process().children(recursive=True)
    return []


def _reap(pid: int, patience: float | None) -> int:
    """The child's wait status; a child that takes longer than `patience` is killed."""
    deadline = time.monotonic() + patience if patience is not None else None
    while True:
        done, status = os.waitpid(pid, os.WNOHANG if deadline is not None else 0)
        if done:
            return status
        if deadline is not None and time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = None
        time.sleep(0.02)
