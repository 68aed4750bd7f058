"""Checks of what is kept for those who look into an incident later."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.evidence import archived
from sevdrill.checks.base import Check, Finding, Result
from sevdrill.lines import StepLine
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Ports
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["LogsPreserved"]

NEARLY = 0.95
"""A log has a line now and then: so much of the time must be between the first and the last one."""


class LogsPreserved(Check):
    """The logs that `archive-logs` kept reach back as far as they must, and no later step has touched them."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)
    invariant: ClassVar[bool] = True
    of_runbook: ClassVar[bool] = True

    check: Literal["logs_preserved"]
    url: str = Field(pattern=r"^http://")
    """Where the newest archive is told of, as for `archive-logs`."""
    last: Duration = Duration(48 * 3600)
    """How far back they must reach."""

    @property
    def title(self) -> str:
        return f"the logs of {self.last} are kept as they were"

    def read(self, ports: Ports) -> Record:
        return archived(ports, self.url)

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        steps = [s for s in timeline.of(StepLine) if s.action == "archive-logs" and s.event == "ended" and s.ok]
        if not steps:
            return Finding(Result.BROKEN, "no step archive-logs was done")
        if data["sha256"] not in steps[-1].why:
            return Finding(Result.BROKEN, f"they were {steps[-1].why}, and are sha256 {data['sha256']}")
        span = data["to"] - data["from"]
        said = f"{data['lines']:.0f} lines of {span / 3600:.1f} hours, unchanged"
        return Finding(Result.HOLDS if span >= NEARLY * self.last else Result.BROKEN, said)
