"""The drills of the app itself do not pass when one part of them is broken."""

from __future__ import annotations

import pytest
from embedded_root import EmbeddedRoot

pytestmark = pytest.mark.embedded

SHORT = (r"^limit: .*", "limit: 14s")


def without(action: str) -> list[tuple[str, str]]:
    """No step of this kind, and nothing of it to put back."""
    return [(rf"  - \{{action: ({action}|revert, step: {action})\b.*\n", "")]


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        # The wrong remedy is told even where it would have cured.
        ("high-error-rate.yml", without("flag"), "the remedy is the one that the SOP's rules choose: broken"),
    ],
)
def test_without_its_step_it_fails(
    whole_stack: EmbeddedRoot, name: str, changes: list[tuple[str, str]], reason: str
) -> None:
    result = whole_stack.run(whole_stack.drill(name, *changes, SHORT))
    assert result.outcome == "failed", result.output
    assert reason in result.reasons
    assert "never recovered" in result.reasons
