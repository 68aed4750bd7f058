"""Stopping a run from another process: ask its runner, and wait until everything is undone."""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sevdrill.clock import Clock
from sevdrill.errors import RunError, UsageError
from sevdrill.journal import REAL_INCIDENT, JournalFile, journal_files, stop_note
from sevdrill.lines import MessageLine, Note
from sevdrill.messages import OVER
from sevdrill.timeline import Timeline

__all__ = ["Running", "running", "stop"]

LOOK_EVERY = 0.1
"""Seconds between two looks at whether a run has ended."""


@dataclass(frozen=True)
class Running:
    """A run that is under way."""

    run: str
    """Its folder under `drill-runs`."""
    pid: int
    project: str
    """Name of its stack."""
    path: Path
    """Its journal."""

    def __str__(self) -> str:
        return f"run {self.run} (process {self.pid}, stack {self.project})"


def running(state_dir: Path) -> list[Running]:
    """Every run that is under way: its runner lives and holds its journal."""
    found = []
    for path in journal_files(state_dir):
        journal = JournalFile.read(path)
        if journal is not None and _holds(journal.pid, path):
            run = path.stem.removesuffix(f"-{journal.pid}")
            found.append(Running(run, journal.pid, journal.stack["project"], path))
    return found


def _holds(pid: int, path: Path) -> bool:
    """Whether a process has a file open: the number alone may belong to another process by now."""
    try:
        wanted = path.stat()
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(entry.stat(), wanted):
                    return True
    except OSError:
        return False
    return False


def stop(
    state_dir: Path,
    name: str,
    clock: Clock,
    within: float,
    *,
    real_incident: bool = False,
    runs_dir: Path | None = None,
) -> Iterator[str]:
    """Stop the runs of this name (a run's or a stack's; every one when empty); yields lines for people.

    Each is asked by SIGTERM, which waits for a change of the stack that is in flight, and is waited for, ``within``
    seconds in all, until it has ended and owes nothing. For a ``real_incident`` the run tells everybody that the drill
    is over; what it said is read from its timeline under ``runs_dir``.

    Raises:
        UsageError: no run of that name is under way.
        RunError: one did not end in time, could not undo everything, or told nobody that the drill is over.
    """
    present = running(state_dir)
    chosen = [one for one in present if name in ("", one.run, one.path.stem, one.project)]
    if not chosen:
        if name:
            listed = "; ".join(map(str, present)) or "none"
            raise UsageError(f"no run or stack {name} is under way here (under way: {listed})")
        yield f"no run is under way here ({state_dir})"
        return
    why = f"{REAL_INCIDENT}, " if real_incident else ""
    asked = f"stopped {why}by `sevdrill stop` (user {_user()}, process {os.getpid()} on {socket.gethostname()})"
    deadline = clock.now() + within
    notes = [stop_note(one.path) for one in chosen]
    try:
        for one, note in zip(chosen, notes, strict=True):
            # Without the note the run stops all the same; it only cannot say who asked.
            with contextlib.suppress(OSError):
                note.write_text(f"{asked}\n", encoding="utf-8")
            _signal(one)
            yield f"{one}: asked to stop; waiting until everything is undone"
        wrong = []
        for one in chosen:
            trouble = _await(one, clock, deadline, within)
            if trouble:
                wrong.append(f"{one}: {trouble}")
            else:
                yield f"{one}: stopped; everything is undone"
            if real_incident:
                told = list(_told(runs_dir or Path("drill-runs"), one))
                yield from told
                if not told:
                    wrong.append(f"{one}: it told nobody that the drill is over, so tell everybody yourself")
    finally:
        for note in notes:
            with contextlib.suppress(OSError):
                note.unlink(missing_ok=True)
    if wrong:
        raise RunError("\n".join(wrong))


def _told(runs_dir: Path, one: Running) -> Iterator[str]:
    """What a run that has ended said to everybody, and what became of it, for people."""
    for path in sorted((runs_dir / one.run).glob("*/timeline.jsonl")):
        with contextlib.suppress(RunError):
            for line in Timeline.load(path).lines:
                if isinstance(line, MessageLine) and line.status == OVER:
                    yield f"told {line.to}: {line.text}"
                elif isinstance(line, Note) and line.text.startswith(f"the message {OVER} to "):
                    yield line.text


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _signal(one: Running) -> None:
    try:
        os.kill(one.pid, signal.SIGTERM)
    except ProcessLookupError:
        return  # it has just ended by itself
    except PermissionError:
        raise RunError(f"{one}: it belongs to another user, who must stop it") from None


def _await(one: Running, clock: Clock, deadline: float, within: float) -> str:
    """What keeps a run from being stopped and undone; empty when nothing does."""
    while one.path.exists() and _holds(one.pid, one.path):
        if clock.now() > deadline:
            return (
                f"it has not ended within {within:g} s. If it hangs, kill it (kill -KILL {one.pid}): "
                "its watchdog then undoes everything"
            )
        time.sleep(LOOK_EVERY)
    # Its watchdog, if it must, goes on where the runner could not.
    while one.path.exists() and clock.now() < deadline:
        time.sleep(LOOK_EVERY)
    return "it ended and not everything is undone; run `sevdrill heal`" if one.path.exists() else ""
