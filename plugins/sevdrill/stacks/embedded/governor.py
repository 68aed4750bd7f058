"""Keeps the processes of a replica within limits, as the kernel does for a container; used by the supervisor only.

Processor time: in each tenth of a second a replica may use so much of it, by the kernel's own count; then all of its
processes are stopped until the next one begins. What it used beyond that, between two looks, is taken off the next.

Memory: when its processes together have more of their own (not shared with a file or other processes) than they may,
the largest is killed. It is looked at every few hundredths of a second: what grows more quickly gets further.

Neither needs any rights, a kernel that counts groups of processes, or a system manager.
"""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field

from sevdrill.stacks.embedded import tree

__all__ = ["EVERY", "Bounds", "private"]

EVERY = 0.01
"""Seconds between two looks."""
PERIOD = 0.1
"""Seconds over which processor time is counted."""


@dataclass
class Bounds:
    """What one replica may use, and what it used."""

    cpus: float | None = None
    memory: int | None = None
    """Bytes."""
    _ends: float = 0.0
    """When the present period ends."""
    _left: float = 0.0
    """Seconds of processor time that are left in it; below 0 where more was used."""
    _pids: list[int] = field(default_factory=list)
    _used: dict[int, float] = field(default_factory=dict)
    """Seconds of processor time that each process had used at the last look."""
    stopped: bool = False
    """Whether it has used all that it may in this period."""

    @property
    def any(self) -> bool:
        """Whether there is any limit."""
        return self.cpus is not None or self.memory is not None

    def look(self, mains: list[int], *, paused: bool) -> None:
        """Count, and stop, continue or kill what must be; ``mains`` are the processes that all others come from."""
        now = time.monotonic()
        begins = now >= self._ends
        if begins:
            self._pids = tree.below(mains)
            self._ends = now + PERIOD
        if self.memory is not None and begins:
            self._keep_memory()
        if self.cpus is None or paused:
            return
        self._left -= self._count()
        if begins:
            self._left = min(self._left, 0.0) + self.cpus * PERIOD
        if self._left <= 0:
            # Again and again: what was started meanwhile, or continued by somebody else, is stopped as well.
            tree.send(self._pids, signal.SIGSTOP)
            self.stopped = True
        elif self.stopped:
            self.go_on()

    def go_on(self) -> None:
        """Let everything go on that this has stopped."""
        if self.stopped:
            tree.send(self._pids, signal.SIGCONT)
            self.stopped = False

    def _count(self) -> float:
        total = 0.0
        for pid in self._pids:
            used = tree.processor_seconds(pid)
            total += max(0.0, used - self._used.get(pid, used))
            self._used[pid] = used
        self._used = {pid: self._used[pid] for pid in self._pids}
        return total

    def _keep_memory(self) -> None:
        sizes = {pid: tree.private(pid) for pid in self._pids}
        if sum(sizes.values()) > (self.memory or 0):
            tree.send([max(sizes, key=lambda pid: sizes[pid])], signal.SIGKILL)


def private(mains: list[int]) -> int:
    """Bytes that processes and all below them have of their own."""
    return sum(tree.private(pid) for pid in tree.below(mains))
