"""What a fault is: settings, and four methods over ports."""

from __future__ import annotations

from abc import abstractmethod
from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.model import Model, Record
from sevdrill.ports import Ports
from sevdrill.units import Duration

__all__ = ["Fault", "State"]


class State(StrEnum):
    """Whether a fault is on, as seen on the stack itself."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


class Fault(Model):
    """One failure that can be injected, proved, undone, and proved undone."""

    needs: ClassVar[tuple[type, ...]]
    """The ports that the four methods use."""

    in_flight: ClassVar[float] = 10.0
    """Seconds for which a call of ``inject`` or ``undo`` may still act on the stack after its caller was killed."""

    fault: str
    expect: Literal["no_page"] | None = None
    """`no_page`: harmless noise that nobody may be woken by, as a quiet drill makes it, and no other."""
    after: Duration = Duration(0)
    """Wait this long after the injection phase begins."""
    for_: Duration | None = Field(default=None, alias="for")
    """Undo the fault by itself after this time; without it the runbook, or the end of the drill, ends it."""
    max: Duration | None = None
    """When the watchdog undoes the fault whatever else happens; ten minutes after the drill's limit when left out."""

    @property
    @abstractmethod
    def services(self) -> tuple[str, ...]:
        """The services that the fault touches: its blast radius."""

    @property
    def takes(self) -> int | None:
        """How many replicas of each service the fault takes out of action; None means all.

        0 where it acts on the service as a whole (its proxy, its release, its settings): then it counts as a service
        that is hit, however many replicas that has.
        """
        return 0

    @property
    def title(self) -> str:
        """The fault in a few words, for people."""
        return f"{self.fault} on {', '.join(self.services)}"

    @abstractmethod
    def prepare(self, ports: Ports) -> Record:
        """Read everything that undo will need. Changes nothing.

        Raises:
            FaultError: the fault cannot be injected into this stack as it is.
        """

    @abstractmethod
    def inject(self, ports: Ports, record: Record) -> None:
        """Break it."""

    @abstractmethod
    def undo(self, ports: Ports, record: Record) -> None:
        """Mend it: idempotent, and from the record alone, as a fresh process would."""

    @abstractmethod
    def state(self, ports: Ports, record: Record) -> State:
        """Look at the stack: is the fault on?"""
