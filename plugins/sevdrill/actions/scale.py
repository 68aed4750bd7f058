"""Steps that change how many replicas a service has."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.reverting import RevertingAction
from sevdrill.errors import ActionError
from sevdrill.faults.base import State
from sevdrill.model import Record
from sevdrill.ports import Lifecycle, Ports, Reading
from sevdrill.ports import Scale as ScalePort

__all__ = ["Scale"]


class Scale(RevertingAction):
    """Run so many replicas of a service; done when all run, and are healthy where they can tell."""

    needs: ClassVar[tuple[type, ...]] = (ScalePort, Lifecycle)
    in_flight: ClassVar[float] = 30.0

    action: Literal["scale"]
    service: str
    """The service that gets more replicas, or fewer."""
    replicas: int = Field(ge=1, le=20)
    """How many it has then."""

    @property
    def title(self) -> str:
        return f"scale {self.service} to {self.replicas}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        before = len(ports[Lifecycle].replicas(self.service))
        if before == self.replicas:
            raise ActionError(f"{self.title}: it has {before} replicas already")
        return {"replicas": before}

    def run(self, ports: Ports, record: Record) -> None:
        ports[ScalePort].scale(self.service, self.replicas)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[ScalePort].scale(self.service, record["replicas"])

    def state(self, ports: Ports, record: Record) -> State:
        there = len(ports[Lifecycle].replicas(self.service))
        if there == record["replicas"]:
            return State.OFF
        return State.ON if there == self.replicas else State.UNKNOWN

    def proof(self, ports: Ports, record: Record) -> Reading:
        present = ports[Lifecycle].replicas(self.service)
        well = [r for r in present if r.running and not r.paused and r.healthy is not False]
        return Reading(
            ok=len(well) == len(present) == self.replicas,
            why=f"{len(well)} of {len(present)} replicas run and are healthy; {self.replicas} are wanted",
        )
