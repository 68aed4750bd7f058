"""Checks of how a service is set at the end: what was not to be touched was not."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.model import Record
from sevdrill.ports import Admin, Ports
from sevdrill.timeline import Timeline

__all__ = ["SettingIs"]


class SettingIs(Check):
    """So many replicas of a service have a setting at this value: the broken one was kept for whoever looks into it."""

    needs: ClassVar[tuple[type, ...]] = (Admin,)

    check: Literal["setting_is"]
    service: str
    """The service."""
    setting: str = Field(min_length=1)
    """The setting."""
    value: str
    """Its value."""
    replicas: int | None = Field(default=None, ge=1)
    """On how many replicas, no more and no fewer; on all of them when left out."""

    @property
    def title(self) -> str:
        return f"{self.setting} of {self.service} is {self.value} on {self.replicas or 'every'} replica"

    def read(self, ports: Ports) -> Record:
        found = ports[Admin].settings(self.service)
        return {"values": {name: settings.get(self.setting) for name, settings in found.items()}}

    def settled(self, data: Record) -> bool:
        wanted = len(data["values"]) if self.replicas is None else self.replicas
        return wanted > 0 and list(data["values"].values()).count(self.value) == wanted

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        shown = ", ".join(f"{name} has {value}" for name, value in sorted(data["values"].items()))
        if not data["values"]:
            return Finding(Result.UNKNOWN, f"no replica of {self.service} runs")
        return Finding(Result.HOLDS if self.settled(data) else Result.BROKEN, shown)
