"""Steps about what is owed: the world outside breaks again or is well again, and what a step switched is put back."""

from __future__ import annotations

from typing import ClassVar, Literal

from sevdrill.actions.base import Action
from sevdrill.errors import ActionError
from sevdrill.model import Record
from sevdrill.ports import Ports, Reading, Undos

__all__ = ["Heal", "Repeat", "Revert"]


class Heal(Action):
    """The world outside fixes itself: every fault of the drill is undone, and proved off.

    Nobody's merit, so it belongs into `close`, or says in the drill why it stands among the steps.
    """

    needs: ClassVar[tuple[type, ...]] = (Undos,)
    outside: ClassVar[bool] = True
    # It waits for calls in flight itself, and must not wait for its own; all that it calls puts back.
    in_flight: ClassVar[float] = 0.0

    action: Literal["heal"]

    @property
    def title(self) -> str:
        return "the outside world is well again"

    def run(self, ports: Ports, record: Record) -> None:
        ports[Undos].heal()

    def proof(self, ports: Ports, record: Record) -> Reading:
        still = ports[Undos].faults()
        return Reading(ok=not still, why=f"still on: {', '.join(still)}" if still else "every fault is off")


class Repeat(Action):
    """The drill's last fault comes once more: the proof that a remedy lasts. It is undone at the end like the first.

    What answers it may be quicker than any look, so what it did is for the next step to see.
    """

    needs: ClassVar[tuple[type, ...]] = (Undos,)
    outside: ClassVar[bool] = True
    in_flight: ClassVar[float] = 0.0

    action: Literal["repeat"]

    @property
    def title(self) -> str:
        return "the last fault comes once more"

    def run(self, ports: Ports, record: Record) -> None:
        record["fault"] = ports[Undos].repeat()

    def proof(self, ports: Ports, record: Record) -> Reading:
        return Reading(ok=True, why=f"{record['fault']}: injected once more")


class Revert(Action):
    """Put back what earlier steps of a kind switched: close the breaker, turn the flag on again."""

    needs: ClassVar[tuple[type, ...]] = (Undos,)
    in_flight: ClassVar[float] = 0.0

    action: Literal["revert"]
    step: str
    """Kind of the steps that are put back, such as `circuit-break`."""

    @property
    def title(self) -> str:
        return f"revert {self.step}"

    def prepare(self, ports: Ports) -> Record:
        switched = ports[Undos].steps(self.step)
        if not switched:
            raise ActionError(f"{self.title}: no step of this kind is in effect; name one that the drill did before")
        return {"switched": switched}

    def run(self, ports: Ports, record: Record) -> None:
        ports[Undos].revert(self.step)

    def proof(self, ports: Ports, record: Record) -> Reading:
        still = ports[Undos].steps(self.step)
        why = f"still on: {', '.join(still)}" if still else f"off: {', '.join(record['switched'])}"
        return Reading(ok=not still, why=why)
