"""Judging live runs on made-up timelines: whose word counts, from when, and what was not so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import DATABASE_DOWN, incident, scenario

from sevdrill.checks import Result
from sevdrill.judge import Outcome, Verdict, judge
from sevdrill.lines import Line, MessageLine, PersonLine, ReadLine, RunLine
from sevdrill.scenario import Scenario
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

DRILL = scenario(DATABASE_DOWN, respond=[{"action": "restart", "service": "db"}])
# incident(): injected at 10, detected at 12, and recovered at 18 unless it is said otherwise.


def person(at: float, does: str, by: str = "ana", typed: float | None = None) -> PersonLine:
    values: dict[str, Any] = {"t": at, "id": "0" * 16, "by": by, "does": does}
    return PersonLine(**values, typed=at if typed is None else typed)


def verdict(*said: Line, mode: str = "live", policy: str = "sop-001", drill: Scenario = DRILL, **more: Any) -> Verdict:
    lines = [line for line in incident(drill, **more) if line.type not in ("step", "message")]
    first = lines[0]
    assert isinstance(first, RunLine)
    lines[0] = first.model_copy(update={"mode": mode})
    return judge(
        Timeline([lines[0], *sorted([*lines[1:], *said], key=lambda line: line.t)]), drill, load_policy(policy)
    )


def met(found: Verdict) -> dict[str, bool | None]:
    return {result.target.key: result.met for result in found.targets}


def test_in_time() -> None:
    found = verdict(person(13.0, "ack", typed=12.9), person(19.0, "mitigated", typed=18.8))
    assert found.outcome is Outcome.PASSED, found.reasons
    assert found.marks["acknowledged"] == (12.9, 13.0)
    assert found.times["mtta"].hi == pytest.approx(1.2, abs=0.21)
    assert found.times["mttm"] == pytest.approx((8.8, 9.0))
    assert met(found)["respond"] is True


@pytest.mark.parametrize(
    "check",
    [
        {"check": "checklist", "done": ["restart"]},
        {"check": "stayed_good", "probe": "health", "until": "restart"},
        {"check": "no_failures_after", "step": "restart"},
        {"check": "logs_preserved", "url": "http://app:3000/archive"},
        {"check": "decision_matches_rules", "service": "app"},
    ],
    ids=lambda check: str(check["check"]),
)
@pytest.mark.parametrize("mode", ["live", "observe"])
def test_what_the_runbooks_own_steps_did_is_asked_only_where_it_was_played(check: dict[str, Any], mode: str) -> None:
    drill = scenario(DATABASE_DOWN, respond=[{"action": "restart", "service": "db"}], verify=[check])
    people = [person(13.0, "ack"), person(19.0, "mitigated")] if mode == "live" else []
    found = verdict(*people, mode=mode, drill=drill)
    assert found.outcome is Outcome.PASSED, found.reasons
    assert found.checks[0].finding.why == f"what is done in mode {mode} is up to people, and not to the runbook"
    played = verdict(mode="auto", drill=drill)
    assert played.checks[0].finding.result is not Result.HOLDS


@pytest.mark.parametrize("mode", ["live", "observe"])
def test_a_check_that_nobody_came_to_is_unknown_in_every_mode(mode: str) -> None:
    drill = scenario(DATABASE_DOWN, verify=[{"check": "checklist", "done": ["restart"]}])
    lines = [line for line in incident(drill) if not isinstance(line, ReadLine)]
    first = lines[0]
    assert isinstance(first, RunLine)
    lines[0] = first.model_copy(update={"mode": mode})
    assert judge(Timeline(lines), drill, load_policy("sop-001")).checks[0].finding.result is Result.UNKNOWN


def test_the_first_word_counts() -> None:
    found = verdict(
        person(13, "ack"), person(14, "ack", "ben"), person(19, "mitigated"), person(20, "mitigated", "ben")
    )
    assert found.marks["acknowledged"].hi == 13
    assert found.marks["mitigated"].hi == 19


@pytest.mark.parametrize("silent", ["ack", "mitigated"])
def test_a_word_that_nobody_says_is_missed(silent: str) -> None:
    said = [person(at, does) for at, does in ((13.0, "ack"), (19.0, "mitigated")) if does != silent]
    found = verdict(*said)
    assert found.outcome is Outcome.FAILED
    mark = {"ack": "responded", "mitigated": "mitigated"}[silent]
    assert len(found.reasons) == 1
    assert found.reasons[0].endswith(f"never {mark}")


def test_who_acknowledges_before_the_alert_takes_no_time_to() -> None:
    found = verdict(person(11.0, "ack"), person(19.0, "mitigated"))
    assert found.times["mtta"] == (0.0, 0.0)


def test_of_an_old_word_nothing_counts() -> None:
    found = verdict(person(10.05, "ack", typed=9.9), person(19.0, "mitigated"))
    assert "acknowledged" not in found.marks


@pytest.mark.parametrize(("said", "so"), [(10.5, False), (12.0, True), (17.0, True), (30.0, True)])
def test_mitigated_must_be_so(said: float, so: bool) -> None:
    # Good from 18 on, held from 20 on; the load's window is 5 s and `hold` 2 s, so the word counts from 11 on.
    found = verdict(person(10.2, "ack"), person(said, "mitigated"), recovered=18.0 if said < 20 else 28.5)
    assert ("mitigated" in found.marks) is so
    assert found.outcome is (Outcome.PASSED if so else Outcome.FAILED), found.reasons
    wrong = [reason for reason in found.reasons if reason.startswith("mitigated: ana said so after 0.50 s")]
    assert len(wrong) == (0 if so else 1)
    if wrong:
        assert "it was not so: health: bad" in wrong[0]
        assert found.rests_on[found.reasons.index(wrong[0])]


def test_a_right_word_after_a_wrong_one_counts_and_the_wrong_one_still_fails() -> None:
    found = verdict(person(10.2, "ack"), person(10.5, "mitigated", "ben"), person(19.0, "mitigated"))
    assert found.marks["mitigated"].hi == 19.0
    (reason,) = found.reasons
    assert reason.startswith("mitigated: ben said so after")


def test_what_was_never_so_is_wrong_however_late() -> None:
    found = verdict(person(13.0, "ack"), person(60.0, "mitigated"), recovered=None)
    assert "mitigated" not in found.marks
    assert any(reason.startswith("mitigated: ana said so") for reason in found.reasons)


def test_people_are_held_against_the_sop_and_not_against_a_machines_limits() -> None:
    found = verdict(person(100.0, "ack"), person(192.0, "mitigated"), recovered=190.0)
    assert found.outcome is Outcome.PASSED, found.reasons
    # The same, done by the tool, misses the drill's own limits of 60 and 90 seconds.
    assert any("mitigate: the limit is 1m" in reason for reason in verdict(mode="auto", recovered=190.0).reasons)


def test_what_is_said_when_the_drill_is_over_is_neither_right_nor_wrong() -> None:
    found = verdict(person(13, "ack"), person(21.2, "mitigated"), person(22, "ack", "ben"), recovered=18.0)
    (reason,) = found.reasons
    assert reason.endswith("never mitigated")


def test_too_late_by_the_sop() -> None:
    found = verdict(person(10 + 901.0, "ack"), person(10 + 992.0, "mitigated"), recovered=1000.0)
    assert met(found)["respond"] is False
    assert met(found)["mitigate"] is False
    assert found.reasons[0].startswith("detect") is False


def test_who_declares_sets_the_mark() -> None:
    said = MessageLine(t=14.0, to="team", status="declared", text="[DRILL] x", by="ana")
    assert verdict(person(13, "ack"), person(19, "mitigated"), said, policy="playbook").marks["declared"] == (
        14.0,
        14.0,
    )


def test_in_auto_a_person_may_acknowledge_and_nothing_else() -> None:
    found = verdict(person(13, "ack"), person(11, "mitigated"), mode="auto")
    assert "mtta" in found.times
    assert "mitigated" not in found.marks


def test_when_nobody_acts_the_recovery_is_the_mitigation() -> None:
    found = verdict(person(13, "mitigated"), mode="observe")
    assert found.outcome is Outcome.PASSED, found.reasons
    assert found.marks["mitigated"] == found.marks["recovered"]
    assert met(found)["respond"] is None
    never = verdict(mode="observe", recovered=None)
    assert never.outcome is Outcome.FAILED


@settings(max_examples=40, deadline=None)
@given(ack=st.floats(10.1, 16), late=st.floats(-20, 2.9), recovered=st.floats(14, 40))
def test_no_word_makes_a_time_shorter_than_it_was(ack: float, late: float, recovered: float) -> None:
    said = max(10.1, recovered + late)
    found = verdict(person(ack, "ack"), person(said, "mitigated"), recovered=recovered)
    assert found.marks["acknowledged"].hi >= ack
    if "mitigated" in found.marks:
        assert found.marks["mitigated"].hi >= said
        # The steady state held no later than the grace after the word.
        assert recovered <= said + 5 + 2 * 2 + 0.5
    else:
        assert found.outcome is Outcome.FAILED
        assert said < recovered
