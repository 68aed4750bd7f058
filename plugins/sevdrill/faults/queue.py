"""Faults of a queue of jobs: more than its workers can do, and jobs that none of them can do."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.errors import FaultError
from sevdrill.faults.base import Fault, State
from sevdrill.faults.setting import Setting
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports

__all__ = ["QueueFlood", "QueueStuckJobs"]


class _QueueFault(Fault):
    needs: ClassVar[tuple[type, ...]] = (Admin,)
    in_flight: ClassVar[float] = 10.0

    service: str
    """The service that works on the queue."""
    queue: str = Field(min_length=1)
    """Name of the queue."""
    jobs: int = Field(ge=1, le=999_999)
    """How many jobs."""

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.jobs} in {self.queue}"

    @property
    @abstractmethod
    def _setting(self) -> Setting: ...

    def prepare(self, ports: Ports) -> Record:
        try:
            return self._setting.before(ports)
        except ValueError as error:
            raise FaultError(f"{self.title}: {error}") from None

    def inject(self, ports: Ports, record: Record) -> None:
        self._setting.put(ports, record)

    def undo(self, ports: Ports, record: Record) -> None:
        self._setting.back(ports, record)

    def state(self, ports: Ports, record: Record) -> State:
        return self._setting.state(ports, record)


class QueueFlood(_QueueFault):
    """So many jobs come at once; what is not done of them is thrown away by the undo."""

    fault: Literal["queue.flood"]

    @property
    def _setting(self) -> Setting:
        return Setting(self.service, f"flood.{self.queue}", str(self.jobs))


class QueueStuckJobs(_QueueFault):
    """The first jobs of the queue are held by a worker that died: whoever takes one fails, again and again."""

    fault: Literal["queue.stuck-jobs"]

    @property
    def _setting(self) -> Setting:
        return Setting(self.service, f"stuck.{self.queue}", str(self.jobs))
