"""The drills of the database family do not pass when one thing is broken; that they pass else, test_drills.py shows."""

from __future__ import annotations

import pytest
from embedded_root import EmbeddedRoot, without_rule

pytestmark = pytest.mark.embedded

SHORT = (r"^limit: .*", "limit: 14s")


def without(step: str) -> tuple[str, str]:
    """The runbook lacks a step."""
    return (rf"^  - {{action: {step}.*\n", "")


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("database-slow-queries.yml", "terminate-queries"),
        # Each alone is not enough.
        ("database-connections-exhausted.yml", "terminate-queries"),
        ("database-connections-exhausted.yml", "refresh-pool"),
        ("bad-migration-rollback.yml", "migrate-down"),
    ],
)
def test_without_its_step_nothing_recovers(whole_stack: EmbeddedRoot, name: str, step: str) -> None:
    result = whole_stack.run(whole_stack.drill(name, without(step), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


@pytest.mark.parametrize(("name", "alert"), [("database-slow-queries.yml", "SlowQueries")])
def test_without_its_alert_detection_fails(whole_stack: EmbeddedRoot, name: str, alert: str) -> None:
    path = whole_stack.drill(name, SHORT)
    with without_rule(whole_stack, alert):
        result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "never fired" in result.reasons


@pytest.mark.parametrize("name", ["database-connections-exhausted.yml"])
def test_a_fault_that_does_nothing_is_invalid(whole_stack: EmbeddedRoot, name: str) -> None:
    result = whole_stack.run(whole_stack.drill(name), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons


def test_a_way_back_that_loses_orders_is_noticed(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill("bad-migration-rollback.yml", ("order_limits", "order_limits_lossy")))
    assert result.outcome == "failed", result.output
    assert "acknowledged writes are lost" in result.reasons
