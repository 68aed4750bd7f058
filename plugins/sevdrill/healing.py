"""Paying the debts of runs that are no more: used by the watchdog, by the next run, and by ``sevdrill heal``."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sevdrill.clock import Clock
from sevdrill.errors import SevdrillError, StackError
from sevdrill.faults import Fault
from sevdrill.inbox import remove
from sevdrill.journal import JournalFile, append, journal_files, locked
from sevdrill.undo import relieve, settle

if TYPE_CHECKING:
    from sevdrill.stacks.choice import Stack

__all__ = ["attach_to", "heal", "heal_all", "overdue", "start_watchdog"]

OTHER_HEALER = 120.0
"""Seconds for which a healer that is at work is waited for."""


def start_watchdog(path: Path, state_dir: Path) -> subprocess.Popen[bytes]:
    """Start the watchdog of this process for a journal, and wait until it watches.

    Raises:
        StackError: it did not start; then nothing must be injected.
    """
    log = (state_dir / "watchdog.log").open("ab")
    with log:
        watchdog = subprocess.Popen(
            [sys.executable, "-m", "sevdrill.watchdog", str(path.absolute()), str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    assert watchdog.stdout is not None
    with watchdog.stdout as output:
        ready = select.select([output], [], [], 30)[0] and output.readline() == b"ready\n"
    if not ready:
        raise StackError(f"the watchdog did not start, so nothing is injected; see {log.name}")
    return watchdog


def _attach(journal: JournalFile, clock: Clock) -> Stack:
    from sevdrill.stacks.choice import attach

    return attach(journal.stack, clock)


def attach_to(path: Path, clock: Clock) -> Stack:
    """The stack of the run with this journal, for whoever works on it while the run goes on.

    Raises:
        StackError: the run has just ended.
    """
    journal = JournalFile.read(path) if path.exists() else None
    if journal is None:
        raise StackError(f"{path.name}: this run has just ended")
    return _attach(journal, clock)


def heal_all(state_dir: Path, clock: Clock) -> Iterator[str]:
    """Pay the debts of every journal whose runner is gone; yields a line for people about each thing done.

    Raises:
        SevdrillError: a debt could not be paid; its journal stays.
    """
    for path in journal_files(state_dir):
        deadline = clock.now() + OTHER_HEALER
        said = False
        while not (yield from heal(path, clock)) and path.exists() and _is_orphan(path) and clock.now() < deadline:
            if not said:
                yield f"{path.name}: its watchdog is healing it; waiting"
                said = True
            time.sleep(0.2)


def _is_orphan(path: Path) -> bool:
    """Whether the runner of a journal is gone, though somebody (its watchdog) holds the lock."""
    try:
        journal = JournalFile.read(path)
        if journal is None:
            return False
        os.kill(journal.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, SevdrillError):
        return False
    return False


def heal(path: Path, clock: Clock) -> Generator[str, None, bool]:
    """Pay the debts of one journal, if its runner is gone: undo and prove every fault, take down what was not to stay.

    Returns:
        Whether it was ours to pay: nobody alive holds it.

    Raises:
        SevdrillError: a debt could not be paid; the journal stays, and the text says what to do by hand.
    """
    with locked(path) as mine:
        if not mine:
            return False
        journal = JournalFile.read(path)
        if journal is None:
            path.unlink(missing_ok=True)
            remove(path)
            return True
        stack = _attach(journal, clock)
        name = journal.stack["project"]
        if stack.exists():
            # Faults before the steps that answered them, the last ones first, as a living runner does it.
            newest = list(reversed(journal.debts.values()))
            owed = sorted(newest, key=lambda debt: not isinstance(debt.fault, Fault))
            unpaid = list(journal.lost.values())
            # Before anything is waited for: users wait meanwhile. Nothing is undone any more after a step that renews.
            relieved = set() if journal.renewed else relieve(owed, stack.ports())
            # A deploy goes on in its own process when its runner is killed; what it does last must not be missed.
            stack.await_changes()
            if journal.renewed:
                # An undo may do harm now, as starting an old primary would: it is not healed, it goes.
                stack.down()
                yield f"stack {name}: taken down, since this cannot be put back: {', '.join(journal.renewed)}"
                path.unlink(missing_ok=True)
                remove(path)
                return True
            for debt in owed:
                try:
                    acted = settle(debt, stack.ports(), clock, time.sleep, flying_until=journal.flying_until)
                    acted |= debt.id in relieved
                except SevdrillError as error:
                    # The others must be paid all the same.
                    unpaid.append(str(error))
                else:
                    # A full disk must not keep the next debt from being paid.
                    with contextlib.suppress(OSError):
                        append(path, {"op": "settled", "id": debt.id})
                    yield f"stack {name}: {debt.fault.title}: {'undone' if acted else 'was off already'}"
            if unpaid and journal.keep:
                listed = "\n".join(f"stack {name}: owed and not undone: {why}" for why in unpaid)
                raise SevdrillError(f"{listed}\nBy hand: {stack.by_hand()}")
            # What could not be undone goes with the stack.
            yield from (f"stack {name}: {why}" for why in unpaid)
            if not journal.keep:
                stack.down()
                yield f"stack {name}: taken down"
        path.unlink(missing_ok=True)
        remove(path)
    return True


def overdue(path: Path, clock: Clock) -> Iterator[str]:
    """Undo the faults that are past their ``max`` although their runner lives (it hangs, or was stopped)."""
    journal = JournalFile.read(path)
    if journal is None:
        return
    if journal.renewed:
        return
    late = [d for d in journal.debts.values() if clock.now() > d.deadline and d.id not in journal.overdue]
    if not late:
        return
    ports = _attach(journal, clock).ports()
    for debt in late:
        if settle(debt, ports, clock, time.sleep):
            # The runner must know: what the watchdog ended, the runbook did not.
            append(path, {"op": "overdue", "id": debt.id})
            yield f"{debt.fault.title}: undone, it was past its time"
