"""Steps that start and restart services."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.model import Record
from sevdrill.ports import Lifecycle, Ports, Reading

__all__ = ["Restart", "Start"]


class Start(Action):
    """Start the replicas of a service that do not run; done when all run, and are healthy where they can tell."""

    needs: ClassVar[tuple[type, ...]] = (Lifecycle,)

    action: Literal["start"]
    service: str
    """The service to start."""

    @property
    def title(self) -> str:
        return f"{self.action} {self.service}"

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def run(self, ports: Ports, record: Record) -> None:
        replicas = ports[Lifecycle].replicas(self.service)
        ports[Lifecycle].unpause(self.service, [r.name for r in replicas if r.paused])
        ports[Lifecycle].start(self.service, [r.name for r in replicas if not r.running])

    def proof(self, ports: Ports, record: Record) -> Reading:
        replicas = ports[Lifecycle].replicas(self.service)
        sick = [r.name for r in replicas if not r.running or r.paused or r.healthy is False]
        if sick or not replicas:
            return Reading(
                ok=False, why=f"{', '.join(sick) or f'no replica of {self.service}'}: not running and healthy"
            )
        return Reading(ok=True, why=f"{len(replicas)} of {len(replicas)} running and healthy")


class Restart(Start):
    """Stop what still runs of a service and start it; done when all replicas run, healthy where they can tell."""

    action: Literal["restart"]  # type: ignore[assignment]  # the tag is what tells the two apart

    def run(self, ports: Ports, record: Record) -> None:
        running = [r.name for r in ports[Lifecycle].replicas(self.service) if r.running]
        ports[Lifecycle].unpause(self.service, [r.name for r in ports[Lifecycle].replicas(self.service) if r.paused])
        ports[Lifecycle].stop(self.service, running)
        super().run(ports, record)
