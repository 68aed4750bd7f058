"""Steps that talk to people."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.model import Record
from sevdrill.people import Messages
from sevdrill.ports import Ports, Reading

__all__ = ["Announce", "Declare", "Escalate"]

Audience = Literal[
    "status-page",
    "stakeholders",
    "leadership",
    "security",
    "legal",
    "vendor",
    "affected-users",
    "team",
    "incident-commander",
]


class Announce(Action):
    """Say how things stand; the words are the policy's template for this status."""

    needs: ClassVar[tuple[type, ...]] = (Messages,)
    is_message: ClassVar[bool] = True
    in_flight: ClassVar[float] = 0.0

    action: Literal["announce"]
    status: Literal["investigating", "identified", "monitoring", "resolved"]
    """Where the incident stands, in the words that status pages use."""
    to: Audience = "status-page"
    """Who is told."""
    text: str = ""
    """One sentence of your own, beside the template."""

    @property
    def title(self) -> str:
        return f"announce {self.status} to {self.to}"

    def run(self, ports: Ports, record: Record) -> None:
        ports[Messages].announce(self.to, self.status, self.text)

    def proof(self, ports: Ports, record: Record) -> Reading:
        return Reading(ok=True, why="said")


class Declare(Action):
    """Declare the incident, with the drill's severity."""

    needs: ClassVar[tuple[type, ...]] = (Messages,)
    is_message: ClassVar[bool] = True
    in_flight: ClassVar[float] = 0.0
    marks: ClassVar[str] = "declared"

    action: Literal["declare"]

    @property
    def title(self) -> str:
        return "declare the incident"

    def run(self, ports: Ports, record: Record) -> None:
        ports[Messages].announce("team", "declared", "")

    def proof(self, ports: Ports, record: Record) -> Reading:
        return Reading(ok=True, why="said")


class Escalate(Action):
    """Bring in the next level of the SOP's escalation path, or the one that is named."""

    needs: ClassVar[tuple[type, ...]] = (Messages,)
    is_message: ClassVar[bool] = True
    in_flight: ClassVar[float] = 0.0

    action: Literal["escalate"]
    to: str = ""
    """Who is brought in, such as `Engineering Manager`; empty: the next level that was not told yet."""
    because: str = ""
    """Why, in a few words."""

    @property
    def title(self) -> str:
        return f"escalate to {self.to or 'the next level'}"

    def run(self, ports: Ports, record: Record) -> None:
        ports[Messages].escalate(self.to, self.because)

    def proof(self, ports: Ports, record: Record) -> Reading:
        return Reading(ok=True, why="said")
