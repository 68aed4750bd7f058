"""Every drill on the timeline of a real run of it: that passes, and nothing that was changed in it does.

No stack is needed: `make recordings` runs the drills that have no recording yet and keeps their timelines. The same
sabotage for real is in `make sabotage`, and for one drill of each family in tests/embedded and tests/stack.
"""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from mutants import Recorded
from recording import DRILLS, recording, unpacked

from sevdrill.calls import CALLS
from sevdrill.diagnostics import load
from sevdrill.judge import Outcome, judge
from sevdrill.kinds import Kinds
from sevdrill.masking import MASK
from sevdrill.scenario import Scenario, scenario_model
from sevdrill.severity import load_policy
from sevdrill.timeline import Timeline

POLICY = load_policy("sop-001")
PARTS = ("load", "steady_state", "inject", "effect", "detect", "investigate", "respond", "close", "verify", "quiet")
"""What a run does. The rest of a drill (targets, hints) may change without a new recording."""
NAMES = sorted(DRILLS)


@functools.cache
def recorded(name: str) -> Recorded:
    """The recording of a drill, to be judged by the drill as it is now."""
    assert recording(name).exists(), f"{name} has no recording; `make recordings` makes those that are missing"
    with tempfile.TemporaryDirectory() as folder:
        timeline = Timeline.load(unpacked(name, Path(folder)) / "timeline.jsonl")
    ran = scenario_model(Kinds.default().with_(CALLS)).model_validate(timeline.run.scenario)
    return Recorded(list(timeline.lines), ran if DRILLS[name].function else _now(name, ran), POLICY)


def _now(name: str, ran: Scenario) -> Scenario:
    scenario = load(DRILLS[name].file).scenario
    now, then = scenario.dump(), ran.dump()
    old = [part for part in PARTS if not _same(now.get(part), then.get(part))]
    assert not old, f"{name} has another {', '.join(old)} than its recording: `make recordings DRILLS={name}`"
    return scenario


def _same(now: Any, then: Any) -> bool:
    """Whether these say the same, but for what was masked in the recording."""
    if isinstance(now, dict) and isinstance(then, dict):
        return now.keys() == then.keys() and all(_same(value, then[key]) for key, value in now.items())
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(map(_same, now, then))
    if isinstance(then, str) and MASK in then:
        return re.fullmatch(".*".join(map(re.escape, then.split(MASK))), str(now)) is not None
    return bool(now == then)


def test_a_drill_that_does_something_else_is_not_judged_by_its_recording() -> None:
    ran = recorded("database-down").scenario
    with pytest.raises(AssertionError, match="another inject than its recording"):
        _now("database-down", ran.model_copy(update={"inject": ran.inject * 2}))


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_run_passes(name: str) -> None:
    run = recorded(name)
    verdict = judge(Timeline(run.lines), run.scenario, POLICY)
    assert verdict.outcome is Outcome.PASSED, verdict.reasons


@pytest.mark.parametrize("name", NAMES)
def test_no_mutant_of_it_passes(name: str) -> None:
    run = recorded(name)
    tried = 0
    passed = []
    for what, lines in run.mutants():
        tried += 1
        verdict = judge(Timeline(lines), run.scenario, POLICY)
        if verdict.outcome is Outcome.PASSED or not verdict.reasons:
            passed.append(what)
    assert passed == []
    # A generator that went dry would let everything pass.
    assert tried >= 10 + 2 * len(run.scenario.respond) + 2 * len(run.checks)


@pytest.mark.parametrize("name", NAMES)
def test_no_message_can_be_left_out_of_its_runbook(name: str) -> None:
    run = recorded(name)
    idle = [
        what
        for what, without, lines in run.unsaid()
        if judge(Timeline(lines), without, POLICY).outcome is not Outcome.FAILED
    ]
    assert idle == [], "give the drill a check `announced` that names what is said"


@pytest.mark.parametrize("name", NAMES)
def test_each_of_its_checks_can_break(name: str) -> None:
    run = recorded(name)
    for index, check in enumerate(run.checks):
        found = run.broken(index)
        assert found is not None, f"nothing that tests/helpers/mutants.py changes breaks the check {check.title}"
        what, lines = found
        verdict = judge(Timeline(lines), run.scenario, POLICY)
        assert verdict.outcome is Outcome.FAILED, what
        assert any(reason.startswith(check.title) for reason in verdict.reasons), (what, verdict.reasons)


def test_no_recording_is_of_a_drill_that_is_gone() -> None:
    kept = {path.name.removesuffix(".jsonl.gz") for path in recording("x").parent.glob("*.gz")}
    assert sorted(kept - set(NAMES)) == []
