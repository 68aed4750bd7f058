"""Drills with people, on a toy stack: what they say and do is waited for, written down and judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toy_run import QUICK, Run
from toy_stack import ToyStack

from sevdrill.inbox import Does, Saying, put
from sevdrill.judge import Outcome, Verdict
from sevdrill.lines import FaultLine, PersonLine, PhaseLine, StepLine

PROBES = {
    "hold": "80ms",
    "every": "20ms",
    "probes": [{"probe": "load", "error_rate": {"below": "1%"}, "over": "100ms"}],
}
POLICY = """
policy: quick
document: {file: quick.md, cite: Quick, title: Quick}
severities:
  SEV-1:
    name: Critical
    source: Times
    response: {sop: soon, limit: RESPONSE, source: Times}
    mitigate: {sop: soon, limit: 40s, source: Times}
    recover: {sop: soon, limit: 50s, source: Times}
"""


class Team:
    """A responder on a thread of its own: waits for the fault, then acts as it is told to."""

    def __init__(self, folder: Path, acts: Callable[[Team], None], response: str = "30s", **changes: Any) -> None:
        policy = folder / "quick.yml"
        policy.write_text(POLICY.replace("RESPONSE", response), encoding="utf-8")
        self.stack = ToyStack()
        more = {
            "steady_state": PROBES,
            "limit": "60s",
            "verify": [],
            "targets": {"detect": "30s"},
            "mode": "live",
            "policy": str(policy),
        }
        self.drill = Run(folder, self.stack, **{**more, **changes})
        self._acts = acts

    def says(self, does: Does, **more: Any) -> None:
        put(self.drill.journal.path, Saying(by="ana", does=does, at=time.monotonic(), **more))

    def restarts(self) -> None:
        self.stack.start("db", ["db-1"])

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def verdict(self) -> Verdict:
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            return self.drill.run()
        finally:
            thread.join()

    def _work(self) -> None:
        self.until(lambda: not self.stack.up)
        # A moment in which the users feel it.
        self.until(lambda: any(line.name == "respond" for line in self.lines(PhaseLine)))
        self._acts(self)

    def lines(self, kind: type[Any]) -> list[Any]:
        with self.drill.writer.changed:
            return [line for line in self.drill.writer.lines if isinstance(line, kind)]


def all_right(team: Team) -> None:
    team.says("ack")
    team.restarts()
    team.says("mitigated")


def test_people_who_answer_in_time_pass(tmp_path: Path) -> None:
    team = Team(tmp_path, all_right)
    verdict = team.verdict()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    assert {"mtta", "mttm", "mttr", "mttd"} <= verdict.times.keys()
    assert verdict.marks["acknowledged"] == verdict.marks["responded"]
    # Nothing was answered by the tool.
    assert team.lines(StepLine) == []
    assert team.drill.debts() == set()


def test_people_who_acknowledge_too_late_miss_the_response_time(tmp_path: Path) -> None:
    def late(team: Team) -> None:
        team.restarts()
        time.sleep(0.3)
        team.says("ack")
        team.says("mitigated")

    verdict = Team(tmp_path, late, response="300ms").verdict()
    assert verdict.outcome is Outcome.FAILED
    (reason,) = verdict.reasons
    assert reason.startswith('respond: the limit is 300ms (Quick, "Times"), measured '), reason


def test_people_who_never_answer_are_waited_for_until_the_limit(tmp_path: Path) -> None:
    team = Team(tmp_path, lambda team: None, limit="1s", targets={})
    verdict = team.verdict()
    assert verdict.outcome is Outcome.FAILED
    for key, mark in (("respond", "responded"), ("mitigate", "mitigated"), ("recover", "recovered")):
        assert any(r.startswith(f"{key}: the limit is") and r.endswith(f"never {mark}") for r in verdict.reasons), key
    # Everything is undone all the same.
    assert team.stack.up
    assert [line.event for line in team.lines(FaultLine)][-1] == "undone"


def test_nobody_says_that_it_is_mitigated(tmp_path: Path) -> None:
    def silent(team: Team) -> None:
        team.says("ack")
        team.restarts()

    verdict = Team(tmp_path, silent, limit="4s", targets={}).verdict()
    assert "recovered" in verdict.marks
    (reason,) = verdict.reasons
    assert reason.startswith("mitigate: the limit is 40s")


def test_what_is_called_mitigated_too_early_is_named_and_does_not_count(tmp_path: Path) -> None:
    def hasty(team: Team) -> None:
        team.says("ack")
        team.says("mitigated")
        team.until(lambda: any(line.does == "mitigated" for line in team.lines(PersonLine)))
        time.sleep(0.5)
        team.restarts()

    verdict = Team(tmp_path, hasty).verdict()
    assert verdict.outcome is Outcome.FAILED
    assert any("mitigated: ana said so after" in reason and "it was not so" in reason for reason in verdict.reasons)
    assert any(reason.endswith("never mitigated") for reason in verdict.reasons)
    assert "mitigated" not in verdict.marks


def test_what_is_said_before_the_fault_answers_nothing(tmp_path: Path) -> None:
    team = Team(tmp_path, lambda team: None, limit="500ms", targets={})
    team.says("ack")
    team.says("mitigated")
    verdict = team.verdict()
    assert len(team.lines(PersonLine)) == 2
    assert not {"acknowledged", "mitigated"} & verdict.marks.keys()


@pytest.mark.parametrize("heals", [True, False])
def test_a_stack_that_nobody_helps_must_heal_itself(tmp_path: Path, heals: bool) -> None:
    def nobody(team: Team) -> None:
        if heals:
            team.restarts()

    fault = [{"fault": "container.kill", "service": "db"}]
    team = Team(tmp_path, lambda team: None, mode="observe", limit="20s" if heals else "2s", inject=fault, targets={})

    def act() -> None:
        team.until(lambda: any(line.name == "recover" for line in team.lines(PhaseLine)))
        nobody(team)

    thread = threading.Thread(target=act)
    thread.start()
    verdict = team.drill.run()
    thread.join()
    assert team.lines(StepLine) == []
    if heals:
        assert verdict.outcome is Outcome.PASSED, verdict.reasons
        assert verdict.marks["mitigated"] == verdict.marks["recovered"]
        assert "respond" not in {t.target.key for t in verdict.targets if t.met is not None}
    else:
        assert verdict.outcome is Outcome.FAILED
        assert "recovered" not in verdict.marks


def test_hints_are_given_one_by_one_and_counted(tmp_path: Path) -> None:
    def asks(team: Team) -> None:
        for _ in range(3):
            team.says("hint")
        team.says("announce", what="investigating")
        all_right(team)

    team = Team(tmp_path, asks, hints=["Look.", "Look again."])
    team.verdict()
    hints = [line.text for line in team.lines(PersonLine) if line.does == "hint"]
    assert hints == ["hint 1 of 2: Look.", "hint 2 of 2: Look again.", "there are no more hints than 2"]


def test_the_fault_comes_at_a_random_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []
    monkeypatch.setattr("sevdrill.engine.random.uniform", lambda lo, hi: asked.append((lo, hi)) or 0.4)
    from dataclasses import replace

    team = Team(tmp_path, all_right, settings=replace(QUICK, surprise=7.0))
    verdict = team.verdict()
    assert asked == [(0, 7.0)]
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    steady = next(line.t for line in team.lines(PhaseLine) if line.name == "steady")
    assert verdict.marks["injected"].lo - steady >= 0.4


def test_a_drills_own_limits_are_for_machines(tmp_path: Path) -> None:
    own = {"detect": "20s", "mitigate": "25s"}
    verdict = Team(tmp_path, all_right, targets=own).verdict()
    limits = {t.target.key: (float(t.target.limit), t.target.source) for t in verdict.targets}
    assert limits["detect"] == (20.0, "the drill")
    assert limits["mitigate"] == (40.0, 'Quick, "Times"')
