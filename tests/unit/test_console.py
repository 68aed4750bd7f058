"""The console on a made-up drill: what it shows at 80x24, and what its keys do."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, numbered, scenario

from sevdrill.clock import SystemClock
from sevdrill.console import Console
from sevdrill.desk import Desk
from sevdrill.following import Following
from sevdrill.inbox import Now, write_now
from sevdrill.journal import Journal
from sevdrill.timeline import Line, PersonLine, RunLine, Timeline, TimelineWriter
from sevdrill.view import View


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


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, live_lines())
    yield running
    running.close()


def screen(app: Console) -> str:
    """What stands on the terminal, line by line."""

    lines = app.screen_stack[0]._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


def drive(app: Console, *keys: str, size: tuple[int, int] = (80, 24)) -> str:
    """Press the keys, one after the other, and give what is shown then."""

    async def go() -> str:
        async with app.run_test(size=size) as pilot:
            await pilot.pause(0.3)
            for key in keys:
                await pilot.press(*([key] if key in NAMED else list(key)))
                await app.workers.wait_for_complete()
                await pilot.pause(0.1)
            await pilot.pause(0.5)
            return screen(app)

    return asyncio.run(go())


NAMED = {"enter", "escape", "down"}


def test_everything_fits_on_80_by_24(running: Running) -> None:
    shown = drive(Console(running.following(), "ana"))
    lines = shown.split("\n")
    assert len(lines) == 24
    assert all(len(line) <= 80 for line in lines)
    for wanted in (
        "SEV-1", "Database down", "respond", "of   15:00", "announce", "mitigate", "alerts    DatabaseDown",
        "✖ health", "Incident Commander", "message     in", "Engineering Manager i", "hints       0 of 1",
        "□ ", "[a]ck", "you are ana", "page: DatabaseDown",
    ):  # fmt: skip
        assert wanted in shown, f"{wanted}\n{shown}"
    # What was broken is for people to find out.
    assert "x: injected" not in shown


def test_its_keys_put_what_people_do_on_the_timeline(running: Running) -> None:
    app = Console(running.following(), "ana")
    keys = [
        "a",
        "n",
        "db is gone",
        "enter",
        "r",
        "down",
        "enter",
        "h",
        "m",
        "enter",
        "p",
        "down",
        "enter",
        "on it",
        "enter",
    ]
    shown = drive(app, *keys)
    assert running.said() == [
        ("ana", "ack", "", ""),
        ("ana", "note", "", "db is gone"),
        ("ana", "role", "Technical Lead", ""),
        ("ana", "hint", "", "hint 1 of 1: Look at /health."),
        ("ana", "mitigated", "", ""),
        ("ana", "announce", "investigating", "on it"),
    ]
    assert running.spoken.said == [("status-page", "investigating", "on it", "ana")]
    assert "ana acknowledged" in shown or "on the timeline" in shown


def test_escape_says_nothing(running: Running) -> None:
    drive(Console(running.following(), "ana"), "m", "escape", "n", "hm", "escape", "s", "escape", "p", "escape")
    assert running.said() == []


def test_several_consoles_see_each_other(running: Running) -> None:
    drive(Console(running.following(), "ana"), "a")
    shown = drive(Console(running.following(), "ben"))
    assert "ana acknowledged" in shown


def test_of_a_surprise_nothing_is_shown_before_it_can_be_noticed(tmp_path: Path) -> None:
    def view(until: float) -> dict[str, Any]:
        path = tmp_path / f"{until}.jsonl"
        lines = numbered(live_lines(surprise=600.0, until=until))
        path.write_text("".join(line.model_dump_json() + "\n" for line in lines), encoding="utf-8")
        return View(path).snapshot()

    before = view(11.5)
    assert before["elapsed"] is None
    assert before["phase"] == "on watch"
    assert before["targets"] == []
    assert "Database down" not in str(before)
    assert not any(event["kind"] == "fault" or event["text"] in ("inject", "detect") for event in before["events"])
    after = view(14.0)
    assert after["elapsed"] > 2
    assert "detected" in after["marks"]


def test_a_message_is_due_by_the_cadence_of_the_sop(running: Running) -> None:
    view = running.following().look()
    # The playbook wants the first message after ten minutes, and brings in the next level after thirty.
    assert view["message_due_in"] == pytest.approx(600 - view["elapsed"], abs=1)
    assert view["escalation"]["next"]["in"] == pytest.approx(1800 - view["elapsed"], abs=1)


def test_it_says_what_cannot_be_done(running: Running) -> None:
    following = running.following()
    with contextlib.suppress(OSError):
        running.journal.path.with_suffix(".now").unlink()
    shown = drive(Console(following, "ana"), "a")
    assert "no drill is running at this moment" in shown
