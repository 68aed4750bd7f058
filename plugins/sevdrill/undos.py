"""What a run owes: every fault that it injected and every reverting step that it did, each with its journalled undo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sevdrill.errors import UndoError
from sevdrill.faults import Fault
from sevdrill.journal import Debt, Owed

__all__ = ["Active", "DrillUndos"]


@dataclass
class Active:
    """A fault or reverting step that was prepared and journalled."""

    index: int
    """Its number in the timeline: faults as in the drill, the steps after them."""
    what: Owed
    debt: Debt
    undo_at: float | None = None
    settled: bool = False
    """Whether its undo was tried; once is enough, as that takes all the patience there is."""
    trouble: str = ""
    """Why it could not be undone."""

    @property
    def is_fault(self) -> bool:
        """Whether it is a fault, and no step."""
        return isinstance(self.what, Fault)

    @property
    def owed(self) -> bool:
        """Whether it is not proved undone."""
        return not self.settled or bool(self.trouble)


@dataclass
class DrillUndos:
    """The port `Undos` of one run."""

    settle: Callable[[Active], None]
    repeat: Callable[[], str]
    """Inject the drill's last fault once more; its title."""
    active: list[Active] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Faults that are not proved undone."""
        return [active.what.title for active in self.active if active.is_fault and active.owed]

    def heal(self) -> None:
        """Undo every fault, the last one first."""
        self._settle([active for active in self.active if active.is_fault])

    def steps(self, action: str) -> list[str]:
        """Reverting steps of this kind that are not proved undone."""
        return [active.what.title for active in self._of(action) if active.owed]

    def revert(self, action: str) -> None:
        """Undo every reverting step of this kind, the last one first."""
        self._settle(self._of(action))

    def in_order(self) -> list[Active]:
        """All, in the order in which they are undone: the faults before the steps that answered them."""
        faults = [active for active in self.active if active.is_fault]
        steps = [active for active in self.active if not active.is_fault]
        return [*reversed(faults), *reversed(steps)]

    def _of(self, action: str) -> list[Active]:
        return [active for active in self.active if getattr(active.what, "action", "") == action]

    def _settle(self, chosen: list[Active]) -> None:
        for active in reversed(chosen):
            self.settle(active)
        trouble = [active.trouble for active in chosen if active.trouble]
        if trouble:
            raise UndoError("; ".join(trouble))
