"""Steps, symptoms and checks that are Python functions, in whole runs on a toy stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from toy_run import DRILL, Run
from toy_stack import ToyStack

from sevdrill.calls import CALLS
from sevdrill.errors import UsageError
from sevdrill.fixtures import PythonDrill
from sevdrill.judge import Outcome
from sevdrill.kinds import Kinds
from sevdrill.lines import PhaseLine, Sample, StepLine

KINDS = Kinds.default().with_(CALLS)


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Iterator[PythonDrill]:
    """What the fixture `drill` gives, for a drill that is run on a toy stack."""
    made = PythonDrill(request)
    yield made
    made.end()


@pytest.fixture
def stack() -> ToyStack:
    return ToyStack()


def run(folder: Path, stack: ToyStack, **changes: Any) -> Run:
    return Run(folder, stack, kinds=KINDS, **changes)


def steps(run: Run) -> list[StepLine]:
    return [line for line in run.timeline.of(StepLine) if line.action == "python"]


def test_a_step_acts_once_and_is_done_when_its_proof_says_so(
    tmp_path: Path, stack: ToyStack, made: PythonDrill
) -> None:
    looks: list[bool] = []

    def start_the_database() -> None:
        stack.start("db", [])

    def it_runs() -> bool:
        looks.append(stack.up)
        return len(looks) > 3

    drill = run(tmp_path, stack, respond=[made.action(start_the_database, proof=it_runs)])
    verdict = drill.run()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    began, ended = steps(drill)
    assert (began.title, ended.title, ended.ok) == ("start the database", "start the database", True)
    assert stack.calls.count("start") == 1
    assert looks == [True] * 4
    # A step of one's own is an answer, as the runbook's others are.
    assert "responded" in verdict.marks


def test_a_step_without_effect_fails_and_says_what_its_proof_saw(
    tmp_path: Path, stack: ToyStack, made: PythonDrill
) -> None:
    def it_runs() -> None:
        assert stack.calls.count("start") > 1, "it was started once only"

    mine = made.action(lambda: stack.start("db", []), proof=it_runs, name="start it", timeout="100ms")
    drill = run(tmp_path, stack, respond=[mine])
    verdict = drill.run()
    assert verdict.outcome is Outcome.FAILED
    assert any("start it" in reason and "it was started once only" in reason for reason in verdict.reasons)


def test_a_step_that_raises_fails_and_everything_is_undone(tmp_path: Path, stack: ToyStack, made: PythonDrill) -> None:
    def fail() -> None:
        raise LookupError("no such runbook page")

    drill = run(tmp_path, stack, respond=[made.action(fail, proof=lambda: True), *DRILL["respond"]])
    verdict = drill.run()
    assert verdict.outcome is Outcome.FAILED
    assert any("LookupError: no such runbook page" in reason for reason in verdict.reasons)
    assert stack.up
    assert drill.debts() == set()


def test_nobody_answers_before_the_effect_is_felt(tmp_path: Path, stack: ToyStack, made: PythonDrill) -> None:
    looks: list[bool] = []

    def users_fail() -> bool:
        looks.append(not stack.up)
        return sum(looks) > 15

    drill = run(tmp_path, stack, effect=[made.probe(users_fail)])
    verdict = drill.run()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    felt = next(line for line in drill.timeline.of(Sample) if line.series.startswith("effect:") and line.ok)
    assert felt.series.endswith("users fail")
    answered = next(line.t for line in drill.timeline.of(PhaseLine) if line.name == "respond")
    assert felt.end <= answered
    assert False in looks


@pytest.mark.parametrize(
    ("said", "outcome", "why"),
    [
        (True, Outcome.INVALID, "not healthy before the fault"),
        (False, Outcome.INVALID, "users fail"),
    ],
)
def test_an_effect_that_is_there_before_or_never_proves_nothing(
    tmp_path: Path, stack: ToyStack, made: PythonDrill, said: bool, outcome: Outcome, why: str
) -> None:
    drill = run(tmp_path, stack, effect=[made.probe(lambda: said, name="users fail")], limit="1s", targets={})
    verdict = drill.run()
    assert verdict.outcome is outcome, verdict.reasons
    assert why in " | ".join(verdict.reasons)


def test_a_function_without_a_name_needs_one(made: PythonDrill) -> None:
    with pytest.raises(UsageError, match="name="):
        made.action(lambda: None, proof=lambda: True)


def test_functions_are_not_called_once_their_test_is_over(tmp_path: Path, stack: ToyStack, made: PythonDrill) -> None:
    called: list[int] = []
    step = made.action(lambda: called.append(1), proof=lambda: True, name="too late", timeout="100ms")
    made.end()
    verdict = run(tmp_path, stack, respond=[step, *DRILL["respond"]]).run()
    assert called == []
    assert any("only its own test can call it" in reason for reason in verdict.reasons)
