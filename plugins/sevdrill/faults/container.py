"""Faults of containers: killed, stopped, frozen, dying at each start."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import CrashLoop, Lifecycle, Ports, Replica

__all__ = ["ContainerCrashLoop", "ContainerKill", "ContainerPause", "ContainerStop"]


class _ContainerFault(Fault):
    """A fault that takes replicas of one service out of action."""

    needs: ClassVar[tuple[type, ...]] = (Lifecycle,)

    service: str
    """The service whose replicas are hit."""
    replicas: int | None = Field(default=None, ge=1)
    """How many replicas to hit; all of them when left out."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def takes(self) -> int | None:
        return self.replicas

    @abstractmethod
    def _out_of_action(self, replica: Replica) -> bool:
        """Whether the replica is as this fault leaves it."""

    def prepare(self, ports: Ports) -> Record:
        present = ports[Lifecycle].replicas(self.service)
        sound = [r for r in present if r.running and not r.paused]
        wanted = len(present) if self.replicas is None else self.replicas
        if not sound or len(sound) < wanted:
            raise FaultError(
                f"{self.title}: {wanted or 'some'} running replica(s) of {self.service} wanted, but "
                f"{len(sound)} of {len(present)} run; the stack must be whole before it is broken"
            )
        return {"running": len(sound), "hit": [r.name for r in sound[:wanted]]}

    def state(self, ports: Ports, record: Record) -> State:
        # Counted, not remembered by name: a replica that was recreated meanwhile has another name.
        now = ports[Lifecycle].replicas(self.service)
        sound = sum(1 for r in now if r.running and not r.paused)
        if sound >= record["running"]:
            return State.OFF
        if any(self._out_of_action(r) for r in now) and sound <= record["running"] - len(record["hit"]):
            return State.ON
        return State.UNKNOWN

    def _broken(self, ports: Ports) -> Sequence[str]:
        return [r.name for r in ports[Lifecycle].replicas(self.service) if not r.running]


class ContainerKill(_ContainerFault):
    """The processes of a service die at once (SIGKILL), as in a crash or an out-of-memory kill."""

    fault: Literal["container.kill"]

    def _out_of_action(self, replica: Replica) -> bool:
        return not replica.running

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Lifecycle].kill(self.service, record["hit"])

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Lifecycle].start(self.service, self._broken(ports))


class ContainerStop(_ContainerFault):
    """A service is shut down in good order, as by a mistaken maintenance command."""

    fault: Literal["container.stop"]

    def _out_of_action(self, replica: Replica) -> bool:
        return not replica.running

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Lifecycle].stop(self.service, record["hit"])

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Lifecycle].start(self.service, self._broken(ports))


class ContainerPause(_ContainerFault):
    """A service freezes: connections stay open and nothing answers, as in a hung process."""

    fault: Literal["container.pause"]

    def _out_of_action(self, replica: Replica) -> bool:
        return replica.paused

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Lifecycle].pause(self.service, record["hit"])

    def undo(self, ports: Ports, record: Record) -> None:
        frozen = [r.name for r in ports[Lifecycle].replicas(self.service) if r.paused]
        ports[Lifecycle].unpause(self.service, frozen)
        ports[Lifecycle].start(self.service, self._broken(ports))


class ContainerCrashLoop(Fault):
    """A service dies, is started, and dies again at each of its starts, whoever starts it.

    All of its replicas do: they are made the same.
    """

    needs: ClassVar[tuple[type, ...]] = (CrashLoop, Lifecycle)
    in_flight: ClassVar[float] = 30.0

    fault: Literal["container.crash-loop"]
    service: str
    """The service that crashes, with every replica."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def takes(self) -> int | None:
        return None

    def prepare(self, ports: Ports) -> Record:
        present = ports[Lifecycle].replicas(self.service)
        sound = [r for r in present if r.running and not r.paused]
        if not sound or len(sound) < len(present):
            raise FaultError(
                f"{self.title}: {len(sound)} of {len(present)} replicas of {self.service} run; "
                "the stack must be whole before it is broken"
            )
        return {"running": len(sound)}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[CrashLoop].begin(self.service)

    def undo(self, ports: Ports, record: Record) -> None:
        ports[CrashLoop].end(self.service)

    def state(self, ports: Ports, record: Record) -> State:
        deaths = ports[CrashLoop].deaths(self.service).values()
        if deaths and all(count is None for count in deaths):
            running = [r.name for r in ports[Lifecycle].replicas(self.service) if r.running and not r.paused]
            return State.OFF if len(running) >= record["running"] else State.UNKNOWN
        # Seen to die at a start: before that it is only down.
        return State.ON if deaths and not {None, 0} & set(deaths) else State.UNKNOWN
