from __future__ import annotations

import pytest

from sevdrill.actions import Action
from sevdrill.faults import Fault


@pytest.fixture(autouse=True)
def _quick_toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine of a toy stack is in this process: nothing of it acts ten seconds late, or between two proofs."""
    monkeypatch.setattr("sevdrill.undo.APART", 0.03)
    monkeypatch.setattr(Fault, "in_flight", 0.3)
    monkeypatch.setattr(Action, "in_flight", 0.3)
