"""A toy stack in memory, for tests of the engine: one database, its alert, its pager, its users."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from sevdrill.errors import StackError
from sevdrill.people import Messages
from sevdrill.ports import (
    Alert,
    Endpoints,
    Ledger,
    Ledgers,
    Lifecycle,
    Load,
    LoadWindow,
    Monitoring,
    Page,
    Pager,
    Ports,
    Replica,
)


class ToyStack:
    """Implements the ports; its attributes break it."""

    def __init__(self) -> None:
        self.up = True
        self.kill_works = True
        self.start_works = True
        self.alert_fires = True
        self.alive = True
        self.always_sick = False
        self.lost: set[str] = set()
        self.calls: list[str] = []
        self.hold_kill: threading.Event | None = None
        self.in_kill = threading.Event()
        self.loaded = False
        self._down_since: float | None = None
        self._pages = 0

    def ports(self) -> Ports:
        return Ports(
            {Lifecycle: self, Endpoints: self, Monitoring: self, Pager: self, Load: self, Ledgers: self, Messages: self}
        )

    # Lifecycle
    def services(self) -> list[str]:
        return ["db"]

    def replicas(self, service: str) -> list[Replica]:
        return [Replica("db-1", "db", running=self.up, healthy=self.up or None)]

    def kill(self, service: str, replicas: Sequence[str]) -> None:
        self.calls.append("kill")
        self.in_kill.set()
        if self.hold_kill is not None:
            self.hold_kill.wait(5)
        if self.kill_works:
            self.up, self._down_since = False, time.monotonic()

    def stop(self, service: str, replicas: Sequence[str]) -> None:
        self.calls.append("stop")

    def start(self, service: str, replicas: Sequence[str]) -> None:
        self.calls.append("start")
        if not self.start_works:
            raise StackError("db-1 does not start")
        self.up, self._down_since = True, None

    def pause(self, service: str, replicas: Sequence[str]) -> None:
        raise NotImplementedError

    def unpause(self, service: str, replicas: Sequence[str]) -> None:
        pass

    # Monitoring
    def monitoring_alive(self) -> bool:
        return self.alive

    def alerts(self) -> list[Alert]:
        late = self._down_since is not None and time.monotonic() - self._down_since > 0.05
        firing = late and self.alert_fires and self.alive
        # What fires is delivered, whether or not somebody asks the pager in time.
        self._pages = 1 if firing else self._pages
        return [Alert("DatabaseDown", {"severity": "page"})] if firing else []

    def pages(self, since: int) -> list[Page]:
        pages = [Page(1, "page", "firing", [{"name": "DatabaseDown"}])] if self._pages else []
        return [page for page in pages if page.id > since]

    # Load and Ledgers; `start`, `stop` and `alive` are named twice by the ports, so users go through an adapter below.
    def window(self, over: float) -> LoadWindow:
        bad = not self.up or self.always_sick
        return LoadWindow(10, 10 if bad else 0, 0.01)

    def ledger(self, name: str) -> Ledger:
        keys = frozenset({"a", "b", "c"})
        return Ledger(keys, keys)

    def rows(self, ledger: str) -> list[str]:
        return sorted({"a", "b", "c"} - self.lost)

    # Messages
    def announce(self, to: str, status: str, text: str, by: str = "sevdrill") -> None:
        self.calls.append(f"announce {status}")

    def escalate(self, to: str, why: str) -> None:
        self.calls.append(f"escalate {to}")

    def over(self, why: str, undone: bool | None) -> None:
        self.calls.append(f"over {undone}")

    # Endpoints
    def url(self, url: str) -> str:
        return url


class Users:
    """The port `Load` of a toy stack."""

    users = 1
    folder = Path()

    def __init__(self, stack: ToyStack) -> None:
        self._stack = stack

    def start(self) -> None:
        self._stack.loaded = True

    def stop(self) -> None:
        self._stack.loaded = False

    def window(self, over: float) -> LoadWindow:
        return self._stack.window(over)

    def ledger(self, name: str) -> Ledger:
        return self._stack.ledger(name)


class Watch:
    """The ports `Monitoring` and `Pager` of a toy stack."""

    def __init__(self, stack: ToyStack) -> None:
        self._stack = stack

    def alive(self) -> tuple[bool, str]:
        return self._stack.alive, "heartbeat" if self._stack.alive else "no heartbeat"

    def alerts(self) -> list[Alert]:
        return self._stack.alerts()

    def pages(self, since: int) -> list[Page]:
        return self._stack.pages(since)


def toy_ports(stack: ToyStack) -> Ports:
    watch = Watch(stack)
    return stack.ports().with_({Load: Users(stack), Monitoring: watch, Pager: watch})
