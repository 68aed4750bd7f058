"""Nothing is trusted that was not proved: each drill passes when all is right, and does not when one thing is broken.

Everything here is real: the stack, the fault, the load, the alert, and the sabotage.
"""

from __future__ import annotations

import pytest
from drill_root import DrillRoot, docker

pytestmark = pytest.mark.stack

DRILLS = ["database-down.yml", "bad-release-rollback.yml"]
MORE = [*DRILLS, "bad-config-rollback.yml"]
SHORT = (r"^limit: .*", "limit: 16s")
IMPATIENT = ("-o", "drill_patience=10s")
"""For a stack that does not get well, however long it is waited for."""
RESOLVED = (r"^verify:\n", "verify:\n  - {check: alert_resolved, alert: DatabaseDown, within: 5s}\n")
STEP = {
    "database-down.yml": r"  - \{action: restart.*\n",
    "bad-release-rollback.yml": r"  - \{action: rollback.*\n",
    "bad-config-rollback.yml": r"  - \{action: config-rollback.*\n",
}
ALERT = {"database-down.yml": "DatabaseDown", "bad-release-rollback.yml": "HighErrorRate"}


@pytest.mark.parametrize("name", [*MORE, "quiet-day.yml"])
def test_unsabotaged_it_passes(whole_stack: DrillRoot, name: str) -> None:
    changes = [(r"for: 20s", "for: 5s")] if name.startswith("quiet") else []
    result = whole_stack.run(whole_stack.drill(name, *changes), "--junit-xml=junit.xml")
    assert result.outcome == "passed", result.output
    assert result.code == 0
    assert "1 passed" in result.output
    junit = (whole_stack.folder / "junit.xml").read_text(encoding="utf-8")
    assert 'name="drill_outcome" value="passed"' in junit
    if not name.startswith("quiet"):
        for time in ("mttd_seconds", "mttm_seconds", "mttr_seconds"):
            assert f'name="{time}"' in junit
        assert all(target["measured"] for target in result.drill["targets"] if target["met"] is not None)
    if "rollback" in name:
        assert 'name="rollback_seconds"' in junit
    assert whole_stack.whole()


@pytest.mark.parametrize("name", DRILLS)
def test_without_its_alert_rule_detection_fails(whole_stack: DrillRoot, name: str) -> None:
    prometheus = f"{whole_stack.project}-prometheus-1"
    rules = "/etc/prometheus/rules.yml"

    def reload() -> None:
        docker("kill", "--signal", "HUP", prometheus)

    # The rule is there, but its alert has another name: the runbook's alert never fires.
    path = whole_stack.drill(name, SHORT)
    docker("exec", "-u", "0", prometheus, "sed", "-i", f"s/alert: {ALERT[name]}$/alert: Renamed/", rules)
    try:
        reload()
        result = whole_stack.run(path)
    finally:
        docker("exec", "-u", "0", prometheus, "sed", "-i", f"s/alert: Renamed$/alert: {ALERT[name]}/", rules)
        reload()
    assert result.outcome == "failed", result.output
    assert f"detect: alert {ALERT[name]}" in result.reasons
    assert "never fired" in result.reasons
    assert result.code == 1
    assert whole_stack.whole()


@pytest.mark.parametrize("name", MORE)
def test_without_its_runbook_step_nothing_recovers(whole_stack: DrillRoot, name: str) -> None:
    result = whole_stack.run(whole_stack.drill(name, (STEP[name], ""), SHORT))
    assert result.outcome == "failed", result.output
    assert "recover: the limit is" in result.reasons
    assert "never recovered" in result.reasons
    assert result.code == 1
    assert whole_stack.whole()


@pytest.mark.parametrize("name", MORE)
def test_a_fault_that_does_nothing_is_invalid(whole_stack: DrillRoot, name: str) -> None:
    result = whole_stack.run(whole_stack.drill(name), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons
    assert result.code == 1
    assert "INVALID" in result.output


@pytest.mark.parametrize("name", DRILLS)
def test_a_stack_that_is_sick_before_is_invalid(whole_stack: DrillRoot, name: str) -> None:
    try:
        result = whole_stack.run(whole_stack.drill(name), *IMPATIENT, sabotage="kill redis--real")
    finally:
        docker("start", f"{whole_stack.project}-redis--real-1")
    assert result.outcome == "invalid", result.output
    assert "not healthy before the fault" in result.reasons
    assert result.code == 1


@pytest.mark.parametrize("name", [*DRILLS, "quiet-day.yml"])
def test_a_dead_prometheus_is_invalid(whole_stack: DrillRoot, name: str) -> None:
    shorter = {"database-down.yml": [SHORT, RESOLVED], "bad-release-rollback.yml": [SHORT]}.get(name, [])
    result = whole_stack.run(whole_stack.drill(name, *shorter), *IMPATIENT, sabotage="kill prometheus")
    assert result.outcome == "invalid", result.output
    assert "monitoring" in result.reasons
    assert result.code == 1


@pytest.mark.parametrize("name", DRILLS)
def test_an_app_that_loses_orders_fails_and_they_are_named(whole_stack: DrillRoot, name: str) -> None:
    # Lossy too, when it is rolled back to: what is lost stays lost.
    try:
        result = whole_stack.run(whole_stack.drill(name), sabotage="deploy 1.0.0-lossy")
    finally:
        whole_stack.redeploy("1.0.0")
    assert result.outcome == "failed", result.output
    check = next(c for c in result.drill["checks"] if "lost" in c["check"])
    assert check["result"] == "broken"
    lost = check["why"].partition("lost: ")[2].split(", ")[0].split(" ")[0]
    assert lost
    rows = docker(
        "exec",
        f"{whole_stack.project}-db--real-1",
        "psql",
        "-U",
        "shop",
        "-d",
        "shop",
        "-Atc",
        "select order_key from orders",
    )
    assert lost not in rows.split()
    assert whole_stack.cli("validate", "drills").returncode == 0


@pytest.mark.parametrize("name", DRILLS)
def test_a_target_of_a_millisecond_fails(whole_stack: DrillRoot, name: str) -> None:
    path = whole_stack.drill(name, (r"targets: \{\}", "targets: {recover: 1ms}"))
    result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "recover: the limit is 1ms" in result.reasons
    assert whole_stack.whole()

    # The same run, judged again from its timeline alone, under another SOP.
    again = whole_stack.cli("judge", str(result.folder), "--policy", "playbook")
    assert again.returncode == 1
    assert "playbook" in again.stdout
    assert "recover: the limit is 1ms" in again.stdout
