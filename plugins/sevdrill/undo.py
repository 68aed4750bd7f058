"""Paying what the journal owes: undo, prove it, and prove it again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

from sevdrill.clock import Clock
from sevdrill.errors import SevdrillError, UndoError
from sevdrill.faults import State
from sevdrill.journal import Debt
from sevdrill.ports import Ports

__all__ = ["relieve", "settle"]

APART = 0.3
"""Seconds between the two proofs: a call that was still on its way would show in between."""


def relieve(debts: Iterable[Debt], ports: Ports) -> set[str]:
    """Undo each at once, and prove nothing: where a proof must wait, users must not wait with it.

    Returns:
        The ids of those that were not off.
    """
    acted = set()
    for debt in debts:
        # Whatever stands in the way is told when it is settled.
        with contextlib.suppress(Exception):
            if _state(debt, ports)[0] is not State.OFF:
                acted.add(debt.id)
                debt.fault.undo(ports, debt.record)
    return acted


def _state(debt: Debt, ports: Ports) -> tuple[State, str]:
    """The state, and why it is unknown when it could not be looked at."""
    try:
        return debt.fault.state(ports, debt.record), ""
    except SevdrillError as error:
        return State.UNKNOWN, str(error)


def settle(
    debt: Debt,
    ports: Ports,
    clock: Clock,
    pause: Callable[[float], None],
    *,
    flying_until: float = 0.0,
    patience: float = 30.0,
) -> bool:
    """Undo a fault and prove twice that it is off.

    Acts at once, and again after the last moment at which a call of a dead runner may still take effect
    (``flying_until``, monotonic seconds), so that users are relieved soon and the fault cannot come back.
    ``pause`` waits; ``patience`` bounds the whole, in seconds beyond ``flying_until``.

    Returns:
        Whether anything had to be undone.

    Raises:
        UndoError: it could not be undone or not be proved; the stack is dirty.
    """
    deadline = max(clock.now(), flying_until) + patience
    acted, proofs, trouble = False, 0, ""
    while True:
        state, unseen = _state(debt, ports)
        if state is State.OFF:
            # Before the last flight has landed a proof proves nothing.
            proofs = proofs + 1 if clock.now() >= flying_until else 0
            if proofs == 2:
                return acted
        else:
            trouble = unseen or trouble
            # Looked at once more after an undo that took all the time there was.
            if clock.now() > deadline:
                raise UndoError(f"{debt.fault.title} could not be undone: {trouble or f'it is still {state}'}")
            proofs, acted = 0, True
            # Also when it cannot be seen: what hides it may be what the undo mends.
            try:
                debt.fault.undo(ports, debt.record)
                trouble = unseen
            except UndoError:
                raise
            except SevdrillError as error:
                trouble = str(error)
        pause(APART)
