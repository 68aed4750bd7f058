"""A run that is under way, made up: others see its journal, its inbox, and a timeline that has grown so far."""

from __future__ import annotations

import os
from pathlib import Path

from made_up import DATABASE_DOWN, incident, scenario

from sevdrill.clock import SystemClock
from sevdrill.desk import Desk
from sevdrill.following import Following
from sevdrill.inbox import Now, write_now
from sevdrill.journal import Journal
from sevdrill.lines import Line, PersonLine, RunLine
from sevdrill.timeline import Timeline, TimelineWriter

__all__ = ["Running", "live_lines"]


class Spoken:
    """The port `Messages`, which only remembers."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str]] = []

    def announce(self, to: str, status: str, text: str, by: str = "sevdrill") -> None:
        self.said.append((to, status, text, by))


class Running:
    """A run that is under way, as others see it: journal, inbox, and a timeline that grew so far."""

    def __init__(self, folder: Path, lines: list[Line]) -> None:
        self.state = folder / ".sevdrill"
        clock = SystemClock()
        self.journal = Journal(self.state, f"run-{os.getpid()}", clock, {"project": "toy"}, keep=True)
        self.writer = TimelineWriter(folder / "run" / "database-down" / "timeline.jsonl", clock)
        for line in lines:
            # As if the run had begun that long ago.
            self.writer._zero = clock.now() - line.t
            self.writer.write(line)
        self.spoken = Spoken()
        self.desk = Desk(self.journal.path, self.writer, self.spoken, ["Look at /health."])
        self.desk.start()
        write_now(self.journal.path, Now(timeline=str(self.writer.path), drill="database-down"))

    def following(self) -> Following:
        return Following(self.state, "", SystemClock())

    def said(self) -> list[tuple[str, str, str, str]]:
        timeline = Timeline.load(self.writer.path)
        return [(line.by, line.does, line.what, line.text) for line in timeline.of(PersonLine)]

    def close(self) -> None:
        self.desk.close()
        self.writer.close()
        self.journal.close()


def live_lines(policy: str = "playbook", mode: str = "live", surprise: float = 0.0, until: float = 40.0) -> list[Line]:
    drill = scenario(DATABASE_DOWN, hints=["Look at /health."])
    lines = incident(drill, mitigated=None, recovered=None)
    first = lines[0]
    assert isinstance(first, RunLine)
    first = first.model_copy(update={"mode": mode, "policy": policy, "surprise": surprise})
    found: list[Line] = [first]
    return found + [line for line in lines[1:] if line.t <= until and line.type not in ("step", "message")]
