"""The console on a made-up drill: what it shows at 80x24, and what its keys do."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from made_up import numbered
from under_way import Running, live_lines

from sevdrill.console import Console
from sevdrill.lines import MessageLine
from sevdrill.view import View


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
        "✖ health", "Incident Commander", "message     in", "Engineering Manager\n", "hints       0 of 1",
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


def test_an_escalation_is_no_message_to_the_outside(running: Running) -> None:
    told = [("Engineering Manager", "escalated"), ("team", "declared"), ("status-page", "identified")]
    seen = []
    following = running.following()
    for to, status in told:
        running.writer.write(MessageLine(to=to, status=status, text="[DRILL] x", by="ana"))
        view = following.look()
        seen.append((view["messages"], "announced" in view["marks"], "declared" in view["marks"]))
    assert seen == [(0, False, False), (0, False, True), (1, True, True)]
    assert view["escalation"]["told"] == ["Engineering Manager"]


def test_it_says_what_cannot_be_done(running: Running) -> None:
    following = running.following()
    running.journal.path.with_suffix(".now").unlink()
    shown = drive(Console(following, "ana"), "a")
    assert "no drill is running at this moment" in shown


class Terminal:
    """`sevdrill console` in a pseudo-terminal of 80x24, as somebody sees it."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.screen = pyte.Screen(80, 24)
        self._stream = pyte.ByteStream(self.screen)
        self._here, there = pty.openpty()
        fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        command = [sys.executable, "-m", "sevdrill", "console", *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=there, stdout=there, stderr=there, start_new_session=True
        )
        os.close(there)

    def until(self, text: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while text not in "\n".join(self.screen.display):
            assert time.monotonic() < deadline, f"{text!r} never came:\n" + "\n".join(self.screen.display)
            if select.select([self._here], [], [], 0.2)[0]:
                try:
                    self._stream.feed(os.read(self._here, 65536))
                except OSError:
                    break
        return "\n".join(self.screen.display)

    def press(self, keys: str) -> None:
        os.write(self._here, keys.encode())

    def end(self) -> int:
        try:
            while self.process.poll() is None:
                if select.select([self._here], [], [], 0.1)[0]:
                    try:
                        os.read(self._here, 65536)
                    except OSError:
                        break
            return self.process.wait(30)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            os.close(self._here)


def test_in_a_real_terminal(running: Running, tmp_path: Path) -> None:
    one, other = Terminal(tmp_path, "--as", "ana"), Terminal(tmp_path, "--as", "ben")
    try:
        one.until("you are ana")
        shown = one.until("DatabaseDown fires")
        assert "SEV-1" in shown
        one.press("a")
        one.until("on the timeline: ana ack")
        other.until("ana acknowledged")
        other.press("n")
        other.until("Note:")
        other.press("looking\r")
        one.until("ben notes looking")
    finally:
        one.press("q")
        other.press("q")
        codes = one.end(), other.end()
    assert codes == (0, 0)
    assert [said[:2] for said in running.said()] == [("ana", "ack"), ("ben", "note")]


def test_without_a_terminal_it_says_what_to_do(running: Running, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sevdrill", "console"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "the console needs a terminal; `sevdrill status` shows the drill in plain lines\n"
