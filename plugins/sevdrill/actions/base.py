"""What a runbook step is: it acts, and its effect is proved by looking at the stack."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from sevdrill.model import Model, Record
from sevdrill.ports import Ports, Reading
from sevdrill.units import Duration

__all__ = ["Action"]


class Action(Model):
    """One step of a runbook."""

    needs: ClassVar[tuple[type, ...]]
    """The ports that the step uses."""
    is_message: ClassVar[bool] = False
    """A message informs people; it is no response to the incident."""
    marks: ClassVar[str] = ""
    """The mark that the step's proof sets, such as `rolled_back`."""
    answers_fault: ClassVar[str] = ""
    """The fault that the step takes back, of the same service: its undo is what brings back how things were before the
    drill. Without it the step would change the stack for good, so a drill that has it not is refused."""
    outside: ClassVar[bool] = False
    """The world outside does it, in every mode; people and runbooks do all the other steps."""
    renews: ClassVar[bool] = False
    """What the step does cannot be put back: nothing is undone then, and the stack is made anew after the drill."""
    in_flight: ClassVar[float] = 10.0
    """Seconds for which a call of ``run`` may still act on the stack after its caller was killed."""

    action: str
    timeout: Duration = Duration(60)
    """The step's effect must be proved within this time."""
    approve: bool = False
    """The step waits for a person's yes (emergency-procedures: no change without explicit approval)."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The step in a few words, for people."""

    @property
    def services(self) -> tuple[str, ...]:
        """The services that the step acts on."""
        return ()

    def prepare(self, ports: Ports) -> Record:
        """Read what ``run`` and ``proof`` need to know from before. Changes nothing.

        Raises:
            ActionError: the step cannot be done.
        """
        return {}

    @abstractmethod
    def run(self, ports: Ports, record: Record) -> None:
        """Do it.

        Raises:
            ActionError: it could not be done.
        """

    @abstractmethod
    def proof(self, ports: Ports, record: Record) -> Reading:
        """Look at the stack: has the step had its effect?"""
