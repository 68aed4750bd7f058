"""A configuration of a service that a fault or a step rolls out, and that is rolled back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sevdrill.faults.base import State
from sevdrill.model import Record
from sevdrill.ports import Environment, Ports

__all__ = ["Configuration"]


@dataclass(frozen=True)
class Configuration:
    """Other values of some variables, on every replica of a service."""

    service: str
    values: Mapping[str, str]

    def before(self, ports: Ports) -> Record:
        """What undo needs: the revision that is in force now.

        Raises:
            ValueError: there is no such variable, or the replicas differ; the text says which.
        """
        variables = ports[Environment].variables(self.service)
        unknown = sorted(set(self.values) - set(variables))
        if unknown:
            raise ValueError(
                f"{self.service} has no variable {', '.join(unknown)}; "
                f"the files give it {', '.join(variables) or 'none'}"
            )
        running = set(ports[Environment].running(self.service).values())
        if len(running) != 1 or -1 in running:
            raise ValueError(
                f"the replicas of {self.service} run with different or unknown configurations; "
                "one on all of them is needed before another can be rolled out"
            )
        return {"before": running.pop()}

    def put(self, ports: Ports, record: Record) -> None:
        """Roll it out."""
        ports[Environment].configure(self.service, self.values)

    def back(self, ports: Ports, record: Record) -> None:
        """Roll out what was in force before, unless it is."""
        running = ports[Environment].running(self.service)
        if not running or set(running.values()) != {record["before"]}:
            ports[Environment].restore(self.service, record["before"])

    def state(self, ports: Ports, record: Record) -> State:
        """On when no replica runs as before, off when every one does."""
        running = set(ports[Environment].running(self.service).values())
        if not running or -1 in running:
            return State.UNKNOWN
        if running == {record["before"]}:
            return State.OFF
        return State.UNKNOWN if record["before"] in running else State.ON
