"""Checks of what the alerting delivered, to whom, and whether it came in time to spare users."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.lines import MarkLine, PageLine, Sample
from sevdrill.model import Record
from sevdrill.ports import Monitoring, Ports
from sevdrill.stretches import became_true
from sevdrill.timeline import Timeline

__all__ = ["AlertedBeforeEffect", "Delivered"]


def _injected(timeline: Timeline) -> float:
    return next((mark.lo for mark in timeline.of(MarkLine) if mark.name == "injected"), 0.0)


class Delivered(Check):
    """The alert reached people the way it should: as a page that wakes, or as a ticket that can wait."""

    needs: ClassVar[tuple[type, ...]] = (Monitoring,)

    check: Literal["delivered"]
    alert: str = Field(min_length=1)
    """Name of the alert."""
    as_: Literal["page", "ticket"] = Field(alias="as")
    """How it must be delivered, and not otherwise."""

    @property
    def title(self) -> str:
        return f"alert {self.alert} was delivered as a {self.as_}"

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        injected = _injected(timeline)
        kinds = {
            page.kind
            for page in timeline.of(PageLine)
            if page.status == "firing" and page.hi >= injected and any(a.get("name") == self.alert for a in page.alerts)
        }
        if kinds == {self.as_}:
            return Finding(Result.HOLDS, f"delivered as a {self.as_}")
        seen = " and ".join(f"as a {kind}" for kind in sorted(kinds)) or "not at all"
        return Finding(Result.BROKEN, f"delivered {seen}")


class AlertedBeforeEffect(Check):
    """The alert fired before users felt anything: there was time to prevent the incident."""

    needs: ClassVar[tuple[type, ...]] = ()

    check: Literal["alerted_before_effect"]
    alert: str = Field(min_length=1)
    """Name of the alert; the drill waits for it under `detect`, and says under `effect` what users feel."""

    @property
    def title(self) -> str:
        return f"alert {self.alert} fired before users felt it"

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        injected = _injected(timeline)
        series: dict[str, list[Sample]] = {}
        for sample in timeline.of(Sample):
            series.setdefault(sample.series, []).append(sample)
        alerts = [became_true(s, injected) for n, s in series.items() if n.split(":")[::2] == ["alert", self.alert]]
        fired = min((found.hi for found in alerts if found is not None), default=None)
        effects = [became_true(s, injected) for n, s in series.items() if n.startswith("effect:")]
        felt = min((found.lo for found in effects if found is not None), default=None)
        if felt is None:
            return Finding(Result.UNKNOWN, "users never felt it, as far as the drill looked")
        if fired is None:
            return Finding(Result.BROKEN, "it never fired")
        if fired <= felt:
            return Finding(Result.HOLDS, f"{felt - fired:.1f} s before")
        return Finding(Result.BROKEN, f"it is not known to have fired before; it came up to {fired - felt:.1f} s later")
