"""What tells of an incident besides an alert, for real: a page, a line in a log, a number, a command that fails."""

from __future__ import annotations

import shutil

import pytest
from detecting import detecting
from embedded_root import EmbeddedRoot

pytestmark = pytest.mark.embedded


@pytest.mark.parametrize("by", ["page", "log", "exec"])
def test_it_tells_of_the_incident(whole_stack: EmbeddedRoot, by: str) -> None:
    result = whole_stack.run(whole_stack.drill("database-down.yml", *detecting(by)))
    assert result.outcome == "passed", result.output


def test_what_never_tells_is_named(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill("database-down.yml", *detecting("page", "log", "exec", broken=True)))
    assert result.outcome == "failed", result.output
    assert "detect: ticket for DatabaseDown never fired" in result.reasons
    for silent in ("the log has it", "the driver fails"):
        assert f"detect: {silent} was never seen" in result.reasons


def test_numbers_are_there_where_prometheus_is(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill("database-down.yml", *detecting("metric")), "-rs")
    if shutil.which("prometheus") is not None:
        assert result.outcome == "passed", result.output
    else:
        assert "this stack lacks Metrics (for: it is counted) (prometheus is not installed" in result.output
