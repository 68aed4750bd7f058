"""Checks of the alerting: it woke people once, and fell silent when all was well."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.lines import MarkLine, PageLine
from sevdrill.model import Record
from sevdrill.ports import Monitoring, Pager, Ports
from sevdrill.timeline import Timeline
from sevdrill.units import Duration

__all__ = ["AlertResolved", "NotPaged", "PagedOnce", "matches"]


def matches(name: str, labels: dict[str, str], alert_name: str, alert_labels: dict[str, str]) -> bool:
    """Whether an alert is the one that is wanted: its name, and at least these labels."""
    return alert_name == name and all(alert_labels.get(key) == value for key, value in labels.items())


class AlertResolved(Check):
    """The alert fires no more. Checked by itself for every alert that a drill waits for."""

    needs: ClassVar[tuple[type, ...]] = (Monitoring,)

    check: Literal["alert_resolved"]
    alert: str
    """Name of the alert."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels that it must have."""
    within: Duration = Duration(60)
    """How long after recovery it may go on."""

    @property
    def title(self) -> str:
        return f"alert {self.alert} is resolved"

    def read(self, ports: Ports) -> Record:
        alive, why = ports[Monitoring].alive()
        firing = [a for a in ports[Monitoring].alerts() if matches(self.alert, self.labels, a.name, dict(a.labels))]
        return {"firing": len(firing), "alive": alive, "why": why}

    def settled(self, data: Record) -> bool:
        return bool(data["alive"]) and not data["firing"]

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        if not data["alive"]:
            return Finding(Result.UNKNOWN, f"the monitoring is not alive ({data['why']}), so its silence means nothing")
        if data["firing"]:
            return Finding(Result.BROKEN, f"{self.alert} still fires (it may until {self.within} after recovery)")
        return Finding(Result.HOLDS, "it fires no more")


class _PagesCheck(Check):
    needs: ClassVar[tuple[type, ...]] = (Monitoring, Pager)

    def read(self, ports: Ports) -> Record:
        alive, why = ports[Monitoring].alive()
        return {"alive": alive, "why": why}

    def _pages(self, timeline: Timeline) -> list[PageLine]:
        injected = next((mark.lo for mark in timeline.of(MarkLine) if mark.name in ("injected", "quiet")), 0.0)
        return [p for p in timeline.of(PageLine) if p.kind == "page" and p.status == "firing" and p.hi >= injected]


class PagedOnce(_PagesCheck):
    """People were woken exactly once: grouping and inhibition work."""

    check: Literal["paged_once"]

    @property
    def title(self) -> str:
        return "the page was delivered once"

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        if not data["alive"]:
            return Finding(Result.UNKNOWN, f"the monitoring is not alive: {data['why']}")
        pages = self._pages(timeline)
        if len(pages) == 1:
            return Finding(Result.HOLDS, "one delivery")
        named = "; ".join(", ".join(str(a.get("name")) for a in page.alerts) for page in pages)
        return Finding(Result.BROKEN, f"{len(pages)} deliveries{': ' + named if named else ''}")


class NotPaged(_PagesCheck):
    """Nobody was woken. Checked by itself in every quiet drill."""

    check: Literal["not_paged"]

    @property
    def title(self) -> str:
        return "nobody was paged"

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        if not data["alive"]:
            return Finding(Result.UNKNOWN, f"the monitoring is not alive ({data['why']}), so its silence means nothing")
        pages = self._pages(timeline)
        if not pages:
            return Finding(Result.HOLDS, "no page was delivered")
        named = ", ".join(sorted({str(a.get("name")) for page in pages for a in page.alerts}))
        return Finding(Result.BROKEN, f"{len(pages)} page(s) delivered: {named}")
