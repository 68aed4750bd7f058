"""The checks `announced` and `update_cadence`, by the SOP and by the drill's own limits."""

from __future__ import annotations

from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, scenario, timeline

from sevdrill.checks import Result
from sevdrill.checks.communication import Announced
from sevdrill.judge import judge
from sevdrill.lines import Line, MessageLine, Mode, RunLine
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

INJECTED = 10.0
EVERYBODY = ("incident-commander", "status-page", "stakeholders")


def found(policy: str, check: dict[str, Any], *said: tuple[float, str, str], **changes: Any) -> tuple[Result, str]:
    """What a check comes to when these messages were said: seconds since the injection, status, to whom."""
    drill = scenario(DATABASE_DOWN, verify=[check], respond=[DATABASE_DOWN["respond"][-1]], limit="2h", **changes)
    lines = [line for line in incident(drill) if not isinstance(line, MessageLine)]
    messages: list[Line] = [MessageLine(t=INJECTED + at, to=to, status=status, text="x") for at, status, to in said]
    first, *rest = lines
    verdict = judge(timeline([first, *sorted([*rest, *messages], key=lambda line: line.t)]), drill, load_policy(policy))
    result = next(c for c in verdict.checks if c.check == check["check"])
    return result.finding.result, result.finding.why


def told(at: float, *who: str, status: str = "investigating") -> list[tuple[float, str, str]]:
    return [(at, status, to) for to in who]


def test_everybody_whom_the_sop_names_must_be_told() -> None:
    check = {"check": "announced"}
    assert found("playbook", check, *told(1, *EVERYBODY))[0] is Result.HOLDS
    result, why = found("playbook", check, *told(1, "status-page"))
    assert result is Result.BROKEN
    assert why == "nobody told incident-commander, stakeholders"
    # An escalation tells nobody how things stand.
    assert found("playbook", check, *told(1, *EVERYBODY, status="escalated"))[0] is Result.BROKEN
    # Before the injection nobody can have been told of it.
    assert found("playbook", check, *told(-5, *EVERYBODY))[0] is Result.BROKEN
    changes: dict[str, Any] = {"severity": "SEV-4", "targets": {}}
    assert found("sop-001", check, **changes) == (Result.HOLDS, "SOP-001 names nobody for SEV-4")


@pytest.mark.parametrize(
    ("told_", "why"),
    [
        ([(1, "identified", "vendor"), (2, "identified", "team"), (3, "resolved", "team")], ""),
        # What more is said is no harm.
        ([(1, "identified", "team"), (2, "monitoring", "team"), (3, "resolved", "team")], ""),
        ([(1, "identified", "team")], "left out, or not in its place: team was not told resolved"),
        ([(1, "identified", "vendor"), (3, "resolved", "team")], "left out, or not in its place: team was not told id"),
        ([(1, "resolved", "team"), (3, "identified", "team")], "left out, or not in its place: team was not told res"),
        ([], "nobody told team"),
    ],
)
def test_all_that_the_runbook_says_is_said_in_its_order(told_: list[tuple[float, str, str]], why: str) -> None:
    check = {"check": "announced", "to": ["team"], "said": ["identified", "resolved"]}
    result, found_ = found("sop-001", check, *told_)
    assert result is (Result.BROKEN if why else Result.HOLDS), found_
    assert found_.startswith(why)


@pytest.mark.parametrize("mode", ["live", "observe"])
def test_people_choose_their_own_words(mode: Mode) -> None:
    check = Announced(check="announced", to=("team",), said=("resolved",))
    first = RunLine(drill="x", severity="SEV-1", policy="sop-001", stack="x", wall="x", mode=mode, scenario={})
    assert check.judge_by({}, Timeline([first]), load_policy("sop-001")).result is Result.HOLDS


def test_the_first_message_is_due_by_the_sop_or_by_the_drill() -> None:
    assert found("playbook", {"check": "announced"}, *told(599, *EVERYBODY))[0] is Result.HOLDS
    result, why = found("playbook", {"check": "announced"}, *told(601, *EVERYBODY))
    assert result is Result.BROKEN
    assert why.startswith("told too late (limit 10m): incident-commander after 601.0 s")
    strict = {"check": "announced", "to": ["status-page"], "status": "investigating", "by": "5s"}
    assert found("sop-001", strict, *told(4, "status-page"))[0] is Result.HOLDS
    assert found("sop-001", strict, *told(6, "status-page"))[0] is Result.BROKEN
    assert found("sop-001", strict, *told(4, "status-page", status="resolved"))[0] is Result.BROKEN


@pytest.mark.parametrize(
    ("gap", "result"), [(899.0, Result.HOLDS), (901.0, Result.BROKEN)], ids=["in time", "too late"]
)
def test_updates_come_as_often_as_the_sop_promises(gap: float, result: Result) -> None:
    said = [*told(1, "team"), *told(1 + gap, "team", status="resolved")]
    assert found("playbook", {"check": "update_cadence"}, *said)[0] is result


def test_cadence_counts_for_its_readers_until_it_is_resolved() -> None:
    every = {"check": "update_cadence", "every": "3s", "to": "status-page"}
    good = [*told(1, "status-page"), *told(3, "status-page"), *told(5, "status-page", status="resolved")]
    assert found("sop-001", every, *good) == (Result.HOLDS, "at most 2.0 s between two messages (limit 3s)")
    assert found("sop-001", every, good[0], good[2])[0] is Result.BROKEN
    # Never said to be resolved: users wait until the drill's end.
    assert found("sop-001", every, *good[:1])[0] is Result.BROKEN
    # What others were told does not help them.
    assert found("sop-001", every, good[0], *told(3, "team"), good[2])[0] is Result.BROKEN
    assert found("sop-001", every) == (Result.BROKEN, "nobody was told anything")
    assert found("sop-001", {"check": "update_cadence"}) == (Result.HOLDS, "SOP-001 promises no updates for SEV-1")
    # The limit of another SOP: 30 minutes at most, though it promises 15.
    late = [*told(1, "team"), *told(1700, "team", status="resolved")]
    assert found("gpt-platform", {"check": "update_cadence"}, *late)[0] is Result.HOLDS
