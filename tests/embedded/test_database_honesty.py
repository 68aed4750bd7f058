"""The drills of the database family, shown both ways: passed when all is right, and not when one thing is broken."""

from __future__ import annotations

import pytest
from embedded_root import EmbeddedRoot, without_alert

pytestmark = pytest.mark.embedded

SHORT = (r"^limit: .*", "limit: 14s")
SLOW = "database-slow-queries.yml"


def test_slow_queries_passes(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill(SLOW))
    assert result.outcome == "passed", result.output


def test_slow_queries_without_its_alert_fails(whole_stack: EmbeddedRoot) -> None:
    path = whole_stack.drill(SLOW, SHORT)
    with without_alert(whole_stack, "SlowQueries"):
        result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "never fired" in result.reasons


def test_slow_queries_without_termination_never_recovers(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill(SLOW, (r"  - \{action: terminate-queries.*\n", ""), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


def test_a_restart_of_the_app_is_no_cure_for_a_lock(whole_stack: EmbeddedRoot) -> None:
    restart = (r"action: terminate-queries.*\}", "action: restart, service: app}")
    result = whole_stack.run(whole_stack.drill(SLOW, restart, (r"^limit: .*", "limit: 20s")))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


def test_a_lock_that_is_none_is_invalid(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill(SLOW), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons
