"""The write-ahead record of every undo that is owed, of faults and of reverting steps.

One JSONL file a session, fsynced line by line. A line `owe` stands on disk before the fault it undoes; `flying` says
until when a call to the engine may still act though its caller is dead; `settled` says that the undo was proved.
Whoever holds the lock on the file may pay its debts: the runner while it lives (the kernel lets go of the lock when it
dies), then its watchdog, the next run, or `sevdrill heal`.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from sevdrill.actions import RevertingAction
from sevdrill.clock import Clock, boot_id
from sevdrill.errors import RunError
from sevdrill.faults import Fault
from sevdrill.inbox import remove
from sevdrill.kindfile import class_of, place_of
from sevdrill.model import Record

__all__ = ["REAL_INCIDENT", "Debt", "Journal", "JournalFile", "Owed", "journal_files"]

Owed = Fault | RevertingAction
"""What owns an undo."""

FOLDER = "journal"
REAL_INCIDENT = "because of a real incident"
"""What stands in the note of whoever stops a drill for that reason."""


@dataclass(frozen=True)
class Debt:
    """An undo that is owed."""

    id: str
    fault: Owed
    record: Record
    deadline: float
    """Monotonic seconds after which the watchdog undoes it, whatever the runner does."""


@dataclass
class JournalFile:
    """A journal as it stands on disk."""

    path: Path
    stack: dict[str, Any]
    pid: int
    keep: bool
    """Whether the stack is to be left up."""
    boot: str
    debts: dict[str, Debt] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)
    """Undos that are owed and cannot be done, since the kind's file is gone; each with what to say."""
    flights: dict[int, float] = field(default_factory=dict)
    """Calls that did not come back, each with the monotonic seconds until which it may still act."""
    renewed: list[str] = field(default_factory=list)
    """What was done that cannot be put back, in few words each: then the stack goes, whatever is owed."""
    overdue: set[str] = field(default_factory=set)
    """Debts that the watchdog paid although the runner lived."""

    @property
    def flying_until(self) -> float:
        """Monotonic seconds until which a call may still be in flight."""
        return max(self.flights.values(), default=0.0)

    @classmethod
    def read(cls, path: Path) -> JournalFile | None:
        """Read a journal; a torn last line is one that never took effect. None when not even the first line is whole.

        Raises:
            RunError: a line in the middle cannot be read.
        """
        lines = path.read_bytes().split(b"\n")
        entries: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entries.append(json.loads(line))
            except ValueError:
                if number == len(lines):
                    break
                where = f"{path}:{number}"
                raise RunError(f"{where}: this line of the journal cannot be read; see what it owes by hand") from None
        if not entries:
            return None
        try:
            return cls._from(path, entries)
        except (KeyError, TypeError, ImportError, AttributeError, ValidationError) as error:
            raise RunError(
                f"{path}: what this journal owes cannot be read ({type(error).__name__}: {error}); "
                "undo it by hand, then remove the file"
            ) from None

    @classmethod
    def _from(cls, path: Path, entries: list[dict[str, Any]]) -> JournalFile:
        head = entries[0]
        journal = cls(path, head["stack"], head["pid"], head["keep"], head["boot"])
        for entry in entries[1:]:
            match entry["op"]:
                case "owe":
                    try:
                        fault = cast("type[Owed]", class_of(entry)).model_validate(entry["settings"])
                    except (RunError, ValueError) as error:
                        journal.lost[entry["id"]] = f"{entry['settings'].get('fault', entry['id'])}: {error}"
                        continue
                    journal.debts[entry["id"]] = Debt(entry["id"], fault, entry["record"], entry["deadline"])
                case "flying":
                    journal.flights[entry["flight"]] = entry["until"]
                case "landed":
                    journal.flights.pop(entry["flight"], None)
                case "renew":
                    journal.renewed.append(entry["why"])
                case "gone":
                    journal.renewed.clear()
                case "overdue":
                    journal.overdue.add(entry["id"])
                case "settled":
                    journal.debts.pop(entry["id"], None)
                    journal.lost.pop(entry["id"], None)
        if journal.boot != boot_id():
            # Nothing of another boot is still in flight, and its clock means nothing now.
            journal.flights.clear()
        return journal


def journal_files(state_dir: Path) -> list[Path]:
    """Every journal that was not closed, oldest first."""
    return sorted((state_dir / FOLDER).glob("*.jsonl"))


