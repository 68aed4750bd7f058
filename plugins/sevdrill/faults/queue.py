"""Faults of a queue of jobs: more than its workers can do, and jobs that none of them can do."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.faults.setting import Setting
from sevdrill.faults.switched import SwitchedFault
from sevdrill.ports import Admin

__all__ = ["QueueFlood", "QueueStuckJobs"]


class _QueueFault(SwitchedFault):
    needs: ClassVar[tuple[type, ...]] = (Admin,)
    in_flight: ClassVar[float] = 10.0

    service: str
    """The service that works on the queue."""
    queue: str = Field(min_length=1)
    """Name of the queue."""
    jobs: int = Field(ge=1, le=999_999)
    """How many jobs."""

    @property
    def title(self) -> str:
        return f"{self.fault} of {self.jobs} in {self.queue}"


class QueueFlood(_QueueFault):
    """So many jobs come at once; what is not done of them is thrown away by the undo."""

    fault: Literal["queue.flood"]

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"flood.{self.queue}", str(self.jobs))


class QueueStuckJobs(_QueueFault):
    """The first jobs of the queue are held by a worker that died: whoever takes one fails, again and again."""

    fault: Literal["queue.stuck-jobs"]

    @property
    def _switch(self) -> Setting:
        return Setting(self.service, f"stuck.{self.queue}", str(self.jobs))
