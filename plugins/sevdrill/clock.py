"""The one clock.

Every time in sevdrill is read here. On Linux the monotonic clock is the same in every process of one boot, so the load
generator, the watchdog and the runner can compare readings; wall time is for display only.
"""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "SystemClock", "boot_id", "seconds"]


class Clock(Protocol):
    """Where times come from; tests bring their own."""

    def now(self) -> float:
        """Monotonic seconds."""

    def wall(self) -> dt.datetime:
        """The time of day, in UTC; for display only."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Monotonic seconds since some moment before boot's end, equal in every process of one boot."""
        return time.monotonic()

    def wall(self) -> dt.datetime:
        """The time of day, in UTC."""
        return dt.datetime.now(dt.UTC)


def boot_id() -> str:
    """Name of this boot of the machine: monotonic times of another boot mean nothing here."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def seconds(value: float, width: float = 0.0) -> str:
    """Show a measured time: ``12.3 s``, or ``12.3 ± 0.2 s`` when its interval has a width worth telling."""
    if width >= 0.005:
        return f"{value:.2f} ± {width / 2:.2f} s"
    return f"{value:.2f} s"
