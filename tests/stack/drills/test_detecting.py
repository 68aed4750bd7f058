"""What tells of an incident besides an alert, for real: a page, a line in a log, a number, a command that fails."""

from __future__ import annotations

import pytest
from detecting import detecting
from drill_root import DrillRoot

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("by", ["page", "log", "exec", "metric"])
def test_it_tells_of_the_incident(whole_stack: DrillRoot, by: str) -> None:
    result = whole_stack.run(whole_stack.drill("database-down.yml", *detecting(by)))
    assert result.outcome == "passed", result.output
    assert whole_stack.whole()


def test_what_never_tells_is_named(whole_stack: DrillRoot) -> None:
    changes = detecting("page", "log", "exec", "metric", broken=True)
    result = whole_stack.run(whole_stack.drill("database-down.yml", *changes))
    assert result.outcome == "failed", result.output
    assert "detect: ticket for DatabaseDown never fired" in result.reasons
    for silent in ("the log has it", "the driver fails", "it is counted"):
        assert f"detect: {silent} was never seen" in result.reasons
    assert whole_stack.whole()
