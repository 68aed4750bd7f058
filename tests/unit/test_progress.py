"""The live line, on a pseudo-terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import tty

import made_up
from made_up import DATABASE_DOWN, QUIET, incident, quiet, scenario

from sevdrill.lines import FaultLine, Note
from sevdrill.progress import BACK, BELOW, CLEAR, Progress
from sevdrill.severity import load_policy


def _read(descriptor: int) -> str:
    os.set_blocking(descriptor, False)
    text = b""
    while True:
        try:
            text += os.read(descriptor, 65536)
        except BlockingIOError:
            return text.decode()


def test_the_line_tells_phase_clock_and_last_event() -> None:
    reader, writer = pty.openpty()
    tty.setraw(writer)
    drill = scenario(DATABASE_DOWN)
    progress = Progress(writer)
    progress.begin(drill.drill, drill, load_policy("sop-001"))
    lines = ""
    for line in incident(drill):
        progress.line(line)
        lines += _read(reader)
    progress.end()
    shown = (lines + _read(reader)).split(CLEAR)
    # It is below pytest's own line, which goes on where it was.
    assert shown[0] == BELOW
    assert shown[-1] == BACK
    assert any("| detect |" in line and "of 30s to detect" in line for line in shown)
    assert any("DatabaseDown fires" in line for line in shown)
    assert any("restart db: done" in line for line in shown)
    assert not any("\n" in line for line in shown)
    os.close(reader)
    os.close(writer)


def test_a_quiet_drill_has_its_clock_and_the_next_drill_begins_anew() -> None:
    reader, writer = pty.openpty()
    tty.setraw(writer)
    policy, calm = load_policy("sop-001"), scenario(QUIET)
    progress = Progress(writer)
    progress.begin(calm.drill, calm, policy)
    lines = ""
    for line in quiet(calm):
        progress.line(line)
        lines += _read(reader)
    assert any("| quiet |" in line and " s of 20s |" in line for line in lines.split(CLEAR))
    progress.begin("Next", scenario(DATABASE_DOWN), policy)
    progress.line(Note(t=2, text="x"))
    assert " s |" not in _read(reader), "nothing was injected yet"
    os.close(reader)
    os.close(writer)


def test_text_from_services_brings_no_terminal_escapes() -> None:
    reader, writer = pty.openpty()
    tty.setraw(writer)
    progress = Progress(writer)
    drill = made_up.scenario(DATABASE_DOWN)
    progress.begin(drill.drill, drill, load_policy("sop-001"))
    progress.line(FaultLine(t=1, index=0, fault="x", title="\x1b[31mred\x07\n", event="on"))
    assert "\x1b[31m" not in _read(reader)
    os.close(reader)
    os.close(writer)


def test_a_terminal_that_took_nothing_at_the_beginning_is_not_sent_back() -> None:
    reader, writer = pty.openpty()
    os.set_blocking(writer, False)
    # The kernel passes on what it took a little later, and then there is room once more.
    while select.select([], [writer], [], 0.5)[1]:
        with contextlib.suppress(BlockingIOError):
            os.write(writer, b"x" * 4096)
    progress = Progress(writer)
    drill = scenario(DATABASE_DOWN)
    progress.begin(drill.drill, drill, load_policy("sop-001"))
    _read(reader)
    progress.end()
    assert BACK not in _read(reader)
    os.close(reader)
    os.close(writer)


def test_a_terminal_that_went_away_does_not_end_a_drill() -> None:
    reader, writer = pty.openpty()
    progress = Progress(writer)
    os.close(reader)
    progress.line(Note(t=1, text="x"))
    os.close(writer)
    progress.line(Note(t=2, text="x"))
    progress.end()
