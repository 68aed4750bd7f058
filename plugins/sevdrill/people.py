"""What steps may ask of people: to hear, to come, and to allow. Protocols, as in `ports`."""

from __future__ import annotations

from typing import Protocol

__all__ = [
    "Approvals",
    "Escalations",
    "Messages",
]


class Messages(Protocol):
    """Say something to people, in the words of the policy."""

    def announce(self, to: str, status: str, text: str, by: str = "sevdrill") -> None:
        """Say it, in the name of ``by``; what was said is on the timeline."""

    def escalate(self, to: str, why: str) -> None:
        """Tell a level of the SOP's escalation path; ``to`` is empty for the next one that was not told yet.

        Raises:
            ActionError: the SOP has no such level for this severity.
        """

    def over(self, why: str, undone: bool | None) -> None:
        """Tell everybody that the drill ends now (``undone`` is None), or has ended, with everything undone or not."""


class Escalations(Protocol):
    """Bring in the levels of the SOP's path as time passes."""

    def due(self, elapsed: float) -> None:
        """Tell every level that is due ``elapsed`` seconds after the injection and was not told yet."""


class Approvals(Protocol):
    """Ask a person for a yes."""

    def ask(self, what: str) -> None:
        """Ask people whether a step may be done; returns at once."""

    def answer(self) -> tuple[bool, str] | None:
        """What was answered to the last question, and by whom; None while nobody did."""

    def end(self) -> None:
        """Nobody is asked any more."""
