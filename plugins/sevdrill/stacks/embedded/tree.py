"""Trees of processes, as /proc shows them: what belongs to a replica, frozen, thawed and killed as a whole."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping

__all__ = [
    "below",
    "children",
    "descendants",
    "families",
    "freeze",
    "kill",
    "marked",
    "private",
    "processor_seconds",
    "send",
    "started",
    "used",
]

PAGE = os.sysconf("SC_PAGE_SIZE")


def _shown(pid: int, what: str) -> bytes:
    # Not by a Path: that takes longer than the kernel, and a part of its name is kept of each process that ever was.
    with open(f"/proc/{pid}/{what}", "rb") as file:  # noqa: PTH123
        return file.read()


def _stat(pid: int) -> list[str] | None:
    try:
        text = _shown(pid, "stat").decode(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the name before it may have spaces


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot: with its id it is the same process. None when it is gone."""
    fields = _stat(pid)
    return None if fields is None or fields[0] in "ZX" else int(fields[19])


def children() -> dict[int, list[int]]:
    """Every process' children; what is dead and only not reaped yet is left out."""
    found: dict[int, list[int]] = {}
    for entry in _pids():
        if (fields := _stat(entry)) is not None and fields[0] not in "ZX":
            found.setdefault(int(fields[1]), []).append(entry)
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def descendants(pid: int) -> list[int]:
    """The process' children, their children and so on, parents first; PostgreSQL's are in groups of their own."""
    return _below(pid, children())


def families(roots: Mapping[str, int]) -> dict[str, list[int]]:
    """Processes with all below them, by the names of the first ones; /proc is gone through once."""
    tree = children()
    return {name: [pid, *_below(pid, tree)] for name, pid in roots.items()}


def _below(pid: int, tree: Mapping[int, list[int]]) -> list[int]:
    found: list[int] = []
    todo = list(tree.get(pid, ()))
    while todo:
        each = todo.pop()
        found.append(each)
        todo += tree.get(each, ())
    return found


def below(mains: Iterable[int]) -> list[int]:
    """Processes and all below them, quickly where the kernel lists children; one that begins just now may be missed."""
    found: list[int] = []
    todo = list(mains)
    while todo:
        each = todo.pop()
        try:
            tasks = os.listdir(f"/proc/{each}/task")  # noqa: PTH208
            todo += [int(child) for task in tasks for child in _shown(each, f"task/{task}/children").split()]
        except OSError:
            if started(each) is None:
                continue
            found += descendants(each)
        found.append(each)
    return found


def processor_seconds(pid: int) -> float:
    """Processor time that a process, with all its threads, has used; 0 when it is gone."""
    try:
        # The number of a process' own clock, as clock_getcpuclockid(3) makes it.
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def private(pid: int) -> int:
    """Bytes of memory that a process shares with no file and no other process; 0 when it is gone."""
    try:
        resident, shared = _shown(pid, "statm").split()[1:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * PAGE


def used(pids: Iterable[int]) -> tuple[int, float, int] | None:
    """Memory in bytes, processors' time in seconds, and number of processes; None when none of them is there.

    What processes of one family share (as those of PostgreSQL do) is counted once; time of those that ended counts,
    too, when somebody waited for them.
    """
    memory, shared, ticks, count = 0, 0, 0, 0
    for pid in pids:
        try:
            _, resident, common, *_ = map(int, _shown(pid, "statm").split())
        except (OSError, ValueError):
            continue
        if (fields := _stat(pid)) is None:
            continue
        memory += resident - common
        shared = max(shared, common)
        ticks += sum(map(int, fields[11:15]))
        count += 1
    if not count:
        return None
    return (memory + shared) * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"), count


def send(pids: Iterable[int], number: int) -> None:
    """Send a signal to each; one that is gone is no error."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def freeze(pid: int) -> list[int]:
    """Stop a process and all below it; parents first, until nothing new appears. Returns all of them."""
    frozen = [pid]
    send(frozen, signal.SIGSTOP)
    while True:
        new = [each for each in descendants(pid) if each not in frozen]
        if not new:
            return frozen
        send(new, signal.SIGSTOP)
        frozen += new


def kill(pid: int) -> None:
    """Kill a process and all below it. It is frozen first: a parent that lives would see its children die and act."""
    everything = freeze(pid)
    send([*everything[1:], pid], signal.SIGKILL)


def marked(variable: str, value: str) -> list[int]:
    """Processes that were started with this environment variable, as far as they can be looked into."""
    wanted = f"{variable}={value}".encode()
    found = []
    for entry in _pids():
        if entry == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if wanted in _shown(entry, "environ").split(b"\0"):
                found.append(entry)
    return found
