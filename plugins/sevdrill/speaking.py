"""Speaking to a run that is under way, from another process: acknowledge, note, say that it is mitigated, and more."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sevdrill.clock import Clock
from sevdrill.errors import RunError, UsageError
from sevdrill.inbox import Saying, now_of, put
from sevdrill.stopping import Running, running

__all__ = ["Drilling", "drilling", "say"]

ANSWER_WITHIN = 15.0
"""Seconds for which a run may leave somebody without an answer: it may be busy with an undo."""
LOOK_EVERY = 0.05


@dataclass(frozen=True)
class Drilling:
    """A drill that is under way."""

    run: Running
    timeline: Path


def the_run(state_dir: Path, name: str = "") -> Running:
    """The run of this name (a run's or a stack's), or the only one that is under way.

    Raises:
        UsageError: there is none, or there are several.
    """
    present = running(state_dir)
    chosen = [one for one in present if name in ("", one.run, one.path.stem, one.project)]
    listed = "".join(f"\n  {one}" for one in present)
    if not chosen and name:
        raise UsageError(f"no run or stack {name} is under way here; under way:{listed or ' none'}")
    if not chosen:
        raise UsageError(
            f"no run is under way here ({state_dir}); start one with `pytest drills/NAME.yml --drill-mode live`, "
            "or go to the folder where it was started"
        )
    if len(chosen) > 1:
        raise UsageError(f"several runs are under way here; choose one by its stack with --run STACK:{listed}")
    return chosen[0]


def drilling(state_dir: Path, name: str = "") -> Drilling:
    """The drill that is under way, of the run of this name or of the only one.

    Raises:
        UsageError: no such run is under way, or several are.
        RunError: the run is between two drills.
    """
    run = the_run(state_dir, name)
    now = now_of(run.path)
    if now is None:
        raise RunError(f"{run}: no drill is running at this moment; its stack is being started or taken down")
    return Drilling(run, Path(now.timeline))


def say(to: Drilling, saying: Saying, clock: Clock) -> dict[str, Any]:
    """Say something to a drill, and wait until it is on its timeline; returns that line.

    Raises:
        RunError: the drill ended before, or did not take it up in time.
    """
    journal, path = to.run.path, to.timeline
    try:
        begin = path.stat().st_size
        put(journal, saying)
    except OSError as error:
        raise RunError(f"{to.run}: it has just ended, or cannot be reached: {error.strerror}") from None
    wanted, deadline, over = saying.id.encode(), clock.now() + ANSWER_WITHIN, False
    while True:
        # Asked first: what was taken up last is on the timeline by then.
        now = now_of(journal)
        over = now is None or now.timeline != str(path)
        found = _line_with(path, begin, wanted)
        if found is not None:
            return found
        if over:
            raise RunError(f"{to.run}: the drill ended before this was taken up; it does not count")
        if clock.now() > deadline:
            raise RunError(f"{to.run}: it did not answer within {ANSWER_WITHIN:g} s; look whether it hangs")
        time.sleep(LOOK_EVERY)


def _line_with(path: Path, begin: int, wanted: bytes) -> dict[str, Any] | None:
    with path.open("rb") as file:
        file.seek(begin)
        for line in file:
            if wanted in line and line.endswith(b"\n"):
                found: dict[str, Any] = json.loads(line)
                if found.get("type") == "person" and found.get("id") == wanted.decode():
                    return found
    return None
