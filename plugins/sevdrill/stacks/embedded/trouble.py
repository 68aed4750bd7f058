"""What a supervisor does to replicas: it lets them die at each start, holds them back, starts hogs beside them."""

from __future__ import annotations

import sys
from typing import Any

from sevdrill.errors import StackError
from sevdrill.resources import Limit
from sevdrill.stacks.embedded.control import Control, Status

__all__ = ["EmbeddedCrashLoop", "EmbeddedHogs", "EmbeddedLimits"]

BUSY = "import signal, sys; signal.alarm(int(sys.argv[1]))\nwhile True: pass"
KEEPS = "import signal, sys; signal.alarm(int(sys.argv[1])); kept = b'x' * int(sys.argv[2])\nwhile True: signal.pause()"


def _replicas(control: Control, service: str) -> dict[str, Status]:
    known = control.status()
    return {name: known[name] for name in control.site.service(service).own if name in known}


class EmbeddedCrashLoop:
    """Lets every replica die at each of its starts; the supervisor starts it again and again."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def begin(self, service: str) -> None:
        """Kill every replica, and from now on at each of its starts."""
        for name in _replicas(self._control, service):
            self._control.call("crash", name=name)

    def end(self, service: str) -> None:
        """Let every replica start and live again."""
        for name in _replicas(self._control, service):
            self._control.call("live", name=name)

    def deaths(self, service: str) -> dict[str, int | None]:
        """How often each replica died at a start since it was made to; None for one that was not, by replica name."""
        return {name: status.deaths for name, status in _replicas(self._control, service).items()}


class EmbeddedLimits:
    """Limits that the supervisor keeps its replicas within."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def limits(self, service: str) -> dict[str, Limit]:
        """The limits in effect now, by replica name."""
        return {n: Limit(status.cpus, status.memory) for n, status in _replicas(self._control, service).items()}

    def limit(self, service: str, replica: str, limit: Limit) -> None:
        """Put these limits into effect on one replica.

        Raises:
            StackError: there is no such replica, or it uses more memory already.
        """
        if replica not in _replicas(self._control, service):
            raise StackError(f"{service} has no replica {replica}")
        self._control.call("limit", name=replica, cpus=limit.cpus, memory=limit.memory)


class EmbeddedHogs:
    """Processes that the supervisor starts beside a replica; they die with it."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def start(self, service: str, name: str, *, processors: int, memory: int, most: float) -> None:
        """Start hogs of this name beside every running replica.

        Raises:
            StackError: no replica runs.
        """
        site = self._control.site
        wanted: list[tuple[str, list[str]]] = [(BUSY, [])] * processors + ([(KEEPS, [str(memory)])] if memory else [])
        running = [each for each, status in _replicas(self._control, service).items() if status.pid]
        if not running:
            raise StackError(f"nothing can run beside {service}: none of its replicas runs")
        for each in running:
            specs: list[dict[str, Any]] = [
                {
                    "argv": [sys.executable, "-S", "-c", code, f"{max(most, 1):.0f}", *more],
                    "env": {"SEVDRILL_STACK": str(site.folder), "SEVDRILL_HOG": name},
                    "cwd": str(site.folder),
                    "log": str(site.folder / "logs" / f"{each}.log"),
                }
                for code, more in wanted
            ]
            self._control.call("hog", name=each, called=name, specs=specs)

    def running(self, service: str, name: str) -> dict[str, bool]:
        """Whether a hog of this name is beside each running replica, by replica name."""
        return {each: name in s.hogs for each, s in _replicas(self._control, service).items() if s.pid}

    def end(self, service: str, name: str) -> None:
        """End every hog of this name."""
        for each in _replicas(self._control, service):
            self._control.call("unhog", name=each, called=name)
