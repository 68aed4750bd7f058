"""Faults of what a service may use: too little processor time, too little memory."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Ports
from sevdrill.resources import Limit, Limits
from sevdrill.units import Bytes

__all__ = ["CpuLimit", "MemoryLimit"]

LEAST = 6 * 1024**2
"""Bytes: engines refuse less."""


class _LimitFault(Fault):
    needs: ClassVar[tuple[type, ...]] = (Limits,)

    service: str
    """The service that is limited, each replica by itself."""
    replicas: int | None = Field(default=None, ge=1)
    """How many replicas to limit; all of them when left out."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @abstractmethod
    def _tighter(self, now: Limit) -> Limit:
        """The limits with this fault, where there were those."""

    @abstractmethod
    def _has(self, limit: Limit) -> float | None:
        """What this fault changes of limits."""

    def prepare(self, ports: Ports) -> Record:
        present = ports[Limits].limits(self.service)
        wanted = len(present) if self.replicas is None else self.replicas
        if not present or wanted > len(present):
            raise FaultError(f"{self.title}: {wanted or 'some'} replica(s) wanted, and there are {len(present)}")
        hit = dict(list(present.items())[:wanted])
        for name, limit in hit.items():
            had, gets = self._has(limit), self._has(self._tighter(limit))
            if had is not None and gets is not None and had <= gets:
                raise FaultError(f"{self.title}: {name} has no more than that already, so nothing is limited")
        return {"hit": {name: asdict(limit) for name, limit in hit.items()}}

    def inject(self, ports: Ports, record: Record) -> None:
        for name, before in record["hit"].items():
            ports[Limits].limit(self.service, name, self._tighter(Limit(**before)))

    def undo(self, ports: Ports, record: Record) -> None:
        present = ports[Limits].limits(self.service)
        for name, before in record["hit"].items():
            if name in present:  # else it was replaced, by one with the limits of its file
                ports[Limits].limit(self.service, name, Limit(**before))

    def state(self, ports: Ports, record: Record) -> State:
        present = ports[Limits].limits(self.service)
        before = {name: Limit(**limit) for name, limit in record["hit"].items() if name in present}
        if all(_same(self._has(present[name]), self._has(limit)) for name, limit in before.items()):
            return State.OFF
        limited = [_same(self._has(present[name]), self._has(self._tighter(limit))) for name, limit in before.items()]
        return State.ON if all(limited) else State.UNKNOWN


def _same(one: float | None, other: float | None) -> bool:
    # Kernels count in steps of their own.
    return one == other if one is None or other is None else abs(one - other) <= 0.01 * other


class CpuLimit(_LimitFault):
    """A service gets only so much processor time, as on a node that is sold twice: everything in it is slow."""

    fault: Literal["resource.cpu-limit"]
    cpus: float = Field(ge=0.01)
    """Processors that each replica may use; 0.1 is a tenth of one."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.service} to {self.cpus:g}"

    def _tighter(self, now: Limit) -> Limit:
        return Limit(self.cpus, now.memory, now.swap)

    def _has(self, limit: Limit) -> float | None:
        return limit.cpus


class MemoryLimit(_LimitFault):
    """A service may use only so much memory: it is killed once it wants more."""

    fault: Literal["resource.memory-limit"]
    memory: Bytes
    """Memory that each replica may use, without any swap; at least 6 MiB."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.service} to {self.memory}"

    def prepare(self, ports: Ports) -> Record:
        if self.memory < LEAST:
            raise FaultError(f"{self.title}: at least {Bytes(float(LEAST))} are wanted; engines refuse less")
        return super().prepare(ports)

    def _tighter(self, now: Limit) -> Limit:
        return Limit(now.cpus, int(self.memory), int(self.memory))

    def _has(self, limit: Limit) -> float | None:
        return limit.memory
