"""What stands in the way of an undo, and must not: full disks, engines that act late, errors nobody thought of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import made_up
import pytest
from crash_stack import EXAMPLES
from drill_root import wait_for
from made_up import DATABASE_DOWN, QUIET, incident, quiet, scenario
from toy_run import Run
from toy_stack import ToyStack, toy_ports

from sevdrill.actions import ACTIONS, RevertingAction
from sevdrill.clock import SystemClock
from sevdrill.errors import RunError, StackError
from sevdrill.faults import FAULTS, State
from sevdrill.faults.container import ContainerKill
from sevdrill.faults.network import NetworkDown
from sevdrill.healing import heal_all
from sevdrill.journal import Debt, Journal, JournalFile, append
from sevdrill.judge import Outcome, judge
from sevdrill.kinds import Kinds
from sevdrill.lines import FaultLine, PhaseLine, ReadLine, Sample
from sevdrill.ports import Ports, Proxies
from sevdrill.severity import load_policy
from sevdrill.shield import Interrupted, Shield
from sevdrill.timeline import Timeline
from sevdrill.undo import relieve, settle
from sevdrill.units import Duration

KILL = ContainerKill(fault="container.kill", service="db")
TWICE = [{"fault": "container.kill", "service": "db"}, {"fault": "container.stop", "service": "db"}]


class LateStack(ToyStack):
    """Its engine gives a kill up, and does it all the same a moment later."""

    def kill(self, service: str, replicas: Sequence[str]) -> None:
        def land() -> None:
            self.up = False

        threading.Timer(0.6, land).start()
        raise StackError("the engine did not answer in time")


def test_a_call_that_was_given_up_may_act_late_and_is_waited_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ContainerKill, "in_flight", 1.5)
    stack = LateStack()
    run = Run(tmp_path, stack)
    assert run.run().outcome is Outcome.INVALID
    assert stack.up
    assert stack.calls == ["start"]
    assert run.debts() == set()


@pytest.mark.parametrize("full", ["timeline", "journal"])
def test_a_full_disk_does_not_keep_a_fault_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str) -> None:
    stack = ToyStack()
    run = Run(tmp_path, stack)

    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    def fill(line: object) -> None:
        if isinstance(line, FaultLine) and line.event == "on":
            if full == "timeline":
                monkeypatch.setattr(run.writer, "write", no_space)
            else:
                monkeypatch.setattr("sevdrill.journal.append", no_space)

    run.writer._listener = fill
    run.engine.run()
    run.writer.close()
    assert stack.up


def test_an_error_nobody_thought_of_does_not_keep_the_next_fault_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = ToyStack()
    run = Run(tmp_path, stack)

    def surprise(*_: Any, **__: Any) -> bool:
        raise ConnectionResetError("surprise")

    monkeypatch.setattr("sevdrill.engine.settle", surprise)
    verdict = run.run()
    assert verdict.dirty
    assert verdict.outcome is Outcome.FAILED
    assert run.debts() == {"run:0"}


def test_an_undo_slower_than_all_patience_is_looked_at_once_more() -> None:
    stack = ToyStack()
    stack.up = False
    clock, now = _Clock(), [0.0]
    clock.now_is = now

    class Slow(ContainerKill):
        def undo(self, ports: Ports, record: dict[str, Any]) -> None:
            now[0] += 100
            super().undo(ports, record)

    debt = Debt("a", Slow(fault="container.kill", service="db"), {"running": 1, "hit": ["db-1"]}, 0)
    assert settle(debt, stack.ports(), clock, lambda seconds: None, patience=30)
    assert stack.up


class _Clock(SystemClock):
    now_is: list[float]

    def now(self) -> float:
        return self.now_is[0]


class HalfDown:
    """Two proxied ports of which one refuses connections: a call was cut off between them."""

    def __init__(self) -> None:
        self.state = {"80": False, "443": True}

    def down(self, service: str) -> dict[str, bool]:
        return self.state

    def set_down(self, service: str, *, down: bool) -> None:
        self.state = dict.fromkeys(self.state, down)


def test_a_half_applied_fault_is_undone_like_a_whole_one() -> None:
    proxies = HalfDown()
    fault = NetworkDown(fault="network.down", service="edge")
    ports = Ports({Proxies: proxies})
    assert fault.state(ports, {}) is State.UNKNOWN
    assert settle(Debt("a", fault, {}, 0), ports, SystemClock(), lambda seconds: None)
    assert proxies.state == {"80": False, "443": False}


def test_what_cannot_be_seen_is_undone_all_the_same() -> None:
    """A proxy that is wedged or gone cannot say how it is, and only its undo mends it."""

    class Gone(HalfDown):
        gone = True

        def down(self, service: str) -> dict[str, bool]:
            if self.gone:
                raise StackError("the proxy of edge has lost port 80; undo its faults")
            return super().down(service)

        def set_down(self, service: str, *, down: bool) -> None:
            self.gone = False
            super().set_down(service, down=down)

    proxies = Gone()
    debt = Debt("a", NetworkDown(fault="network.down", service="edge"), {}, 0)
    assert settle(debt, Ports({Proxies: proxies}), SystemClock(), lambda seconds: None)
    assert proxies.state == {"80": False, "443": False}


def test_no_undo_waits_for_the_proof_of_another() -> None:
    stacks = [ToyStack(), ToyStack(), ToyStack()]
    stacks[0].up = stacks[2].up = False
    stacks[0].start_works = False

    class On(ContainerKill):
        which: int

        def undo(self, ports: Ports, record: dict[str, Any]) -> None:
            super().undo(stacks[self.which].ports(), record)

        def state(self, ports: Ports, record: dict[str, Any]) -> State:
            return super().state(stacks[self.which].ports(), record)

    record = {"running": 1, "hit": ["db-1"]}
    debts = [Debt(str(n), On(fault="container.kill", service="db", which=n), record, 0) for n in range(3)]
    assert relieve(debts, Ports({})) == {"0", "2"}
    assert [stack.up for stack in stacks] == [False, True, True]
    assert stacks[1].calls == []


def test_a_short_write_is_no_debt_and_injects_nothing(tmp_path: Path) -> None:
    code = """
