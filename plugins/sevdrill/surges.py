"""More users for a while: asked for in a file, so that any process can send them home again.

The load generator has the file's folder from its runner. It holds a lock for as long as it lives, and says how many
users there are; where nobody holds that lock there are none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

__all__ = ["Surge", "follow"]

EVERY = 0.2
"""Seconds between two looks at what is asked for."""


class Surge:
    """The two files, in the folder of the load: what is asked for, and how many users there are."""

    def __init__(self, folder: Path) -> None:
        self._asked, self._there = folder / "surge.json", folder / "users"

    def begin(self, users: int, seconds: float) -> None:
        """Ask for so many users in all, for so long at the most."""
        new = self._asked.with_suffix(".new")
        new.write_text(json.dumps([users, time.monotonic() + seconds]), encoding="utf-8")
        new.replace(self._asked)

    def end(self) -> None:
        """Ask for no more users than there were; again and again if need be."""
        self._asked.unlink(missing_ok=True)

    def asked(self) -> int | None:
        """How many users are asked for now; None where that is as many as ever."""
        try:
            users, until = json.loads(self._asked.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return int(users) if time.monotonic() < until else None

    def users(self) -> int:
        """How many users there are; 0 when no load generator lives."""
        try:
            file = self._there.open("rb")
        except FileNotFoundError:
            return 0
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
        return 0

    def live(self) -> Callable[[int], None]:
        """Say that a load generator lives, for as long as this process does; the answer says how many users there are.

        Raises:
            OSError: another one lives.
        """
        there = os.open(self._there, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)

        def say(users: int) -> None:
            # In place and always as long: whoever reads meanwhile reads a number.
            os.pwrite(there, f"{users:8d}".encode(), 0)

        return say


def follow(surge: Surge, base: int, count: Callable[[], int], change: Callable[[int], None]) -> Callable[[], None]:
    """One look at what is asked for, to be done every ``EVERY`` seconds by who brings the users.

    ``base`` is how many there are as a rule, ``count`` how many there are now; ``change`` has another number of them.
    """
    say, wanted = surge.live(), base

    def look() -> None:
        nonlocal wanted
        with contextlib.suppress(OSError):
            say(count())
        now = surge.asked()
        now = base if now is None else now
        if now != wanted:
            wanted = now
            change(now)

    return look