def stop_note(path: Path) -> Path:
    """Where `sevdrill stop` says who asks the run of this journal to stop."""
    return path.with_suffix(".stop")


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Try to become the one who may pay this journal's debts; False when somebody alive already is."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield path.exists()
    finally:
        os.close(descriptor)


def append(path: Path, entry: dict[str, Any]) -> None:
    """Write one line to a journal that is there, and wait until it is on disk.

    Raises:
        OSError: it is not on disk, and no part of it is left there.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        data = json.dumps(entry).encode() + b"\n"
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            # A torn line, as a killed writer leaves it, must not swallow this one.
            data = b"\n" + data
        if os.write(descriptor, data) != len(data):
            os.ftruncate(descriptor, size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """The journal of a running drill."""

    def __init__(self, state_dir: Path, run: str, clock: Clock, stack: dict[str, Any], *, keep: bool) -> None:
        """Create the file and hold its lock.

        Raises:
            OSError: the disk does not take it; then nothing must be injected.
        """
        folder = state_dir / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{run}.jsonl"
        self._clock = clock
        # Under another name until it is locked: a healer must never find a journal that nobody holds yet.
        draft = self.path.with_suffix(".draft")
        self._lock = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # The lock says that the runner lives; a child that inherits it by a fork must not say so in its stead.
        os.register_at_fork(after_in_child=self._let_go)
        self._flights: dict[int, float] = {}
        self._count = itertools.count(1)
        append(draft, {"op": "open", "boot": boot_id(), "pid": os.getpid(), "keep": keep, "stack": stack})
        draft.rename(self.path)
        parent = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def _let_go(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def owe(self, name: str, fault: Owed, record: Record, within: float) -> Debt:
        """Note an undo, on disk, before the fault it undoes; the watchdog does it after ``within`` seconds."""
        kind = type(fault)
        debt = Debt(name, fault, record, self._clock.now() + within)
        append(
            self.path,
            {
                "op": "owe",
                "id": name,
                **place_of(kind),
                "settings": fault.model_dump(mode="json", by_alias=True),
                "record": record,
                "deadline": debt.deadline,
            },
        )
        return debt

    @contextmanager
    def flight(self, seconds: float) -> Iterator[None]:
        """Note that a call to the engine is under way that may act for ``seconds`` even if we die."""
        flight, until = next(self._count), self._clock.now() + seconds
        append(self.path, {"op": "flying", "flight": flight, "until": until})
        self._flights[flight] = until
        # A call that raises was given up by us, not by the engine: it stays in flight.
        yield
        del self._flights[flight]
        append(self.path, {"op": "landed", "flight": flight})

    @property
    def flying_until(self) -> float:
        """Monotonic seconds until which a call that was given up may still act."""
        return max(self._flights.values(), default=0.0)

    def was_overdue(self, debt: Debt) -> bool:
        """Whether the watchdog paid this debt already, because it was past its time."""
        state = JournalFile.read(self.path)
        return state is not None and debt.id in state.overdue

    def settled(self, debt: Debt) -> None:
        """Note that an undo was done and proved."""
        append(self.path, {"op": "settled", "id": debt.id})

    def asked_to_stop(self) -> str:
        """Who asked this run to stop by `sevdrill stop`, in words for people; empty when nobody did."""
        try:
            return stop_note(self.path).read_text(encoding="utf-8").strip()[:300]
        except (OSError, ValueError):
            return ""

    def renew(self, why: str) -> None:
        """Note, on disk, that what is done next cannot be put back: the stack is taken down, not healed."""
        append(self.path, {"op": "renew", "why": why})

    def forgive(self) -> None:
        """Note that nothing is owed any more: the whole stack is gone, and every fault with it."""
        state = JournalFile.read(self.path)
        for name in (*state.debts, *state.lost) if state is not None else ():
            append(self.path, {"op": "settled", "id": name})
        if state is not None and state.renewed:
            append(self.path, {"op": "gone"})

    def close(self, *, unhealed: bool = False) -> bool:
        """Let go of the lock; whether the journal is gone.

        One with debts, or of a stack that could not be taken down (``unhealed``), stays for the next healer.
        """
        try:
            state = JournalFile.read(self.path) if self.path.exists() else None
            if state is not None and not (state.debts or state.lost or state.renewed or unhealed):
                self.path.unlink(missing_ok=True)
                remove(self.path)
        finally:
            self._let_go()
        return not self.path.exists()
