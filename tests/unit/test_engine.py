"""The engine on a toy stack in memory: what it does, in which order, and that it always undoes."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from toy_run import Run
from toy_stack import ToyStack

from sevdrill.engine import Engine
from sevdrill.judge import Outcome
from sevdrill.lines import FaultLine, PhaseLine, StepLine


@pytest.fixture
def stack() -> ToyStack:
    return ToyStack()


def test_the_whole_way(tmp_path: Path, stack: ToyStack) -> None:
    run = Run(tmp_path, stack)
    verdict = run.run()
    assert verdict.reasons == ()
    assert verdict.outcome is Outcome.PASSED
    assert [line.name for line in run.timeline.of(PhaseLine)] == [
        "prepare",
        "steady",
        "inject",
        "detect",
        "respond",
        "recover",
        "close",
        "verify",
        "restore",
    ]
    assert [line.event for line in run.timeline.of(FaultLine)] == ["prepared", "injected", "on", "undone"]
    assert stack.calls[:1] == ["kill"]
    assert stack.up
    assert not stack.loaded
    assert run.debts() == set()


def test_the_debt_is_on_disk_before_the_fault(tmp_path: Path, stack: ToyStack) -> None:
    stack.hold_kill = threading.Event()
    run = Run(tmp_path, stack)
    seen: list[set[str]] = []

    def look() -> None:
        assert stack.in_kill.wait(5)
        seen.append(run.debts())
        assert stack.hold_kill is not None
        stack.hold_kill.set()

    looker = threading.Thread(target=look)
    looker.start()
    run.run()
    looker.join()
    assert seen == [{"run:0"}]


@pytest.mark.parametrize(
    ("sabotage", "outcome", "names"),
    [
        ({"kill_works": False}, Outcome.INVALID, "the fault had no effect"),
        ({"always_sick": True}, Outcome.INVALID, "not healthy before the fault"),
        ({"alive": False}, Outcome.INVALID, "the monitoring is not alive"),
        ({"lost": {"b"}}, Outcome.FAILED, "lost: b"),
    ],
)
def test_a_broken_stack_never_passes(
    tmp_path: Path, stack: ToyStack, sabotage: dict[str, Any], outcome: Outcome, names: str
) -> None:
    for name, value in sabotage.items():
        setattr(stack, name, value)
    run = Run(tmp_path, stack)
    verdict = run.run()
    assert verdict.outcome is outcome
    assert names in " | ".join(verdict.reasons)
    assert stack.up
    assert run.debts() == set()


def test_an_alert_that_never_fires_fails_and_the_runbook_still_runs(tmp_path: Path, stack: ToyStack) -> None:
    stack.alert_fires = False
    run = Run(tmp_path, stack, limit="1s", targets={"detect": "500ms"})
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert any("DatabaseDown never fired" in reason for reason in verdict.reasons)
    assert any(step.action == "restart" and step.ok for step in run.timeline.of(StepLine))
    assert "recovered" in verdict.marks


@pytest.mark.parametrize("phase", ["prepare", "detect", "recover", "verify"])
def test_a_mistake_of_the_tool_itself_is_no_pass(
    tmp_path: Path, stack: ToyStack, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    begin = Engine._phase

    def broken(self: Engine, name: Any) -> None:
        begin(self, name)
        if name == phase:
            raise LookupError("no such thing")

    monkeypatch.setattr(Engine, "_phase", broken)
    run = Run(tmp_path, stack)
    with pytest.raises(LookupError):
        run.run()
    verdict = run.verdict()
    assert verdict.outcome is Outcome.INVALID
    assert any("mistake in sevdrill" in reason and "no such thing" in reason for reason in verdict.reasons)
    assert stack.up
    assert run.debts() == set()


def test_without_the_runbook_the_stack_is_mended_all_the_same(tmp_path: Path, stack: ToyStack) -> None:
    run = Run(tmp_path, stack, respond=[{"action": "announce", "status": "investigating"}], limit="1s", targets={})
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert any("never recovered" in reason for reason in verdict.reasons)
    assert stack.up
    assert run.debts() == set()


def test_an_undo_that_fails_is_loud(tmp_path: Path, stack: ToyStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.start_works = False
    monkeypatch.setattr("sevdrill.engine.settle", _impatient)
    run = Run(tmp_path, stack, limit="1s", targets={})
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert verdict.dirty
    assert run.engine.dirty
    assert run.debts() == {"run:0"}
    dirty = next(line for line in run.timeline.of(FaultLine) if line.event == "dirty")
    assert "does not start" in dirty.why


def _impatient(*args: Any, **more: Any) -> bool:
    from sevdrill.undo import settle

    return settle(*args, **more, patience=0.5)


def test_a_fault_ends_by_itself_when_it_says_so(tmp_path: Path, stack: ToyStack) -> None:
    fault = {"fault": "container.kill", "service": "db", "for": "600ms"}
    run = Run(tmp_path, stack, inject=[fault], respond=[{"action": "announce", "status": "identified"}], targets={})
    run.run()
    undone = next(line for line in run.timeline.of(FaultLine) if line.event == "undone")
    restore = next(line for line in run.timeline.of(PhaseLine) if line.name == "restore")
    assert undone.t < restore.t


@pytest.mark.parametrize("phase", ["steady", "detect", "verify"])
def test_ctrl_c_undoes_everything(tmp_path: Path, stack: ToyStack, phase: str) -> None:
    stack.alert_fires = phase != "detect"
    run = Run(tmp_path, stack)

    def interrupt(line: object) -> None:
        if isinstance(line, PhaseLine) and line.name == phase:
            signal.raise_signal(signal.SIGINT)

    run.writer._listener = interrupt
    with run.shield.installed(), pytest.raises(KeyboardInterrupt):
        run.run()
    assert stack.up
    assert run.debts() == set()
    assert run.verdict().outcome is Outcome.ABORTED
    assert "Ctrl-C" in run.verdict().reasons[0]


def test_a_second_ctrl_c_cannot_stop_the_undo(tmp_path: Path, stack: ToyStack) -> None:
    stack.alert_fires = False
    run = Run(tmp_path, stack)

    def interrupt(line: object) -> None:
        if isinstance(line, PhaseLine) and line.name in ("detect", "restore"):
            signal.raise_signal(signal.SIGINT)

    run.writer._listener = interrupt
    with run.shield.installed(), pytest.raises(KeyboardInterrupt):
        run.run()
    assert stack.up
    assert run.debts() == set()
    assert run.timeline.ended


def test_ctrl_c_in_mid_injection_waits_for_the_call(tmp_path: Path, stack: ToyStack) -> None:
    stack.hold_kill = threading.Event()
    run = Run(tmp_path, stack)

    def interrupt() -> None:
        assert stack.in_kill.wait(5)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        assert stack.hold_kill is not None
        stack.hold_kill.set()

    other = threading.Thread(target=interrupt)
    other.start()
    with run.shield.installed(), pytest.raises(KeyboardInterrupt):
        run.run()
    other.join()
    assert "kill" in stack.calls
    assert stack.up
    assert run.debts() == set()
