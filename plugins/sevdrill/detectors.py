"""What tells people of an incident: an alert, its delivery to them, or whatever a probe can see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from sevdrill.checks.alerts import matches
from sevdrill.model import Model
from sevdrill.ports import Monitoring, Pager, Ports, Reading
from sevdrill.probes import Probe

__all__ = [
    "DETECTING",
    "DETECTORS",
    "AlertDetector",
    "Detector",
    "PageDetector",
    "alerts_of",
    "listens",
    "missing",
    "tag_of",
]

DETECTING = ("alert:", "detect:")
"""How the names of the series of detectors begin."""


class AlertDetector(Model):
    """An alert that must fire."""

    needs: ClassVar[tuple[type, ...]] = (Monitoring,)

    alert: str = Field(min_length=1)
    """Name of the alert."""
    labels: dict[str, str] = Field(default={})
    """Labels that it must have."""

    @property
    def title(self) -> str:
        """The alert in a few words, for people."""
        labels = ", ".join(f"{key}={value}" for key, value in self.labels.items())
        return f"alert {self.alert}{f' ({labels})' if labels else ''}"

    def read(self, ports: Ports) -> Reading:
        """Whether it fires now."""
        firing = [a for a in ports[Monitoring].alerts() if matches(self.alert, self.labels, a.name, dict(a.labels))]
        return Reading(ok=bool(firing), why="" if firing else "does not fire")


class PageDetector(Model):
    """The delivery of an alert to people: as a page that wakes someone, or as a ticket that can wait."""

    needs: ClassVar[tuple[type, ...]] = (Monitoring, Pager)

    page: str = Field(min_length=1)
    """Name of the alert that must be delivered."""
    as_: Literal["page", "ticket"] = Field(default="page", alias="as")
    """How it must reach people."""

    @property
    def title(self) -> str:
        """The delivery in a few words, for people."""
        return f"{self.as_} for {self.page}"

    def read(self, ports: Ports) -> Reading:
        """Whether its last delivery says that it fires."""
        mine = [
            page
            for page in ports[Pager].pages(0)
            if page.kind == self.as_ and any(alert.get("name") == self.page for alert in page.alerts)
        ]
        fires = bool(mine) and mine[-1].status == "firing"
        return Reading(ok=fires, why="" if fires else "it was delivered as resolved" if mine else "was not delivered")


Detector = AlertDetector | PageDetector | Probe
"""A probe is a detector that says yes: where a thing is seen that is not there while all is well."""
DETECTORS: tuple[type[AlertDetector | PageDetector], ...] = (AlertDetector, PageDetector)
_TAGS = ("alert", "page", "probe")


def tag_of(value: object) -> str | None:
    """The key that says what kind of detector this is."""
    return next((tag for tag in _TAGS if (tag in value if isinstance(value, Mapping) else hasattr(value, tag))), None)


def alerts_of(detectors: tuple[Detector, ...]) -> dict[str, dict[str, str]]:
    """The alerts that are waited for, by name, with the labels that they must have."""
    found: dict[str, dict[str, str]] = {}
    for detector in detectors:
        if isinstance(detector, AlertDetector):
            found[detector.alert] = detector.labels
        elif isinstance(detector, PageDetector):
            found.setdefault(detector.page, {})
    return found


def missing(detector: Detector) -> str:
    """What is said of one that kept silent."""
    return f"{detector.title} {'was never seen' if isinstance(detector, Probe) else 'never fired'}"


def listens(detectors: tuple[Detector, ...]) -> bool:
    """Whether the monitoring is what detects: then its silence says something only while it is alive."""
    return any(Monitoring in detector.needs for detector in detectors)
