"""Checks of who is let in, and who is not any more."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from sevdrill.actions.secrets import AS_STARTED
from sevdrill.checks.base import Check, Finding, Result
from sevdrill.model import Record
from sevdrill.ports import Admin, Endpoints, Ports
from sevdrill.probes.web import request
from sevdrill.timeline import Timeline

__all__ = ["Refused", "SecretsRotated"]


class Refused(Check):
    """Who asks like this is really refused: a credential that was revoked, an address that was blocked."""

    needs: ClassVar[tuple[type, ...]] = (Endpoints,)

    check: Literal["refused"]
    what: str = Field(min_length=1)
    """What is refused, in a few words."""
    url: str = Field(pattern=r"^https?://")
    """What is asked, as the stack's services see it."""
    method: Literal["GET", "POST", "PUT", "DELETE"] = "GET"
    """How it is asked."""
    headers: dict[str, str] = Field(default={})
    """Headers of the request, such as the old credential."""
    send: dict[str, Any] | None = None
    """What is sent, as JSON."""
    status: Literal["401", "403"] = "401"
    """How it must be refused. Any other failure says nothing about who is let in."""

    @property
    def title(self) -> str:
        return f"{self.what} is refused"

    def read(self, ports: Ports) -> Record:
        status, body = request(self.method, ports[Endpoints].url(self.url), 5.0, self.headers, self.send)
        return {"status": status, "body": body[:200]}

    def settled(self, data: Record) -> bool:
        return str(data["status"]) == self.status

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        if str(data["status"]) == self.status:
            return Finding(Result.HOLDS, f"answered {data['status']}")
        if 200 <= data["status"] < 300:
            return Finding(Result.BROKEN, f"it was let in: answered {data['status']}")
        return Finding(Result.UNKNOWN, f"answered {data['status']}, which says nothing about who is let in")


class SecretsRotated(Check):
    """Every secret that services can rotate has another value than they were started with, on every replica.

    A service shows each as a setting `secret.NAME`; `as started` is one that nobody has rotated.
    """

    needs: ClassVar[tuple[type, ...]] = (Admin,)

    check: Literal["secrets_rotated"]
    services: tuple[str, ...] = Field(min_length=1)
    """The services whose secrets are looked at."""

    @property
    def title(self) -> str:
        return f"every secret of {', '.join(self.services)} is rotated"

    def read(self, ports: Ports) -> Record:
        found = {service: ports[Admin].settings(service) for service in self.services}
        shown = [
            (f"{name} of {replica}", value)
            for replicas in found.values()
            for replica, settings in replicas.items()
            for name, value in settings.items()
            if name.startswith("secret.")
        ]
        old = sorted(name for name, value in shown if value == AS_STARTED)
        without = [service for service, replicas in found.items() if not replicas]
        return {"secrets": len(shown), "old": old, "without": without}

    def settled(self, data: Record) -> bool:
        return not data["old"]

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        if data["without"] or not data["secrets"]:
            where = ", ".join(data["without"] or self.services)
            return Finding(Result.UNKNOWN, f"no replica, or no secret, of {where}")
        if data["old"]:
            return Finding(Result.BROKEN, f"as they were started: {', '.join(data['old'])}")
        return Finding(Result.HOLDS, f"{data['secrets']} values, none as at the start")
