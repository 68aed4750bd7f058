"""What each replica uses while a drill runs: looked at from before the fault until after the recovery."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from sevdrill.ports import Evidence, Ports

__all__ = ["EVERY", "MOST", "USAGE", "Meter", "Meters", "Use", "begin_metering"]

USAGE = "usage.json"
"""Name of the file in the evidence."""
EVERY = 2.0
"""Seconds between two looks; a container engine takes one of them to answer."""
MOST = 300
"""Looks that are kept at most: of more, every second one goes, and the next come half as often."""
NAMES = 200
"""Replicas of one look that are kept at most."""


@dataclass(frozen=True)
class Use:
    """What one replica uses now; None where nobody knows."""

    memory: int | None
    """In bytes."""
    processor: float | None
    """Seconds of processors' time since the replica was started."""
    processes: int | None = None
    """How many processes (with an engine that counts those: threads) it has."""


@runtime_checkable
class Meters(Protocol):
    """A stack's evidence that can tell what its replicas use now."""

    def uses(self) -> Mapping[str, Use]:
        """What each running replica uses, by its name, sevdrill's own proxies left out.

        Raises:
            StackError: the stack did not say.
        """


class Meter(threading.Thread):
    """Looks at the use again and again, on a thread of its own, until it is ended; it never disturbs a drill.

    ``now`` tells the seconds since the run began.
    """

    def __init__(self, meters: Meters, now: Callable[[], float], every: float = EVERY, most: int = MOST) -> None:
        super().__init__(name="sevdrill usage", daemon=True)
        self._meters, self._now, self._every, self._most = meters, now, every, most
        self._looks: list[tuple[float, dict[str, Use]]] = []
        self._missed, self._why = 0, ""
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.is_set():
            began = self._now()
            try:
                found = dict(list(self._meters.uses().items())[:NAMES])
            except Exception as error:  # whatever it is, a drill must not fail for it
                with self._lock:
                    self._missed += 1
                    self._why = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            else:
                self._keep((began + self._now()) / 2, found)
            self._ended.wait(max(0.1, self._every - (self._now() - began)))

    def _keep(self, at: float, found: dict[str, Use]) -> None:
        with self._lock:
            self._looks.append((at, found))
            if len(self._looks) > self._most:
                del self._looks[1::2]
                self._every *= 2

    def end(self) -> None:
        """Look no more; what is under way is not waited for."""
        self._ended.set()

    def document(self) -> dict[str, Any]:
        """All looks: when each was (seconds since the run began), and what each replica used; None: it did not run."""
        with self._lock:
            looks, missed, why = list(self._looks), self._missed, self._why
        names = sorted({name for _, found in looks for name in found})
        return {
            "at": [round(at, 3) for at, _ in looks],
            "replicas": {
                name: {
                    "memory": [_of(found, name, "memory") for _, found in looks],
                    "processor_seconds": [_of(found, name, "processor") for _, found in looks],
                    "processes": [_of(found, name, "processes") for _, found in looks],
                }
                for name in names[:NAMES]
            },
            "missed": missed,
            "why_missed": why,
        }

    def write(self, folder: Path) -> Path:
        """Write `document` into the folder of the evidence; the file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / USAGE
        file.write_text(json.dumps(self.document()) + "\n", encoding="utf-8")
        return file


def begin_metering(ports: Ports, now: Callable[[], float]) -> Meter | None:
    """A meter that looks from now on, where the stack can tell; ``now`` tells the seconds since the run began."""
    if Evidence not in ports or not isinstance(ports[Evidence], Meters):
        return None
    meter = Meter(cast("Meters", ports[Evidence]), now)
    meter.start()
    return meter


def _of(found: Mapping[str, Use], name: str, what: str) -> float | None:
    value = getattr(found[name], what) if name in found else None
    return round(value, 3) if isinstance(value, float) else value
