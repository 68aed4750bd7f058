"""Faults of what every service needs and nobody thinks of: room on the disk, and neighbours that leave it something."""

from __future__ import annotations

import secrets
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.model import Record
from sevdrill.ports import Lifecycle, Ports
from sevdrill.resources import Files, Hogs
from sevdrill.units import Bytes, Duration

__all__ = ["CpuHog", "DiskFill", "MemoryHog"]


class DiskFill(Fault):
    """Old temporary files pile up on a service's disk until there is only so much room left."""

    needs: ClassVar[tuple[type, ...]] = (Files, Lifecycle)

    fault: Literal["resource.disk-fill"]
    service: str
    """The service whose disk is filled; it should be of a fixed size, or the machine's own disk fills up."""
    folder: str = Field(pattern=r"^/.*[^/]$")
    """Where the service keeps its temporary files, such as `/var/lib/shop/tmp`."""
    leave: Bytes
    """How much room is left; `0B` fills it up."""
    name: str = Field(default="preview", pattern=r"^[\w.-]+$")
    """What the names of the files begin with, as those that the service itself leaves behind."""
    aged: Duration = Duration(7200)
    """How old the files seem; what cleans up goes by it."""
    at_most: Bytes = Bytes(1024.0**3)
    """More is never written: the fault is refused where more would be needed."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.folder} in {self.service} but for {self.leave}"

    def prepare(self, ports: Ports) -> Record:
        space = ports[Files].space(self.service, self.folder)
        if space.free - self.leave > self.at_most:
            raise FaultError(
                f"{self.title}: {Bytes(space.free)} are free there, and at most {self.at_most} are written; "
                "give the service a volume of a fixed size, or raise at_most"
            )
        if space.free <= self.leave:
            raise FaultError(f"{self.title}: only {Bytes(space.free)} are free there already, so nothing is filled")
        return {"prefix": f"{self.name}-{secrets.token_hex(4)}-"}

    def inject(self, ports: Ports, record: Record) -> None:
        # Users write meanwhile, and their files come and go: a second look finds what they left.
        for part in range(3):
            excess = ports[Files].space(self.service, self.folder).free - int(self.leave)
            if excess <= 0:
                return
            file = f"{self.folder}/{record['prefix']}{part}.tmp"
            ports[Files].fill(self.service, file, min(excess, int(self.at_most)), self.aged)

    def undo(self, ports: Ports, record: Record) -> None:
        replicas = ports[Lifecycle].replicas(self.service)
        if not any(replica.running for replica in replicas):
            # The files are on its disk, and only the service itself reaches that.
            ports[Lifecycle].start(self.service, [replica.name for replica in replicas])
        ports[Files].remove(self.service, self._found(ports, record))

    def state(self, ports: Ports, record: Record) -> State:
        return State.ON if self._found(ports, record) else State.OFF

    def _found(self, ports: Ports, record: Record) -> list[str]:
        return [file.path for file in ports[Files].find(self.service, self.folder, f"{record['prefix']}*.tmp")]


class _HogFault(Fault):
    needs: ClassVar[tuple[type, ...]] = (Hogs, Lifecycle)

    service: str
    """The service beside which it runs, in each replica."""
    most: Duration = Duration(600)
    """It ends by itself after this time, should nobody end it."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def _wants(self) -> dict[str, int]:
        return {"processors": 0, "memory": 0}

    def prepare(self, ports: Ports) -> Record:
        if not any(r.running and not r.paused for r in ports[Lifecycle].replicas(self.service)):
            raise FaultError(f"{self.title}: no replica of {self.service} runs; nothing can run beside it")
        return {"name": f"hog-{secrets.token_hex(6)}"}

    def inject(self, ports: Ports, record: Record) -> None:
        ports[Hogs].start(self.service, record["name"], **self._wants, most=float(self.most))

    def undo(self, ports: Ports, record: Record) -> None:
        ports[Hogs].end(self.service, record["name"])

    def state(self, ports: Ports, record: Record) -> State:
        there = list(ports[Hogs].running(self.service, record["name"]).values())
        if not any(there):
            return State.OFF
        return State.ON if all(there) else State.UNKNOWN


class CpuHog(_HogFault):
    """Something that runs beside a service keeps processors busy: a backup, a runaway script."""

    fault: Literal["resource.cpu-hog"]
    processors: int = Field(default=1, ge=1, le=64)
    """How many processors it keeps busy in each replica, where there are so many."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.processors} beside {self.service}"

    @property
    def _wants(self) -> dict[str, int]:
        return {"processors": self.processors, "memory": 0}


class MemoryHog(_HogFault):
    """Something that runs beside a service takes memory and keeps it."""

    fault: Literal["resource.memory-hog"]
    memory: Bytes = Field(gt=0, le=4 * 1024.0**3)
    """How much it keeps in each replica, at most 4 GiB."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.memory} beside {self.service}"

    @property
    def _wants(self) -> dict[str, int]:
        return {"processors": 0, "memory": int(self.memory)}
