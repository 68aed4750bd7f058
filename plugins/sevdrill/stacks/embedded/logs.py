"""What the services of an embedded stack write to their logs."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from sevdrill.clock import Clock
from sevdrill.errors import StackError
from sevdrill.stacks.embedded.control import Control

__all__ = ["EmbeddedLogs"]

BYTES = 2 * 1024 * 1024
"""Bytes of each log that are searched at most, the last ones."""


class EmbeddedLogs:
    """Log files that programs write themselves, without times: how long each was when is what tells new from old."""

    def __init__(self, control: Control, clock: Clock) -> None:
        self._control, self._clock = control, clock
        self._seen: dict[Path, deque[tuple[float, int]]] = {}

    def lines(self, service: str, seconds: float) -> list[str]:
        """The lines that its replicas wrote in the last so many seconds, and since the first time that this was asked.

        Raises:
            StackError: a log cannot be read, or the service has no replica.
        """
        site = self._control.site
        replicas = site.service(service).own
        if not replicas:
            raise StackError(f"{service} has no replica, so it has no log")
        found: list[str] = []
        for replica in replicas:
            file = site.folder / "logs" / f"{replica}.log"
            now = self._clock.now()
            try:
                size = file.stat().st_size
                start = max(self._start(file, now, size, seconds), size - BYTES)
                with file.open("rb") as stream:
                    stream.seek(start)
                    text = stream.read(size - start).decode("utf-8", "replace")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StackError(f"the log of {replica} cannot be read: {error}") from error
            found += text.splitlines()
        return found

    def _start(self, file: Path, now: float, size: int, seconds: float) -> int:
        seen = self._seen.setdefault(file, deque())
        if seen and size < seen[-1][1]:
            seen.clear()  # begun anew
        seen.append((now, size))
        # The last look that is old enough stays: what came after it may be younger.
        while len(seen) > 1 and seen[1][0] <= now - seconds:
            seen.popleft()
        return seen[0][1]