import resource, signal, sys
from pathlib import Path
from sevdrill.clock import SystemClock
from sevdrill.faults.container import ContainerKill
from sevdrill.journal import Journal, JournalFile
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal(Path(sys.argv[1]), "run", SystemClock(), {"project": "toy"}, keep=True)
size = journal.path.stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, resource.RLIM_INFINITY))
try:
    journal.owe("a", ContainerKill(fault="container.kill", service="db"), {}, 60)
except OSError:
    print("refused", journal.path.stat().st_size == size, JournalFile.read(journal.path).debts)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "refused True {}\n"


def test_a_line_after_a_torn_one_stands_for_itself(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run", SystemClock(), {"project": "toy"}, keep=True)
    with journal.path.open("a", encoding="utf-8") as file:
        file.write('{"op": "ow')
    append(journal.path, {"op": "settled", "id": "x"})
    assert journal.path.read_text(encoding="utf-8").splitlines()[-1] == '{"op": "settled", "id": "x"}'
    with pytest.raises(RunError, match="cannot be read"):
        JournalFile.read(journal.path)


@pytest.mark.parametrize("kind", ["nowhere:Nothing", "sevdrill.faults.container:Gone"])
def test_a_debt_that_cannot_be_rebuilt_is_kept_and_named(tmp_path: Path, kind: str) -> None:
    journal = Journal(tmp_path, "run", SystemClock(), {"project": "toy"}, keep=True)
    append(
        journal.path,
        {"op": "owe", "id": "a", "class": kind, "settings": {"fault": "x.y"}, "record": {}, "deadline": 1},
    )
    state = JournalFile.read(journal.path)
    assert state is not None
    assert "x.y" in state.lost["a"]
    assert not journal.close()


def test_a_journal_that_makes_no_sense_is_told_without_a_traceback(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run", SystemClock(), {"project": "toy"}, keep=True)
    append(journal.path, {"op": "owe", "id": "a"})
    with pytest.raises(RunError, match="undo it by hand"):
        JournalFile.read(journal.path)
    with pytest.raises(RunError):
        journal.close()


def test_a_journal_that_was_removed_is_not_written_to_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "run", SystemClock(), {"project": "toy"}, keep=True)
    journal.close()
    with pytest.raises(FileNotFoundError):
        append(journal.path, {"op": "landed", "flight": 1})
    assert list(heal_all(tmp_path, SystemClock())) == []


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    code = """
import os, sys, time
from pathlib import Path
from sevdrill.clock import SystemClock
from sevdrill.journal import Journal
journal = Journal(Path(sys.argv[1]), "run", SystemClock(), {"project": "toy"}, keep=True)
pid = os.fork()
if pid == 0:
    sys.stdin.read()
    os._exit(0)
print(journal.path, flush=True)
os._exit(1)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    from sevdrill.journal import locked

    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdin, process.stdout:
        path = Path(process.stdout.readline().strip())
        process.wait()

        def free() -> bool:
            # The child lets go as soon as it runs, which may be a moment after its parent has ended.
            with locked(path) as mine:
                return mine

        wait_for(free, "the child to let go", 10)


def test_what_the_watchdog_ended_is_not_the_runbooks_merit(tmp_path: Path) -> None:
    stack = ToyStack()
    run = Run(tmp_path, stack, respond=[{"action": "announce", "status": "identified"}], targets={}, limit="1s")

    def watchdog(line: object) -> None:
        if isinstance(line, FaultLine) and line.event == "on":
            stack.start("db", [])
            append(run.journal.path, {"op": "overdue", "id": "run:0"})

    run.writer._listener = watchdog
    verdict = run.run()
    assert verdict.outcome is Outcome.INVALID
    assert "the watchdog ended" in verdict.reasons[0]


def test_lost_data_is_looked_for_although_the_drill_is_invalid(tmp_path: Path) -> None:
    stack = ToyStack()
    stack.lost = {"b"}
    half = HalfDown()
    ports = toy_ports(stack).with_({Proxies: half})
    run = Run(tmp_path, stack, ports=ports, inject=[TWICE[0], {"fault": "network.down", "service": "db"}])
    # The second fault has no effect, so that verify is never reached.
    half.set_down = lambda service, *, down: None  # type: ignore[method-assign]
    half.state = dict.fromkeys(half.state, False)
    verdict = run.run()
    assert verdict.outcome is Outcome.FAILED
    assert "lost: b" in verdict.reasons[0]
    assert any(line.when == "restored" for line in run.timeline.of(ReadLine))


def test_a_second_signal_is_only_noted() -> None:
    shield, rounds = Shield(), 0
    with shield.installed():
        with pytest.raises(Interrupted):
            os.kill(os.getpid(), 2)
        for _ in range(3):
            os.kill(os.getpid(), 15)
            rounds += 1
    assert rounds == 3


# -- the judge: nothing passes that was not watched -------------------------------------------------------------------


def _judged(lines: list[Any], drill: Any, policy: str = "sop-001") -> Any:
    return judge(Timeline(lines), drill, load_policy(policy))


@pytest.mark.parametrize("policy", ["emergency-procedures", "sv-sdk"])
def test_a_stack_that_never_recovers_fails_also_where_no_target_binds(policy: str) -> None:
    drill = scenario(DATABASE_DOWN, severity="SEV-4", targets={})
    verdict = _judged(incident(drill, recovered=None), drill, policy)
    assert verdict.outcome is Outcome.FAILED
    assert "never came back" in " | ".join(verdict.reasons)


def test_what_only_the_closing_steps_cured_is_no_recovery() -> None:
    drill = scenario(DATABASE_DOWN)
    lines = [
        line.model_copy(update={"t": 17.0}) if isinstance(line, PhaseLine) and line.name == "close" else line
        for line in incident(drill, mitigated=16.0, recovered=18.0)
    ]
    verdict = _judged(lines, drill)
    assert verdict.outcome is Outcome.FAILED
    assert "never came back" in " | ".join(verdict.reasons)


def test_nobody_looking_is_not_nobody_suffering() -> None:
    drill = scenario(QUIET)
    lines = [
        line
        for line in quiet(drill)
        if not (isinstance(line, Sample) and line.series.startswith("steady:") and 10.5 < line.start < 29)
    ]
    verdict = _judged(lines, drill)
    assert verdict.outcome is Outcome.FAILED
    assert "nobody looked" in verdict.reasons[0]


def test_a_recovery_that_could_not_be_measured_is_invalid() -> None:
    drill = scenario(DATABASE_DOWN)
    lines = [
        line.model_copy(update={"ok": None, "why": "the load generator is gone"})
        if isinstance(line, Sample) and "error rate" in line.series and line.start > 12
        else line
        for line in incident(drill)
    ]
    verdict = _judged(lines, drill)
    assert verdict.outcome is Outcome.INVALID
    assert "could not be measured" in " | ".join(verdict.reasons)


def test_a_watchdog_that_would_end_the_fault_before_the_drill_is_refused() -> None:
    with pytest.raises(ValueError, match="the watchdog would end it"):
        made_up.scenario(DATABASE_DOWN, inject=[{"fault": "container.kill", "service": "db", "max": "1m"}])


def test_unknown_looks_widen_an_interval_and_never_narrow_it() -> None:
    drill = scenario(DATABASE_DOWN)
    lines = [
        line.model_copy(update={"ok": None})
        if isinstance(line, Sample) and line.series.startswith("alert:") and 11 < line.start < 15
        else line
        for line in incident(drill, detected=12.0, mitigated=16.0)
    ]
    detected = _judged(lines, drill).marks["detected"]
    assert detected.lo <= 12.0 <= detected.hi


def test_durations_of_max_are_read(tmp_path: Path) -> None:
    fault = ContainerKill(fault="container.kill", service="db", max=Duration(900))
    assert json.loads(fault.model_dump_json(by_alias=True))["max"] == "15m"


def test_every_kind_has_an_example_in_the_crash_matrix() -> None:
    undone = [*FAULTS, *(action for action in ACTIONS if issubclass(action, RevertingAction))]
    names = Kinds.default().named("fault") | Kinds.default().named("action")
    for kind in undone:
        name = next(name for name, one in names.items() if one is kind)
        assert name in EXAMPLES, (
            f"{name} is not in the crash matrix: give it an example in tests/helpers/crash_stack.py"
        )
        key = "fault" if name in Kinds.default().named("fault") else "action"
        kind.model_validate({key: name, **EXAMPLES[name].settings})
    assert len(EXAMPLES) == len(undone), "an example is of no kind any more"
