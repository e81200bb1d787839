"""A closed or full output: no command ends of it, and the exit code stays true."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raystudy import live_view
from raystudy.output_streams import SafeOutput, output_stream, run_with_safe_output, write_error

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full on this system")


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """Both ends, to read and to write; who closes one puts -1 in its place."""
    ends = list(os.pipe())
    yield ends
    for end in ends:
        if end >= 0:
            os.close(end)


def leave(pipe: list[int]) -> None:
    os.close(pipe[0])
    pipe[0] = -1


def test_what_is_read_arrives_whole(pipe: list[int]) -> None:
    stream = output_stream(pipe[1])
    stream.write("é\n")
    assert os.read(pipe[0], 99).decode() == "é\n"
    assert write_error(stream) is None
    assert write_error(io.StringIO()) is None


def test_when_the_reader_leaves_the_rest_is_kept_in_order(pipe: list[int], tmp_path: Path) -> None:
    log = tmp_path / "driver.log"
    stream = output_stream(pipe[1], overflow=log)
    stream.write("read\n")
    assert os.read(pipe[0], 99) == b"read\n"
    leave(pipe)
    for i in range(3):
        stream.write(f"line {i}\n")
    stream.flush()
    head, *kept = log.read_text().splitlines()
    assert "what could not be printed (Broken pipe):" in head
    assert kept == ["line 0", "line 1", "line 2"]
    assert stream.output.unread


def test_a_part_that_was_taken_is_not_kept_again(pipe: list[int], tmp_path: Path) -> None:
    """A pipe that does not block takes what fits; its reader then reads that and leaves."""
    os.set_blocking(pipe[1], False)
    raw = SafeOutput(pipe[1], overflow=tmp_path / "log")
    text = bytes(range(256)) * 1024
    with (tmp_path / "read").open("wb") as read:
        reader = subprocess.Popen(["head", "-c", "70000"], stdin=pipe[0], stdout=read)
        leave(pipe)
        assert raw.write(text) == len(text)
        reader.wait(30)
    assert (tmp_path / "read").read_bytes() == text[:70000]
    _, _, kept = (tmp_path / "log").read_bytes().partition(b":\n")
    assert text.endswith(kept)
    assert len(kept) >= len(text) - 70000 - 65536 * 2  # what was in the pipe when its reader left is nobody's


@needs_full
def test_a_full_device_is_no_reader_that_left(tmp_path: Path) -> None:
    with FULL.open("wb") as full:
        stream = output_stream(full.fileno(), overflow=tmp_path / "log")
        stream.write("x\n")
        assert write_error(stream) is not None
        assert not stream.output.unread
    assert (tmp_path / "log").read_text().endswith("x\n")


def test_a_log_that_cannot_be_written_ends_nothing_either(tmp_path: Path) -> None:
    stream = output_stream(1, closed=True, overflow=tmp_path / "no" / "log")
    stream.write("x\n")
    stream.flush()


def test_names_that_an_encoding_cannot_say_are_escaped(pipe: list[int]) -> None:
    stream = output_stream(pipe[1], encoding="ascii")
    stream.write("λ \udcff\n")
    assert os.read(pipe[0], 99) == b"\\u03bb \\udcff\n"


def test_a_run_says_on_its_log_what_nobody_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`streams_to_log` gives the view the terminal; if that is gone, its words are in driver.log, Ray's in ray.log."""
    read, write = os.pipe()
    was = os.dup(1)
    try:
        os.dup2(write, 1)
        os.close(write)
        os.close(read)
        with live_view.streams_to_log(tmp_path / "logs" / "ray.log") as console:
            os.write(1, b"of ray\n")
            shown = live_view.LiveView(console, 3)
            shown.say("first")
            shown.say("second")
    finally:
        os.dup2(was, 1)
        os.close(was)
    assert (tmp_path / "logs" / "ray.log").read_text() == "of ray\n"
    assert (tmp_path / "logs" / "driver.log").read_text().splitlines()[1:] == ["first", "second"]
    assert capfd.readouterr().err == ""


# A command, called as a shell calls it: prints more than a pipe holds, then ends with a code.
COMMAND = """
import sys
from raystudy.output_streams import run_with_safe_output
def command():
    for i in range(20_000):
        print("line", i)
    print("words", file=sys.stderr)
    {end}
sys.exit(run_with_safe_output(command))
"""


def ended(end: str, redirect: str) -> tuple[int, str]:
    """(exit code, what came on standard error) of such a command, in a shell."""
    line = f'"$0" -c "$1" {redirect}'
    out = subprocess.run(
        ["bash", "-c", line, sys.executable, COMMAND.format(end=end)], capture_output=True, text=True, check=False
    )
    return out.returncode, out.stderr


@pytest.mark.parametrize(
    "redirect", [">&-", "| true; exit ${PIPESTATUS[0]}", "<&- >&-", "2>&- >/dev/null", "<&- >&- 2>&-"]
)
def test_who_does_not_read_changes_no_code(redirect: str) -> None:
    for end, code in (("return 0", 0), ("sys.exit(4)", 4)):
        found, err = ended(end, redirect)
        assert found == code, err
        assert err == ("" if "2>&-" in redirect else "words\n")


@needs_full
def test_an_answer_that_could_not_be_written_is_no_success() -> None:
    assert ended("return 0", "> /dev/full") == (3, "words\nthe output cannot be written: No space left on device\n")
    assert ended("return 2", "> /dev/full")[0] == 2
    assert ended("return 0", "> /dev/full 2>&1") == (3, "")
    assert ended("return 0", "2> /dev/full > /dev/null") == (0, "")  # words are not the answer


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    code = (
        "import sys; from raystudy.output_streams import run_with_safe_output\n"
        f"def command():\n    f = open({str(tmp_path / 'file')!r}, 'w')\n"
        "    print('printed')\n    assert f.fileno() > 2\n"
        "sys.exit(run_with_safe_output(command))"
    )
    line = '"$0" -c "$1" <&- >&- 2>&-'
    assert subprocess.run(["bash", "-c", line, sys.executable, code], check=False).returncode == 0
    assert (tmp_path / "file").read_text() == ""


def test_what_ends_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))  # put back afterwards

    def leaves(code: object) -> None:
        raise SystemExit(code)

    assert run_with_safe_output(lambda: None) == 0
    assert run_with_safe_output(lambda: 3) == 3
    assert run_with_safe_output(lambda: leaves(None)) == 0
    assert run_with_safe_output(lambda: leaves(130)) == 130
