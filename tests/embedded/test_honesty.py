"""Nothing is trusted that was not proved: a drill passes when all is right, and does not when one thing is broken.

Everything here is real but for the containers: servers, fault, load, alert, and the sabotage.
"""

from __future__ import annotations

import json

import pytest
from embedded_root import EmbeddedRoot, restart, with_rule, without_rule

pytestmark = pytest.mark.embedded

NAME = "database-down.yml"
SHORT = (r"^limit: .*", "limit: 12s")


def test_unsabotaged_it_passes(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill(NAME))
    assert result.outcome == "passed", result.output
    assert result.code == 0
    assert "embedded, child processes" in result.output
    evidence = result.folder / result.drill["folder"] / "evidence"
    known, queries, used = (
        json.loads((evidence / name).read_text(encoding="utf-8"))
        for name in ("prometheus.json", "queries.json", "usage.json")
    )
    # The stand-in for Prometheus tells what Prometheus would: the intervals, the rules, and what they saw.
    assert (known["scrape_interval"], known["evaluation_interval"]) == (1.0, 1.0)
    # What it saw of an outage of a second may lie between two points of the range that is asked for.
    assert "series" in queries["DatabaseDown"]
    assert "later" in (evidence.parent / "report.html").read_text(encoding="utf-8")
    assert {"app-1", "app-2", "db-1", "redis-1"} <= used["replicas"].keys()
    memory = used["replicas"]["db-1"]["memory"]
    assert memory[0] > 1 << 20, "before the fault"
    assert memory[-1] > 1 << 20, "after the recovery"


def test_without_its_alert_rule_detection_fails(whole_stack: EmbeddedRoot) -> None:
    path = whole_stack.drill(NAME, SHORT)
    with without_rule(whole_stack, "DatabaseDown"):
        result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "detect: alert DatabaseDown" in result.reasons
    assert "never fired" in result.reasons


def test_without_its_runbook_step_nothing_recovers(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill(NAME, (r"  - \{action: restart.*\n", ""), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


def test_a_fault_that_does_nothing_is_invalid(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill(NAME), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons


def test_writes_that_a_bad_release_loses_are_noticed(whole_stack: EmbeddedRoot) -> None:
    path = whole_stack.drill(NAME)
    try:
        result = whole_stack.run(path, sabotage="deploy 1.0.0-lossy")
    finally:
        whole_stack.redeploy("1.0.0")
    assert result.outcome == "failed", result.output
    assert "acknowledged writes are lost" in result.reasons


def test_an_alert_on_what_nobody_feels_fails_a_quiet_day(whole_stack: EmbeddedRoot) -> None:
    path = whole_stack.drill("quiet-day.yml", (r"for: 20s", "for: 8s"), (r"after: 4s", "after: 1s"))
    with with_rule(whole_stack, "WorkerRestarted", 'min(up{job="worker"}) == 0'):
        result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "nobody was paged: broken: 1 page(s) delivered: WorkerRestarted" in result.reasons


def test_a_dead_monitoring_is_invalid(whole_stack: EmbeddedRoot) -> None:
    try:
        result = whole_stack.run(
            whole_stack.drill("quiet-day.yml", (r"for: 20s", "for: 5s")), sabotage="end alertmanager"
        )
    finally:
        restart(whole_stack, "alertmanager")
    assert result.outcome == "invalid", result.output
    assert "monitoring" in result.reasons
