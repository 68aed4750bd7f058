"""What a step is that changes something which must be put back: like a fault, it owns its undo."""

from __future__ import annotations

from abc import abstractmethod

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError
from sevdrill.faults.base import State
from sevdrill.faults.switched import Switch
from sevdrill.model import Record
from sevdrill.ports import Ports, Reading
from sevdrill.units import Duration

__all__ = ["RevertingAction", "SwitchedAction"]


class RevertingAction(Action):
    """A step that is undone at the end of the drill, at the latest: a flag, a limit, a breaker.

    Its undo is journalled before it acts, as a fault's is, and is proved by `state`, twice.
    """

    max: Duration | None = None
    """When the watchdog undoes the step whatever else happens; ten minutes after the drill's limit when left out."""

    @abstractmethod
    def prepare(self, ports: Ports) -> Record:
        """Read everything that undo will need. Changes nothing.

        Raises:
            ActionError: the step cannot be done.
        """

    @abstractmethod
    def undo(self, ports: Ports, record: Record) -> None:
        """Put it back: idempotent, and from the record alone, as a fresh process would."""

    @abstractmethod
    def state(self, ports: Ports, record: Record) -> State:
        """Look at the stack: is it as the step makes it (on), or as it was before (off)?"""

    def proof(self, ports: Ports, record: Record) -> Reading:
        state = self.state(ports, record)
        return Reading(ok=state is State.ON, why=f"in effect: {state}")


class SwitchedAction(RevertingAction):
    """A step that does nothing but give one thing of a service another value."""

    service: str

    @property
    @abstractmethod
    def _switch(self) -> Switch: ...

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        try:
            return self._switch.before(ports)
        except ValueError as error:
            raise ActionError(f"{self.title}: {error}") from None

    def run(self, ports: Ports, record: Record) -> None:
        self._switch.put(ports, record)

    def undo(self, ports: Ports, record: Record) -> None:
        self._switch.back(ports, record)

    def state(self, ports: Ports, record: Record) -> State:
        return self._switch.state(ports, record)
