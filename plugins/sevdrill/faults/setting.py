"""A setting of a running service that a fault or a step changes, and that is put back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sevdrill.faults.base import State
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports

__all__ = ["Listed", "Setting"]


@dataclass(frozen=True)
class Setting:
    """One value of one setting, on every replica of a service, or on so many of them."""

    service: str
    name: str
    value: str
    replicas: int | None = None

    def before(self, ports: Ports) -> Record:
        """What undo needs: the value now.

        Raises:
            ValueError: it is so already, differs between replicas, or there is no such setting; the text says which.
        """
        found = ports[Admin].settings(self.service)
        known = sorted({name for settings in found.values() for name in settings})
        values = {settings.get(self.name) for settings in found.values()}
        if not found or self.name not in known:
            has = ", ".join(known) or "none, as no replica runs"
            raise ValueError(f"{self.service} has no setting {self.name} (it has: {has})")
        if len(values) != 1 or None in values:
            raise ValueError(
                f"the replicas of {self.service} differ in {self.name}: {', '.join(sorted(map(str, values)))}"
            )
        before = values.pop()
        if before == self.value:
            raise ValueError(f"{self.name} of {self.service} is {before} already, so setting it changes nothing")
        if self.replicas is None:
            return {"before": before}
        if self.replicas > len(found):
            raise ValueError(f"{self.service} has {len(found)} replicas that run, fewer than {self.replicas}")
        return {"before": before, "replicas": sorted(found)[-self.replicas :]}

    def put(self, ports: Ports, record: Record) -> None:
        """Change it."""
        self._change(ports, record, self.value)

    def back(self, ports: Ports, record: Record) -> None:
        """Change it to what it was."""
        self._change(ports, record, record["before"])

    def state(self, ports: Ports, record: Record) -> State:
        """On when every replica has the value, off when every one has what it was before."""
        found = ports[Admin].settings(self.service)
        # A replica that has gone has taken its settings with it.
        hit = [name for name in record.get("replicas", found) if name in found]
        values = {found[name].get(self.name) for name in hit}
        if values == {self.value}:
            return State.ON
        return State.OFF if values == {record["before"]} or (found and not hit) else State.UNKNOWN

    def _change(self, ports: Ports, record: Record, value: str) -> None:
        if "replicas" in record:
            ports[Admin].change(self.service, self.name, value, record["replicas"])
        else:
            ports[Admin].change(self.service, self.name, value)


NONE = "none"
"""What a setting that is a list shows when nothing is on it."""


@dataclass(frozen=True)
class Listed:
    """Entries on a setting that is a list, with commas, on every replica of a service; what others put there stays."""

    service: str
    name: str

    def before(self, ports: Ports, entries: Sequence[str]) -> Record:
        """What undo needs: the entries that are put there.

        Raises:
            ValueError: there is no such setting, or one is there already; the text says which.
        """
        shown = self._shown(ports)
        if not shown or None in shown.values():
            raise ValueError(f"{self.service} has no setting {self.name}, or no replica of it runs")
        there = sorted({entry for value in shown.values() for entry in entries if entry in _entries(value)})
        if there:
            raise ValueError(f"{', '.join(there)} is on {self.name} of {self.service} already")
        return {"entries": list(entries)}

    def put(self, ports: Ports, record: Record) -> None:
        """Add them."""
        self._change(ports, lambda there: [*there, *(each for each in record["entries"] if each not in there)])

    def back(self, ports: Ports, record: Record) -> None:
        """Take them away."""
        self._change(ports, lambda there: [each for each in there if each not in record["entries"]])

    def state(self, ports: Ports, record: Record) -> State:
        """On when every replica has all of them, off when none has any."""
        wanted = set(record["entries"])
        there = [wanted & set(_entries(value)) for value in self._shown(ports).values()]
        if not there:
            return State.UNKNOWN
        if all(each == wanted for each in there):
            return State.ON
        return State.UNKNOWN if any(there) else State.OFF

    def _shown(self, ports: Ports) -> dict[str, str | None]:
        found = ports[Admin].settings(self.service)
        return {replica: settings.get(self.name) for replica, settings in found.items()}

    def _change(self, ports: Ports, to: Callable[[list[str]], list[str]]) -> None:
        # Every replica has the same list: who changes it does so on all of them.
        there = list(dict.fromkeys(entry for value in self._shown(ports).values() for entry in _entries(value)))
        ports[Admin].change(self.service, self.name, ",".join(to(there)) or NONE)


def _entries(value: str | None) -> list[str]:
    return [] if value in (None, NONE) else str(value).split(",")
