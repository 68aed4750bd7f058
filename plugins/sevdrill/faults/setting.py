"""A setting of a running service that a fault or a step changes, and that is put back."""

from __future__ import annotations

from dataclasses import dataclass

from sevdrill.faults.base import State
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """One value of one setting, on every replica of a service."""

    service: str
    name: str
    value: str

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
        return {"before": before}

    def put(self, ports: Ports) -> None:
        """Change it."""
        ports[Admin].change(self.service, self.name, self.value)

    def back(self, ports: Ports, record: Record) -> None:
        """Change it to what it was."""
        ports[Admin].change(self.service, self.name, record["before"])

    def state(self, ports: Ports, record: Record) -> State:
        """On when every replica has the value, off when every one has what it was before."""
        values = {settings.get(self.name) for settings in ports[Admin].settings(self.service).values()}
        if values == {self.value}:
            return State.ON
        return State.OFF if values == {record["before"]} else State.UNKNOWN
