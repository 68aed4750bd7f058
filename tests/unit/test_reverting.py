"""Reverting steps on a toy stack: journalled before they act, undone at the end, put back by `heal` and `revert`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from toy_run import QUICK
from toy_stack import ToyStack, toy_ports

from sevdrill.clock import SystemClock
from sevdrill.engine import Engine
from sevdrill.errors import StackError
from sevdrill.journal import Journal, JournalFile
from sevdrill.judge import Outcome, Verdict, judge
from sevdrill.lines import FaultLine, PhaseLine, RunLine, Sample, StepLine
from sevdrill.plan import make_plan
from sevdrill.ports import Admin, Monitoring, Ports, Reading
from sevdrill.probes import PROBES, Probe
from sevdrill.scenario import Kinds, scenario_model
from sevdrill.severity import load_policy
from sevdrill.shield import Shield
from sevdrill.timeline import Timeline, TimelineWriter

BREAK = {"action": "circuit-break", "service": "app", "dependency": "db", "timeout": "1s"}
DRILL: dict[str, Any] = {
    "drill": "Toy provider limited",
    "severity": "SEV-2",
    "load": {"locustfile": "x.py", "ledger": "orders"},
    "steady_state": {
        "hold": "80ms",
        "every": "20ms",
        "probes": [{"probe": "load", "error_rate": {"below": "1%"}}],
    },
    "inject": [{"fault": "container.kill", "service": "db"}],
    "detect": [{"alert": "DatabaseDown"}],
    "respond": [BREAK, {"action": "restart", "service": "db", "timeout": "1s"}],
    "limit": "6s",
}


class Felt(Probe):
    """Users feel it only many looks after the alert began to fire."""

    needs: ClassVar[tuple[type, ...]] = (Monitoring,)
    probe: Literal["felt"]

    @property
    def title(self) -> str:
        return "felt"

    def read(self, ports: Ports) -> Reading:
        if ports[Monitoring].alerts():
            FIRING.append(1)
        return Reading(ok=len(FIRING) > 30)


FIRING: list[int] = []
KINDS = Kinds(probes=(*PROBES, Felt))


class Switches:
    """The port `Admin` of a toy stack: one app, one breaker."""

    def __init__(self) -> None:
        self.breaker = "closed"
        self.works = True
        self.history: list[str] = []
        self.debts_at_change: list[set[str]] = []
        self.journal: Path | None = None

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        return {"app-1": {"breaker.db": self.breaker}}

    def change(self, service: str, setting: str, value: str) -> None:
        assert self.journal is not None
        state = JournalFile.read(self.journal)
        assert state is not None
        self.debts_at_change.append(set(state.debts))
        self.history.append(value)
        if not self.works:
            raise StackError("app-1 refuses")
        self.breaker = value


class Run:
    def __init__(self, folder: Path, stack: ToyStack, switches: Switches, **changes: Any) -> None:
        self.scenario = scenario_model(KINDS).model_validate({**DRILL, **changes})
        self.policy, self.shield, clock = load_policy("sop-001"), Shield(), SystemClock()
        self.writer = TimelineWriter(folder / "run" / "timeline.jsonl", clock)
        line = {"drill": "x", "severity": "SEV-2", "policy": "sop-001", "stack": "toy", "wall": "2026-01-01T00:00:00"}
        self.writer.write(RunLine.model_validate({**line, "scenario": self.scenario.dump()}))
        self.journal = Journal(folder / "state", "run", clock, {"project": "toy"}, keep=True)
        switches.journal = self.journal.path
        ports = toy_ports(stack).with_({Admin: switches})
        plan = make_plan(self.scenario, self.policy, ports)
        self.engine = Engine(plan, ports, self.writer, self.journal, self.shield, clock, QUICK)

    def run(self) -> Verdict:
        try:
            self.engine.run()
        finally:
            self.writer.close()
        return judge(self.timeline, self.scenario, self.policy)

    @property
    def timeline(self) -> Timeline:
        return Timeline.load(self.writer.path)

    def debts(self) -> set[str]:
        state = JournalFile.read(self.journal.path)
        assert state is not None
        return set(state.debts)

    def undone(self) -> list[str]:
        return [line.fault for line in self.timeline.of(FaultLine) if line.event == "undone"]


def test_it_is_owed_before_it_acts_and_undone_after_the_faults(tmp_path: Path) -> None:
    stack, switches = ToyStack(), Switches()
    run = Run(tmp_path, stack, switches)
    verdict = run.run()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    assert "run:respond:0" in switches.debts_at_change[0]
    assert switches.history == ["open", "closed"]
    assert run.undone() == ["container.kill", "circuit-break"]
    assert run.debts() == set()


def test_close_heals_and_reverts_and_nothing_is_undone_twice(tmp_path: Path) -> None:
    switches = Switches()
    close = [{"action": "heal"}, {"action": "revert", "step": "circuit-break"}]
    run = Run(tmp_path, ToyStack(), switches, close=close)
    verdict = run.run()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons
    assert run.undone() == ["container.kill", "circuit-break"]
    restore = next(line.t for line in run.timeline.of(PhaseLine) if line.name == "restore")
    assert all(line.t < restore for line in run.timeline.of(FaultLine))
    assert switches.history == ["open", "closed"]


def test_nobody_is_told_that_it_is_over_when_it_never_was(tmp_path: Path) -> None:
    stack, switches = ToyStack(), Switches()
    close = [{"action": "revert", "step": "circuit-break"}, {"action": "announce", "status": "resolved"}]
    run = Run(tmp_path, stack, switches, respond=[BREAK], close=close, limit="1s")
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert "announce resolved" not in stack.calls
    assert any("announce resolved" in why and "not said: the steady state never" in why for why in verdict.reasons)
    # What was switched is put back all the same.
    closed = [line for line in run.timeline.of(StepLine) if line.part == "close" and line.event == "ended"]
    assert [line.ok for line in closed] == [True, False]
    assert switches.history == ["open", "closed"]


def test_heal_cures_a_fault_that_is_still_on(tmp_path: Path) -> None:
    stack = ToyStack()
    run = Run(tmp_path, stack, Switches(), respond=[{"action": "heal"}])
    assert run.run().outcome is Outcome.PASSED
    assert stack.up


def test_what_comes_once_more_is_owed_anew(tmp_path: Path) -> None:
    stack = ToyStack()
    again = [*DRILL["respond"], {"action": "repeat"}]
    run = Run(tmp_path, stack, Switches(), respond=again, limit="1s")
    # Nobody answers it: it is broken once more, and undone once more.
    assert run.run().outcome is Outcome.FAILED
    injected = [line.index for line in run.timeline.of(FaultLine) if line.event == "injected"]
    assert injected == [0, 2]
    assert run.undone() == ["container.kill", "container.kill", "circuit-break"]
    assert stack.up
    assert run.debts() == set()


def test_what_comes_once_more_and_is_answered_is_no_failure(tmp_path: Path) -> None:
    again = [*DRILL["respond"], {"action": "repeat"}, DRILL["respond"][1]]
    verdict = Run(tmp_path, ToyStack(), Switches(), respond=again).run()
    assert verdict.outcome is Outcome.PASSED, verdict.reasons


def test_what_was_never_switched_cannot_be_reverted(tmp_path: Path) -> None:
    run = Run(tmp_path, ToyStack(), Switches(), close=[{"action": "revert", "step": "throttle"}])
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert any("no step of this kind is in effect" in reason for reason in verdict.reasons)


def test_a_setting_that_is_not_there_is_named(tmp_path: Path) -> None:
    run = Run(tmp_path, ToyStack(), Switches(), respond=[{**BREAK, "dependency": "moon"}, *DRILL["respond"][1:]])
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert any("no setting breaker.moon (it has: breaker.db)" in reason for reason in verdict.reasons)
    assert run.undone() == ["container.kill"]


def test_a_setting_that_is_so_already_is_no_step(tmp_path: Path) -> None:
    switches = Switches()
    switches.breaker = "open"
    run = Run(tmp_path, ToyStack(), switches)
    assert run.run().outcome is Outcome.FAILED
    assert switches.history == []


def test_an_undo_that_fails_makes_the_stack_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switches = Switches()

    def impatient(*args: Any, **more: Any) -> bool:
        from sevdrill.undo import settle

        switches.works = False
        return settle(*args, **more, patience=0.3)

    monkeypatch.setattr("sevdrill.engine.settle", impatient)
    run = Run(tmp_path, ToyStack(), switches, close=[{"action": "revert", "step": "circuit-break"}])
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert verdict.dirty
    assert run.debts() == {"run:respond:0"}
    ended = [line for line in run.timeline.of(StepLine) if line.part == "close" and line.event == "ended"]
    assert ended[0].ok is False
    assert "app-1 refuses" in ended[0].why


def test_ctrl_c_after_the_step_undoes_it(tmp_path: Path) -> None:
    switches = Switches()
    run = Run(tmp_path, ToyStack(), switches)

    def interrupt(line: object) -> None:
        if isinstance(line, StepLine) and line.action == "circuit-break" and line.event == "ended":
            signal.raise_signal(signal.SIGINT)

    run.writer._listener = interrupt
    with run.shield.installed(), pytest.raises(KeyboardInterrupt):
        run.run()
    assert switches.breaker == "closed"
    assert run.debts() == set()


def test_nobody_answers_before_the_stated_effect_is_felt(tmp_path: Path) -> None:
    FIRING.clear()
    run = Run(tmp_path, ToyStack(), Switches(), effect=[{"probe": "felt"}])
    assert run.run().outcome is Outcome.PASSED
    felt = next(line.end for line in run.timeline.of(Sample) if line.series.startswith("effect:") and line.ok)
    fired = next(line.end for line in run.timeline.of(Sample) if line.series.startswith("alert:") and line.ok)
    answered = next(line.t for line in run.timeline.of(PhaseLine) if line.name == "respond")
    assert fired < felt <= answered


def test_the_journal_alone_brings_a_step_back(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run", SystemClock(), {"kind": "toy"}, keep=True)
    step = scenario_model(Kinds.default()).model_validate({**DRILL}).respond[0]
    journal.owe("a", step, {"before": "closed"}, 60)  # type: ignore[arg-type]
    state = JournalFile.read(journal.path)
    assert state is not None
    assert state.debts["a"].fault == step
    journal.close()
