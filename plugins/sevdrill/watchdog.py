"""The watchdog: a process of its own that heals when its runner dies.

``python -m sevdrill.watchdog JOURNAL PID`` watches the runner through a pidfd, so it learns of a SIGKILL at once. It
lives in a session of its own, and ends when the runner has closed its journal.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from sevdrill.clock import SystemClock
from sevdrill.errors import SevdrillError
from sevdrill.escaping import block
from sevdrill.healing import heal, overdue

__all__ = ["main"]

LOOK_EVERY = 1.0
"""Seconds between two looks for faults that are past their max, and between two tries to heal."""
PATIENCE = 600.0
"""Seconds for which it goes on trying: the engine may be restarting, or another healer be at work."""


def main(arguments: list[str]) -> int:
    """Watch until the runner ends; then pay what it owes."""
    path, runner = Path(arguments[0]), int(arguments[1])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    clock = SystemClock()
    ended = _Runner(runner)
    # From here on the runner may break things.
    print("ready", flush=True)
    sys.stdout = sys.stderr
    while not ended.within(LOOK_EVERY):
        if not path.exists():
            return 0
        _say(path, lambda: overdue(path, clock))
    deadline = clock.now() + PATIENCE
    while clock.now() < deadline:
        _say(path, lambda: heal(path, clock))
        if not path.exists():
            return 0
        time.sleep(LOOK_EVERY)
    return 1


def _say(path: Path, work: Callable[[], Iterable[str]]) -> int:
    try:
        for line in work():
            print(line, flush=True)
    except SevdrillError as error:
        print(f"{path.name}: {error}", flush=True)
        return 1
    except FileNotFoundError:
        return 0
    except Exception:  # the last line of defence must not die of a surprise
        print(block(traceback.format_exc()), flush=True)
        return 1
    return 0


class _Runner:
    """Waits for a process to end, by its pidfd; by asking for it where the kernel has none."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pidfd: int | None = None
        try:
            self._pidfd = os.pidfd_open(pid)
        except (AttributeError, OSError):
            self._pidfd = None

    def within(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        if self._pidfd is not None:
            return bool(select.select([self._pidfd], [], [], seconds)[0])
        select.select([], [], [], seconds)
        return os.getppid() != self._pid


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
