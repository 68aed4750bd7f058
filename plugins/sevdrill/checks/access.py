"""Checks of who is let in, and who is not any more."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from sevdrill.checks.base import Check, Finding, Result
from sevdrill.model import Record
from sevdrill.ports import Endpoints, Ports
from sevdrill.probes.web import request
from sevdrill.timeline import Timeline

__all__ = ["Refused"]


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
