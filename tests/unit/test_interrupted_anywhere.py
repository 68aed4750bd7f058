"""A signal may come between any two lines that the engine runs; whichever that is, everything is undone.

Each line of sevdrill's, and of the standard library's threads, that the main thread comes by in a drill is one moment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from toy_run import Run
from toy_stack import ToyStack

import sevdrill
from sevdrill.lines import PhaseLine

PACKAGE = str(Path(sevdrill.__file__).parent)
WATCHED = (PACKAGE, threading.__file__)
Moment = tuple[str, int]
EVERYWHERE = os.environ.get("CRASHES") == "all"
SHARE = 1 if EVERYWHERE else 12
"""One of so many moments is tried; all of them with CRASHES=all."""
DRILL: dict[str, Any] = {"investigate": [{"action": "announce", "to": "team", "status": "investigating"}]}


@contextlib.contextmanager
def watched(at: Callable[[Moment, FrameType], None]) -> Iterator[None]:
    """Be told of each line before the main thread runs it."""

    def line(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            at((frame.f_code.co_filename, frame.f_lineno), frame)
        return line

    def call(frame: FrameType, event: str, argument: object) -> Any:
        return line if frame.f_code.co_filename.startswith(WATCHED) else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """Every line, in the order in which an undisturbed drill first comes by it."""
    found: dict[Moment, None] = {}
    run = Run(tmp_path_factory.mktemp("whole"), ToyStack(), **DRILL)
    run.desk.start()
    with watched(lambda moment, frame: found.setdefault(moment)):
        run.engine.run()
    run.desk.close()
    run.writer.close()
    assert len(found) > 300, len(found)
    return list(found)


def interrupted(folder: Path, moment: Moment) -> str:
    """What is wrong after a signal at this moment; empty when all is well."""
    stack = ToyStack()
    run = Run(folder, stack, **DRILL)
    came = []

    def at(here: Moment, frame: FrameType) -> None:
        if here == moment and not came:
            came.append(here)
            run.shield._received(signal.SIGTERM, frame)

    run.desk.start()
    try:
        with watched(at):
            run.engine.run()
    except KeyboardInterrupt:
        pass
    finally:
        run.desk.close()
        run.writer.close()
    wrong = []
    if not came:
        return ""
    if not stack.up:
        wrong.append("the fault is on")
    if run.debts():
        wrong.append(f"the journal owes {run.debts()}")
    if not run.timeline.ended and any(run.timeline.of(PhaseLine)):
        wrong.append("what was begun has no end")
    return "; ".join(wrong)


def test_whenever_a_signal_comes_everything_is_undone(moments: list[Moment], tmp_path: Path) -> None:
    tried, broken = 0, []
    for number, moment in enumerate(moments):
        if number % SHARE:
            continue
        tried += 1
        wrong = interrupted(tmp_path / str(number), moment)
        if wrong:
            broken.append(f"{Path(moment[0]).name}:{moment[1]}: {wrong}")
    assert not broken, "\n".join(broken)
    assert tried * SHARE >= len(moments)
