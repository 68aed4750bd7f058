"""Checks of what runs in the end."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.actions.release import Rollback
from sevdrill.checks.base import Check, Finding, Result
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Lifecycle, Ports, Release
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["VersionIs"]


class VersionIs(Check):
    """Every replica of a service was made from one release, and says so itself."""

    needs: ClassVar[tuple[type, ...]] = (Release, Endpoints, Lifecycle)

    check: Literal["version_is"]
    service: str
    """The service."""
    release: str = Field(min_length=1)
    """The release that must run, on every replica."""
    answers: str = Field(pattern=r"^http://[^/:]+:\d+/")
    """Where a replica tells its version, such as `http://app:3000/version`; each is asked, past any proxy."""
    within: Duration = Duration(10)
    """How long after recovery it may take."""

    @property
    def title(self) -> str:
        return f"{self.service} runs {self.release}"

    def read(self, ports: Ports) -> Record:
        # What proves a rollback proves this.
        step = Rollback(action="rollback", service=self.service, answers=self.answers)
        reading = step.proof(ports, {"release": self.release})
        return {"ok": reading.ok, "why": reading.why}

    def settled(self, data: Record) -> bool:
        return bool(data["ok"])

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        return Finding(Result.HOLDS if data["ok"] else Result.BROKEN, str(data["why"]))
