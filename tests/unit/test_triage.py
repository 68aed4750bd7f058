"""Severity and remedy are judged by what was measured, by the SOP that judges the run."""

from __future__ import annotations

from typing import Any

import pytest

from sevdrill.checks import Result
from sevdrill.checks.triage import DecisionMatchesRules, SeverityMatchesImpact
from sevdrill.lines import FaultLine, MarkLine, RunLine, Sample, StepLine, Users
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

REMEDY = DecisionMatchesRules(check="decision_matches_rules", service="app", switches={"/estimates": "estimates"})
SEVERITY = SeverityMatchesImpact(check="severity_matches_impact", features={"/estimates": "minor", "/orders": "core"})


def seen(rate: float, start: float) -> Sample:
    """What the users saw in the second after ``start``."""
    users = Users(requests=1000, failures=round(1000 * rate), p95=0.005)
    return Sample(series="steady:1:load", start=start, end=start + 1, ok=False, value=rate, users=users, why="made up")


def run(
    rate: float | None, *actions: str, severity: str = "SEV-3", deployed: bool = False, healthy: bool = True
) -> Timeline:
    """A run in which so many requests failed at worst, and in which the runbook did so."""
    drill: dict[str, Any] = {"inject": [{"fault": "x", "for": None}]}
    wall = "2026-01-01T00:00:00+00:00"
    first = RunLine(drill="x", severity=severity, policy="sop-001", stack="x", wall=wall, scenario=drill)
    samples = [seen(0.9, 1)]
    if rate is not None:
        # What a probe of times has in `value` is no rate.
        samples += [seen(rate, 5), seen(0.0, 5).model_copy(update={"series": "steady:2:times", "value": 3.0})]
        samples += [Sample(series="steady:0:health", start=5, end=6, ok=healthy, value=0.99, why="answered")]
    steps = [
        StepLine(part="respond", index=n, action=action, title=action, event="ended", ok=True)
        for n, action in enumerate(actions)
    ]
    kind = "change.deploy" if deployed else "change.setting"
    fault = FaultLine(index=0, fault=kind, title="1.1", event="on")
    return Timeline([first, fault, MarkLine(name="injected", lo=4, hi=4), *samples, *steps])


def read(failed: dict[str, int], *, deployed: bool = False, flags: tuple[str, ...] = ("estimates",)) -> Any:
    return {"failures": {name: [1000, n] for name, n in failed.items()}, "deployed": deployed, "flags": flags}


ONE = {"/estimates": 80, "/orders": 0}
MANY = {"/estimates": 40, "/orders": 40}


@pytest.mark.parametrize(
    ("policy", "rate", "data", "did", "result"),
    [
        ("sop-001", 0.08, read(ONE), ["flag"], Result.HOLDS),
        ("gpt-platform", 0.08, read(ONE), ["announce", "flag"], Result.HOLDS),
        ("playbook", 0.08, read(ONE), ["flag"], Result.HOLDS),
        # The playbook's list of immediate rollbacks has the error rate, and no ifs.
        ("playbook", 0.11, read(ONE), ["flag"], Result.BROKEN),
        ("playbook", 0.11, read(ONE, deployed=True), ["rollback"], Result.HOLDS),
        ("sop-001", 0.08, read(ONE), ["rollback"], Result.BROKEN),
        ("sop-001", 0.08, read(ONE), ["rollback", "flag"], Result.BROKEN),
        ("sop-001", 0.08, read(ONE), [], Result.BROKEN),
        # Without a switch, or when more than one feature fails, there is nothing to switch off.
        ("sop-001", 0.08, read(ONE, flags=(), deployed=True), ["flag"], Result.BROKEN),
        ("sop-001", 0.08, read(MANY, deployed=True), ["rollback"], Result.HOLDS),
        ("sop-001", 0.08, read(MANY, deployed=True), ["flag"], Result.BROKEN),
        ("sop-001", None, read(ONE), ["flag"], Result.UNKNOWN),
        ("sop-001", 0.08, read({}), ["flag"], Result.UNKNOWN),
        # Of a failure that is no bug, no release and nobody else's, this SOP says nothing.
        ("emergency-procedures", 0.08, read(MANY), ["flag"], Result.UNKNOWN),
    ],
)
def test_the_remedy_follows_from_the_figures(
    policy: str, rate: float, data: Any, did: list[str], result: Result
) -> None:
    finding = REMEDY.judge_by(data, run(rate, *did, deployed=data["deployed"]), load_policy(policy))
    assert finding.result is result, finding.why


@pytest.mark.parametrize(
    ("way_back", "came", "did", "result"),
    [
        (False, True, "deploy", Result.HOLDS),
        (False, True, "rollback", Result.BROKEN),
        (True, True, "rollback", Result.HOLDS),
        # A migration from long ago says nothing of this release.
        (False, False, "rollback", Result.HOLDS),
        (False, False, "deploy", Result.BROKEN),
    ],
)
def test_what_came_with_a_one_way_migration_is_fixed_forward(
    way_back: bool, came: bool, did: str, result: Result
) -> None:
    timeline = run(0.08, did, deployed=True)
    if came:
        migrated = FaultLine(index=1, fault="change.migration", title="one_way", event="on")
        timeline = Timeline([timeline.lines[0], migrated, *timeline.lines[1:]])
    data = read(MANY) | {"newest": "one_way", "way_back": way_back}
    finding = REMEDY.judge_by(data, timeline, load_policy("sop-001"))
    assert finding.result is result, finding.why


@pytest.mark.parametrize(
    ("policy", "rate", "failed", "drilled", "result"),
    [
        ("sop-001", 0.08, ONE, "SEV-3", Result.HOLDS),
        ("sop-001", 0.08, ONE, "SEV-2", Result.BROKEN),
        ("sop-001", 0.08, MANY, "SEV-2", Result.HOLDS),
        ("sop-001", 0.6, MANY, "SEV-2", Result.HOLDS),
        ("sop-001", 0.97, ONE, "SEV-1", Result.HOLDS),
        ("sop-001", 0.97, ONE, "SEV-3", Result.BROKEN),
        # What is not named is core.
        ("sop-001", 0.08, {"/payments": 5}, "SEV-2", Result.HOLDS),
        ("sop-001", None, ONE, "SEV-3", Result.UNKNOWN),
    ],
)
def test_the_severity_follows_from_the_figures(
    policy: str, rate: float, failed: dict[str, int], drilled: str, result: Result
) -> None:
    finding = SEVERITY.judge_by(read(failed), run(rate, severity=drilled), load_policy(policy))
    assert finding.result is result, finding.why


def test_everything_is_down_when_most_fails_and_so_does_every_other_probe() -> None:
    for healthy, severity in ((True, "SEV-2"), (False, "SEV-1")):
        timeline = run(0.8, severity=severity, healthy=healthy)
        finding = SEVERITY.judge_by(read(MANY), timeline, load_policy("sop-001"))
        assert finding.result is Result.HOLDS, finding.why
